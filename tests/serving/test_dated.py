"""Dated forecasts: which sessions, how old, committed before they are said, collected when due."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from closecast.core.calendars import session_table
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES, Kind
from closecast.core.symbols import canonical
from closecast.core.verdict import Finding, Verdict
from closecast.database import Database, Job
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
from closecast.serving import ModelManager
from closecast.serving.dated import UPDATE, DatedAnswer, DatedForecastService, Freshness
from closecast.serving.dated.refresh import _MOST_WAITING
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache
from tests.conftest import settings_in
from tests.support.calibration_state import FakeLiving, live_state


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


VERSION = "20260102T030405Z-0a1b2c3d"


class FakeModels:
    """One made model, whatever the symbol."""

    def data_end(self, symbol: str) -> tuple[str, str]:
        return VERSION, "2022-12-21"

    def get(self, symbol: str | None = None) -> Any:
        wanted = canonical(symbol or "MSFT")
        span = SimpleNamespace(symbol=wanted, basis="raw", source="made")
        info = SimpleNamespace(
            horizon=10, forecaster="ewma", data=(span,), symbols=(wanted,), seq_length=60
        )
        detector = SimpleNamespace(check=lambda window, context: Verdict((finding_of(window),)))
        return SimpleNamespace(
            symbol=wanted,
            version=VERSION,
            generation=1,
            manifest=SimpleNamespace(info=info),
            detector=detector,
        )


def finding_of(window: np.ndarray) -> Finding:
    """Says which window was looked at."""
    return Finding("seen", "regime", "window", len(window), window[-1], f"ends at {window[-1]:g}")


@dataclass
class World:
    """Everything around a ``DatedForecastService``, to be moved by hand."""

    folder: Path
    now: datetime = field(default_factory=lambda: at("2022-12-22T23:00"))
    living: FakeLiving = field(default_factory=lambda: FakeLiving(live_state("2022-12-22")))
    woken: int = 0

    def __post_init__(self) -> None:
        self.settings = settings_in(self.folder, forecast_wait_s=0.0)
        self.database = Database(self.settings.ledger_url, lambda: self.now)
        self.prices = PriceCache(self.folder / "prices")
        self.calendars = CalendarCache(self.folder / "calendars")
        for exchange in ("XNYS", "BVMF"):
            self.calendars.put(session_table(exchange, date(2022, 1, 1), date(2023, 12, 31)))

    def forecasting(
        self, *, kind: Kind = "live", worker: bool = False, **settings: object
    ) -> DatedForecastService:
        def wake() -> None:
            self.woken += 1

        return DatedForecastService(
            models=cast("ModelManager", FakeModels()),
            prices=self.prices,
            calendars=self.calendars,
            database=self.database,
            living=self.living,
            settings=self.settings.model_copy(update=settings),
            clock=lambda: self.now,
            kind=kind,
            hand_over=wake if worker else None,
        )

    def updates(self, symbol: str = "MSFT") -> list[Job]:
        return self.database.jobs.newest(task=UPDATE, symbol=symbol)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def answered(found: object) -> DatedAnswer:
    assert isinstance(found, DatedAnswer)
    return found


def ask(world: World, symbol: str = "MSFT", **asked: Any) -> DatedAnswer:
    return answered(world.forecasting().answer(symbol, **asked))


def days(answer: DatedAnswer) -> list[str]:
    return [row.session.isoformat() for row in answer.path]


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
    world.now, world.living.now = at(now), live_state(origin)
    answer = ask(world, symbol, horizon=3)
    assert days(answer) == sessions
    assert [row.step for row in answer.path] == [1, 2, 3]
    assert (answer.age, answer.stale) == (0, False)
    assert answer.origin.isoformat() == origin


def test_a_half_day_closes_early(world: World) -> None:
    world.now, world.living.now = at("2022-11-24T12:00"), live_state("2022-11-23")
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
    world.now, world.living.now = at("2023-12-28T23:00"), live_state("2023-12-28")
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
    world.now, world.living.now = at(now), live_state(origin)
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
    world.living.now = live_state("2022-12-22", past=100)
    with pytest.raises(TooFewCloses, match="more closes are needed"):
        world.forecasting().answer("MSFT")
    assert world.database.forecasts.newest("MSFT") == []


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
    world.now, world.living.now = at("2022-12-24T12:00"), live_state("2022-12-23")
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


# -- collecting ---------------------------------------------------------------------------------


def test_fresh_closes_are_not_collected_again(world: World) -> None:
    world.forecasting(worker=True).answer("MSFT")
    assert world.updates() == []


def test_older_closes_are_asked_for_and_answered_with_their_age(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    answer = answered(world.forecasting(worker=True).answer("MSFT"))
    assert answer.age == 1
    [job] = world.updates()
    assert (job.state, dict(job.arguments)) == (
        "queued",
        {"version": VERSION},
    )
    assert world.woken == 1


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_an_attempt_is_not_repeated_at_once_however_it_ended(world: World, state: Any) -> None:
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True)
    forecasting.answer("MSFT")
    job = world.database.jobs.claim("me")
    assert job is not None
    world.database.jobs.finish(job.id, "me", state)
    world.now += timedelta(seconds=899)
    forecasting.answer("MSFT")
    assert len(world.updates()) == 1
    world.now += timedelta(seconds=1)
    forecasting.answer("MSFT")
    assert len(world.updates()) == 2


def test_two_models_of_one_panel_asked_in_turn_collect_once_each(world: World) -> None:
    """A rollback of one symbol leads there; readers must not keep the worker collecting."""
    refresh = world.forecasting(worker=True)._refresh
    for _ in range(5):
        for version in (VERSION, "20260103T030405Z-0a1b2c3d"):
            refresh.ask(version, ["MSFT", "AAPL"])
            if (job := world.database.jobs.claim("me")) is not None:
                world.database.jobs.finish(job.id, "me", "succeeded")
            world.now += timedelta(seconds=1)
    assert len(world.database.jobs.newest(task=UPDATE)) == 2


def test_the_attempts_of_other_symbols_and_tasks_do_not_count(world: World) -> None:
    world.database.jobs.submit("train", "MSFT", {})
    world.database.jobs.submit(UPDATE, "AAPL", {"symbol": "AAPL"})
    world.now = at("2022-12-23T23:00")
    world.forecasting(worker=True).answer("MSFT")
    assert len(world.updates()) == 1


def test_another_update_in_the_way_is_waited_for(world: World) -> None:
    job, _ = world.database.jobs.submit(UPDATE, "MSFT", {"symbol": "MSFT", "source": "yahoo"})
    world.now = at("2022-12-23T23:00")
    assert answered(world.forecasting(worker=True).answer("MSFT")).age == 1
    assert [update.id for update in world.updates()] == [job.id]


def test_a_replay_never_collects(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    answer = answered(world.forecasting(kind="replay", worker=True).answer("MSFT"))
    assert answer.age == 1
    assert world.updates() == []


def test_it_waits_for_the_closes_and_answers_with_them(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True, forecast_wait_s=60.0)

    def collect() -> None:
        while (job := world.database.jobs.claim("me")) is None:
            pass
        world.living.now = live_state("2022-12-23", last_close=101.0)
        world.database.jobs.finish(job.id, "me", "succeeded")

    worker = threading.Thread(target=collect)
    worker.start()
    answer = answered(forecasting.answer("MSFT"))
    worker.join()
    assert (answer.age, answer.last_close) == (0, 101.0)


def test_who_asks_while_many_wait_is_answered_at_once(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True, forecast_wait_s=300.0)
    for _ in range(_MOST_WAITING):
        forecasting._refresh._places.acquire()
    assert answered(forecasting.answer("MSFT")).age == 1  # and not in five minutes


def test_a_job_that_waits_for_long_is_waited_for_once(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    world.database.jobs.submit(UPDATE, "MSFT", {"symbol": "MSFT"})
    world.now += timedelta(seconds=301)
    forecasting = world.forecasting(worker=True, forecast_wait_s=300.0)
    assert answered(forecasting.answer("MSFT")).age == 1  # and not in five minutes


def test_where_nothing_was_collected_the_job_is_the_answer(world: World) -> None:
    world.calendars.path("XNYS").unlink()
    for found in (
        world.forecasting(worker=True).answer("MSFT"),
        world.forecasting(worker=True).today("MSFT"),
    ):
        assert isinstance(found, Job)
        assert (found.task, found.symbol) == (UPDATE, "MSFT")
    assert len(world.updates()) == 1


def test_where_nothing_was_collected_and_after_a_failure_the_reason_is_said(world: World) -> None:
    world.calendars.path("XNYS").unlink()
    forecasting = world.forecasting(worker=True)
    forecasting.answer("MSFT")
    job = world.database.jobs.claim("me")
    assert job is not None
    world.database.jobs.finish(job.id, "me", "failed", reason="source_unavailable: HTTP 429")
    with pytest.raises(NotCollected, match="the last attempt: failed, source_unavailable"):
        forecasting.answer("MSFT")


def test_where_nothing_was_collected_it_is_said_what_to_run(
    world: World,
) -> None:
    world.calendars.path("XNYS").unlink()
    forecasting = world.forecasting()
    with pytest.raises(NotCollected, match=r"scripts\.01_collect_data --symbol MSFT"):
        forecasting.answer("MSFT")
    assert world.updates() == []


def test_a_calendar_that_has_ended_is_asked_for_as_well(world: World) -> None:
    world.now = at("2024-02-01T12:00")
    with pytest.raises(CalendarTooShort):
        world.forecasting(worker=True).answer("MSFT")
    assert len(world.updates()) == 1


# -- at a glance --------------------------------------------------------------------------------


def test_freshness_is_that_of_the_close_that_a_forecast_starts_from(world: World) -> None:
    forecasting = world.forecasting()
    assert forecasting.freshness("MSFT") == Freshness(
        date(2022, 12, 21),
        1,
        at("2022-12-21T21:00"),  # the model's data
    )
    world.database.calibrations.store(VERSION, "MSFT", 7, date(2022, 12, 22), [b"state"])
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


# -- the calibration behind a window ----------------------------------------------------------


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
    state = forecasting.newest_state(snapshot)
    assert (state is None) is (last != "2022-12-22")
    clock[0] += holds_s
    assert forecasting.recent_state(snapshot) == (True, state)
    clock[0] += 1.1
    assert forecasting.recent_state(snapshot) == (False, None)


def test_a_new_close_or_another_model_ends_what_was_known_of_a_calibration(world: World) -> None:
    snapshot = FakeModels().get()
    forecasting = world.forecasting()
    assert forecasting.recent_state(snapshot) == (False, None)
    collected(world, "2022-12-22")
    forecasting.newest_state(snapshot)
    assert forecasting.recent_state(snapshot)[0]
    other = FakeModels().get()
    other.generation = 2
    assert not forecasting.recent_state(other)[0]
    collected(world, "2022-12-23")
    assert not forecasting.recent_state(snapshot)[0]
