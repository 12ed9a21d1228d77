"""Live calibrations: the stored state or the bundle's, and for how long a reading holds."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from closecast.core.prices import Prices
from closecast.database import CalibrationChange
from closecast.serving.dated.live_calibrations import LiveCalibrations
from tests.support.calibration_state import live_state
from tests.support.dated_forecasts import (
    VERSION,
    FakeModels,
    World,
)


def collected(world: World, last: str) -> None:
    sessions = np.arange(np.datetime64(last) - 70, np.datetime64(last) + 1)
    closes = 100 + np.arange(71.0)
    world.prices.put(Prices("MSFT", sessions, closes, "made", "raw"))


@pytest.mark.parametrize(("last", "holds_s"), [("2022-12-22", 59.0), ("2022-12-23", 0.9)])
def test_a_calibration_holds_longer_once_it_has_absorbed_the_newest_close(
    world: World, monkeypatch: pytest.MonkeyPatch, last: str, holds_s: float
) -> None:
    """Where a thousand symbols took turns, each request looked into the ledger."""
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    snapshot = FakeModels().get()
    forecasting = world.forecasting()
    collected(world, last)
    state = forecasting.calibrations.newest(snapshot)
    assert (state is None) is (last != "2022-12-22")
    clock[0] += holds_s
    assert forecasting.calibrations.recent(snapshot) == (True, state)
    clock[0] += 1.1
    assert forecasting.calibrations.recent(snapshot) == (False, None)


def test_a_new_close_or_another_model_ends_what_was_known_of_a_calibration(world: World) -> None:
    snapshot = FakeModels().get()
    forecasting = world.forecasting()
    assert forecasting.calibrations.recent(snapshot) == (False, None)
    collected(world, "2022-12-22")
    forecasting.calibrations.newest(snapshot)
    assert forecasting.calibrations.recent(snapshot)[0]
    other = FakeModels().get()
    other.generation = 2
    assert not forecasting.calibrations.recent(other)[0]
    collected(world, "2022-12-23")
    assert not forecasting.calibrations.recent(snapshot)[0]


def test_the_stored_state_is_in_force_and_the_bundles_before_it_and_where_it_is_damaged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    in_bundle, newer = live_state("2022-12-21"), live_state("2022-12-22")
    snapshot = FakeModels().get()
    snapshot.first_state = in_bundle
    calibrations = LiveCalibrations(world.database, world.prices)
    assert calibrations.state(snapshot) is in_bundle
    change = CalibrationChange("MSFT", None, 1, date(2022, 12, 22), newer.to_parts())
    world.database.calibrations.store(VERSION, [change])
    assert calibrations.state(snapshot).session == newer.session
    assert calibrations.state(snapshot).revision == 1, "that of the stored state"
    assert not caplog.records
    damaged = CalibrationChange("MSFT", 1, 2, date(2022, 12, 23), (b"damaged",))
    world.database.calibrations.store(VERSION, [damaged])
    assert calibrations.state(snapshot) is in_bundle
    [line] = caplog.records
    assert "calibration damaged" in line.message
