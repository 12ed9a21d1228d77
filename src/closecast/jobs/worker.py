"""The worker process: claims delivered jobs, runs one at a time, and sends heartbeats."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from closecast.core.symbols import readable_panel
from closecast.database import QUEUES, Database, Job, JobState, Queue
from closecast.errors import ClosecastError, JobCancelled, StorageFailed
from closecast.infra.processes import die_with_parent, is_alive, owner_name, place
from closecast.jobs.backends import make_backend
from closecast.jobs.latency_budget import LatencyBudget
from closecast.jobs.supervisor import Supervisor
from closecast.jobs.tasks import TASKS, TaskContext
from closecast.settings import Settings
from closecast.tracking.export import renew_experiments
from closecast.tracking.mlflow import close_abandoned_runs

log = logging.getLogger(__name__)

_BEAT_S = 0.5
_RECORD_AGAIN_S = 0.5
_NICE: Mapping[str, int] = {"fast": 10, "train": 19}
"""Niceness of workers: predictions come first, and a person waits for an update."""


def run_worker(
    settings: Settings,
    *,
    queues: Sequence[Queue] = QUEUES,
    parent: int | None = None,
    once: bool = False,
) -> None:
    """Run delivered jobs, one at a time, until the worker is to end.

    A supervised worker ends with its parent, and after ``worker_idle_s`` seconds without a job;
    one that was started by hand stays, and recovers the jobs of dead workers itself.

    Parameters
    ----------
    queues : sequence of str
        Queues whose jobs it runs. One that runs both lets updates wait for trainings.
    parent : int, optional
        Process number of the supervisor.
    once : bool
        End when no job is queued.
    """
    if parent is not None:
        die_with_parent(parent, signal.SIGKILL)
    # Never less than the service's own: only root may lower it.
    os.nice(max(0, max(_NICE[queue] for queue in queues) - os.nice(0)))
    database = Database(settings.ledger_url)
    backend = make_backend("local", database)
    database.jobs.publish_with(backend.publish)
    shift = _Shift(settings, database, queues, parent=parent, once=once)
    backend.run(shift.handle, queues, stop=shift.is_over)
    database.close()


def supervise_workers(settings: Settings) -> None:
    """Run a worker per queue beside a service, until a signal ends this process."""
    database = Database(settings.ledger_url)
    supervisor = Supervisor(settings, database, beside_others=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    supervisor.start()
    try:
        while True:
            signal.pause()
    finally:
        supervisor.stop()
        database.close()


class _Shift:
    """The time of a worker between its start and its end."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        queues: Sequence[Queue],
        *,
        parent: int | None,
        once: bool,
    ) -> None:
        self._settings = settings
        self._database = database
        self._queues = queues
        self._parent = parent
        self._once = once
        self._owner = owner_name()
        self._idle_since_s = time.monotonic()
        self._chores_done = "train" not in queues  # MLflow's, which takes memory and seconds

    def handle(self, job_id: str) -> None:
        """Claim a job and run it; do nothing if another worker was faster."""
        job = self._database.jobs.claim(self._owner, job_id)
        if job is not None:
            run_job(self._settings, self._database, job, self._owner)
            self._idle_since_s = time.monotonic()

    def is_over(self) -> bool:
        """Decide between two jobs whether the worker ends; do its housekeeping."""
        if self._parent is None:
            lease = timedelta(seconds=self._settings.job_lease_s)
            self._database.jobs.bury_dead(lease, is_alive)
        elif os.getppid() != self._parent:
            return True
        if self._database.jobs.next_queued(self._queues) is not None:
            return False
        if not self._chores_done:
            self._chores_done = True  # only while no job waits: MLflow may be slow, or away
            close_abandoned_runs(self._settings)
            renew_experiments(self._settings, if_missing=True)
            return False
        idle_s = time.monotonic() - self._idle_since_s
        return self._once or (self._parent is not None and idle_s > self._settings.worker_idle_s)


def run_job(settings: Settings, database: Database, job: Job, owner: str) -> None:
    """Run a claimed job to its end, and record every kind of end."""
    limit_ms = settings.training_pause_p95_ms if job.queue == "train" else 0.0
    budget = LatencyBudget(limit_ms, settings.training_pause_max_s)
    heartbeat = _Heartbeat(database, job.id, owner, budget)
    heartbeat.start()
    of_job = {"job_id": job.id, "task": job.task, "symbol": readable_panel(job.symbol)}
    log.info("job started", extra=of_job)
    end = _run_task(TaskContext(settings, database, heartbeat.report), job)
    heartbeat.stop()
    recorded = _record(database, job, owner, end, settings.job_lease_s)
    log.log(
        logging.WARNING if end.state == "failed" else logging.INFO,
        f"job {end.state}",
        extra={"job_id": job.id, "recorded": recorded, "reason": end.reason},
    )


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a task: state, and result or reason."""

    state: JobState
    result: Mapping[str, Any] | None = None
    reason: str | None = None


def _run_task(context: TaskContext, job: Job) -> _End:
    try:
        return _End("succeeded", TASKS[job.task](context, job.arguments))
    except JobCancelled as error:
        return _End("cancelled", reason=str(error))
    except ClosecastError as error:
        return _End("failed", reason=f"{error.code}: {error}")
    except Exception as error:  # a bug must not take the worker, or the record, with it
        log.exception("a task failed unexpectedly", extra={"job_id": job.id})
        return _End("failed", reason=f"{type(error).__name__}: {error}")


def _record(database: Database, job: Job, owner: str, end: _End, patience_s: float) -> bool:
    """Record the end of a job; return ``False`` if it no longer belongs to this worker.

    Tries again while the database is unavailable, for its model may be in service already.

    Parameters
    ----------
    patience_s : float
        Seconds after which the next failure is raised.

    Raises
    ------
    StorageFailed
        If the database stays unavailable for longer.
    """
    give_up_at = time.monotonic() + patience_s
    while True:
        try:
            return database.jobs.finish(
                job.id, owner, end.state, result=end.result, reason=end.reason
            )
        except StorageFailed as error:
            if time.monotonic() > give_up_at:
                raise
            log.warning("job not recorded yet", extra={"job_id": job.id, "reason": str(error)})
            time.sleep(_RECORD_AGAIN_S)


class _Heartbeat(threading.Thread):
    """A thread that records progress, and reads whether the job is cancelled or has to pause.

    The task itself only touches memory: locks of the database cannot slow it down.
    """

    def __init__(self, database: Database, job_id: str, owner: str, budget: LatencyBudget) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._database, self._job_id, self._owner = database, job_id, owner
        self._budget = budget
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._progress: Mapping[str, Any] = {}
        self._cancelled: JobCancelled | None = None
        self._ended = threading.Event()

    def report(self, progress: Mapping[str, Any]) -> None:
        """Take progress of the task; returns at once, or after the pause of the job.

        Raises
        ------
        JobCancelled
            If the job is to stop.
        """
        self._progress = dict(progress)
        self._may_go_on.wait()
        if self._cancelled is not None:
            raise self._cancelled

    def run(self) -> None:
        try:
            while not self._ended.wait(_BEAT_S):
                self._beat()
        finally:
            self._may_go_on.set()  # nothing else could wake a job that pauses

    def stop(self) -> None:
        """Stop the thread after a last heartbeat."""
        self._ended.set()
        self.join()
        self._may_go_on.set()
        self._beat()

    def _beat(self) -> None:
        p95_ms = None
        try:
            progress = self._progress
            if not self._may_go_on.is_set():
                progress = {**progress, "paused": True}
            self._database.jobs.heartbeat(self._job_id, self._owner, progress)
            p95_ms = self._database.processes.slowest_p95_ms(place(), is_alive)
        except JobCancelled as cancelled:
            self._cancelled = cancelled
            self._may_go_on.set()
            return
        except ClosecastError as error:  # the next beat may succeed; the lease allows for some
            log.warning("no heartbeat", extra={"job_id": self._job_id, "reason": str(error)})
        except Exception:  # without this thread the job could be neither cancelled nor paused
            log.exception("no heartbeat", extra={"job_id": self._job_id})
        if self._budget.pauses(p95_ms):
            self._may_go_on.clear()
        else:
            self._may_go_on.set()
