"""Every way a job can end is written down, whatever the task does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from closecast.database import Database, Job, Jobs
from closecast.errors import NoPrices, StorageFailed
from closecast.infra.processes import is_alive, owner_name
from closecast.jobs import worker
from closecast.jobs.tasks import TASKS, TaskContext
from closecast.settings import Settings


@pytest.fixture
def database(settings: Settings) -> Database:
    return Database(settings.ledger_url)


def run(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, task: Any) -> Job:
    monkeypatch.setitem(TASKS, "train", task)
    job, _ = database.jobs.submit("train", "MSFT", {"n": 1})
    claimed = database.jobs.claim("here")
    assert claimed is not None
    worker.run_job(settings, database, claimed, "here")
    return database.jobs.get(job.id)


def test_a_result_is_recorded_with_the_last_progress(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(context: TaskContext, arguments: Mapping[str, Any]) -> dict[str, Any]:
        context.report({"percent": 50})
        context.report({"percent": 100})
        return {"got": arguments["n"]}

    job = run(settings, database, monkeypatch, task)
    assert (job.state, job.result, job.progress) == ("succeeded", {"got": 1}, {"percent": 100})
    assert job.finished_at is not None


def test_an_expected_error_is_a_reason_with_its_code(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(*_: Any) -> dict[str, Any]:
        raise NoPrices("nothing there")

    job = run(settings, database, monkeypatch, task)
    assert (job.state, job.reason) == ("failed", "no_prices: nothing there")


def test_a_bug_fails_the_job_and_not_the_worker(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("oops")

    job = run(settings, database, monkeypatch, task)
    assert (job.state, job.reason) == ("failed", "ZeroDivisionError: oops")


def test_a_running_job_is_cancelled_between_two_batches(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(context: TaskContext, _: Mapping[str, Any]) -> dict[str, Any]:
        [running] = database.jobs.newest()
        database.jobs.cancel(running.id)
        for _ in range(600):
            context.report({"percent": 1})
            time.sleep(0.05)
        return {}

    job = run(settings, database, monkeypatch, task)
    assert (job.state, job.reason) == ("cancelled", "cancelled on request")


def test_a_job_that_was_taken_away_ends_without_a_word(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(*_: Any) -> dict[str, Any]:
        [running] = database.jobs.newest()
        database.jobs.finish(running.id, "here", "failed", reason="its lease ran out")
        return {"late": True}

    job = run(settings, database, monkeypatch, task)
    assert (job.state, job.reason, job.result) == ("failed", "its lease ran out", None)


@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_ledger_that_is_away_when_a_job_ends_is_waited_for(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    finish, refused = Jobs.finish, 3

    def away(*arguments: Any, **named: Any) -> bool:
        nonlocal refused
        refused -= 1
        if refused >= 0:
            raise StorageFailed("the disk is full")
        return finish(*arguments, **named)

    def task(*_: Any) -> dict[str, Any]:
        if end == "failed":
            raise NoPrices("nothing there")
        return {"promoted": ["MSFT"]}

    monkeypatch.setattr(Jobs, "finish", away)
    monkeypatch.setattr(worker, "_RECORD_AGAIN_S", 0.01)
    assert run(settings, database, monkeypatch, task).state == end


def test_a_ledger_that_stays_away_ends_the_worker_and_the_job_is_nobodys_success(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> bool:
        raise StorageFailed("the disk is full")

    monkeypatch.setattr(Jobs, "finish", away)
    monkeypatch.setattr(worker, "_RECORD_AGAIN_S", 0.01)
    brief = settings.model_copy(update={"job_lease_s": 0.1})
    with pytest.raises(StorageFailed):
        run(brief, database, monkeypatch, lambda *_: {})
    [job] = database.jobs.newest()
    assert job.state == "running", "until it is taken from a worker that is gone"


def test_no_job_waits_for_mlflow(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("os.nice", lambda _: 0)
    monkeypatch.setitem(TASKS, "train", lambda *_: done.append("job") or {})
    monkeypatch.setattr(worker, "close_abandoned_runs", lambda _: done.append("runs"))
    database.jobs.submit("train", "MSFT", {})
    worker.run_worker(settings, once=True)
    assert done == ["job", "runs"]


def eventually(database: Database, condition: Callable[[Job], bool]) -> Job:
    """The only job, once it is so; only a machine that stands still makes it fail."""
    for _ in range(1200):
        found = [job for job in database.jobs.newest() if condition(job)]
        if found:
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"never: {database.jobs.newest()}")


def slow(database: Database, p95_ms: float) -> None:
    """Report how fast an API process of this machine answers: this one, which lives."""
    database.processes.report(owner_name(), datetime.now(UTC), {}, p95_ms, whole=True)


class Reporting:
    """A task that reports progress after every batch until it is released."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.batches = 0

    def __call__(self, context: TaskContext, _: Mapping[str, Any]) -> dict[str, Any]:
        while not self.let_go.is_set():
            context.report({"stage": "train", "percent": 40.0})
            self.batches += 1
            time.sleep(0.01)
        return {}


@pytest.fixture
def task(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reporting]:
    """Runs in a worker of this process."""
    made = Reporting()
    thread = threading.Thread(target=run, args=(settings, database, monkeypatch, made))
    slow(database, 500.0)
    thread.start()
    yield made
    made.let_go.set()
    thread.join()


def test_a_job_makes_room_while_predictions_are_slow_and_lives(
    task: Reporting, database: Database
) -> None:
    paused = eventually(database, lambda job: bool(job.progress.get("paused")))
    assert paused.progress == {"stage": "train", "percent": 40.0, "paused": True}
    batches = task.batches
    eventually(database, lambda job: job.heartbeat_at != paused.heartbeat_at)
    assert task.batches == batches, "not one batch while it pauses"
    slow(database, 1.0)
    eventually(database, lambda job: "paused" not in job.progress and task.batches > batches)


def test_a_job_that_pauses_is_cancelled(task: Reporting, database: Database) -> None:
    paused = eventually(database, lambda job: bool(job.progress.get("paused")))
    database.jobs.cancel(paused.id)
    assert eventually(database, lambda job: job.state != "running").state == "cancelled"


def test_a_dead_process_makes_nobody_wait(database: Database) -> None:
    place, pid, _ = owner_name().rsplit(":", 2)
    database.processes.report(f"{place}:{pid}:1", datetime.now(UTC), {}, 900.0, whole=True)
    assert database.processes.slowest_p95_ms(place, is_alive) is None
