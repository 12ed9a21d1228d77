"""The living calibration in the ledger: whole, in order, and stored by one of those who try."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from closecast.core.prices import Prices
from closecast.database import CalibrationChange, Database, StoredCalibration
from closecast.errors import PreconditionFailed
from tests.database.test_database import Place, at_once, outcome

pytest_plugins = ["tests.support.database_url"]

VERSION = "20260101T000000Z-abcdef"
DAY = date(2026, 1, 2)
NEXT = DAY + timedelta(days=3)


def parts(revision: int, n: int = 11) -> tuple[bytes, ...]:
    return tuple(bytes([revision, step, 0, 255]) * 50 for step in range(n))


def change(
    revision: int, replaces: int | None, symbol: str = "MSFT", n: int = 11
) -> CalibrationChange:
    return CalibrationChange(
        symbol, replaces, revision, DAY + timedelta(days=revision), parts(revision, n)
    )


def store(
    database: Database,
    revision: int,
    replaces: int | None = None,
    symbol: str = "MSFT",
    n: int = 11,
    version: str = VERSION,
) -> StoredCalibration:
    one = change(revision, replaces, symbol, n)
    database.calibrations.store(version, [one])
    return StoredCalibration(version, symbol, revision, one.session, one.parts)


def test_before_anything_was_stored_there_is_nothing(database: Database) -> None:
    assert database.calibrations.newest(VERSION, "MSFT") is None
    assert database.calibrations.absorbed(VERSION, "MSFT") is None
    assert database.calibrations.session_of(VERSION, "MSFT") is None


def test_a_state_comes_back_as_it_was(database: Database) -> None:
    stored = store(database, 1)
    assert database.calibrations.newest(VERSION, "MSFT") == stored
    assert stored == StoredCalibration(VERSION, "MSFT", 1, DAY + timedelta(days=1), parts(1))


@pytest.mark.parametrize("first", [0, 1, 41])
def test_the_first_revision_may_have_any_number(database: Database, first: int) -> None:
    store(database, first)
    stored = store(database, first + 3, first)
    assert database.calibrations.newest(VERSION, "MSFT") == stored


@pytest.mark.parametrize("n", [1, 4, 21])
def test_the_next_revision_leaves_nothing_of_the_one_before(database: Database, n: int) -> None:
    store(database, 1)
    stored = store(database, 2, 1, n=n)
    assert database.calibrations.newest(VERSION, "MSFT") == stored
    assert len(stored.parts) == n


@pytest.mark.parametrize("replaces", [None, 0, 1, 3])
def test_a_state_that_was_made_from_another_revision_is_refused(
    database: Database, replaces: int | None
) -> None:
    store(database, 1)
    newest = store(database, 2, 1)
    with pytest.raises(PreconditionFailed, match=f"at revision 2, not {replaces}: read it"):
        store(database, 3, replaces)
    assert database.calibrations.newest(VERSION, "MSFT") == newest


def test_nothing_is_stored_of_symbols_if_one_of_them_moved(database: Database) -> None:
    store(database, 1)
    store(database, 7, symbol="AAPL")
    with pytest.raises(PreconditionFailed, match="AAPL is at revision 7, not 6"):
        database.calibrations.store(VERSION, [change(2, 1), change(8, 6, "AAPL")])
    found = [database.calibrations.newest(VERSION, symbol) for symbol in ("MSFT", "AAPL")]
    assert [one and one.revision for one in found] == [1, 7]


def test_symbols_and_versions_have_states_of_their_own(database: Database) -> None:
    one, two = store(database, 1), store(database, 5, symbol="AAPL")
    other = store(database, 9, version="another")
    assert database.calibrations.newest(VERSION, "MSFT") == one
    assert database.calibrations.newest(VERSION, "AAPL") == two
    assert database.calibrations.newest("another", "MSFT") == other


def test_a_state_without_parts_is_none(database: Database) -> None:
    with pytest.raises(ValueError, match="at least the part that all steps share"):
        database.calibrations.store(VERSION, [CalibrationChange("MSFT", None, 1, DAY, ())])


@pytest.mark.parametrize("before", [None, 1], ids=["first", "next"])
def test_of_those_who_store_at_once_one_wins(
    place: Place, database: Database, before: int | None
) -> None:
    database.check()
    if before is not None:
        store(database, before)
    databases = [place.database() for _ in range(6)]
    got = at_once(6, lambda i: outcome(lambda: store(databases[i], 100 + i, before)))
    newest = database.calibrations.newest(VERSION, "MSFT")
    assert got.count(newest) == 1  # type: ignore[arg-type]
    assert sum(isinstance(error, PreconditionFailed) for error in got) == 5, "\n".join(
        str(error)[:300] for error in got
    )


def test_the_parts_of_a_state_are_one_statement(database: Database) -> None:
    """Several would be sent in a pipeline to PostgreSQL, whose refusals have no reason."""
    database.check()
    seen: list[str] = []

    def look(_c: Any, _cursor: Any, statement: str, _p: Any, _context: Any, many: bool) -> None:
        if statement.startswith("INSERT INTO calibrations"):
            seen.append(statement)

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", look)
    try:
        store(database, 1)
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", look)
    [statement] = seen
    assert "), (" in statement


def test_readers_see_one_revision_while_it_is_replaced(place: Place, database: Database) -> None:
    store(database, 0)
    writer = place.database()

    def read_or_write(i: int) -> set[int]:
        if i == 0:
            for revision in range(1, 30):
                store(writer, revision, revision - 1)
            return {0}
        seen = [database.calibrations.newest(VERSION, "MSFT") for _ in range(60)]
        return {len({part[0] for part in s.parts} | {s.revision}) for s in seen if s} | {
            -1 for s in seen if s is None or len(s.parts) != 11
        }

    assert at_once(3, read_or_write)[1:] == [{1}, {1}]


# -- absorbed closes ----------------------------------------------------------------------------


def closes(n: int = 9, symbol: str = "MSFT") -> Prices:
    """Closes that no shorter text than their own gives back."""
    sessions = np.arange(np.datetime64(DAY), np.datetime64(DAY) + n)
    return Prices(symbol, sessions, 100 / np.arange(3.0, 3 + n), "made", "adjusted")


def with_closes(
    prices: Prices, revision: int = 1, replaces: int | None = None
) -> CalibrationChange:
    session = prices.sessions[-1].item()
    return CalibrationChange(
        prices.symbol, replaces, revision, session, parts(revision), absorbed=prices
    )


def test_absorbed_closes_come_back_to_the_same_bits(database: Database) -> None:
    database.calibrations.store(
        VERSION, [with_closes(closes()), with_closes(closes(5, "AAPL"), revision=4)]
    )
    known = database.calibrations.absorbed(VERSION, "MSFT")
    assert known is not None
    assert known.prices == closes()
    assert known.prices.source == "made"
    assert known.revision == 1
    other = database.calibrations.absorbed(VERSION, "AAPL")
    assert other is not None
    assert (other.prices, other.revision) == (closes(5, "AAPL"), 4)
    assert database.calibrations.absorbed("another", "MSFT") is None


def test_closes_of_an_earlier_state_are_not_known(database: Database) -> None:
    """An older closecast that shares the database stores states without their closes."""
    database.calibrations.store(VERSION, [with_closes(closes())])
    database.calibrations.store(VERSION, [CalibrationChange("MSFT", 1, 2, NEXT, parts(2))])
    known = database.calibrations.absorbed(VERSION, "MSFT")
    assert known is not None
    assert (known.prices, known.revision) == (None, 2)


def test_absorbed_closes_that_do_not_parse_are_not_known(database: Database) -> None:
    database.calibrations.store(VERSION, [with_closes(closes())])
    with database._engine.transaction() as connection:
        connection.exec_driver_sql("UPDATE absorbed_closes SET closes = sessions")
    known = database.calibrations.absorbed(VERSION, "MSFT")
    assert known is not None
    assert known.prices is None


# -- kill -9 ------------------------------------------------------------------------------------


_DIE_AFTER = """
import os, signal, sys
import sqlalchemy as sa
from closecast.database import Database
from tests.database.test_calibrations import VERSION, closes, with_closes

def die(_connection, _cursor, statement, *_):
    if statement.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

sa.event.listen(sa.Engine, "after_cursor_execute", die)
if sys.argv[2] == "COMMIT":
    sa.event.listen(sa.Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
Database(sys.argv[1]).calibrations.store(
    VERSION, [with_closes(closes(4), 2, 1), with_closes(closes(4, "AAPL"), 2)]
)
"""


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM calibrations",
        "INSERT INTO calibrations",
        "INSERT INTO absorbed_closes",
        "COMMIT",
    ],
)
def test_a_kill_in_the_middle_leaves_the_old_revision_whole(
    place: Place, database: Database, statement: str
) -> None:
    database.calibrations.store(VERSION, [with_closes(closes())])
    before = database.calibrations.newest(VERSION, "MSFT")
    command = [sys.executable, "-c", _DIE_AFTER, place.url, statement]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert database.calibrations.newest(VERSION, "MSFT") == before
    known = database.calibrations.absorbed(VERSION, "MSFT")
    assert known is not None
    assert known.prices == closes()
    assert database.calibrations.newest(VERSION, "AAPL") is None
    assert store(database, 2, 1).revision == 2  # and nothing is locked
