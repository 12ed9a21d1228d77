"""The supervisor: a thread beside the API that keeps one worker process alive while there is work.

Of all API processes on one data folder only the holder of a file lock supervises. The kernel
frees the lock when its holder dies, and another process takes over.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import subprocess  # fixed commands, no shell  # nosec B404
import sys
import threading
import time
from datetime import timedelta

from filelock import FileLock, Timeout

from closecast.database import Database
from closecast.errors import ClosecastError, TrainingUnavailable
from closecast.infra.processes import is_alive
from closecast.jobs.retraining_triggers import queue_scheduled
from closecast.jobs.worker_failures import note_failures, reason_of_exit
from closecast.settings import Settings, as_environment
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
    """Starts the worker when a job waits, recovers jobs of dead workers, follows the schedule."""

    SCHEDULE_EVERY_S = 30.0
    """Seconds between two checks of the schedule, each of which reads every pointer."""

    RUNS_EVERY_S = 600.0
    """Seconds between two workers that are started only to close abandoned MLflow runs."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = FileLock(settings.data_dir / ".worker.lock")
        self._worker: subprocess.Popen[bytes] | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._failures = 0
        self._not_before = 0.0
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
        """End worker and supervision; the running job is queued again, or fails the second time."""
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
        self._end_worker()
        if self._lock.is_locked:
            self._bury_dead()
            self._lock.release()

    def _look(self) -> None:
        if not self._is_supervisor():
            return
        if self._worker is not None and (code := self._worker.poll()) is not None:
            self._worker = None
            if code:
                log.error("worker ended unexpectedly", extra={"exit_code": code})
                self._count_failure(reason_of_exit(code))
            else:
                self._failures = 0
                note_failures(self._settings.data_dir, 0, "")
        self._bury_dead()
        self._follow_schedule()
        may_start = self._worker is None and time.monotonic() >= self._not_before
        if may_start and self._has_work():
            self._start_worker()

    def _count_failure(self, reason: str) -> None:
        """Wait twice as long before the next worker as before the last one, a minute at most."""
        self._failures += 1
        self._not_before = time.monotonic() + min(60.0, 0.5 * 2**self._failures)
        self._runs_not_before = 0.0
        note_failures(self._settings.data_dir, self._failures, reason)

    def _has_work(self) -> bool:
        """Check for queued jobs, and for MLflow runs that a killed worker left open."""
        if self._database.jobs.newest(limit=1, states=("queued",)):
            return True
        now_s = time.monotonic()
        if now_s < self._runs_not_before:
            return False
        # Where MLflow does not answer, the note stays: no worker every minute for that.
        self._runs_not_before = now_s + self.RUNS_EVERY_S
        return has_abandoned_runs(self._settings)

    def _is_supervisor(self) -> bool:
        if self._lock.is_locked:
            return True
        self._settings.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        note_failures(self._settings.data_dir, 0, "")  # those of a service that has ended
        return True

    def _bury_dead(self) -> None:
        try:
            self._database.jobs.bury_dead(timedelta(seconds=self._settings.job_lease_s), is_alive)
        except ClosecastError as error:
            log.warning("cannot look for dead jobs", extra={"reason": str(error)})

    def _follow_schedule(self) -> None:
        """Queue the trainings that the schedule makes due."""
        now_s = time.monotonic()
        if "schedule" not in self._settings.retrain_on or now_s < self._schedule_not_before:
            return
        self._schedule_not_before = now_s + self.SCHEDULE_EVERY_S
        if not can_train():
            return
        try:
            queue_scheduled(self._settings, self._database)
        except ClosecastError as error:
            log.warning("cannot follow the schedule", extra={"reason": str(error)})

    def _start_worker(self) -> None:
        threads = str(self._settings.training_threads)
        environment = {
            **os.environ,
            **as_environment(self._settings),
            **dict.fromkeys(
                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
            ),
        }
        command = [sys.executable, "-m", "closecast.cli", "worker", "--parent", str(os.getpid())]
        try:
            self._worker = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)  # nosec B603
        except OSError as error:  # no memory or no process is left for it
            log.error("worker cannot be started", extra={"reason": str(error)})
            self._count_failure(str(error))
            return
        log.info("worker started", extra={"pid": self._worker.pid})

    def _end_worker(self) -> None:
        if self._worker is None:
            return
        self._worker.terminate()
        try:
            self._worker.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._worker.kill()
            self._worker.wait()
        self._worker = None
