"""The worker process: takes jobs from the ledger, one at a time, and shows that it lives."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from closecast.database import Database, Job, JobState
from closecast.errors import ClosecastError, JobCancelled, StorageFailed
from closecast.infra.processes import die_with_parent, is_alive, owner_name, place
from closecast.jobs.latency_budget import LatencyBudget
from closecast.jobs.tasks import TASKS, Tell
from closecast.settings import Settings
from closecast.tracking.export import renew_experiments
from closecast.tracking.mlflow import close_abandoned_runs

log = logging.getLogger(__name__)

_POLL_S = 0.3
_BEAT_S = 0.5
_RECORD_AGAIN_S = 0.5


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
        die_with_parent(parent, signal.SIGKILL)
    os.nice(19 - os.nice(0))  # predictions come first, always
    database = Database(settings.ledger_url)
    owner = owner_name()
    idle_since = time.monotonic()
    lease = timedelta(seconds=settings.job_lease_s)
    looked = False
    while parent is None or os.getppid() == parent:
        if parent is None:
            database.jobs.bury_dead(lease, is_alive)
        job = database.jobs.claim(owner)
        if job is not None:
            run_job(settings, database, job, owner)
            idle_since = time.monotonic()
        elif not looked:
            looked = True  # once, at what no job waits for: MLflow may be slow, or away
            close_abandoned_runs(settings)
            renew_experiments(settings, if_missing=True)
        elif once or (parent and time.monotonic() - idle_since > settings.worker_idle_s):
            break
        else:
            time.sleep(_POLL_S)
    database.close()


def run_job(settings: Settings, database: Database, job: Job, owner: str) -> None:
    """One claimed job to its end; every way it can end is written to the ledger."""
    budget = LatencyBudget(settings.training_pause_p95_ms, settings.training_pause_max_s)
    pulse = _Pulse(database, job.id, owner, budget)
    pulse.start()
    log.info("job started", extra={"job_id": job.id, "task": job.task, "symbol": job.symbol})
    end = _run_task(settings, job, pulse.tell)
    pulse.stop()
    recorded = _record(database, job, owner, end, settings.job_lease_s)
    log.log(
        logging.WARNING if end.state == "failed" else logging.INFO,
        f"job {end.state}",
        extra={"job_id": job.id, "recorded": recorded, "reason": end.reason},
    )


@dataclass(frozen=True, slots=True)
class _End:
    """How a task ended."""

    state: JobState
    result: Mapping[str, Any] | None = None
    reason: str | None = None


def _run_task(settings: Settings, job: Job, tell: Tell) -> _End:
    try:
        return _End("succeeded", TASKS[job.task](settings, job.arguments, tell))
    except JobCancelled as error:
        return _End("cancelled", reason=str(error))
    except ClosecastError as error:
        return _End("failed", reason=f"{error.code}: {error}")
    except Exception as error:  # a bug must not take the worker, or the record, with it
        log.exception("a task failed unexpectedly", extra={"job_id": job.id})
        return _End("failed", reason=f"{type(error).__name__}: {error}")


def _record(database: Database, job: Job, owner: str, end: _End, patience_s: float) -> bool:
    """Write how a job ended; ``False`` if it was no longer this worker's.

    A model that serves already is not made again because the ledger is away for a moment.

    Raises
    ------
    StorageFailed
        If the ledger stays away for so long.
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


class _Pulse(threading.Thread):
    """Writes heartbeats with the newest progress, learns of cancellation and of slow predictions.

    Training only ever touches memory; the ledger's locks cannot slow it down.
    """

    def __init__(self, database: Database, job_id: str, owner: str, budget: LatencyBudget) -> None:
        super().__init__(name="pulse", daemon=True)
        self._database, self._job_id, self._owner = database, job_id, owner
        self._budget = budget
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._progress: Mapping[str, Any] = {}
        self._cancelled: JobCancelled | None = None
        self._ended = threading.Event()

    def tell(self, progress: Mapping[str, Any]) -> None:
        """Take note of progress; returns when the job may go on, which is at once as a rule.

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
            self._may_go_on.set()  # nobody else could wake a job that pauses

    def stop(self) -> None:
        """End, with a last heartbeat."""
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
        except Exception:  # a pulse that ends silently could be neither cancelled nor paused
            log.exception("no heartbeat", extra={"job_id": self._job_id})
        if self._budget.pauses(p95_ms):
            self._may_go_on.clear()
        else:
            self._may_go_on.set()
