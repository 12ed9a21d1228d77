"""Jobs: what was asked, how far it is, how it ended."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine
from closecast.errors import JobCancelled, JobConflict, StorageFailed, UnknownJob

log = logging.getLogger(__name__)

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ACTIVE: tuple[JobState, ...] = ("queued", "running")
_JOB_ID = re.compile(r"[0-9a-f]{32}")

_jobs = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("task", sa.String(40), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("idempotency_key", sa.String(255), unique=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON),
    sa.Column("reason", sa.Text),
    sa.Column("owner", sa.String(200)),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("started_at", UtcDateTime),
    sa.Column("heartbeat_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
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
# Beside the jobs: a key may also belong to a job that somebody else had asked for before.
_keys = sa.Table(
    "idempotency_keys",
    METADATA,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(32), nullable=False),
)
_MOST_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Job:
    """A record of work: what was asked, how far it is, how it ended.

    Attributes
    ----------
    attempts : int
        How often a worker has begun it: once more where the first one died.
    """

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
    attempts: int = 0


class Jobs:
    """The queue and its history."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def submit(
        self,
        task: str,
        symbol: str,
        arguments: Mapping[str, Any],
        idempotency_key: str | None = None,
        request: str | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job, unless it is there already.

        Parameters
        ----------
        request : str
            What the caller sent, to which the key belongs (the arguments by default, which may
            also depend on settings that change).

        Returns
        -------
        job, created : Job, bool
            The same arguments while such a job is active, or the same key at any time,
            answer the first job.

        Raises
        ------
        JobConflict
            If another job of the task is active for the symbol, or the key was used for
            another request.
        """
        fingerprint = _digest([task, symbol, dict(arguments)])
        sent = _sent(task, symbol, arguments, request)
        for _ in range(5):  # the job in the way may end between the refusal and the look at it
            job_id = uuid.uuid4().hex
            row = {
                "id": job_id,
                "task": task,
                "symbol": symbol,
                "arguments": dict(arguments),
                "fingerprint": fingerprint,
                "request_digest": sent,
                "state": "queued",
                "progress": {},
                "cancel_requested": False,
                "attempts": 0,
                "created_at": self._clock(),
            }
            try:
                with self._engine.transaction() as connection:
                    if found := self._keyed(connection, idempotency_key, sent, task, request):
                        return found, False
                    twin = self._twin(connection, task, symbol, fingerprint)
                    if twin is None:
                        connection.execute(_jobs.insert().values(row))
                    if idempotency_key is not None:
                        connection.execute(
                            _keys.insert().values(
                                key=idempotency_key,
                                request_digest=sent,
                                job_id=twin.id if twin else job_id,
                            )
                        )
                return (twin, False) if twin else (self.get(job_id), True)
            except sa.exc.IntegrityError:
                continue
        raise StorageFailed(f"could not queue {task} for {symbol}: the ledger is too busy")

    def replayed(self, task: str, idempotency_key: str, request: str) -> Job | None:
        """The job that a key belongs to, whatever such a request would come to now.

        Raises
        ------
        JobConflict
            If the key was used for another request.
        """
        sent = _sent(task, "", {}, request)
        with self._engine.transaction(read_only=True) as connection:
            return self._keyed(connection, idempotency_key, sent, task, request)

    def _keyed(
        self, connection: Connection, key: str | None, sent: str, task: str, request: str | None
    ) -> Job | None:
        if key is None:
            return None
        bound = connection.execute(
            sa.select(_keys.c.job_id, _keys.c.request_digest).where(_keys.c.key == key)
        ).first()
        if bound is None:  # keys of a ledger that an earlier version wrote stand beside the jobs
            bound = connection.execute(
                sa.select(_jobs.c.id.label("job_id"), _jobs.c.request_digest).where(
                    _jobs.c.idempotency_key == key
                )
            ).first()
        if bound is None:
            return None
        job = _job(connection.execute(_jobs.select().where(_jobs.c.id == bound.job_id)).one())
        # An earlier version took the symbol in, which for a request without one is the panel that
        # was served then.
        if bound.request_digest not in (sent, _digest([task, job.symbol, request])):
            raise JobConflict(
                "this Idempotency-Key was used for another request: send a new key", job.id
            )
        return job

    def _twin(self, connection: Connection, task: str, symbol: str, fingerprint: str) -> Job | None:
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

    def get(self, job_id: str) -> Job:
        """One job.

        Raises
        ------
        UnknownJob
        """
        row = None
        if _JOB_ID.fullmatch(job_id):  # PostgreSQL refuses to look for some texts
            with self._engine.transaction(read_only=True) as connection:
                row = connection.execute(_jobs.select().where(_jobs.c.id == job_id)).first()
        if row is None:
            raise UnknownJob(f"no job {job_id[:40]!r}; GET /train lists them")
        return _job(row)

    def newest(
        self,
        limit: int = 50,
        states: tuple[JobState, ...] | None = None,
        *,
        task: str | None = None,
        symbol: str | None = None,
    ) -> list[Job]:
        """Jobs, newest first; of one task or symbol if named."""
        query = _jobs.select().order_by(_jobs.c.created_at.desc()).limit(limit)
        if states:
            query = query.where(_jobs.c.state.in_(states))
        if task is not None:
            query = query.where(_jobs.c.task == task)
        if symbol is not None:
            query = query.where(_jobs.c.symbol == symbol)
        with self._engine.transaction(read_only=True) as connection:
            return [_job(row) for row in connection.execute(query)]

    def last_attempt(
        self, task: str, symbol: str, arguments: Mapping[str, Any], until: datetime
    ) -> Job | None:
        """The active job of a task for a symbol, else the newest that had the same arguments.

        Parameters
        ----------
        until : datetime
            Jobs that were queued after this moment (the clock was set back) are left out.
        """
        active = _jobs.c.state.in_(ACTIVE)
        same = _jobs.c.fingerprint == _digest([task, symbol, dict(arguments)])
        query = (
            _jobs.select()
            .where(_jobs.c.task == task, _jobs.c.symbol == symbol, active | same)
            .where(_jobs.c.created_at <= until)
            .order_by(active.desc(), _jobs.c.created_at.desc())
            .limit(1)
        )
        with self._engine.transaction(read_only=True) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _job(row)

    def newest_of_each(self, task: str) -> list[Job]:
        """The newest job of a task for each symbol or panel that it was ever asked for."""
        newest = (
            sa.select(_jobs.c.symbol, sa.func.max(_jobs.c.created_at).label("created_at"))
            .where(_jobs.c.task == task)
            .group_by(_jobs.c.symbol)
            .subquery()
        )
        query = _jobs.select().where(
            _jobs.c.task == task,
            _jobs.c.symbol == newest.c.symbol,
            _jobs.c.created_at == newest.c.created_at,
        )
        with self._engine.transaction(read_only=True) as connection:
            return [_job(row) for row in connection.execute(query)]

    def claim(self, owner: str) -> Job | None:
        """Take the oldest queued job, exclusively; it is running afterwards."""
        now = self._clock()
        with self._engine.transaction() as connection:
            waiting = connection.execute(
                sa.select(_jobs.c.id).where(_jobs.c.state == "queued").order_by(_jobs.c.created_at)
            ).scalars()
            for job_id in waiting.all():
                taken = connection.execute(
                    _jobs.update()
                    .where(_jobs.c.id == job_id, _jobs.c.state == "queued")
                    .values(
                        state="running",
                        owner=owner,
                        started_at=now,
                        heartbeat_at=now,
                        attempts=_jobs.c.attempts + 1,
                    )
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
        with self._engine.transaction() as connection:
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
        with self._engine.transaction() as connection:
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
        """Ask a job to stop: a queued one ends now, a running one between two batches.

        Raises
        ------
        UnknownJob
        """
        self.get(job_id)
        now = self._clock()
        with self._engine.transaction() as connection:
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
        return self.get(job_id)

    def bury_dead(self, lease: timedelta, is_alive: Callable[[str], bool | None]) -> list[Job]:
        """Take running jobs from workers that are gone, so that none stays "running" for ever.

        A job is queued again once: a machine that went down is no fault of the job's. One whose
        second worker is gone, too, may be what ends them, and fails with that as the reason.

        Parameters
        ----------
        lease : timedelta
            A job without a heartbeat for this long is dead.
        is_alive : callable
            Whether an owner lives, ``None`` where that cannot be known from here.

        Returns
        -------
        list of Job
            As they are now: queued again, failed, or cancelled where that was asked for.
        """
        buried = []
        for job in self.newest(limit=1000, states=("running",)):
            assert job.owner is not None
            assert job.heartbeat_at is not None
            alive = is_alive(job.owner)
            # A clock that was set back must not keep the dead alive until it catches up.
            expired = abs(self._clock() - job.heartbeat_at) > lease
            if (alive is False or (alive is None and expired)) and self._take_back(job):
                buried.append(self.get(job.id))
                log.warning("worker gone", extra={"job_id": job.id, "job_state": buried[-1].state})
        return buried

    def _take_back(self, job: Job) -> bool:
        assert job.owner is not None
        if job.cancel_requested:
            return self.finish(job.id, job.owner, "cancelled", reason="cancelled on request")
        if job.attempts >= _MOST_ATTEMPTS:
            reason = (
                f"its worker process ended without a word, {job.attempts} times; "
                "post the request again"
            )
            return self.finish(job.id, job.owner, "failed", reason=reason)
        with self._engine.transaction() as connection:
            taken = connection.execute(
                _jobs.update()
                .where(_jobs.c.id == job.id, _jobs.c.owner == job.owner, _jobs.c.state == "running")
                .values(state="queued", owner=None, started_at=None, progress={})
            )
        return bool(taken.rowcount)


def _sent(task: str, symbol: str, arguments: Mapping[str, Any], request: str | None) -> str:
    """Of what a caller sent; what it comes to (symbols, too) may be something else next time."""
    return _digest([task, symbol, dict(arguments)] if request is None else [task, request])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _job(row: Row[Any]) -> Job:
    return Job(**{name: getattr(row, name) for name in Job.__slots__})
