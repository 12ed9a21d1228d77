"""Connection, transactions and tables. No transaction stays open during a computation."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

from closecast.database.former_names import rename_symbols
from closecast.errors import BadSetting, StorageFailed

log = logging.getLogger(__name__)

METADATA = sa.MetaData()

_DAMAGE = ("malformed", "not a database", "Could not decode", "disk image")
"""Signs of a damaged file in SQLite's messages."""

_UNREADABLE = (json.JSONDecodeError, UnicodeDecodeError)
"""Errors of a row whose bytes were altered in a way that SQLite does not notice."""

_READ_ONLY = "closecast_read_only"
Clock = Callable[[], datetime]


utc_now: Clock = partial(datetime.now, UTC)
"""The time in UTC, aware."""


class Engine:
    """The connection to one database, opened at the first use.

    Parameters
    ----------
    url : str
        SQLAlchemy URL. For SQLite, missing folders are created.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise BadSetting(f"CLOSECAST_LEDGER_URL: {error}") from error
        except ValueError:  # it shows what was taken for a port: without a host, the password
            raise BadSetting("CLOSECAST_LEDGER_URL: what follows host: is no port number") from None
        self.shown_url = parsed.render_as_string(hide_password=True)
        self._sqlite_file = parsed.database if parsed.get_backend_name() == "sqlite" else None
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            self._engine = sa.create_engine(
                parsed,
                pool_pre_ping=self._sqlite_file is None,
                json_serializer=_json,
                connect_args=_time_limits(parsed),
            )
        except (sa.exc.ArgumentError, ImportError) as error:
            raise BadSetting(
                f"CLOSECAST_LEDGER_URL: {error}; postgresql:// needs the extra closecast[postgres]"
            ) from error
        # Rows are inserted by one statement. psycopg's pipeline, the default for several rows, may
        # report "pipeline aborted" where a key is taken, which is no IntegrityError.
        self._engine.dialect.use_insertmanyvalues_wo_returning = True
        self._reading = self._engine.execution_options(**{_READ_ONLY: True})
        if self._sqlite_file is not None:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_immediate)
        self.damage: str | None = None
        """The first fault of the file's content that a statement met; ``None`` without one."""
        self.damaged_stamp: list[int] | None = None
        """Stamp of the file when that was; another one means that it may have been repaired."""
        self._ready = False
        self._created: tuple[int, int] | None = None

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise :class:`StorageFailed` if the database cannot be used."""
        with self.transaction(read_only=True) as connection:
            connection.execute(sa.text("SELECT 1"))

    def server_time(self) -> datetime | None:
        """Read the clock of the database's server; ``None`` for a file, which has none.

        Raises
        ------
        StorageFailed
        """
        if self._sqlite_file is not None:
            return None
        with self.transaction(read_only=True) as connection:
            found: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return found.astimezone(UTC)

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        """Open a short transaction: committed at the end, rolled back on an exception.

        Parameters
        ----------
        read_only : bool
            Does not wait for writers, and must not write.

        Raises
        ------
        StorageFailed
            If the database cannot be used. ``sqlalchemy.exc.IntegrityError`` passes.
        """
        try:
            if not self._ready or self._file() != self._created:
                self._create()
            with (self._reading if read_only else self._engine).begin() as connection:
                yield connection
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.SQLAlchemyError, OSError, *_UNREADABLE) as error:
            cause = getattr(error, "orig", None) or error
            self._notice_damage(cause)
            raise StorageFailed(
                f"the ledger {self.shown_url} cannot be used: {cause}. POST /predict goes on. "
                "Free space, check permissions, or move a damaged file away; a new one is made"
            ) from error

    @property
    def sqlite_file(self) -> Path | None:
        """The file of a SQLite database; ``None`` of a server's, or one in memory."""
        return Path(self._sqlite_file) if self._sqlite_file not in (None, ":memory:") else None

    def stamp(self) -> list[int] | None:
        """Time and size of a SQLite file, which a repair in place changes."""
        try:
            status = os.stat(self._sqlite_file or "")
        except OSError:
            return None
        return [status.st_mtime_ns, status.st_size]

    def _notice_damage(self, cause: BaseException) -> None:
        text = str(cause)
        damaged = isinstance(cause, _UNREADABLE) or any(sign in text for sign in _DAMAGE)
        if self._sqlite_file is None or not damaged or self.damage is not None:
            return
        self.damage, self.damaged_stamp = text, self.stamp()
        log.error("the ledger is damaged", extra={"ledger": self.shown_url, "reason": text})

    def _create(self) -> None:
        if self._ready:
            log.warning(
                "the file of the ledger was deleted or replaced while it was in use",
                extra={"ledger": self.shown_url},
            )
        if self._sqlite_file:
            Path(self._sqlite_file).parent.mkdir(parents=True, exist_ok=True)
            self._engine.dispose()  # a connection to a file that was moved away would write there
        for attempt in (1, 2, 3):
            try:
                METADATA.create_all(self._engine)
                self._add_missing_columns()
                rename_symbols(self._engine, self._reading, METADATA.sorted_tables)
                break
            except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
                if attempt == 3:  # two processes creating at once: one of them sees "exists"
                    raise
        self._created = self._file()
        self._ready, self.damage = True, None

    def _add_missing_columns(self) -> None:
        """Give tables of an older version their new columns, which all have a default."""
        found = sa.inspect(self._engine)
        for table in METADATA.sorted_tables:
            there = {column["name"] for column in found.get_columns(table.name)}
            for column in table.columns:
                if column.name not in there:
                    definition = CreateColumn(column).compile(dialect=self._engine.dialect)
                    with self._engine.begin() as connection:
                        connection.exec_driver_sql(
                            f"ALTER TABLE {table.name} ADD COLUMN {definition}"
                        )

    def _file(self) -> tuple[int, int] | None:
        """Return device and inode of the SQLite file: a file that was moved away has others."""
        try:
            status = os.stat(self._sqlite_file or "")
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


def _time_limits(url: sa.URL) -> dict[str, int]:
    """Limit the wait for a server that vanished: the kernel alone would wait for minutes."""
    if url.drivername != "postgresql+psycopg":
        return {}
    limits = {"connect_timeout": 5, "tcp_user_timeout": 10_000}  # seconds; milliseconds
    return {name: limit for name, limit in limits.items() if name not in url.query}


def _json(value: Any) -> str:
    # NaN (the loss of a training that diverges) is no JSON, and PostgreSQL refuses it.
    return to_json(value, inf_nan_mode="null").decode()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: see below
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later is refused at once when another wrote in
    # between, regardless of the busy timeout; one that takes the write lock first just waits.
    mode = "DEFERRED" if connection.get_execution_options().get(_READ_ONLY) else "IMMEDIATE"
    connection.exec_driver_sql(f"BEGIN {mode}")
