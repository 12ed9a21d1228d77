"""A long gap in new closes: they wait for a window, and nothing is scored across the gap."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from closecast.calibration import AdaptiveState
from closecast.core.spacing import LONG_GAP
from closecast.database import Database, DriftDay
from closecast.pipeline import TrainRequest, run_training, update
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

TRAINED, BEFORE, LENGTH = 480, 3, 20
SYMBOLS = ("AAA", "BBB")
DAYS = SampleSource().read("MSFT", None, None).dates[-600:]
GAP = slice(TRAINED + BEFORE, TRAINED + BEFORE + LONG_GAP + 2)


def write(folder: Path, symbol: str, closes: int, *, gap: bool = False) -> None:
    """What the source knows after ``closes`` sessions."""
    prices = garch(len(DAYS), SYMBOLS.index(symbol), symbol=symbol).closes
    kept = np.ones(len(DAYS), dtype=bool)
    kept[closes:] = False
    kept[GAP] &= not gap
    rows = zip(DAYS[kept], prices[kept], strict=True)
    text = "Date,Close\n" + "".join(f"{day},{float(close)!r}\n" for day, close in rows)
    (folder / f"{symbol}.csv").write_text(text)


@dataclass(frozen=True)
class Place:
    settings: Settings
    database: Database
    version: str

    def update_after(self, sessions: int) -> None:
        for symbol in SYMBOLS:
            write(self.settings.data_dir.parent, symbol, sessions, gap=symbol == "AAA")
        update(self.settings, "AAA", self.database, draw=False)

    def state(self, symbol: str) -> AdaptiveState:
        stored = self.database.calibrations.newest(self.version, symbol)
        assert stored is not None
        return AdaptiveState.from_parts(stored.parts)

    def days(self, symbol: str) -> list[DriftDay]:
        return self.database.drift_days.history(symbol)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for symbol in SYMBOLS:
        write(tmp_path, symbol, TRAINED)
    settings = settings_in(tmp_path, source=f"file:{tmp_path}/{{symbol}}.csv")
    request = TrainRequest(
        symbols=SYMBOLS,
        source=settings.source,
        forecaster="ewma",
        hyperparameters={"seq_length": LENGTH, "horizon": 3},
    )
    version = run_training(settings, request).manifest.version
    registry = Registry(settings.models_url)
    assert {registry.pointer(symbol).version for symbol in SYMBOLS} == {version}  # type: ignore[union-attr]
    return Place(settings, Database(settings.ledger_url), version)


def test_closes_after_a_gap_wait_for_a_window_and_are_then_learned_from(place: Place) -> None:
    first = GAP.stop
    place.update_after(first + LENGTH - 1)
    held = place.database.close_decisions.held("AAA")
    assert held is not None
    assert (held.code, str(held.since)) == ("long_gap", str(DAYS[first]))
    assert place.state("AAA").session == DAYS[TRAINED + BEFORE - 1]
    assert place.state("BBB").session == DAYS[first + LENGTH - 2]

    place.update_after(first + LENGTH + 4)
    assert place.database.close_decisions.held("AAA") is None
    assert place.state("AAA").session == DAYS[first + LENGTH + 3]
    seen = [day for day in place.days("AAA") if str(day.session) >= str(DAYS[GAP.start])]
    assert [str(day.session) for day in seen] == DAYS[
        first + LENGTH - 1 : first + LENGTH + 4
    ].astype(str).tolist()
    assert seen[0].error is None, "no forecast was made for it"
    assert all(day.error is not None for day in seen[1:])
    before = place.state("AAA").origins < DAYS[GAP.start]
    assert not before.any()


def test_an_update_in_steps_ends_at_the_state_of_one_update(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "in-steps"
    shutil.copytree(tmp_path, folder, ignore=shutil.ignore_patterns("in-steps"))
    settings = settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")
    in_steps = Place(settings, Database(settings.ledger_url), place.version)
    last = GAP.stop + LENGTH + 2
    place.update_after(last)
    for sessions in (TRAINED + 1, GAP.stop + 2, GAP.stop + LENGTH, last):
        in_steps.update_after(sessions)
    for symbol in SYMBOLS:
        one, other = place.state(symbol), in_steps.state(symbol)
        for name in ("session", "tilt", "scale", "location", "scores", "surprises", "origins"):
            assert np.array_equal(
                getattr(one, name), getattr(other, name), equal_nan=name == "scores"
            ), name
