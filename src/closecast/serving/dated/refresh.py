"""Asking the worker for newer closes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from closecast.core.symbols import panel_name
from closecast.database import ACTIVE, Database, Job
from closecast.database.engine import Clock
from closecast.errors import JobConflict
from closecast.settings import Settings

UPDATE = "update"
"""Task of the worker that collects a symbol's closes and learns from them."""

_POLL_S = 0.1
# Routes share 40 threads; whoever finds this many waiting is answered with what there is.
_MOST_WAITING = 16


class Refresh:
    """Asks for newer closes, now and then, and waits for them a little."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        hand_over: Callable[[], None] | None,
    ) -> None:
        self._jobs = database.jobs
        self._wait_s = settings.forecast_wait_s
        self._again_after_s = settings.refresh_after_s
        self._clock = clock
        self._hand_over = hand_over
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    def ask(self, version: str, symbols: Sequence[str]) -> Job | None:
        """The newest attempt for a model, ended or not; ``None`` where nobody runs any.

        One job for all symbols of the model: they are collected and absorbed together.
        """
        if self._hand_over is None:
            return None
        symbol = panel_name(symbols)
        arguments = {"version": version}
        # Attempts count per version: after a rollback of one symbol a panel has two versions, and
        # requests for both in turn would otherwise have closes collected without end.
        # One from a time to come (the clock was set back) would keep everybody waiting till then.
        job = self._jobs.last_attempt(UPDATE, symbol, arguments, until=self._clock())
        if job is None or self._is_over(job):
            try:
                job, _ = self._jobs.submit(UPDATE, symbol, arguments)
            except JobConflict as conflict:
                if conflict.job_id is None:
                    raise
                job = self._jobs.get(conflict.job_id)
            self._hand_over()
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
        # Of one job, not of one call: behind a training of an hour only the first call waits.
        waited_s = (self._clock() - job.created_at).total_seconds()
        until = time.monotonic() + self._wait_s - max(0.0, waited_s)
        while job.state in ACTIVE and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
            job = self._jobs.get(job.id)
        return job
