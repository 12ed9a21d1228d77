"""The supervisor: a thread that keeps a worker process per queue alive while there is work.

A queue of its own lets an update of closes, which takes seconds, run beside a training, which takes
up to hours. Of all API processes on one data folder only the holder of a file lock supervises. The
kernel frees the lock when its holder dies, and another process takes over.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
from datetime import timedelta

from filelock import FileLock, Timeout

from closecast.database import QUEUES, Database, Queue
from closecast.errors import ClosecastError, TrainingUnavailable
from closecast.infra.processes import is_alive
from closecast.jobs.retraining_triggers import queue_scheduled
from closecast.jobs.worker_failures import forget_failures
from closecast.jobs.worker_process import WorkerProcess
from closecast.settings import Settings
from closecast.tracking.mlflow import has_abandoned_runs

log = logging.getLogger(__name__)

_LOOK_S = 1.0


def can_train() -> bool:
    """Check whether the libraries that training needs are installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "mlflow", "pandas"))


def require_training() -> None:
    """Raise :class:`TrainingUnavailable` where libraries that training needs are missing."""
    if not can_train():
        raise TrainingUnavailable(
            "this is the serving image, it cannot train: run the image built with "
            "`--target train` (it also serves), or install closecast[train]"
        )


class Supervisor:
    """Starts workers when jobs wait, recovers jobs of dead workers, follows the schedule.

    Parameters
    ----------
    beside_others : bool
        Workers that a person starts run beside those of a service: without the lock, and without
        following the schedule.
    """

    SCHEDULE_EVERY_S = 30.0
    """Seconds between two checks of the schedule, each of which reads every pointer."""

    RUNS_EVERY_S = 600.0
    """Seconds between two workers that are started only to close abandoned MLflow runs."""

    def __init__(
        self, settings: Settings, database: Database, *, beside_others: bool = False
    ) -> None:
        self._settings = settings
        self._database = database
        self._lock = FileLock(settings.data_dir / ".worker.lock")
        self._beside_others = beside_others
        self._workers = [WorkerProcess(settings, queue) for queue in QUEUES]
        self._wake = threading.Event()
        self._stopping = False
        self._schedule_not_before = 0.0
        self._runs_not_before = 0.0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the thread; it supervises as soon as no other process does."""
        self._thread.start()

    def wake(self) -> None:
        """Look for queued jobs now, not after the next second; returns at once."""
        self._wake.set()

    def stop(self) -> None:
        """End workers and supervision; a running job is queued again, or fails the second time."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._look()
            except ClosecastError as error:
                log.warning("supervisor cannot use the ledger", extra={"reason": str(error)})
            except Exception:  # supervision that ends silently would let every job wait for ever
                log.exception("supervision failed; trying again")
            self._wake.wait(_LOOK_S)
            self._wake.clear()
        self._end_workers()
        if self._is_supervisor():
            self._bury_dead()
        if self._lock.is_locked:
            self._lock.release()

    def _look(self) -> None:
        if not self._is_supervisor():
            return
        for worker in self._workers:
            if worker.notice_end():
                self._runs_not_before = 0.0
        self._bury_dead()
        self._follow_schedule()
        for worker in self._workers:
            if worker.may_start and self._has_work(worker.queue):
                worker.start()

    def _has_work(self, queue: Queue) -> bool:
        """Check for queued jobs, and for MLflow runs that a killed trainer left open."""
        if self._database.jobs.next_queued([queue]) is not None:
            return True
        now_s = time.monotonic()
        if queue != "train" or now_s < self._runs_not_before:
            return False
        # Where MLflow does not answer, the note stays: no worker every minute for that.
        self._runs_not_before = now_s + self.RUNS_EVERY_S
        return has_abandoned_runs(self._settings)

    def _is_supervisor(self) -> bool:
        if self._beside_others or self._lock.is_locked:
            return True
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        forget_failures(self._settings.data_dir)  # those of a service that has ended
        return True

    def _bury_dead(self) -> None:
        try:
            self._database.jobs.bury_dead(timedelta(seconds=self._settings.job_lease_s), is_alive)
        except ClosecastError as error:
            log.warning("cannot look for dead jobs", extra={"reason": str(error)})

    def _follow_schedule(self) -> None:
        """Queue the trainings that the schedule makes due."""
        now_s = time.monotonic()
        if self._beside_others or "schedule" not in self._settings.retrain_on:
            return
        if now_s < self._schedule_not_before:
            return
        self._schedule_not_before = now_s + self.SCHEDULE_EVERY_S
        if not can_train():
            return
        try:
            queue_scheduled(self._settings, self._database)
        except ClosecastError as error:
            log.warning("cannot follow the schedule", extra={"reason": str(error)})

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.end()
