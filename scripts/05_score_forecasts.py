"""Step 5: collect new closes, let the calibration absorb them, score what was forecast."""

from __future__ import annotations

from closecast.database import Database
from closecast.pipeline import update
from closecast.settings import Settings
from scripts.common import parser, run, symbols_of


def main() -> None:
    """Update models as the worker does at a request for a forecast; run it at any time."""
    arguments = parser(
        "Collect new closes, let the live calibration absorb them, score committed forecasts."
    ).parse_args()

    def step(settings: Settings) -> None:
        database = Database(settings.ledger_url)
        done: set[str] = set()
        for symbol in symbols_of(arguments, settings):
            if symbol in done:  # came along with another symbol of its model
                continue
            updated = update(settings, symbol, database)
            done |= set(updated.collected)
            for name, reason in updated.failed.items():
                print(f"closes not used: {name}: {reason}")
            print(
                f"{symbol}: collected {len(updated.collected)} symbols of {updated.version}, "
                f"absorbed {updated.absorbed} closes, scored {updated.scored} steps, corrected "
                f"{updated.corrected}, opened again {updated.reopened}; "
                f"next: GET /performance/{symbol}, or {settings.results_dir}/{symbol}/"
            )
        database.close()

    run(step)


if __name__ == "__main__":
    main()
