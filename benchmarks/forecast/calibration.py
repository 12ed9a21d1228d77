"""Time to absorb one new close: the state alone, its storing in the ledger, and an answer.

``python -m benchmarks.forecast.calibration [--closes 200]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closecast.calibration import AdaptiveState, PanelMember, advance
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES
from closecast.database import CalibrationChange, Database
from closecast.forecasters import Parameters, make_forecaster
from closecast.sources.sample import SampleSource


@contextmanager
def timed(took: list[float]) -> Iterator[None]:
    """Remember how many milliseconds the block took."""
    started = time.perf_counter()
    yield
    took.append(1000 * (time.perf_counter() - started))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--closes", type=int, default=200)
    closes = parser.parse_args().closes
    rows = SampleSource().read("MSFT", None, None)
    prices = Prices("MSFT", rows.dates, rows.closes, "sample", rows.basis)
    predictor = make_forecaster("ewma", Parameters()).fit([prices], [prices])
    member = PanelMember(prices, predictor.predict_along([prices], 1000 + closes)[0])
    states: dict[str, AdaptiveState | None] = {"MSFT": None}
    took: dict[str, list[float]] = {"absorb": [], "store": [], "answer": []}
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'ledger.sqlite'}")
        for row in range(member.first, len(prices)):
            if row < len(prices) - closes:
                states |= advance(states, [(member, row)])
                continue
            with timed(took["absorb"]):
                found = advance(states, [(member, row)])
            states |= found
            state, day = found["MSFT"], prices.sessions[row].item()
            with timed(took["store"]):
                before = state.revision - 1 if took["store"] else None
                parts, known = state.to_parts(), prices.rows(0, row + 1)
                change = CalibrationChange("MSFT", before, state.revision, day, parts, known)
                database.calibrations.store("bench", [change])
            with timed(took["answer"]):
                state.forecast(SCORED_PROBABILITIES)
        database.close()
    print(f"{'one close, ten steps':<24}{'median ms':>12}{'95 %':>10}")
    for name, values in took.items():
        print(
            f"{name:<24}{statistics.median(values):>12.2f}"
            f"{statistics.quantiles(values, n=20)[-1]:>10.2f}"
        )


if __name__ == "__main__":
    main()
