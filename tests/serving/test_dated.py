"""Dated forecasts: their sessions, their age, and that they are committed before an answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import numpy as np
import pytest

from closecast.core.calendars import session_table
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES
from closecast.database import CalibrationChange, Job
from closecast.errors import (
    BeyondHorizon,
    CalendarTooShort,
    InvalidLevels,
    NotCollected,
    PriceProblem,
    StalePrices,
    StorageFailed,
    TooFewCloses,
)
from closecast.serving.dated import Freshness
from tests.support.calibration_state import live_state
from tests.support.dated_forecasts import (
    VERSION,
    World,
    answered,
    ask,
    at,
    days,
)

# -- which sessions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "origin", "now", "sessions"),
    [
        ("MSFT", "2022-12-22", "2022-12-22T23:00", ["2022-12-23", "2022-12-27", "2022-12-28"]),
        ("MSFT", "2022-11-23", "2022-11-24T12:00", ["2022-11-25", "2022-11-28", "2022-11-29"]),
        ("VALE3", "2022-11-14", "2022-11-14T23:00", ["2022-11-16", "2022-11-17", "2022-11-18"]),
        ("BTC-USD", "2022-12-23", "2022-12-24T08:00", ["2022-12-24", "2022-12-25", "2022-12-26"]),
    ],
)
def test_one_row_per_session_of_the_exchange(
    world: World, symbol: str, origin: str, now: str, sessions: list[str]
) -> None:
    world.now, world.calibrations.now = at(now), live_state(origin)
    answer = ask(world, symbol, horizon=3)
    assert days(answer) == sessions
    assert [row.step for row in answer.path] == [1, 2, 3]
    assert (answer.age, answer.stale) == (0, False)
    assert answer.origin.isoformat() == origin


def test_a_half_day_closes_early(world: World) -> None:
    world.now, world.calibrations.now = at("2022-11-24T12:00"), live_state("2022-11-23")
    rows = ask(world).path
    assert rows[0].closes_at == at("2022-11-25T18:00")
    assert rows[1].closes_at == at("2022-11-28T21:00")


def test_an_older_origin_says_its_age_and_what_has_elapsed(world: World) -> None:
    world.now = at("2022-12-28T20:00")
    answer = ask(world)
    assert (answer.age, answer.stale) == (2, True)
    assert [row.elapsed for row in answer.path[:4]] == [True, True, False, False]
    world.now = at("2022-12-28T21:00")  # the bell: over, and not final before 21:20
    answer = ask(world)
    assert answer.age == 2
    assert [row.elapsed for row in answer.path[:4]] == [True, True, True, False]


def test_an_origin_of_years_ago_is_answered_with_its_age(world: World) -> None:
    world.calendars.put(session_table("XNYS"))
    world.now = at("2025-06-02T12:00")
    answer = ask(world)
    assert answer.age > 600
    assert all(row.elapsed for row in answer.path)


def test_an_origin_that_is_not_over_is_foresight_and_refused(world: World) -> None:
    world.now = at("2022-12-22T21:19")
    with pytest.raises(NotCollected, match=r"2022-12-22, a session that is not over"):
        world.forecasting().answer("MSFT")
    assert world.database.forecasts.newest("MSFT") == []


def test_a_calendar_that_ends_too_early_is_said(world: World) -> None:
    world.now, world.calibrations.now = at("2023-12-28T23:00"), live_state("2023-12-28")
    with pytest.raises(CalendarTooShort, match="collecting closes"):
        world.forecasting().answer("MSFT")


@pytest.mark.parametrize(
    ("symbol", "origin", "now", "expected"),
    [
        ("MSFT", "2022-12-22", "2022-12-23T20:59", ("2022-12-23", 1)),
        ("MSFT", "2022-12-22", "2022-12-23T21:00", ("2022-12-27", 2)),  # closed, not yet final
        ("MSFT", "2022-12-22", "2022-12-24T12:00", ("2022-12-27", 2)),
        ("VALE3", "2022-11-14", "2022-11-15T15:00", ("2022-11-16", 1)),
        ("BTC-USD", "2022-12-23", "2022-12-24T12:00", ("2022-12-24", 1)),
        ("BTC-USD", "2022-12-23", "2022-12-25T00:10", ("2022-12-25", 2)),
    ],
)
def test_today_is_the_session_open_now_or_next_to_close(
    world: World, symbol: str, origin: str, now: str, expected: tuple[str, int]
) -> None:
    world.now, world.calibrations.now = at(now), live_state(origin)
    found = world.forecasting().today(symbol)
    assert not isinstance(found, Job)
    _, row = found
    assert (row.session.isoformat(), row.step) == expected
    assert not row.elapsed


def test_today_beyond_the_horizon_is_refused_and_not_committed(world: World) -> None:
    world.now = at("2023-01-10T20:00")  # step 11
    with pytest.raises(StalePrices, match=r"2022-12-22, 10 completed sessions ago.*05_score"):
        world.forecasting().today("MSFT")
    assert world.database.forecasts.newest("MSFT") == []
    world.now = at("2023-01-09T20:00")  # step 10
    assert not isinstance(world.forecasting().today("MSFT"), Job)


# -- what is said -------------------------------------------------------------------------------


def test_intervals_hold_the_price_and_widen_with_level_and_time(world: World) -> None:
    rows = ask(world, levels=(0.95, 0.5, 0.99)).path
    for row in rows:
        assert [i.level for i in row.intervals] == [0.5, 0.95, 0.99]
        lower = [i.lower for i in row.intervals]
        upper = [i.upper for i in row.intervals]
        assert lower == sorted(lower, reverse=True)
        assert upper == sorted(upper)
        assert 0 < lower[0] < row.price < upper[0]
        assert row.naive_price == 100.0
    assert rows[9].intervals[1].upper > rows[0].intervals[1].upper


def test_the_path_band_holds_more_than_each_interval_of_its_level(world: World) -> None:
    for row in ask(world, levels=[0.9]).path:
        assert row.path_band.level == 0.9
        assert row.path_band.lower < row.intervals[0].lower
        assert row.path_band.upper > row.intervals[0].upper


@pytest.mark.parametrize(
    "levels",
    [[], [0.49], [0.991], [1.0], [0.0], [-0.9], [float("nan")], [0.8, float("inf")]],
)
def test_levels_out_of_bounds_are_refused(world: World, levels: list[float]) -> None:
    with pytest.raises(InvalidLevels, match=r"1 to 10 levels from 0\.5 to 0\.99"):
        world.forecasting().answer("MSFT", levels=levels)


def test_eleven_levels_are_refused_and_ten_are_not(world: World) -> None:
    levels = [0.5 + 0.01 * i for i in range(11)]
    with pytest.raises(InvalidLevels, match="got 11"):
        world.forecasting().answer("MSFT", levels=levels)
    assert len(ask(world, levels=levels[:10]).path[0].intervals) == 10


def test_a_level_asked_for_twice_is_answered_once(world: World) -> None:
    assert [i.level for i in ask(world, levels=[0.8, 0.8]).path[0].intervals] == [0.8]


@pytest.mark.parametrize("horizon", [0, -1, 11, 10**9])
def test_a_horizon_that_the_model_does_not_have_is_refused(world: World, horizon: int) -> None:
    with pytest.raises(BeyondHorizon, match="1 to 10 sessions"):
        world.forecasting().answer("MSFT", horizon)


def test_too_little_history_for_a_level_names_what_is_needed(world: World) -> None:
    world.calibrations.now = live_state("2022-12-22", past=100)
    with pytest.raises(TooFewCloses, match="more closes are needed"):
        world.forecasting().answer("MSFT", levels=[0.99])
    assert world.database.forecasts.newest("MSFT") == []


def test_a_short_history_states_the_levels_that_it_can_hold(world: World) -> None:
    world.calibrations.now = live_state("2022-12-22", past=100)
    assert len(ask(world, levels=[0.8, 0.95]).path[0].intervals) == 2
    [(_, forecast, _)] = world.database.forecasts.newest("MSFT")
    assert len(forecast.steps[0].quantiles) == len(PROBABILITIES)


def test_an_unfinished_bar_that_was_left_out_is_said(world: World) -> None:
    notes = (
        PriceProblem("unfinished_bar", "the session is not over; left out", "2022-12-23", 101.0),
        PriceProblem("not_a_session", "filler", "2022-12-26", 101.0),
    )
    sessions = np.array(["2022-12-21", "2022-12-22"], "M8[D]")
    world.prices.put(Prices("MSFT", sessions, np.array([99.0, 100.0]), "made", "adjusted", notes))
    answer = ask(world)
    assert answer.unfinished_session == date(2022, 12, 23)
    assert answer.basis == "raw"  # of the model, whatever lies in the cache now
    world.now, world.calibrations.now = at("2022-12-24T12:00"), live_state("2022-12-23")
    assert ask(world).unfinished_session is None  # it is over and in by now


# -- committed ----------------------------------------------------------------------------------


def test_everything_is_committed_whatever_was_asked_for(world: World) -> None:
    answer = ask(world, horizon=2, levels=[0.6])
    said, outcomes = world.database.forecasts.get(answer.forecast_id)
    assert len(answer.path) == 2
    assert [step.step for step in said.steps] == list(range(1, 11))
    assert {len(step.quantiles) for step in said.steps} == {len(SCORED_PROBABILITIES)}
    assert (said.kind, said.revision, said.origin_close) == ("live", 400, 100.0)
    assert (said.basis, said.source) == ("raw", "made")
    assert said.issued_at == world.now
    assert set(outcomes) == {None}


def test_the_same_statement_is_one_row_however_it_is_asked_for(world: World) -> None:
    ids = {
        ask(world, horizon=1).forecast_id,
        ask(world, levels=[0.99]).forecast_id,
        ask(world, levels=[0.77, 0.81]).forecast_id,
    }
    world.now += timedelta(hours=1)
    found = world.forecasting().today("MSFT")
    assert not isinstance(found, Job)
    assert ids == {found[0].forecast_id}
    assert len(world.database.forecasts.newest("MSFT")) == 1


def test_many_at_once_commit_one_forecast(world: World) -> None:
    forecasting = world.forecasting()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: forecasting.answer("MSFT"), range(16)))
    assert len({answered(answer).forecast_id for answer in answers}) == 1
    [(_, said, _)] = world.database.forecasts.newest("MSFT")
    assert len(said.steps) == 10


def test_what_cannot_be_committed_is_not_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(forecast: object) -> str:
        raise StorageFailed("no space left")

    monkeypatch.setattr(world.database.forecasts, "commit", refuse)
    forecasting = world.forecasting()
    for say in (forecasting.answer, forecasting.today):
        with pytest.raises(StorageFailed):
            say("MSFT")


def test_a_replay_is_committed_as_one_and_apart(world: World) -> None:
    live, replay = ask(world), answered(world.forecasting(kind="replay").answer("MSFT"))
    assert (live.kind, replay.kind) == ("live", "replay")
    assert live.forecast_id != replay.forecast_id


# -- at a glance --------------------------------------------------------------------------------


def test_freshness_is_that_of_the_close_that_a_forecast_starts_from(world: World) -> None:
    forecasting = world.forecasting()
    assert forecasting.freshness("MSFT") == Freshness(
        date(2022, 12, 21),
        1,
        at("2022-12-21T21:00"),  # the model's data
    )
    change = CalibrationChange("MSFT", None, 7, date(2022, 12, 22), (b"state",))
    world.database.calibrations.store(VERSION, [change])
    assert forecasting.freshness("MSFT") == Freshness(date(2022, 12, 22), 0, at("2022-12-22T21:00"))


def test_the_verdict_is_about_the_window_that_ends_at_the_origin(world: World) -> None:
    """Closes that were collected after the origin was absorbed are not looked at."""
    days = np.busday_offset("2022-09-19", np.arange(80), roll="forward")
    closes = np.arange(100.0, 180.0)
    world.prices.put(Prices("MSFT", days, closes, "made", "raw"))
    answer = answered(world.forecasting().answer("MSFT"))
    row = int(np.searchsorted(days, np.datetime64(answer.origin)))
    assert days[row] == np.datetime64(answer.origin)
    [finding] = answer.drift_findings
    assert (finding.value, finding.threshold) == (60, closes[row])
    assert answer.drift_warning
    assert answer.drift_details == [f"ends at {closes[row]:g}"]


def test_without_closes_nothing_is_said_of_drift(world: World) -> None:
    answer = answered(world.forecasting().answer("MSFT"))
    assert (answer.verdict, answer.drift_warning, answer.drift_details) == (None, False, [])
