"""The living calibration in the ledger: whole, in order, and stored by one of those who try."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import date, timedelta

import pytest

from closecast.database import Database, StoredCalibration
from closecast.errors import PreconditionFailed
from tests.database.test_database import Place, at_once, outcome

pytest_plugins = ["tests.support.database_url"]

VERSION = "20260101T000000Z-abcdef"
DAY = date(2026, 1, 2)
NEXT = DAY + timedelta(days=3)


def parts(revision: int, n: int = 11) -> tuple[bytes, ...]:
    return tuple(bytes([revision, step, 0, 255]) * 50 for step in range(n))


def store(
    database: Database, revision: int, symbol: str = "MSFT", n: int = 11
) -> StoredCalibration:
    return database.calibrations.store(
        VERSION, symbol, revision, DAY + timedelta(days=revision), parts(revision, n)
    )


def test_before_anything_was_stored_there_is_nothing(database: Database) -> None:
    assert database.calibrations.newest(VERSION, "MSFT") is None
    assert database.calibrations.panel_day(VERSION, "XNYS", DAY) is None


def test_a_state_comes_back_as_it_was(database: Database) -> None:
    stored = store(database, 1)
    assert database.calibrations.newest(VERSION, "MSFT") == stored
    assert stored == StoredCalibration(VERSION, "MSFT", 1, DAY + timedelta(days=1), parts(1))


@pytest.mark.parametrize("first", [0, 1, 41])
def test_the_first_revision_may_have_any_number(database: Database, first: int) -> None:
    store(database, first)
    stored = store(database, first + 1)
    assert database.calibrations.newest(VERSION, "MSFT") == stored


@pytest.mark.parametrize("n", [1, 4, 21])
def test_the_next_revision_leaves_nothing_of_the_one_before(database: Database, n: int) -> None:
    store(database, 1)
    stored = store(database, 2, n=n)
    assert database.calibrations.newest(VERSION, "MSFT") == stored
    assert len(stored.parts) == n


@pytest.mark.parametrize("revision", [1, 2, 4, 0])
def test_a_revision_that_is_not_the_next_is_refused(database: Database, revision: int) -> None:
    store(database, 1)
    newest = store(database, 2)
    with pytest.raises(PreconditionFailed, match=f"at revision 2, not {revision - 1}: read it"):
        store(database, revision)
    assert database.calibrations.newest(VERSION, "MSFT") == newest


def test_symbols_and_versions_have_states_of_their_own(database: Database) -> None:
    one, two = store(database, 1), store(database, 5, symbol="AAPL")
    other = database.calibrations.store("another", "MSFT", 9, DAY, parts(9))
    assert database.calibrations.newest(VERSION, "MSFT") == one
    assert database.calibrations.newest(VERSION, "AAPL") == two
    assert database.calibrations.newest("another", "MSFT") == other


def test_a_state_without_parts_is_none(database: Database) -> None:
    with pytest.raises(ValueError, match="at least the part that all steps share"):
        database.calibrations.store(VERSION, "MSFT", 1, DAY, ())


@pytest.mark.parametrize("before", [None, 1], ids=["first", "next"])
def test_of_those_who_store_at_once_one_wins(
    place: Place, database: Database, before: int | None
) -> None:
    database.check()
    if before is not None:
        store(database, before)
    databases = [place.database() for _ in range(6)]
    got = at_once(
        6,
        lambda i: outcome(
            lambda: databases[i].calibrations.store(VERSION, "MSFT", 2, NEXT, parts(100 + i))
        ),
    )
    newest = database.calibrations.newest(VERSION, "MSFT")
    assert got.count(newest) == 1  # type: ignore[arg-type]
    assert sum(isinstance(error, PreconditionFailed) for error in got) == 5


def test_readers_see_one_revision_while_it_is_replaced(place: Place, database: Database) -> None:
    store(database, 0)
    writer = place.database()

    def read_or_write(i: int) -> set[int]:
        if i == 0:
            for revision in range(1, 30):
                store(writer, revision)
            return {0}
        seen = [database.calibrations.newest(VERSION, "MSFT") for _ in range(60)]
        return {len({part[0] for part in s.parts} | {s.revision}) for s in seen if s} | {
            -1 for s in seen if s is None or len(s.parts) != 11
        }

    assert at_once(3, read_or_write)[1:] == [{1}, {1}]


# -- panel days ---------------------------------------------------------------------------------


def test_a_panel_day_is_stored_with_the_state_once(database: Database) -> None:
    days = [("XNYS", DAY, b"\x00one"), ("BVMF", DAY, b"two")]
    database.calibrations.store(VERSION, "MSFT", 1, DAY, parts(1), days)
    again = [("XNYS", DAY, b"another"), ("XNYS", NEXT, b"three")]
    database.calibrations.store(VERSION, "AAPL", 1, DAY, parts(1), again)
    assert database.calibrations.panel_day(VERSION, "XNYS", DAY) == b"\x00one"
    assert database.calibrations.panel_day(VERSION, "BVMF", DAY) == b"two"
    assert database.calibrations.panel_day(VERSION, "XNYS", NEXT) == b"three"
    assert database.calibrations.panel_day("another", "XNYS", DAY) is None


def test_a_refused_state_brings_no_panel_day(database: Database) -> None:
    store(database, 1)
    with pytest.raises(PreconditionFailed):
        database.calibrations.store(VERSION, "MSFT", 9, DAY, parts(9), [("XNYS", DAY, b"x")])
    assert database.calibrations.panel_day(VERSION, "XNYS", DAY) is None


def test_symbols_that_bring_the_same_days_at_once_are_all_stored(
    place: Place, database: Database
) -> None:
    database.check()
    databases = [place.database() for _ in range(4)]
    days = [("XNYS", DAY + timedelta(days=n), b"day") for n in range(5)]

    def store_own(i: int) -> StoredCalibration:
        return databases[i].calibrations.store(
            VERSION, f"S{i}", 1, DAY, parts(1), days if i % 2 else days[::-1]
        )

    stored = at_once(4, store_own)
    assert [database.calibrations.newest(VERSION, f"S{i}") for i in range(4)] == stored
    assert all(database.calibrations.panel_day(VERSION, *day[:2]) == b"day" for day in days)


# -- kill -9 ------------------------------------------------------------------------------------


_DIE_AFTER = """
import os, signal, sys
import sqlalchemy as sa
from closecast.database import Database
from tests.database.test_calibrations import DAY, NEXT, VERSION, parts

def die(_connection, _cursor, statement, *_):
    if statement.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "after_cursor_execute", die)
if sys.argv[2] == "COMMIT":
    sa.event.listen(sa.Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
Database(sys.argv[1]).calibrations.store(
    VERSION, "MSFT", 2, NEXT, parts(2), [("XNYS", NEXT, b"day")]
)
"""


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM calibrations", "INSERT INTO calibrations", "INSERT INTO panel_days", "COMMIT"],
)
def test_a_kill_in_the_middle_leaves_the_old_revision_whole(
    place: Place, database: Database, statement: str
) -> None:
    before = store(database, 1)
    command = [sys.executable, "-c", _DIE_AFTER, place.url, statement]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert database.calibrations.newest(VERSION, "MSFT") == before
    assert database.calibrations.panel_day(VERSION, "XNYS", NEXT) is None
    assert store(database, 2).revision == 2  # and nothing is locked
