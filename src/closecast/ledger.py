"""The ledger: what must survive a restart. The only module that speaks SQL.

Jobs and configuration versions so far. SQLite in a file by default, PostgreSQL by URL.
Transactions are short; nothing is held open while anything is computed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.errors import (
    JobCancelled,
    JobConflict,
    PreconditionFailed,
    StorageFailed,
    UnknownJob,
)

log = logging.getLogger(__name__)

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ACTIVE: tuple[JobState, ...] = ("queued", "running")

_metadata = sa.MetaData()

_jobs = sa.Table(
    "jobs",
    _metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("task", sa.String(40), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("idempotency_key", sa.String(255), unique=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON),
    sa.Column("reason", sa.Text),
    sa.Column("owner", sa.String(200)),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, index=True),
    sa.Column("started_at", sa.DateTime(timezone=True)),
    sa.Column("heartbeat_at", sa.DateTime(timezone=True)),
    sa.Column("finished_at", sa.DateTime(timezone=True)),
)
# The database itself forbids two active jobs for one symbol, whoever asks at once.
_one_active = sa.Index(
    "one_active_job_per_symbol",
    _jobs.c.task,
    _jobs.c.symbol,
    unique=True,
    sqlite_where=_jobs.c.state.in_(ACTIVE),
    postgresql_where=_jobs.c.state.in_(ACTIVE),
)

_configurations = sa.Table(
    "configurations",
    _metadata,
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("hyperparameters", sa.JSON, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A record of work: what was asked, how far it is, how it ended."""

    id: str
    task: str
    symbol: str
    arguments: Mapping[str, Any]
    state: JobState
    progress: Mapping[str, Any]
    result: Mapping[str, Any] | None
    reason: str | None
    owner: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Hyper-parameters set for a symbol; revision 0 is "nothing was ever set"."""

    symbol: str
    revision: int
    hyperparameters: Mapping[str, Any]


class Ledger:
    """One database. Cheap to make: it connects when it is first used.

    Parameters
    ----------
    url : str
        SQLAlchemy URL. For SQLite, missing folders are created.
    clock : callable, optional
        Answers the time (aware); injected by tests.
    """

    def __init__(self, url: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        parsed = sa.make_url(url)
        self._shown_url = parsed.render_as_string(hide_password=True)
        self._sqlite_file = parsed.database if parsed.get_backend_name() == "sqlite" else None
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        self._engine = sa.create_engine(parsed, pool_pre_ping=self._sqlite_file is None)
        if self._sqlite_file is not None:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_immediate)
        self._ready = False

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    def check(self) -> None:
        """Raise :class:`StorageFailed` if the database cannot be used."""
        with self._transaction() as connection:
            connection.execute(sa.select(sa.func.count()).select_from(_jobs))

    # -- jobs --------------------------------------------------------------------------------

    def submit(
        self,
        task: str,
        symbol: str,
        arguments: Mapping[str, Any],
        idempotency_key: str | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job, unless it is there already.

        Returns
        -------
        job, created : Job, bool
            The same arguments while such a job is active, or the same key at any time,
            answer the first job.

        Raises
        ------
        JobConflict
            If another job of the task is active for the symbol, or the key was used for
            other arguments.
        """
        fingerprint = hashlib.sha256(
            json.dumps([task, symbol, dict(arguments)], sort_keys=True).encode()
        ).hexdigest()
        for _ in range(5):  # the job in the way may end between the refusal and the look at it
            with self._transaction() as connection:
                if found := self._twin(connection, task, symbol, fingerprint, idempotency_key):
                    return found, False
            job_id = uuid.uuid4().hex
            row = {
                "id": job_id,
                "task": task,
                "symbol": symbol,
                "arguments": dict(arguments),
                "fingerprint": fingerprint,
                "idempotency_key": idempotency_key,
                "state": "queued",
                "progress": {},
                "cancel_requested": False,
                "created_at": self._clock(),
            }
            try:
                with self._transaction() as connection:
                    connection.execute(_jobs.insert().values(row))
                return self.job(job_id), True
            except sa.exc.IntegrityError:
                continue
        raise StorageFailed(f"could not queue {task} for {symbol}: the ledger is too busy")

    def _twin(
        self, connection: Connection, task: str, symbol: str, fingerprint: str, key: str | None
    ) -> Job | None:
        if key is not None:
            row = connection.execute(_jobs.select().where(_jobs.c.idempotency_key == key)).first()
            if row is not None:
                if row.fingerprint != fingerprint:
                    raise JobConflict(
                        "this Idempotency-Key was used for another request: send a new key", row.id
                    )
                return _job(row)
        row = connection.execute(
            _jobs.select().where(
                _jobs.c.task == task, _jobs.c.symbol == symbol, _jobs.c.state.in_(ACTIVE)
            )
        ).first()
        if row is None:
            return None
        if row.fingerprint != fingerprint:
            raise JobConflict(
                f"another {task} job for {symbol} is {row.state}: wait for it or cancel it", row.id
            )
        return _job(row)

    def job(self, job_id: str) -> Job:
        """One job.

        Raises
        ------
        UnknownJob
        """
        with self._transaction() as connection:
            row = connection.execute(_jobs.select().where(_jobs.c.id == job_id)).first()
        if row is None:
            raise UnknownJob(f"no job {job_id[:40]!r}; GET /train lists them")
        return _job(row)

    def jobs(self, limit: int = 50, states: tuple[JobState, ...] | None = None) -> list[Job]:
        """Jobs, newest first."""
        query = _jobs.select().order_by(_jobs.c.created_at.desc()).limit(limit)
        if states:
            query = query.where(_jobs.c.state.in_(states))
        with self._transaction() as connection:
            return [_job(row) for row in connection.execute(query)]

    def claim(self, owner: str) -> Job | None:
        """Take the oldest queued job, exclusively; it is running afterwards."""
        now = self._clock()
        with self._transaction() as connection:
            waiting = connection.execute(
                sa.select(_jobs.c.id).where(_jobs.c.state == "queued").order_by(_jobs.c.created_at)
            ).scalars()
            for job_id in waiting.all():
                taken = connection.execute(
                    _jobs.update()
                    .where(_jobs.c.id == job_id, _jobs.c.state == "queued")
                    .values(state="running", owner=owner, started_at=now, heartbeat_at=now)
                )
                if taken.rowcount:
                    row = connection.execute(_jobs.select().where(_jobs.c.id == job_id)).one()
                    return _job(row)
        return None

    def heartbeat(self, job_id: str, owner: str, progress: Mapping[str, Any]) -> None:
        """A sign of life with progress.

        Raises
        ------
        JobCancelled
            If somebody asked the job to stop, or it is no longer this owner's.
        """
        with self._transaction() as connection:
            kept = connection.execute(
                _jobs.update()
                .where(_jobs.c.id == job_id, _jobs.c.owner == owner, _jobs.c.state == "running")
                .values(heartbeat_at=self._clock(), progress=dict(progress))
            )
            cancelled = connection.execute(
                sa.select(_jobs.c.cancel_requested).where(_jobs.c.id == job_id)
            ).scalar()
        if not kept.rowcount:
            raise JobCancelled("the job was taken from this worker (its lease ran out)")
        if cancelled:
            raise JobCancelled("cancelled on request")

    def finish(
        self,
        job_id: str,
        owner: str,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> bool:
        """End a running job, once; ``False`` if it was no longer this owner's."""
        with self._transaction() as connection:
            done = connection.execute(
                _jobs.update()
                .where(_jobs.c.id == job_id, _jobs.c.owner == owner, _jobs.c.state == "running")
                .values(
                    state=state,
                    result=dict(result) if result else None,
                    reason=reason,
                    finished_at=self._clock(),
                )
            )
        return bool(done.rowcount)

    def cancel(self, job_id: str) -> Job:
        """Ask a job to stop: a queued one ends now, a running one between two batches."""
        now = self._clock()
        with self._transaction() as connection:
            connection.execute(
                _jobs.update()
                .where(_jobs.c.id == job_id, _jobs.c.state == "queued")
                .values(state="cancelled", reason="cancelled before it started", finished_at=now)
            )
            connection.execute(
                _jobs.update()
                .where(_jobs.c.id == job_id, _jobs.c.state == "running")
                .values(cancel_requested=True)
            )
        return self.job(job_id)

    def bury_dead(self, lease: timedelta, is_alive: Callable[[str], bool | None]) -> list[Job]:
        """Fail running jobs whose worker is gone, so that none stays "running" for ever.

        Parameters
        ----------
        lease : timedelta
            A job without a heartbeat for this long is dead.
        is_alive : callable
            Whether an owner lives, ``None`` where that cannot be known from here.
        """
        buried = []
        for job in self.jobs(limit=1000, states=("running",)):
            assert job.owner is not None
            assert job.heartbeat_at is not None
            alive = is_alive(job.owner)
            expired = self._clock() - job.heartbeat_at > lease
            if alive is False or (alive is None and expired):
                reason = "its worker process ended without a word; post the request again"
                if self.finish(job.id, job.owner, "failed", reason=reason):
                    log.warning("job failed: worker gone", extra={"job_id": job.id})
                    buried.append(job)
        return buried

    # -- configuration -------------------------------------------------------------------------

    def configuration(self, symbol: str) -> Configuration:
        """The newest hyper-parameters set for a symbol."""
        with self._transaction() as connection:
            return self._configuration(connection, symbol)

    def configure(
        self, symbol: str, hyperparameters: Mapping[str, Any], if_revision: int | None = None
    ) -> Configuration:
        """Store a new revision; the earlier ones stay.

        Raises
        ------
        PreconditionFailed
            If ``if_revision`` is given and is not the newest.
        """
        for _ in range(5):
            try:
                with self._transaction() as connection:
                    newest = self._configuration(connection, symbol)
                    if if_revision is not None and if_revision != newest.revision:
                        raise PreconditionFailed(
                            f"the configuration of {symbol} is at revision {newest.revision}, "
                            f"not {if_revision}: read it again, then repeat the change"
                        )
                    connection.execute(
                        _configurations.insert().values(
                            symbol=symbol,
                            revision=newest.revision + 1,
                            hyperparameters=dict(hyperparameters),
                            created_at=self._clock(),
                        )
                    )
                return Configuration(symbol, newest.revision + 1, dict(hyperparameters))
            except sa.exc.IntegrityError:
                continue  # somebody else stored this revision at the same moment
        raise StorageFailed(
            f"could not store the configuration of {symbol}: the ledger is too busy"
        )

    def _configuration(self, connection: Connection, symbol: str) -> Configuration:
        c = _configurations.c
        row = connection.execute(
            _configurations.select().where(c.symbol == symbol).order_by(c.revision.desc()).limit(1)
        ).first()
        if row is None:
            return Configuration(symbol, 0, {})
        return Configuration(symbol, row.revision, row.hyperparameters)

    # -- below -----------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            if not self._ready:
                self._create()
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.IntegrityError:
            raise
        except (sa.exc.DBAPIError, OSError) as error:
            cause = getattr(error, "orig", None) or error
            raise StorageFailed(
                f"the ledger {self._shown_url} cannot be used: {cause}. Forecasts go on. "
                "Free space, check permissions, or move a damaged file away; a new one is made"
            ) from error

    def _create(self) -> None:
        if self._sqlite_file:
            Path(self._sqlite_file).parent.mkdir(parents=True, exist_ok=True)
        for attempt in (1, 2, 3):
            try:
                _metadata.create_all(self._engine)
                break
            except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.IntegrityError):
                if attempt == 3:  # two processes creating at once: one of them sees "exists"
                    raise
        self._ready = True


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: see below
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # A transaction that reads first and writes later is refused at once when another wrote in
    # between, whatever the busy timeout; one that takes the write lock first just waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _job(row: Row[Any]) -> Job:
    values = {name: getattr(row, name) for name in Job.__slots__}
    for name, value in values.items():
        if isinstance(value, datetime) and value.tzinfo is None:  # SQLite forgets the zone
            values[name] = value.replace(tzinfo=UTC)
    return Job(**values)
