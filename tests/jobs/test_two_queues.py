"""A worker process for each queue: an update beside a training, and kill -9 of either."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from closecast.database import Database, Job
from closecast.infra.processes import owner_name
from closecast.jobs import worker
from closecast.jobs.tasks import TASKS, TaskContext
from closecast.jobs.worker_process import WorkerProcess
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.jobs.test_service import ENDLESS, start, training, worker_of
from tests.support.service_process import ServiceProcess


@pytest.fixture
def service(published: Settings, tmp_path: Path) -> Iterator[ServiceProcess]:
    made = ServiceProcess(published, tmp_path / "service.log")
    yield made
    made.stop()


@pytest.fixture
def database(published: Settings) -> Iterator[Database]:
    made = Database(published.ledger_url)
    yield made
    made.close()


def update(database: Database, settings: Settings) -> Job:
    pointer = Registry(settings.models_url).pointer("AAPL")
    assert pointer is not None
    job, _ = database.jobs.submit("update", "AAPL", {"version": pointer.version})
    return job


def until_it_ends(service: ServiceProcess, database: Database, job: Job) -> Job:
    def ended() -> Job | None:
        now = database.jobs.get(job.id)
        return None if now.state in ("queued", "running") else now

    found: Job = service.until(ended, "the update ends")
    return found


def test_an_update_runs_beside_a_training_and_each_survives_the_other(
    service: ServiceProcess, database: Database, published: Settings
) -> None:
    trained = training(service, start(service, ENDLESS))
    first = until_it_ends(service, database, update(database, published))
    assert first.state == "succeeded", first
    assert first.owner is not None
    fast = psutil.Process(int(first.owner.rsplit(":", 2)[1]))
    trainer = worker_of(published, trained)
    assert fast.pid != trainer.pid
    assert fast.nice() < trainer.nice()
    assert "torch" not in fast.cmdline()
    assert not [m for m in fast.memory_maps() if "torch" in m.path], "it stays light"
    fast.kill()
    fast.wait(timeout=60)
    second = until_it_ends(service, database, update(database, published))
    assert second.state == "succeeded", second
    assert second.owner != first.owner
    now = service.get(trained["url"])
    assert (now["state"], now["attempts"], now["queue"]) == ("running", 1, "train")
    trainer.kill()
    trainer.wait(timeout=60)
    third = until_it_ends(service, database, update(database, published))
    assert (third.state, third.owner) == ("succeeded", second.owner)
    service.until(lambda: service.get(trained["url"])["attempts"] == 2, "it is begun again")


def test_an_update_never_pauses_for_predictions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(settings.ledger_url)
    database.processes.report(owner_name(), database.clock(), {}, 9_000.0, whole=True)
    limits: list[float] = []

    class Noted(worker.LatencyBudget):
        def __init__(self, limit_ms: float, most_s: float) -> None:
            limits.append(limit_ms)
            super().__init__(limit_ms, most_s)

    def task(context: TaskContext, _: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(worker, "LatencyBudget", Noted)
    for name in ("update", "train"):
        monkeypatch.setitem(TASKS, name, task)
        job, _ = database.jobs.submit(name, "MSFT", {})
        claimed = database.jobs.claim("me", job.id)
        assert claimed is not None
        worker.run_job(settings, database, claimed, "me")
    database.close()
    assert limits == [0.0, settings.training_pause_p95_ms]


@pytest.mark.parametrize(("queue", "threads"), [("fast", "1"), ("train", "3")])
def test_threads_of_a_training_are_for_the_worker_of_trainings_only(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, queue: Any, threads: str
) -> None:
    started: list[dict[str, str]] = []

    class Process:
        pid = 1

        def __init__(self, command: list[str], *, env: dict[str, str], **_: Any) -> None:
            assert command[-4:] == ["--queue", queue, "--parent", str(os.getpid())]
            started.append(env)

    monkeypatch.setattr("subprocess.Popen", Process)
    WorkerProcess(settings.model_copy(update={"training_threads": 3}), queue).start()
    assert started[0]["OMP_NUM_THREADS"] == threads


def test_a_worker_that_fails_waits_longer_each_time_and_is_named(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    process = WorkerProcess(settings, "fast", lambda: now_s)
    for failures in (1, 2, 3):
        process._process = psutil.Popen(["false"])  # type: ignore[assignment]
        assert process._process is not None
        process._process.wait()
        with caplog.at_level(logging.ERROR):
            assert process.notice_end()
        assert not process.may_start
        now_s += 0.5 * 2**failures
        assert process.may_start
    assert {record.__dict__["queue"] for record in caplog.records} == {"fast"}


def test_only_the_worker_of_trainings_looks_after_mlflow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("os.nice", lambda _: 0)
    monkeypatch.setattr(worker, "close_abandoned_runs", lambda _: done.append("runs"))
    worker.run_worker(settings, queues=("fast",), once=True)
    assert done == []
    worker.run_worker(settings, queues=("train",), once=True)
    assert done == ["runs"]
