"""Dated forecasts in the ledger: what was said stays as it was said, and is scored once."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, timedelta, timezone
from typing import Any

import pytest

from closecast.core.records import SCORED_LEVELS, DatedForecast, DatedStep, Kind, Outcome
from closecast.database import Database
from closecast.errors import StorageFailed, UnknownForecast
from tests.database.test_database import NOON, Place, at_once

pytest_plugins = ["tests.support.database_url"]

FRIDAY = date(2026, 1, 2)
DAYS = [FRIDAY + timedelta(days=n) for n in (0, 3, 4, 5, 6, 7)]
SECOND = timedelta(seconds=1)


def said(origin: int = 0, horizon: int = 3, **changes: Any) -> DatedForecast:
    """A forecast made after the close of ``DAYS[origin]``."""
    steps = tuple(
        DatedStep(
            h,
            DAYS[origin] + timedelta(days=h),
            100 + 0.1 * h,
            tuple(0.1 * h + k / 3e3 for k in range(41)),
        )
        for h in range(1, horizon + 1)
    )
    made = DatedForecast(
        kind="live",
        symbol="MSFT",
        version="20260101T000000Z-abcdef",
        revision=7,
        forecaster="ewma",
        origin=DAYS[origin],
        origin_close=0.1 + 0.2,
        basis="adjusted",
        source="yahoo",
        issued_at=NOON,
        steps=steps,
    )
    return replace(made, **changes)


def came(log_return: float = 0.01) -> Outcome:
    return Outcome(
        actual=101.00501670841679,
        log_return=log_return,
        error=log_return / 3,
        naive_error=log_return,
        hits=(False, True, True, True, True),
        crps=0.1 + 0.2,
        pit=1 / 3,
        scored_at=NOON + SECOND,
    )


# -- committing ---------------------------------------------------------------------------------


def test_what_was_said_comes_back_as_it_was(database: Database) -> None:
    forecast = said()
    forecast_id = database.forecasts.commit(forecast)
    assert database.forecasts.get(forecast_id) == (forecast, (None, None, None))
    assert database.forecasts.get(forecast_id)[0].forecast_id == forecast_id == forecast.forecast_id


def test_a_statement_is_stored_once_with_its_first_time(database: Database) -> None:
    first = database.forecasts.commit(said())
    again = database.forecasts.commit(said(issued_at=NOON + SECOND))
    assert again == first
    [(_, stored, _)] = database.forecasts.newest("MSFT")
    assert stored.issued_at == NOON


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "replay"},
        {"symbol": "AAPL"},
        {"version": "another"},
        {"revision": 8},
        {"origin_close": 0.3},
        {"source": "file"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_statement_is_another_forecast(database: Database, change: dict[str, Any]) -> None:
    ids = {database.forecasts.commit(said()), database.forecasts.commit(said(**change))}
    assert len(ids) == 2
    assert {database.forecasts.get(i)[0] for i in ids} == {said(), said(**change)}


def test_a_time_in_another_zone_is_the_same_moment(database: Database) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-3)))
    stored, _ = database.forecasts.get(database.forecasts.commit(said(issued_at=there)))
    assert (stored.issued_at, stored.issued_at.tzinfo) == (NOON, UTC)


def test_of_one_statement_at_once_one_is_stored(place: Place, database: Database) -> None:
    database.check()
    databases = [place.database() for _ in range(5)]
    ids = at_once(5, lambda i: databases[i].forecasts.commit(said(issued_at=NOON + i * SECOND)))
    assert len(set(ids)) == 1
    assert len(database.forecasts.get(ids[0])[0].steps) == 3
    assert len(database.forecasts.newest("MSFT")) == 1


def test_a_forecast_without_steps_is_none(database: Database) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        database.forecasts.commit(said(steps=()))


def test_what_the_database_refuses_is_not_taken_for_stored(database: Database) -> None:
    twice = said(steps=said().steps[:1] * 2)
    with pytest.raises(StorageFailed, match="refused the forecast of MSFT"):
        database.forecasts.commit(twice)
    assert database.forecasts.newest("MSFT") == []


_COMMIT_AND_DIE = """
import os, signal, sys
import sqlalchemy as sa
from closecast.database import Database
from tests.database.test_forecast_ledger import said
database = Database(sys.argv[1])
database.check()
if sys.argv[2] == "before":
    sa.event.listen(sa.Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
database.forecasts.commit(said())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", 1)])
def test_a_kill_leaves_all_steps_or_none(
    place: Place, database: Database, when: str, stored: int
) -> None:
    command = [sys.executable, "-c", _COMMIT_AND_DIE, place.url, when]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [len(forecast.steps) for _, forecast, _ in database.forecasts.newest("MSFT")] == [
        3
    ] * stored


@pytest.mark.parametrize("forecast_id", ["", "0" * 32, "nope", "a\x00b", "é" * 32, "A" * 32])
def test_an_unknown_forecast_is_named(database: Database, forecast_id: str) -> None:
    with pytest.raises(UnknownForecast, match="no forecast"):
        database.forecasts.get(forecast_id)


# -- newest -------------------------------------------------------------------------------------


def test_the_last_issued_comes_first(database: Database) -> None:
    ids = [
        database.forecasts.commit(said(origin, issued_at=NOON + when * SECOND))
        for origin, when in enumerate((2, 3, 1))
    ]
    assert [name for name, _, _ in database.forecasts.newest("MSFT")] == [ids[1], ids[0], ids[2]]
    assert [name for name, _, _ in database.forecasts.newest("MSFT", limit=1)] == [ids[1]]
    assert [whole[1:] for whole in database.forecasts.newest("MSFT")] == [
        database.forecasts.get(ids[i]) for i in (1, 0, 2)
    ]


def test_a_list_is_of_one_symbol_and_of_the_kind_asked_for(database: Database) -> None:
    kinds: tuple[Kind, ...] = ("live", "replay")
    for kind in kinds:
        database.forecasts.commit(said(kind=kind))
    assert [f.kind for _, f, _ in database.forecasts.newest("MSFT", "replay")] == ["replay"]
    assert {f.kind for _, f, _ in database.forecasts.newest("MSFT")} == set(kinds)
    assert database.forecasts.newest("AAPL") == []


# -- due ----------------------------------------------------------------------------------------


def test_steps_are_due_once_their_session_is_reached(database: Database) -> None:
    forecast = said()
    name = database.forecasts.commit(forecast)
    first, second, _ = forecast.steps
    assert database.forecasts.due("MSFT", first.session - timedelta(days=1)) == []
    assert database.forecasts.due("MSFT", first.session) == [(name, forecast, first)]
    assert database.forecasts.due("MSFT", second.session) == [
        (name, forecast, first),
        (name, forecast, second),
    ]
    assert database.forecasts.due("AAPL", second.session) == []


def test_the_oldest_session_is_due_first(database: Database) -> None:
    for origin in (4, 0, 2):
        database.forecasts.commit(said(origin))
    sessions = [step.session for _, _, step in database.forecasts.due("MSFT", DAYS[5])]
    assert sessions == sorted(sessions)
    assert len(sessions) == 7


def test_more_forecasts_are_due_than_one_statement_binds(database: Database) -> None:
    for revision in range(505):
        database.forecasts.commit(said(horizon=1, revision=revision))
    assert len({name for name, _, _ in database.forecasts.due("MSFT", DAYS[5])}) == 505


def test_what_was_scored_or_voided_is_due_no_longer(database: Database) -> None:
    name = database.forecasts.commit(said())
    assert database.forecasts.score([(name, 1, came())]) == 1
    assert database.forecasts.void([(name, 3)]) == 1
    assert [step.step for _, _, step in database.forecasts.due("MSFT", date.max)] == [2]
    assert database.forecasts.get(name)[1] == (came(), None, None)


# -- scoring ------------------------------------------------------------------------------------


def test_a_score_comes_back_as_it_was(database: Database) -> None:
    name = database.forecasts.commit(said())
    assert database.forecasts.score([(name, 1, came(0.01)), (name, 3, came(0.03))]) == 2
    assert database.forecasts.get(name) == (said(), (came(0.01), None, came(0.03)))


def test_a_restated_history_changes_no_old_score(database: Database) -> None:
    name = database.forecasts.commit(said())
    database.forecasts.score([(name, 1, came(0.01))])
    assert database.forecasts.score([(name, 1, came(0.5)), (name, 2, came(0.02))]) == 1
    assert database.forecasts.void([(name, 1)]) == 0
    assert database.forecasts.get(name)[1] == (came(0.01), came(0.02), None)


def test_what_was_voided_is_never_scored(database: Database) -> None:
    name = database.forecasts.commit(said())
    database.forecasts.void([(name, 1)])
    assert database.forecasts.void([(name, 1)]) == 0
    assert database.forecasts.score([(name, 1, came())]) == 0
    assert database.forecasts.get(name)[1] == (None, None, None)


def test_a_score_of_nothing_known_changes_nothing(database: Database) -> None:
    name = database.forecasts.commit(said())
    assert database.forecasts.score([("0" * 32, 1, came()), (name, 9, came())]) == 0
    assert database.forecasts.score([]) == 0


def test_who_scores_at_once_scores_once(place: Place, database: Database) -> None:
    names = [database.forecasts.commit(said(revision=i)) for i in range(5)]
    databases = [place.database() for _ in range(4)]

    def score(i: int) -> int:
        keys = [(name, step) for name in names for step in (1, 2, 3)]
        order = keys if i % 2 else keys[::-1]
        return databases[i].forecasts.score([(*key, came(0.01 * (i + 1))) for key in order])

    assert sorted(at_once(4, score)) == [0, 0, 0, 15]
    found = {outcome for name in names for outcome in database.forecasts.get(name)[1]}
    assert len(found) == 1


# -- what performance is counted from -----------------------------------------------------------


def scored(database: Database, forecast: DatedForecast, log_return: float = 0.01) -> str:
    name = database.forecasts.commit(forecast)
    steps = [(name, step.step, came(log_return)) for step in forecast.steps]
    assert database.forecasts.score(steps) == len(steps)
    return name


def test_scored_steps_say_what_was_said_and_what_came(database: Database) -> None:
    forecast = said()
    name = database.forecasts.commit(forecast)
    database.forecasts.score([(name, 2, came())])
    [row] = database.forecasts.scored("MSFT", "live")
    step = forecast.steps[1]
    assert (row.forecast_id, row.step, row.session, row.price) == (
        name,
        2,
        step.session,
        step.price,
    )
    for field in ("version", "revision", "forecaster", "origin", "origin_close"):
        assert getattr(row, field) == getattr(forecast, field)
    assert row.outcome == came()
    assert len(row.outcome.hits) == len(SCORED_LEVELS)


def test_the_oldest_origin_comes_first(database: Database) -> None:
    for origin in (2, 0, 1):
        scored(database, said(origin, horizon=2))
    rows = database.forecasts.scored("MSFT", "live")
    assert [(row.origin, row.step) for row in rows] == [
        (DAYS[origin], step) for origin in range(3) for step in (1, 2)
    ]


@pytest.mark.parametrize("ask", ["symbol", "kind", "version"])
def test_scores_are_of_what_was_asked_for(database: Database, ask: str) -> None:
    other = {"symbol": "AAPL", "kind": "replay", "version": "another"}
    scored(database, said())
    scored(database, said(**{ask: other[ask]}))
    own = {"symbol": "MSFT", "kind": "live", "version": said().version}
    assert len(database.forecasts.scored(**own)) == 3  # type: ignore[arg-type]
    assert len(database.forecasts.scored(**{**own, ask: other[ask]})) == 3  # type: ignore[arg-type]


def test_without_a_version_an_origin_counts_once_however_many_models_spoke(
    database: Database,
) -> None:
    scored(database, said(version="first"))
    scored(database, said(version="another", issued_at=NOON + SECOND))
    found = database.forecasts.scored("MSFT", "live")
    assert [row.version for row in found] == ["first"] * 3
    assert len(database.forecasts.scored("MSFT", "live", version="another")) == 3


def test_since_counts_sessions(database: Database) -> None:
    scored(database, said())
    since = said().steps[1].session
    assert [row.step for row in database.forecasts.scored("MSFT", "live", since=since)] == [2, 3]


@pytest.mark.parametrize("backwards", [False, True])
def test_of_several_answers_the_first_counts(database: Database, backwards: bool) -> None:
    first, second = said(), said(revision=6, issued_at=NOON + SECOND)
    answers = [(first, 0.01), (second, 0.02)]
    for forecast, log_return in answers[::-1] if backwards else answers:
        scored(database, forecast, log_return)
    rows = database.forecasts.scored("MSFT", "live")
    assert [(row.revision, row.outcome.log_return) for row in rows] == [(7, 0.01)] * 3


def test_a_second_answer_does_not_stand_in_for_a_first_that_waits(database: Database) -> None:
    """Else what is scored first would choose what counts."""
    database.forecasts.commit(said())
    scored(database, said(revision=8, issued_at=NOON + SECOND))
    assert database.forecasts.scored("MSFT", "live") == []


# -- storage ------------------------------------------------------------------------------------


def test_after_a_restart_everything_is_there(place: Place, database: Database) -> None:
    name = scored(database, said())
    before = database.forecasts.get(name), database.forecasts.scored("MSFT", "live")
    database.close()
    after = place.database()
    assert (after.forecasts.get(name), after.forecasts.scored("MSFT", "live")) == before


@pytest.mark.parametrize(
    "ask",
    [
        lambda database: database.forecasts.commit(said()),
        lambda database: database.forecasts.due("MSFT", FRIDAY),
        lambda database: database.forecasts.score([("0" * 32, 1, came())]),
        lambda database: database.forecasts.scored("MSFT", "live"),
        lambda database: database.forecasts.newest("MSFT"),
    ],
    ids=["commit", "due", "score", "scored", "newest"],
)
def test_a_ledger_that_is_away_is_named(ask: Callable[[Database], object]) -> None:
    database = Database("postgresql://127.0.0.1:1/nowhere")
    with pytest.raises(StorageFailed, match=r"127\.0\.0\.1:1/nowhere cannot be used"):
        ask(database)
    database.close()
