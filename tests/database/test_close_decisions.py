"""Decisions about closes: accepted once and for ever, held back until the fault is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta

import pytest

from closecast.core.records import AcceptedClose, HeldCloses
from closecast.database import Database
from tests.database.test_database import MOMENT, NOON, Clock, Place, at_once

pytest_plugins = ["tests.support.database_url"]

DAY = date(2026, 1, 2)
HALVED = HeldCloses(
    since=DAY,
    code="split",
    reason="MSFT fell to half on 2026-01-02",
    ends="a corrected close, or POST /prices/MSFT/accept",
    noticed_at=NOON,
)


def test_before_the_first_decision_nothing_is_accepted_or_held(database: Database) -> None:
    decisions = database.close_decisions
    assert decisions.accepted("MSFT") == {}
    assert decisions.held("MSFT") is None
    assert decisions.all_held() == {}


def test_an_accepted_close_is_kept_with_reason_author_and_time(
    database: Database, place: Place
) -> None:
    accepted = database.close_decisions.accept("MSFT", DAY, "a real halving: día 1", "anna")
    assert accepted == AcceptedClose("MSFT", DAY, "a real halving: día 1", "anna", NOON)
    assert place.database().close_decisions.accepted("MSFT") == {DAY: accepted}
    assert database.close_decisions.accepted("AAPL") == {}


def test_a_close_is_accepted_once_and_the_first_decision_stays(
    database: Database, clock: Clock
) -> None:
    first = database.close_decisions.accept("MSFT", DAY, "a real halving", "anna")
    clock.now += timedelta(days=1)
    assert database.close_decisions.accept("MSFT", DAY, "another reason", "bea") == first
    assert database.close_decisions.accepted("MSFT") == {DAY: first}


def test_another_fault_of_an_accepted_session_takes_a_new_decision(
    database: Database, clock: Clock
) -> None:
    decisions = database.close_decisions
    first = decisions.accept("MSFT", DAY, "the history was rewritten", "anna", since=NOON)
    noticed = clock.now = NOON + timedelta(days=30)
    clock.now += timedelta(hours=1)
    second = decisions.accept("MSFT", DAY, "and once more", "bea", since=noticed)
    assert decisions.accept("MSFT", DAY, "twice", "bea", since=noticed) == second
    assert decisions.accept("MSFT", DAY, "without a fault", "bea") == second
    assert decisions.accepted("MSFT") == {DAY: second}
    assert decisions.all_accepted() == [first, second]


def test_accepted_closes_come_in_order_of_their_sessions(database: Database) -> None:
    days = [DAY + timedelta(days=n) for n in (3, 0, 7)]
    for day in days:
        database.close_decisions.accept("MSFT", day, "it is right", "anna")
    assert list(database.close_decisions.accepted("MSFT")) == sorted(days)


def test_acceptances_at_once_are_one(place: Place) -> None:
    databases = [place.database() for _ in range(4)]
    answers = at_once(
        4, lambda i: databases[i].close_decisions.accept("MSFT", DAY, f"reason {i}", "anna")
    )
    assert answers == [place.database().close_decisions.accepted("MSFT")[DAY]] * 4


def test_held_closes_come_back_as_they_were_until_they_are_released(database: Database) -> None:
    decisions = database.close_decisions
    decisions.hold("MSFT", HALVED)
    assert decisions.held("MSFT") == HALVED
    assert decisions.held("AAPL") is None
    decisions.hold("MSFT", None)
    assert decisions.held("MSFT") is None
    decisions.hold("MSFT", None)
    assert decisions.all_held() == {}


def test_the_same_fault_keeps_the_time_at_which_it_was_noticed(database: Database) -> None:
    decisions = database.close_decisions
    decisions.hold("MSFT", HALVED)
    again = replace(HALVED, reason="still half", noticed_at=NOON + timedelta(hours=5))
    decisions.hold("MSFT", again)
    assert decisions.held("MSFT") == replace(again, noticed_at=NOON)


@pytest.mark.parametrize("change", [{"code": "unit_error"}, {"since": DAY - timedelta(days=1)}])
def test_another_fault_takes_the_place_of_the_first(
    database: Database, change: dict[str, object]
) -> None:
    decisions = database.close_decisions
    decisions.hold("MSFT", HALVED)
    other = replace(HALVED, noticed_at=NOON + MOMENT, **change)  # type: ignore[arg-type]
    decisions.hold("MSFT", other)
    assert decisions.held("MSFT") == other


def test_all_held_symbols_are_listed_in_order(database: Database) -> None:
    for symbol in ("PETR4.SA", "AAPL", "MSFT"):
        database.close_decisions.hold(symbol, HALVED)
    assert list(database.close_decisions.all_held()) == ["AAPL", "MSFT", "PETR4.SA"]


def test_holds_and_releases_at_once_leave_one_of_them(place: Place) -> None:
    held = [HALVED, replace(HALVED, code="unit_error"), None, HALVED]
    databases = [place.database() for _ in held]
    at_once(len(held), lambda i: databases[i].close_decisions.hold("MSFT", held[i]))
    assert place.database().close_decisions.held("MSFT") in held


def test_an_acceptance_outlives_kill_9(place: Place) -> None:
    program = (
        "import os, signal, sys\n"
        "from datetime import date\n"
        "from closecast.database import Database\n"
        f"decisions = Database({place.url!r}).close_decisions\n"
        f"decisions.accept('MSFT', date({DAY.year}, {DAY.month}, {DAY.day}), 'right', 'anna')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert list(place.database().close_decisions.accepted("MSFT")) == [DAY]
