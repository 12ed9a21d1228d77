"""Step 1: fetch closes and keep them in the price cache."""

from __future__ import annotations

import sys

from closecast.cli.options import add_origin
from closecast.errors import ClosecastError, JobConflict
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
        span = arguments.source, arguments.start, arguments.end
        next_step = f"python -m scripts.02_preprocess --symbols {','.join(symbols)}"
        try:
            with Workspace(settings, symbols).alone():
                collected = collect_many(settings, symbols, *span)
        except JobConflict:  # the closes of that training stay as they are
            collected = collect_many(settings, symbols, *span, for_steps=False)
            next_step = (
                "GET /forecast; a training works on these symbols now: collect again before "
                f"{next_step}"
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
                f"to {settings.data_dir / 'prices'}; next: {next_step}"
            )
        if failed:
            sys.exit(1)

    run(step)


if __name__ == "__main__":
    main()
