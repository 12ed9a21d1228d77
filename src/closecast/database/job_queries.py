"""Reading jobs: one by its identifier, the newest, the last attempt of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from closecast.database.engine import Clock, Engine
from closecast.database.job_records import (
    ACTIVE,
    JOBS,
    QUEUES,
    Job,
    JobState,
    Queue,
    digest,
    job_queue,
    to_job,
)
from closecast.errors import UnknownJob

_JOB_ID = re.compile(r"[0-9a-f]{32}")


class JobQueries:
    """Queries of the table of jobs; nothing here changes it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises
        ------
        UnknownJob
        """
        row = None
        if _JOB_ID.fullmatch(job_id):  # PostgreSQL refuses to look for some texts
            with self._engine.transaction(read_only=True) as connection:
                row = connection.execute(JOBS.select().where(JOBS.c.id == job_id)).first()
        if row is None:
            raise UnknownJob(f"no job {job_id[:40]!r}; GET /train lists them")
        return to_job(row)

    def newest(
        self,
        limit: int = 50,
        states: tuple[JobState, ...] | None = None,
        *,
        task: str | None = None,
        symbol: str | None = None,
        queue: Queue | None = None,
        before: Job | None = None,
    ) -> list[Job]:
        """List jobs, newest first, optionally of some states, one task, symbol or queue.

        Parameters
        ----------
        before : Job, optional
            Only jobs that come after this one in the list: the next page.
        """
        c = JOBS.c
        query = JOBS.select().order_by(c.created_at.desc(), c.id.desc()).limit(limit)
        if states:
            query = query.where(JOBS.c.state.in_(states))
        if task is not None:
            query = query.where(JOBS.c.task == task)
        if symbol is not None:
            query = query.where(JOBS.c.symbol == symbol)
        if queue is not None:
            query = query.where(job_queue == queue)
        if before is not None:
            earlier = c.created_at < before.created_at
            query = query.where(
                earlier | ((c.created_at == before.created_at) & (c.id < before.id))
            )
        with self._engine.transaction(read_only=True) as connection:
            return [to_job(row) for row in connection.execute(query)]

    def next_queued(self, queues: Sequence[str] = QUEUES) -> str | None:
        """Return the identifier of the job that has waited longest in some queues, or ``None``."""
        query = (
            sa.select(JOBS.c.id)
            .where(JOBS.c.state == "queued", job_queue.in_(queues))
            .order_by(JOBS.c.created_at)
            .limit(1)
        )
        with self._engine.transaction(read_only=True) as connection:
            job_id: str | None = connection.execute(query).scalar()
        return job_id

    def last_attempt(self, task: str, symbol: str, arguments: Mapping[str, Any]) -> Job | None:
        """Return the active job of a task for a symbol, else the newest with these arguments."""
        active = JOBS.c.state.in_(ACTIVE)
        same = JOBS.c.fingerprint == digest([task, symbol, dict(arguments)])
        query = (
            JOBS.select()
            .where(JOBS.c.task == task, JOBS.c.symbol == symbol, active | same)
            .order_by(active.desc(), JOBS.c.created_at.desc())
            .limit(1)
        )
        with self._engine.transaction(read_only=True) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else to_job(row)

    def newest_of_each(self, task: str) -> list[Job]:
        """List the newest job of a task for each of its symbols and panels."""
        newest = (
            sa.select(JOBS.c.symbol, sa.func.max(JOBS.c.created_at).label("created_at"))
            .where(JOBS.c.task == task)
            .group_by(JOBS.c.symbol)
            .subquery()
        )
        query = JOBS.select().where(
            JOBS.c.task == task,
            JOBS.c.symbol == newest.c.symbol,
            JOBS.c.created_at == newest.c.created_at,
        )
        with self._engine.transaction(read_only=True) as connection:
            return [to_job(row) for row in connection.execute(query)]
