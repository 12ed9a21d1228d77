"""The port of delivery: from a stored job to the worker that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from closecast.database import QUEUES, Queue


class JobBackend(ABC):
    """Delivers identifiers of jobs; each at least once, possibly several times.

    Submitting, claiming, heartbeats, cancellation and the end of a job belong to
    :class:`closecast.database.Jobs`. An identifier that is delivered twice is therefore run
    once: the second claim of the record fails.
    """

    name: str

    @abstractmethod
    def publish(self, job_id: str, queue: Queue) -> None:
        """Announce a job that was stored as queued; returns at once.

        Publishing a job again changes nothing, except that a lost delivery is made up for.

        Parameters
        ----------
        queue : str
            The queue of its record; only workers of that queue get the job.

        Raises
        ------
        StorageFailed
            If the transport cannot take it. The job stays queued in the database.
        """

    @abstractmethod
    def run(
        self,
        handle: Callable[[str], None],
        queues: Sequence[Queue] = QUEUES,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Deliver published jobs one after the other, in the calling thread, until stopped.

        Parameters
        ----------
        handle : callable
            Called with the identifier of a queued job; claims and runs it. Jobs that were
            published before this call are delivered too, the oldest first.
        queues : sequence of str
            Names of the queues to serve; all of them by default. A worker that serves several
            runs the job that has waited longest.
        stop : callable
            Called before every delivery, and at least once a second while no job waits:
            ``True`` ends the call. A worker does its housekeeping here.

        Raises
        ------
        ValueError
            If the backend has no queue of such a name.
        """
