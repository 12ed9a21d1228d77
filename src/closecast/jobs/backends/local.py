"""Delivery without a broker: workers of this machine look into the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from closecast.database import Database
from closecast.jobs.backends.base import DEFAULT_QUEUES, JobBackend

_POLL_S = 0.3


class LocalBackend(JobBackend):
    """The table of jobs is the queue; publishing only shortens the wait for the next look.

    Parameters
    ----------
    wake : callable, optional
        Wakes the supervisor of this process, which starts a worker. Without one, a job waits
        for the next look of a supervisor or worker, about a second.
    """

    name = "local"

    def __init__(self, database: Database, wake: Callable[[], None] | None = None) -> None:
        self._jobs = database.jobs
        self._wake = wake

    def publish(self, job_id: str) -> None:
        if self._wake is not None:
            self._wake()

    def run(
        self,
        handle: Callable[[str], None],
        queues: Sequence[str] = DEFAULT_QUEUES,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if unknown := set(queues) - set(DEFAULT_QUEUES):
            raise ValueError(f"the local backend has the queue 'default' only, not {unknown}")
        while not stop():
            job_id = self._jobs.next_queued()
            if job_id is None:
                time.sleep(_POLL_S)
            else:
                handle(job_id)
