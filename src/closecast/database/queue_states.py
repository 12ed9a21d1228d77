"""The state of each queue: the jobs that wait and run, and the age of the one waiting longest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from closecast.database.job_records import QUEUES, Job, Queue


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue.

    Attributes
    ----------
    queued, running : int
        Numbers of jobs.
    waiting_since : datetime, optional
        Aware; when the job was submitted that waits longest. ``None`` while none waits.
    """

    queued: int
    running: int
    waiting_since: datetime | None

    def waiting_s(self, now: datetime) -> float:
        """Seconds for which a job has waited at most; 0 where none waits."""
        return max(0.0, round((now - (self.waiting_since or now)).total_seconds(), 1))


def queue_states(active: Iterable[Job]) -> dict[Queue, QueueState]:
    """Count the active jobs of every queue."""
    jobs = list(active)
    found = {}
    for queue in QUEUES:
        own = [job for job in jobs if job.queue == queue]
        waiting = [job.created_at for job in own if job.state == "queued"]
        found[queue] = QueueState(len(waiting), len(own) - len(waiting), min(waiting, default=None))
    return found
