"""Updates requested from the worker when closes are old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

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
_MOST_REMEMBERED = 8


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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = database.jobs
        self._wait_s = settings.forecast_wait_s
        self._again_after_s = settings.refresh_after_s
        self._clock = clock
        self._monotonic = monotonic
        self._has_worker = has_worker
        self._places = threading.BoundedSemaphore(_MOST_WAITING)
        self._attempts: dict[tuple[str, str], _Attempts] = {}

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
        attempts = self._attempts.setdefault((version, symbol), _Attempts())
        job = self._jobs.last_attempt(UPDATE, symbol, {"version": version})
        if job is not None:
            self._notice(job, attempts)
        if job is None or (job.state not in ACTIVE and self._is_due(attempts)):
            job = submit_update(self._jobs, version, symbols)
            self._notice(job, attempts)
        if not self._places.acquire(blocking=False):
            return job
        try:
            return self._wait(job, attempts)
        finally:
            self._places.release()

    def _notice(self, job: Job, attempts: _Attempts) -> None:
        """Remember an attempt, and its end, on the clock of this process.

        Moments in the database may be another machine's, whose clock may be hours away. They count
        at the first look only, where they lie in the past and not long ago.
        """
        now_s, is_new = self._monotonic(), job.id not in attempts.seen_s
        if is_new:
            attempts.see(job.id, now_s - max(0.0, self._since_s(job.created_at)))
        if job.state in ACTIVE:
            attempts.newest_s = now_s
        elif job.id not in attempts.ended:
            since_s = self._since_s(job.finished_at or job.created_at)
            if not is_new:  # it ended after the last look at it
                longest_s = now_s - attempts.newest_s
                since_s = since_s if 0 <= since_s < longest_s else longest_s
            attempts.end(job.id, now_s - since_s if since_s >= 0 else -float("inf"))

    def _since_s(self, moment: datetime) -> float:
        """Seconds since a moment in the database; negative where another clock is ahead."""
        return (self._clock() - moment).total_seconds()

    def _is_due(self, attempts: _Attempts) -> bool:
        return self._monotonic() - attempts.newest_s >= self._again_after_s

    def _wait(self, job: Job, attempts: _Attempts) -> Job:
        # The limit is per job, not per call: where collecting takes long, only the first call
        # waits for it.
        # Requests notice jobs at once, and the first look of one may have been lost.
        until_s = attempts.seen_s.get(job.id, self._monotonic()) + self._wait_s
        while job.state in ACTIVE and (left_s := until_s - self._monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
            job = self._jobs.get(job.id)
        self._notice(job, attempts)
        return job


class _Attempts:
    """Attempts to update one model as this process has seen them, on its own clock.

    Attributes
    ----------
    seen_s : mapping of str to float
        First look at each of the last attempts, by the identifier of its job.
    ended : set of str
        Those that were seen to have ended.
    newest_s : float
        The last moment at which one was submitted, ran, or had just ended.
    """

    def __init__(self) -> None:
        self.seen_s: dict[str, float] = {}
        self.ended: set[str] = set()
        self.newest_s = -float("inf")

    def see(self, job_id: str, at_s: float) -> None:
        """Remember the first look at an attempt."""
        self.seen_s = dict([*self.seen_s.items(), (job_id, at_s)][-_MOST_REMEMBERED:])
        self.ended &= self.seen_s.keys()

    def end(self, job_id: str, at_s: float) -> None:
        """Remember the end of an attempt."""
        self.ended.add(job_id)
        self.newest_s = max(self.newest_s, at_s)
