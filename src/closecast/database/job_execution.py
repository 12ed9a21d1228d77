"""Running jobs: claim, heartbeat, end, cancellation, and recovery from workers that died."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from closecast.database.engine import Clock, Engine
from closecast.database.job_queries import JobQueries
from closecast.database.job_records import JOBS, Job, JobState, Queue, to_job
from closecast.database.silence import SilenceWatch
from closecast.errors import JobCancelled

log = logging.getLogger(__name__)

_MOST_ATTEMPTS = 2


class JobExecution(JobQueries):
    """Changes of a job after it was queued."""

    def __init__(
        self, engine: Engine, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(engine, clock)
        self._silence = SilenceWatch(monotonic)
        self._publish: Callable[[str, Queue], None] | None = None

    def publish_with(self, publish: Callable[[str, Queue], None]) -> None:
        """Deliver from now on every job that becomes queued, after its record is stored.

        Parameters
        ----------
        publish : callable
            :meth:`closecast.jobs.backends.base.JobBackend.publish`. Without one, only workers
            that look into the database find queued jobs.
        """
        self._publish = publish

    def _deliver(self, job: Job) -> None:
        if self._publish is not None and job.state == "queued":
            self._publish(job.id, job.queue)

    def claim(self, owner: str, job_id: str | None = None) -> Job | None:
        """Take a queued job exclusively; it is running afterwards.

        Parameters
        ----------
        job_id : str, optional
            The job to take; by default the one that has waited longest.

        Returns
        -------
        Job or None
            ``None`` if no such job is queued: another worker was faster, or it was cancelled.
        """
        now = self._clock()
        with self._engine.transaction() as connection:
            waiting = (
                sa.select(JOBS.c.id).where(JOBS.c.state == "queued").order_by(JOBS.c.created_at)
            )
            if job_id is not None:
                waiting = waiting.where(JOBS.c.id == job_id)
            for candidate in connection.execute(waiting).scalars().all():
                taken = connection.execute(
                    JOBS.update()
                    .where(JOBS.c.id == candidate, JOBS.c.state == "queued")
                    .values(
                        state="running",
                        owner=owner,
                        started_at=now,
                        heartbeat_at=now,
                        attempts=JOBS.c.attempts + 1,
                    )
                )
                if taken.rowcount:
                    row = connection.execute(JOBS.select().where(JOBS.c.id == candidate)).one()
                    return to_job(row)
        return None

    def heartbeat(self, job_id: str, owner: str, progress: Mapping[str, Any]) -> None:
        """Record a sign of life of the worker, with the progress of its job.

        Raises
        ------
        JobCancelled
            If the job is to stop, or no longer belongs to this owner.
        """
        with self._engine.transaction() as connection:
            kept = connection.execute(
                JOBS.update()
                .where(
                    JOBS.c.id == job_id,
                    JOBS.c.owner == owner,
                    JOBS.c.state == "running",
                )
                .values(heartbeat_at=self._clock(), progress=dict(progress), beats=JOBS.c.beats + 1)
            )
            cancelled = connection.execute(
                sa.select(JOBS.c.cancel_requested).where(JOBS.c.id == job_id)
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
        """End a running job once; return ``False`` if it no longer belongs to this owner."""
        with self._engine.transaction() as connection:
            done = connection.execute(
                JOBS.update()
                .where(
                    JOBS.c.id == job_id,
                    JOBS.c.owner == owner,
                    JOBS.c.state == "running",
                )
                .values(
                    state=state,
                    result=dict(result) if result else None,
                    reason=reason,
                    finished_at=self._clock(),
                )
            )
        return bool(done.rowcount)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: a queued one ends now, a running one between two batches.

        Raises
        ------
        UnknownJob
        """
        self.get(job_id)
        now = self._clock()
        with self._engine.transaction() as connection:
            connection.execute(
                JOBS.update()
                .where(JOBS.c.id == job_id, JOBS.c.state == "queued")
                .values(state="cancelled", reason="cancelled before it started", finished_at=now)
            )
            connection.execute(
                JOBS.update()
                .where(JOBS.c.id == job_id, JOBS.c.state == "running")
                .values(cancel_requested=True)
            )
        return self.get(job_id)

    def bury_dead(self, lease: timedelta, is_alive: Callable[[str], bool | None]) -> list[Job]:
        """Recover the running jobs of workers that died.

        A job is queued again once: a machine that went down is no fault of the job's. If its
        second worker dies too, the job itself may be the cause; it fails with that reason.

        Parameters
        ----------
        lease : timedelta
            Longest time between two heartbeats of a living worker. It is counted on the clock of
            this process, from the call that first saw the last heartbeat: the clock of the
            worker's machine may be hours away.
        is_alive : callable
            Answers for an owner: alive, dead, or ``None`` on another machine, where the lease
            decides.

        Returns
        -------
        list of Job
            Their new records: queued again, failed, or cancelled where cancellation was
            requested.
        """
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(JOBS.select().where(JOBS.c.state == "running")).all()
        self._silence.forget_all_but(row.id for row in rows)
        buried = []
        for row in rows:
            job = to_job(row)
            assert job.owner is not None
            sign = (job.owner, job.attempts, row.beats, job.heartbeat_at)
            expired = self._silence.silent_s(job.id, sign) > lease.total_seconds()
            alive = is_alive(job.owner)
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
                JOBS.update()
                .where(
                    JOBS.c.id == job.id,
                    JOBS.c.owner == job.owner,
                    JOBS.c.state == "running",
                )
                .values(state="queued", owner=None, started_at=None, progress={})
            )
        if taken.rowcount:
            self._deliver(self.get(job.id))
        return bool(taken.rowcount)
