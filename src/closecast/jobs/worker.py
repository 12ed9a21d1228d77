"""The worker process: takes jobs from the ledger, one at a time, and shows that it lives."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from closecast.errors import ClosecastError, JobCancelled
from closecast.experiments import renew_experiments
from closecast.jobs.tasks import TASKS
from closecast.ledger import Job, Ledger
from closecast.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 0.3
_BEAT_S = 0.5
_PR_SET_PDEATHSIG = 1


def owner_name() -> str:
    """Name of the process, told apart from a later one with the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_time(os.getpid())}"


def is_alive(owner: str) -> bool | None:
    """Whether the process behind an owner name lives; ``None`` if it is on another machine."""
    host, pid, started = owner.rsplit(":", 2)
    if host != socket.gethostname():
        return None
    try:
        return _start_time(int(pid)) == started
    except psutil.NoSuchProcess:
        return False


def _start_time(pid: int) -> str:
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():  # ticks since boot: a clock that is set does not make a living process dead
        return stat.read_text().rpartition(")")[2].split()[19]
    return f"{process.create_time():.2f}"


def die_with_parent() -> None:
    """Ask the kernel to kill this process with its parent (elsewhere it ends after its job)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_worker(settings: Settings, *, parent: int | None = None, once: bool = False) -> None:
    """Work until told to end.

    A supervised worker ends when it was idle for ``worker_idle_s``, and with its parent; one
    that was started by hand stays, and buries dead jobs itself.

    Parameters
    ----------
    parent : int, optional
        The supervising process.
    once : bool
        End when no job is queued.
    """
    if parent is not None:
        die_with_parent()
    os.nice(19 - os.nice(0))  # predictions come first, always
    ledger = Ledger(settings.ledger_url)
    owner = owner_name()
    idle_since = time.monotonic()
    lease = timedelta(seconds=settings.job_lease_s)
    looked = False
    while parent is None or os.getppid() == parent:
        if parent is None:
            ledger.jobs.bury_dead(lease, is_alive)
        job = ledger.jobs.claim(owner)
        if job is not None:
            run_job(settings, ledger, job, owner)
            idle_since = time.monotonic()
        elif not looked:
            looked = True  # of trainings before there was such a file; no job waits for it
            renew_experiments(settings, if_missing=True)
        elif once or (parent and time.monotonic() - idle_since > settings.worker_idle_s):
            break
        else:
            time.sleep(_POLL_S)
    ledger.close()


def run_job(settings: Settings, ledger: Ledger, job: Job, owner: str) -> None:
    """One claimed job to its end; every way it can end is written to the ledger."""
    pulse = _Pulse(ledger, job.id, owner)
    pulse.start()
    log.info("job started", extra={"job_id": job.id, "task": job.task, "symbol": job.symbol})
    try:
        result = TASKS[job.task](settings, job.arguments, pulse.tell)
        pulse.stop()
        ended = ledger.jobs.finish(job.id, owner, "succeeded", result=result)
        log.info("job succeeded", extra={"job_id": job.id, "recorded": ended})
    except JobCancelled as error:
        pulse.stop()
        ledger.jobs.finish(job.id, owner, "cancelled", reason=str(error))
        log.info("job cancelled", extra={"job_id": job.id})
    except ClosecastError as error:
        pulse.stop()
        ledger.jobs.finish(job.id, owner, "failed", reason=f"{error.code}: {error}")
        log.warning("job failed", extra={"job_id": job.id, "reason": str(error)})
    except Exception as error:  # a bug must not take the worker, or the record, with it
        pulse.stop()
        ledger.jobs.finish(job.id, owner, "failed", reason=f"{type(error).__name__}: {error}")
        log.exception("job failed unexpectedly", extra={"job_id": job.id})


class _Pulse(threading.Thread):
    """Writes heartbeats with the newest progress, and learns of cancellation.

    Training only ever touches memory; the ledger's locks cannot slow it down.
    """

    def __init__(self, ledger: Ledger, job_id: str, owner: str) -> None:
        super().__init__(name="pulse", daemon=True)
        self._ledger, self._job_id, self._owner = ledger, job_id, owner
        self._progress: Mapping[str, Any] = {}
        self._cancelled: JobCancelled | None = None
        self._ended = threading.Event()

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Take note of progress.

        Raises
        ------
        JobCancelled
            If the job is to stop.
        """
        if self._cancelled is not None:
            raise self._cancelled
        self._progress = dict(progress)

    def run(self) -> None:
        while not self._ended.wait(_BEAT_S):
            self._beat()

    def stop(self) -> None:
        """End, with a last heartbeat."""
        self._ended.set()
        self.join()
        self._beat()

    def _beat(self) -> None:
        try:
            self._ledger.jobs.heartbeat(self._job_id, self._owner, self._progress)
        except JobCancelled as cancelled:
            self._cancelled = cancelled
        except ClosecastError as error:  # the next beat may succeed; the lease allows for some
            log.warning("no heartbeat", extra={"job_id": self._job_id, "reason": str(error)})
