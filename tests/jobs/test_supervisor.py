"""The supervisor follows the schedule: one training when it is time, and nothing stops it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from closecast.core.symbols import panel_name
from closecast.database import QUEUES, Database, Job, Jobs
from closecast.errors import StorageFailed
from closecast.jobs import supervisor as supervisor_module
from closecast.jobs.supervisor import Supervisor
from closecast.jobs.worker_failures import note_failures, worker_trouble
from closecast.jobs.worker_process import WorkerProcess
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.jobs.test_retraining import current, published

WEEK = timedelta(days=7)
SYMBOLS = ("AAPL", "MSFT")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path, retrain_on="schedule")


class Place:
    """A supervisor whose clock is set by hand, and which starts no process."""

    def __init__(self, settings: Settings, made: datetime) -> None:
        self.now = made
        self.registry = Registry(settings.models_url)
        self.database = Database(settings.ledger_url, lambda: self.now)
        self.supervisor = Supervisor(settings, self.database)
        self.queues: list[str] = []
        for worker in self.supervisor._workers:
            worker.start = partial(self.queues.append, worker.queue)  # type: ignore[method-assign]

    @property
    def started(self) -> int:
        return len(self.queues)

    def look(self) -> list[Job]:
        """What is in the ledger after one more look."""
        self.supervisor._look()
        return self.database.jobs.newest()


def place_in(settings: Settings) -> Place:
    """With a model of two symbols, just made."""
    return Place(settings, current(Registry(settings.models_url), *SYMBOLS).created_at)


@pytest.fixture(autouse=True)
def _asks_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Supervisor, "SCHEDULE_EVERY_S", 0.0)


@pytest.fixture
def place(settings: Settings) -> Iterator[Place]:
    made = place_in(settings)
    yield made
    made.supervisor._lock.release()
    made.database.close()


def test_when_it_is_time_exactly_one_training_is_queued(place: Place) -> None:
    place.now += WEEK
    [job] = place.look()
    assert (job.task, job.symbol, job.state) == ("train", panel_name(SYMBOLS), "queued")
    assert job.arguments["trigger"] == "schedule"
    assert job.arguments["symbols"] == list(SYMBOLS)
    assert place.started == 1
    assert place.look() == [job]


def test_failures_of_a_service_that_has_ended_are_forgotten(place: Place) -> None:
    folder = Path(place.supervisor._settings.data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    for queue in QUEUES:
        note_failures(folder, 3, "exit code 1", queue)
    assert worker_trouble(folder) is not None
    place.look()
    assert worker_trouble(folder) is None


def test_before_it_is_time_nothing_is_queued(place: Place) -> None:
    place.now += WEEK - timedelta(seconds=1)
    assert place.look() == []
    assert place.started == 0


def test_after_a_training_the_next_one_waits_for_its_time(place: Place) -> None:
    place.now += WEEK
    [first] = place.look()
    place.database.jobs.claim("me")
    place.database.jobs.finish(first.id, "me", "failed", reason="data_fault: a lost split")
    place.now += WEEK - timedelta(seconds=1)
    assert len(place.look()) == 1
    place.now += timedelta(seconds=1)
    assert len(place.look()) == 2


def test_a_machine_that_slept_for_weeks_trains_once(place: Place) -> None:
    place.now += 5 * WEEK
    place.look()
    assert len(place.look()) == 1


def test_every_model_is_trained_for_itself(place: Place) -> None:
    current(place.registry, "KO")
    place.now += 2 * WEEK
    assert {job.symbol for job in place.look()} == {"KO", panel_name(SYMBOLS)}


@pytest.mark.parametrize("retrain_on", ["", "regime"])
def test_unless_it_is_asked_to_the_supervisor_does_not_even_look(
    tmp_path: Path, retrain_on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(supervisor_module, "queue_scheduled", lambda *_: asked.append(1))
    place = place_in(settings_in(tmp_path, retrain_on=retrain_on))
    place.now += WEEK
    assert place.look() == []
    assert asked == []
    place.supervisor._lock.release()


def test_by_default_nothing_trains_by_itself(tmp_path: Path) -> None:
    place = place_in(settings_in(tmp_path))
    place.now += 10 * WEEK
    assert place.look() == []
    place.supervisor._lock.release()


@pytest.mark.parametrize("claim", [False, True], ids=["queued", "running"])
@pytest.mark.parametrize("symbols", [SYMBOLS, ("AAPL", "KO")], ids=["the same", "another panel"])
def test_while_a_training_of_a_symbol_is_active_none_is_queued(
    place: Place, symbols: tuple[str, ...], claim: bool
) -> None:
    asked, _ = place.database.jobs.submit("train", panel_name(symbols), {"symbols": list(symbols)})
    if claim:
        place.database.jobs.claim(supervisor_module.__name__ + ":1:1")  # another machine's
    place.now += 10 * WEEK
    place.supervisor._bury_dead = lambda: None  # type: ignore[method-assign]
    assert [job.id for job in place.look()] == [asked.id]


def test_a_training_that_was_faster_is_no_error(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the look at the ledger and the job, somebody asks for another training."""
    place.database.jobs.submit("train", panel_name(SYMBOLS), {"symbols": list(SYMBOLS)})
    monkeypatch.setattr(Jobs, "newest_of_each", lambda *_: [])
    place.now += WEEK
    assert len(place.look()) == 1
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_an_installation_that_cannot_train_queues_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "can_train", lambda: False)
    place.now += WEEK
    assert place.look() == []


def test_of_two_processes_only_the_one_that_supervises_looks(
    place: Place, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.look()
    asked = []
    monkeypatch.setattr(supervisor_module, "queue_scheduled", lambda *_: asked.append(1))
    Supervisor(settings, place.database)._look()
    assert asked == []
    place.look()
    assert asked == [1]


def test_the_schedule_is_not_looked_at_all_the_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(supervisor_module, "queue_scheduled", lambda *_: asked.append(1))
    monkeypatch.setattr(Supervisor, "SCHEDULE_EVERY_S", 3600.0)
    for _ in range(3):
        place.look()
    assert asked == [1]


@pytest.mark.parametrize(
    ("owner", "method"),
    [(Registry, "symbols"), (Jobs, "newest_of_each"), (Registry, "versions"), (Jobs, "submit")],
)
def test_a_registry_or_a_ledger_that_fails_is_asked_again(
    settings: Settings,
    owner: Any,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = Registry(settings.models_url)
    current(registry, "MSFT", forecaster="ewma")  # a recipe for it needs the list of versions
    network = published(registry, "MSFT")
    place = Place(settings, network.created_at + WEEK)

    def fail(*_: Any, **__: Any) -> Any:
        raise StorageFailed("the store is gone for now")

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, fail)
        assert place.look() == []
    assert "the store is gone for now" in [r.__dict__.get("reason") for r in caplog.records]
    assert len(place.look()) == 1
    place.supervisor._lock.release()


@pytest.mark.parametrize("error", [StorageFailed("gone"), ZeroDivisionError("a bug")])
def test_supervision_outlives_whatever_the_schedule_raises(
    place: Place, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = threading.Event()
    asked = []

    def fail(*_: Any) -> None:
        asked.append(1)
        if len(asked) > 1:
            again.set()
        raise error

    monkeypatch.setattr(supervisor_module, "queue_scheduled", fail)
    place.supervisor.start()
    place.supervisor.wake()
    assert again.wait(timeout=60)
    place.supervisor.stop()
    assert not place.supervisor._thread.is_alive()


def test_the_worker_is_told_what_starts_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(
        tmp_path, retrain_on="regime, schedule", retrain_cron="5 4 * * 1", source="yahoo"
    )
    code = (
        "import json; from closecast.settings import Settings; one = Settings();"
        "print(json.dumps([sorted(one.retrain_on), one.retrain_cron, one.retrain_min_interval_h]))"
    )
    told: list[dict[str, str]] = []
    whole = subprocess.Popen

    def started(command: list[str], *, env: dict[str, str], **options: Any) -> Any:
        assert command[1:6] == ["-m", "closecast.cli", "worker", "--queue", "train"]
        told.append(env)
        return whole([sys.executable, "-c", "pass"], env=env, **options)

    monkeypatch.setattr(subprocess, "Popen", started)
    worker = WorkerProcess(settings, "train")
    worker.start()
    worker.end()
    monkeypatch.undo()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **told[0]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [["regime", "schedule"], "5 4 * * 1", 168.0]


def test_a_worker_is_started_for_runs_that_a_killed_one_left_open_and_not_again_and_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = True
    monkeypatch.setattr(supervisor_module, "has_abandoned_runs", lambda _: left)
    place = place_in(settings)
    place.look()
    assert place.started == 1
    place.look()
    assert place.started == 1
    left = False
    quiet = place_in(settings)
    quiet.look()
    assert quiet.started == 0
