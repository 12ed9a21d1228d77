"""Outcomes that follow corrected closes: both are kept, and the newest counts."""

from __future__ import annotations

from datetime import date

import pytest

from closecast.core.records import SettledStep
from closecast.database import Database
from tests.database.test_database import NOON, Place, at_once
from tests.database.test_forecast_ledger import DAYS, came, said

pytest_plugins = ["tests.support.database_url"]


@pytest.fixture
def name(database: Database) -> str:
    """A forecast with a scored step, a voided one, and an open one."""
    name = database.forecasts.commit(said())
    database.forecasts.score([(name, 1, came(-0.7))])
    database.forecasts.void([(name, 3)])
    return name


def corrections(database: Database) -> list[int]:
    return [row.corrections for row in database.forecasts.scored("MSFT", "live")]


def test_settled_steps_are_those_that_are_scored_or_voided(database: Database, name: str) -> None:
    first, _, third = said().steps
    shared = (DAYS[0], said().origin_close)
    assert database.forecasts.settled("MSFT", date.min) == [
        SettledStep(name, 1, *shared, first.session, "adjusted", NOON, -0.7),
        SettledStep(name, 3, *shared, third.session, "adjusted", NOON, None),
    ]
    assert [s.step for s in database.forecasts.settled("MSFT", third.session)] == [3]
    assert database.forecasts.settled("AAPL", date.min) == []


def test_a_corrected_outcome_counts_and_the_one_before_is_kept(
    database: Database, name: str
) -> None:
    assert corrections(database) == [0]
    assert database.forecasts.correct([(name, 1, came(-0.009))]) == 1
    assert database.forecasts.get(name)[1][0] == came(-0.009)
    assert database.forecasts.replaced_outcomes(name) == [(1, came(-0.7))]
    [row] = database.forecasts.scored("MSFT", "live")
    assert (row.outcome, row.corrections) == (came(-0.009), 1)


def test_the_correction_of_a_correction_keeps_both(database: Database, name: str) -> None:
    for log_return in (0.2, -0.7):
        database.forecasts.correct([(name, 1, came(log_return))])
    assert database.forecasts.replaced_outcomes(name) == [(1, came(-0.7)), (1, came(0.2))]
    assert database.forecasts.get(name)[1][0] == came(-0.7)
    assert corrections(database) == [2]


def test_the_same_correction_again_changes_nothing(database: Database, name: str) -> None:
    database.forecasts.correct([(name, 1, came(0.2))])
    assert database.forecasts.correct([(name, 1, came(0.2))]) == 0
    assert len(database.forecasts.replaced_outcomes(name)) == 1


def test_an_open_step_has_no_outcome_to_correct(database: Database, name: str) -> None:
    assert database.forecasts.correct([(name, 2, came()), ("0" * 32, 1, came())]) == 0
    assert database.forecasts.get(name)[1][1] is None


def test_a_voided_step_whose_close_came_is_scored(database: Database, name: str) -> None:
    assert database.forecasts.correct([(name, 3, came(0.03))]) == 1
    assert database.forecasts.get(name)[1][2] == came(0.03)
    assert corrections(database) == [0, 0]
    assert database.forecasts.reopen([(name, 3)]) == 1
    assert [step.step for _, _, step in database.forecasts.due("MSFT", date.max)] == [2, 3]


def test_a_step_whose_close_has_a_fault_is_open_again(database: Database, name: str) -> None:
    assert database.forecasts.reopen([(name, 1), (name, 2), (name, 3)]) == 1
    assert database.forecasts.get(name)[1] == (None, None, None)
    assert [step.step for _, _, step in database.forecasts.due("MSFT", date.max)] == [1, 2]
    assert database.forecasts.scored("MSFT", "live") == []
    assert database.forecasts.replaced_outcomes(name) == [(1, came(-0.7))]
    assert database.forecasts.reopen([(name, 1)]) == 0


@pytest.mark.parametrize(("log_return", "corrected"), [(-0.7, 0), (-0.7 + 1e-9, 0), (-0.009, 1)])
def test_an_outcome_that_returns_as_it_was_corrects_nothing(
    database: Database, name: str, log_return: float, corrected: int
) -> None:
    """Held back, then accepted: the close was right."""
    database.forecasts.reopen([(name, 1)])
    assert database.forecasts.score([(name, 1, came(log_return))]) == 1
    assert corrections(database) == [corrected]
    assert len(database.forecasts.replaced_outcomes(name)) == corrected


def test_of_two_processes_that_correct_at_once_one_does(
    place: Place, database: Database, name: str
) -> None:
    databases = [place.database() for _ in range(4)]
    done = at_once(4, lambda i: databases[i].forecasts.correct([(name, 1, came(0.2))]))
    assert sum(done) == 1
    assert database.forecasts.replaced_outcomes(name) == [(1, came(-0.7))]
