"""Updates requested from the worker when closes are old."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from closecast.core.symbols import panel_name
from closecast.database import ACTIVE, Database, Job, Jobs
from closecast.database.engine import Clock
from closecast.errors import JobConflict
from closecast.settings import Settings

UPDATE = "update"
"""Task of the worker that collects a symbol's closes and learns from them."""

_POLL_S = 0.1
# Routes share 40 threads: when this many wait, further requests are answered without waiting.
_MOST_WAITING = 16


def submit_update(jobs: Jobs, version: str, symbols: Sequence[str]) -> Job:
    """Queue an update of a model's closes, or return the one of its symbols that is active.

    Raises
    ------
    StorageFailed
    """
    try:
        job, _ = jobs.submit(UPDATE, panel_name(symbols), {"version": version})
    except JobConflict as conflict:
        if conflict.job_id is None:
            raise
        job = jobs.get(conflict.job_id)
    return job


class Refresh:
    """Requests updates of closes from the worker, not too often, and waits briefly for them."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        *,
        has_worker: bool,
    ) -> None:
        self._jobs = database.jobs
        self._wait_s = settings.forecast_wait_s
        self._again_after_s = settings.refresh_after_s
        self._clock = clock
        self._has_worker = has_worker
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    def request_update(self, version: str, symbols: Sequence[str]) -> Job | None:
        """Submit an update of a model's closes, unless a recent one exists, and wait for it.

        One job covers all symbols of the model: they are collected and absorbed together. Returns
        the newest job, ended or not; ``None`` if this process has no worker to run it.
        """
        if not self._has_worker:
            return None
        symbol = panel_name(symbols)
        # Attempts count per version: after a rollback of one symbol a panel has two versions, and
        # requests for both in turn would otherwise have closes collected without end.
        # A job dated in the future (the clock was set back) must not prevent others until then.
        job = self._jobs.last_attempt(UPDATE, symbol, {"version": version}, until=self._clock())
        if job is None or self._is_over(job):
            job = submit_update(self._jobs, version, symbols)
        if not self._places.acquire(blocking=False):
            return job
        try:
            return self._wait(job)
        finally:
            self._places.release()

    def _is_over(self, job: Job) -> bool:
        ended = job.finished_at or job.created_at
        since_s = abs((self._clock() - ended).total_seconds())
        return job.state not in ACTIVE and since_s >= self._again_after_s

    def _wait(self, job: Job) -> Job:
        # The limit is per job, not per call: behind an hour of training only the first call waits.
        waited_s = (self._clock() - job.created_at).total_seconds()
        until = time.monotonic() + self._wait_s - max(0.0, waited_s)
        while job.state in ACTIVE and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
            job = self._jobs.get(job.id)
        return job
