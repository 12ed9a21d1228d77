"""Sessions under watch in the ledger: with the calibration's step or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from closecast.database import CalibrationChange, Database, DriftDay
from closecast.drift import Monitor
from closecast.errors import PreconditionFailed
from tests.database.test_database import Place, at_once, outcome

pytest_plugins = ["tests.support.database_url"]

VERSION = "20260101T000000Z-abcdef"
DAY = date(2026, 1, 2)
NEXT = DAY + timedelta(days=3)


def made_day(n: int = 0, symbol: str = "MSFT", version: str = VERSION) -> DriftDay:
    """Numbers that no shorter text than their own gives back."""
    monitor = Monitor((0.1 + n / 3, 1e6, 5e-324, 2 / 3))
    return DriftDay(
        version=version,
        symbol=symbol,
        session=DAY + timedelta(days=n),
        monitor=monitor.values,
        evidence=monitor.evidence,
        miss=n % 2 == 1,
        pit=1 / 3,
        shock=0.1 + 0.2,
        error=-0.01 / 3,
        expected_error=0.007,
        width=0.05,
        at=datetime(2026, 1, 2, 21, 5, n, tzinfo=UTC),
    )


def change(day: DriftDay, revision: int = 1) -> CalibrationChange:
    """The calibration of one session after the one before."""
    return CalibrationChange(
        day.symbol,
        revision - 1 or None,
        revision,
        day.session,
        (b"state",),
        since=day.session - timedelta(days=1),
        drift_days=(day,),
    )


def store(database: Database, day: DriftDay, revision: int = 1) -> None:
    database.calibrations.store(day.version, [change(day, revision)])


def test_before_the_first_session_there_is_nothing(database: Database) -> None:
    assert database.drift_days.newest(VERSION, "MSFT") is None
    assert database.drift_days.history("MSFT") == []
    assert database.drift_days.evidence(VERSION) == {}


def test_a_day_comes_back_to_the_same_bits(database: Database) -> None:
    store(database, made_day())
    assert database.drift_days.newest(VERSION, "MSFT") == made_day()
    assert database.drift_days.history("MSFT") == [made_day()]
    assert Monitor.from_values(database.drift_days.history("MSFT")[0].monitor).evidence == (
        made_day().evidence
    )


def test_what_nobody_knew_comes_back_as_such(database: Database) -> None:
    nothing = dict.fromkeys(("miss", "pit", "shock", "error", "expected_error", "width"))
    day = replace(made_day(), **nothing)
    store(database, day)
    assert database.drift_days.newest(VERSION, "MSFT") == day


def test_times_are_kept_whatever_zone_they_are_told_in(database: Database) -> None:
    told = datetime(2026, 1, 2, 18, tzinfo=timezone(timedelta(hours=-3)))
    store(database, replace(made_day(), at=told))
    [day] = database.drift_days.history("MSFT")
    assert day.at == told
    assert day.at.utcoffset() == timedelta(0)


def test_newest_is_the_last_session_up_to_a_day(database: Database) -> None:
    for n in range(4):
        store(database, made_day(n), n + 1)
    store(database, made_day(9, "AAPL"))
    newest = database.drift_days.newest
    assert newest(VERSION, "MSFT") == made_day(3)
    assert newest(VERSION, "MSFT", until=made_day(2).session) == made_day(2)
    assert newest(VERSION, "MSFT", until=DAY - timedelta(days=1)) is None
    assert newest("another", "MSFT") is None


def test_history_is_of_all_versions_oldest_first(database: Database) -> None:
    for n in range(4):
        store(database, made_day(n), n + 1)
    store(database, made_day(3, version="zzz"))
    store(database, made_day(4, version="zzz"), 2)
    store(database, made_day(1, "AAPL"))
    whole = [*(made_day(n) for n in range(4)), *(made_day(n, version="zzz") for n in (3, 4))]
    history = database.drift_days.history
    assert history("MSFT") == whole
    assert history("KO") == []


def test_evidence_in_force_is_that_of_each_symbols_last_session(database: Database) -> None:
    for n in range(3):
        store(database, made_day(n), n + 1)
    store(database, made_day(0, "AAPL"))
    store(database, made_day(8, "MSFT", version="zzz"))
    assert database.drift_days.evidence(VERSION) == {
        "AAPL": made_day(0).evidence,
        "MSFT": made_day(2).evidence,
    }


def test_a_calibration_that_is_rebuilt_brings_its_sessions_in_place_of_those_before(
    database: Database,
) -> None:
    for n in range(4):
        store(database, made_day(n), n + 1)
    store(database, made_day(1, "AAPL"))
    store(database, made_day(1, version="zzz"))
    later = made_day().at + timedelta(days=9)
    corrected = replace(made_day(2), error=0.5, at=later)
    rebuilt = replace(
        change(corrected, 5),
        since=made_day(0).session,
        drift_days=(replace(made_day(1), at=later), corrected),
    )
    database.calibrations.store(VERSION, [rebuilt])
    assert database.drift_days.history("MSFT") == [
        made_day(0), made_day(1), made_day(1, version="zzz"), corrected
    ], "one that comes out the same keeps its time; the last one is gone"  # fmt: skip
    assert database.drift_days.history("AAPL") == [made_day(1, "AAPL")]


# -- with the calibration's step or not at all --------------------------------------------------


def test_a_refused_state_brings_no_day(database: Database) -> None:
    store(database, made_day(), 1)
    with pytest.raises(PreconditionFailed):
        store(database, made_day(1), 9)
    assert database.drift_days.history("MSFT") == [made_day()]
    newest = database.calibrations.newest(VERSION, "MSFT")
    assert newest is not None
    assert newest.revision == 1


def test_of_those_who_store_at_once_one_brings_its_day(place: Place, database: Database) -> None:
    store(database, made_day(), 1)
    databases = [place.database() for _ in range(5)]
    days = [replace(made_day(1), evidence=float(i)) for i in range(5)]
    got = at_once(5, lambda i: outcome(lambda: store(databases[i], days[i], 2)))
    assert sum(isinstance(error, PreconditionFailed) for error in got) == 4
    [winner] = [i for i, error in enumerate(got) if error is None]
    assert database.drift_days.history("MSFT") == [made_day(), days[winner]]


_DIE_AFTER = """
import os, signal, sys
import sqlalchemy as sa
from closecast.database import Database
from tests.database.test_drift_history import made_day, store

def die(_connection, _cursor, statement, *_):
    if statement.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "after_cursor_execute", die)
if sys.argv[2] == "COMMIT":
    sa.event.listen(sa.Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
store(Database(sys.argv[1]), made_day(1), 2)
"""


@pytest.mark.parametrize(
    "statement", ["INSERT INTO calibrations", "INSERT INTO drift_days", "COMMIT"]
)
def test_a_kill_in_the_middle_leaves_neither(
    place: Place, database: Database, statement: str
) -> None:
    store(database, made_day(), 1)
    command = [sys.executable, "-c", _DIE_AFTER, place.url, statement]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert database.drift_days.history("MSFT") == [made_day()]
    newest = database.calibrations.newest(VERSION, "MSFT")
    assert newest is not None
    assert newest.revision == 1
    store(database, made_day(1), 2)  # and nothing is locked
    assert database.drift_days.newest(VERSION, "MSFT") == made_day(1)
