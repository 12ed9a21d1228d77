"""The whole service as processes: training beside serving, and kill -9 of either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from closecast.database import Database
from closecast.settings import Settings
from tests.api.test_predict import WINDOW
from tests.support.service_process import ServiceProcess

TINY = {"num_layers": 1, "hidden_size": 4, "num_epochs": 1, "batch_size": 512}
ENDLESS = {**TINY, "num_epochs": 1000, "patience": 1000, "batch_size": 8}


@pytest.fixture
def service(published: Settings, tmp_path: Path) -> Iterator[ServiceProcess]:
    made = ServiceProcess(published, tmp_path / "service.log")
    yield made
    made.stop()


def start(service: ServiceProcess, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    body = {"forecaster": "lstm", "hyperparameters": hyperparameters, "start": "2018-01-02"}
    answer = service.http.post("/train", json=body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def wait_for(service: ServiceProcess, job: dict[str, Any], *states: str) -> dict[str, Any]:
    def reached() -> dict[str, Any] | None:
        now = service.get(job["url"])
        return now if now["state"] in states else None

    found: dict[str, Any] = service.until(reached, f"{job['url']} is {' or '.join(states)}")
    return found


def training(service: ServiceProcess, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until the network itself is being trained."""

    def reached() -> dict[str, Any] | None:
        now = service.get(job["url"])
        assert now["state"] in ("queued", "running"), now
        return now if now["progress"].get("epoch") else None

    found: dict[str, Any] = service.until(reached, "the network trains")
    return found


def worker_of(settings: Settings, job: dict[str, Any]) -> psutil.Process:
    owner = Database(settings.ledger_url).jobs.get(job["id"]).owner
    assert owner is not None
    return psutil.Process(int(owner.rsplit(":", 2)[1]))


def predict(service: ServiceProcess) -> str:
    answer = service.http.post("/predict", json={"prices": WINDOW})
    assert answer.status_code == 200, answer.text
    version: str = answer.json()["model_version"]
    return version


def test_a_training_changes_the_served_model_and_nothing_waits_for_it(
    service: ServiceProcess,
) -> None:
    before = predict(service)
    job = start(service, TINY)
    versions = set()

    def done() -> bool:
        versions.add(predict(service))  # predictions go on all the while
        return service.get(job["url"])["state"] not in ("queued", "running")

    service.until(done, "the training ends")
    ended = service.get(job["url"])
    assert ended["state"] == "succeeded", ended
    result = ended["result"]
    assert result["metrics"]["MSFT"]["overall"]["naive_mape"] > 0
    if result["promoted"]:
        service.until(lambda: predict(service) == result["version"], "the new model serves")
    assert versions <= {before, result["version"]}


def test_cancelling_a_running_training_stops_it(service: ServiceProcess) -> None:
    job = training(service, start(service, ENDLESS))
    assert service.http.delete(job["url"]).status_code == 200
    ended = wait_for(service, job, "cancelled")
    assert ended["reason"] == "cancelled on request"


def test_kill_9_of_the_trainer_begins_its_job_again_and_another_one_fails_it(
    service: ServiceProcess, published: Settings
) -> None:
    job = training(service, start(service, ENDLESS))
    first = worker_of(published, job)
    assert first.nice() == 19
    first.kill()
    first.wait(timeout=60)
    service.until(lambda: service.get(job["url"])["attempts"] == 2, "it is begun again")
    again = training(service, job)
    assert again["attempts"] == 2
    second = worker_of(published, job)
    assert second.pid != first.pid
    second.kill()
    ended = wait_for(service, job, "failed")
    assert "worker process ended without a word, 2 times" in ended["reason"]
    predict(service)
    again = start(service, ENDLESS)  # the same request is a new job now
    assert again["id"] != job["id"]
    training(service, again)


def test_kill_9_of_the_api_leaves_no_orphan_and_no_running_job(
    service: ServiceProcess, published: Settings
) -> None:
    before = predict(service)
    job = training(service, start(service, ENDLESS))
    worker = worker_of(published, job)
    service.kill()
    worker.wait(timeout=60)  # the trainer goes with its parent
    service.start()
    assert predict(service) == before
    # On its own it is begun again; until its supervisor looks, the killed attempt stands there.
    service.until(lambda: service.get(job["url"])["attempts"] == 2, "it is begun again")
    assert training(service, job)["attempts"] == 2


def test_sigterm_ends_everything_in_order(service: ServiceProcess, published: Settings) -> None:
    job = training(service, start(service, ENDLESS))
    worker = worker_of(published, job)
    assert service.terminate() == 0
    worker.wait(timeout=60)
    left = Database(published.ledger_url).jobs.get(job["id"])
    assert (left.state, left.owner) == ("queued", None)


def test_a_training_pauses_while_predictions_are_slower_than_they_may_be(
    published: Settings, tmp_path: Path
) -> None:
    service = ServiceProcess(
        published, tmp_path / "service.log", CLOSECAST_TRAINING_PAUSE_P95_MS="0.001"
    )
    try:
        job = training(service, start(service, ENDLESS))

        def paused() -> dict[str, Any] | None:
            for _ in range(5):
                predict(service)
            progress: dict[str, Any] = service.get(job["url"])["progress"]
            return progress if progress.get("paused") else None

        before = service.until(paused, "the training makes room")

        def goes_on() -> bool:
            progress = service.get(job["url"])["progress"]
            return "paused" not in progress and progress["percent"] > before["percent"]

        service.until(goes_on, "nobody asks any more, and the training goes on")
    finally:
        service.stop()
