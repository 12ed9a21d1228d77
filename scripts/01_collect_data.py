"""Step 1: fetch closes and keep them in the price cache."""

from __future__ import annotations

import sys

from closecast.cli.options import add_origin
from closecast.errors import ClosecastError
from closecast.pipeline import collect_many
from closecast.pipeline.workspace import Workspace
from closecast.settings import Settings
from scripts.common import parser, run, symbols_of


def main() -> None:
    """Several symbols are fetched at the same time."""
    made = parser("Fetch closes and keep them in the price cache.")
    add_origin(made)
    arguments = made.parse_args()

    def step(settings: Settings) -> None:
        symbols = symbols_of(arguments, settings)
        failed = False
        with Workspace(settings, symbols).alone():
            collected = collect_many(
                settings, symbols, arguments.source, arguments.start, arguments.end
            )
        for found in collected:
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
                f"next: python -m scripts.02_preprocess --symbols {','.join(symbols)}"
            )
        if failed:
            sys.exit(1)

    run(step)


if __name__ == "__main__":
    main()
