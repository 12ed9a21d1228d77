"""Step 1: fetch closes and keep them in the price cache."""

from __future__ import annotations

import sys

from closecast.errors import ClosecastError
from closecast.pipeline import collect_many
from closecast.settings import Settings
from scripts.common import add_origin, parser, run


def main() -> None:
    """Several symbols, separated by commas, are fetched at the same time."""
    made = parser("Fetch closes and keep them in the price cache. --symbol takes several: A,B,C.")
    add_origin(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        symbols = (arguments.symbol or settings.default_symbol).split(",")
        failed = False
        for found in collect_many(
            settings, symbols, arguments.source, arguments.start, arguments.end
        ):
            if isinstance(found, ClosecastError):
                failed = True
                print(f"error: {found}", file=sys.stderr)
                continue
            first, last = found.span
            for note in found.notes:
                print(f"note: {found.symbol} {note}")
            print(
                f"wrote {len(found)} {found.basis} closes of {found.symbol}, {first} to {last}, "
                f"to {settings.data_dir / 'prices'}; "
                f"next: python -m scripts.02_preprocess --symbol {found.symbol}"
            )
        if failed:
            sys.exit(1)

    run(step)


if __name__ == "__main__":
    main()
