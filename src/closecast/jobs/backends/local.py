"""Delivery without a broker: workers of this machine look into the database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from closecast.database import QUEUES, Database, Queue
from closecast.jobs.backends.base import JobBackend

_POLL_S = 0.3


class LocalBackend(JobBackend):
    """The table of jobs is the queue; publishing only shortens the wait for the next look.

    Parameters
    ----------
    wake : callable, optional
        Wakes the supervisor of this process, which starts a worker of the queue. Without one, a
        job waits for the next look of a supervisor or worker, about a second.
    """

    name = "local"

    def __init__(self, database: Database, wake: Callable[[], None] | None = None) -> None:
        self._jobs = database.jobs
        self._wake = wake

    def publish(self, job_id: str, queue: Queue) -> None:
        if self._wake is not None:
            self._wake()

    def run(
        self,
        handle: Callable[[str], None],
        queues: Sequence[Queue] = QUEUES,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if unknown := {*queues} - {*QUEUES}:
            raise ValueError(f"no such queue: {sorted(unknown)}; valid: {', '.join(QUEUES)}")
        while not stop():
            job_id = self._jobs.next_queued(queues)
            if job_id is None:
                time.sleep(_POLL_S)
            else:
                handle(job_id)
