"""Every process that serves is shown, and a reload waits for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.database import ApiProcesses, Database, ServedModel
from closecast.errors import StorageFailed
from closecast.infra.processes import owner_name
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.api.test_predict import WINDOW

WHY = {"reason": "a test"}
ELSEWHERE = "replica-2/0b1c2d3e-4026531836:4711:123456"


def report(settings: Settings, serving: ServedModel) -> None:
    """As a process of another machine would."""
    database = Database(settings.ledger_url)
    database.processes.report(ELSEWHERE, datetime.now(UTC), {"MSFT": serving}, whole=True)
    database.close()


@pytest.fixture
def generation(published: Settings) -> int:
    pointer = Registry(published.models_url).pointer("MSFT")
    assert pointer is not None
    return pointer.generation


def test_the_model_is_shown_with_every_process_that_serves_it(
    client: TestClient, published: Settings, generation: int
) -> None:
    report(published, ServedModel("an-older-one", 1, "network.onnx is missing", 2))
    model = client.get("/model").json()
    workers = {worker["process"]: worker for worker in model["workers"]}
    assert workers.keys() == {owner_name(), ELSEWHERE}
    here, there = workers[owner_name()], workers[ELSEWHERE]
    assert (here["answering"], there["answering"]) == (True, False)
    assert (here["version"], here["generation"]) == (model["version"], generation)
    assert (there["host"], there["version"], there["generation"]) == (
        "replica-2",
        "an-older-one",
        1,
    )
    assert there["failure"] == "network.onnx is missing"
    assert model["workers_unknown"] is None


def test_without_the_ledger_only_the_answering_process_is_shown_and_it_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise StorageFailed("the ledger cannot be used: it is gone")

    monkeypatch.setattr(ApiProcesses, "living", fail)
    for answer in (client.get("/model"), client.post("/model/reload")):
        assert answer.status_code == 200
        assert [worker["process"] for worker in answer.json()["workers"]] == [owner_name()]
        assert "the ledger cannot be used" in answer.json()["workers_unknown"]


def test_a_reload_names_the_process_that_has_not_followed(
    client: TestClient, published: Settings, generation: int
) -> None:
    report(published, ServedModel("an-older-one", generation - 1))
    answer = client.post("/model/reload").json()
    assert answer["followed"] is False
    behind = {w["process"] for w in answer["workers"] if w["generation"] != generation}
    assert behind == {ELSEWHERE}


def test_a_reload_says_why_a_process_could_not_follow(
    client: TestClient, published: Settings, generation: int
) -> None:
    report(published, ServedModel("an-older-one", 1, "network.onnx is missing", generation))
    answer = client.post("/model/reload", json={"symbol": "msft"}).json()
    assert answer["followed"] is False
    [there] = [w for w in answer["workers"] if w["process"] == ELSEWHERE]
    assert there["failure"] == "network.onnx is missing"


def test_nobody_has_followed_a_pointer_that_cannot_be_read(
    client: TestClient, published: Settings
) -> None:
    (Path(published.models_url) / "current" / "MSFT.json").write_text("{}")
    for body in (None, {"symbol": "MSFT"}):
        answer = client.post("/model/reload", json=body).json()
        assert [reload["outcome"] for reload in answer["reloads"]] == ["failed"]
        assert answer["followed"] is False


def test_whoever_follows_is_part_of_the_answer_to_a_rollback(
    client: TestClient, published: Settings, generation: int
) -> None:
    report(published, ServedModel("whatever", generation + 1))
    answer = client.post("/model/rollback", json=WHY).json()
    assert answer["followed"] is True
    assert {w["generation"] for w in answer["workers"]} == {generation + 1}
    assert answer["steps"]["MSFT"]["generation"] == generation + 1


def test_a_rollback_is_only_made_of_the_generation_that_was_read(
    client: TestClient, generation: int
) -> None:
    body = {**WHY, "expected_generation": generation}
    assert client.post("/model/rollback", json=body).status_code == 200
    again = client.post("/model/rollback", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "pointer_moved")
    assert again.json()["generation"] == generation + 1
    assert client.get("/model").json()["generation"] == generation + 1


def test_answers_name_version_and_generation(client: TestClient, generation: int) -> None:
    version = client.get("/model").json()["version"]
    for path in ("/model", "/drift/MSFT", "/forecast/MSFT"):
        headers = client.get(path).headers
        assert headers["x-model-version"] == version, path
        assert headers["x-model-generation"] == str(generation), path


# -- while there is no model --------------------------------------------------------------------

MODEL_ROUTES = ("/model", "/forecast/MSFT", "/drift/MSFT", "/performance/MSFT", "/health/ready")


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    made = Database(settings.ledger_url)
    yield made
    made.close()


@pytest.mark.parametrize("path", [*MODEL_ROUTES, "/predict"])
def test_while_the_first_model_is_trained_answers_say_how_far_it_is(
    empty_client: TestClient, database: Database, path: str
) -> None:
    job, _ = database.jobs.submit("train", "MSFT", {})
    database.jobs.claim("me")
    database.jobs.heartbeat(job.id, "me", {"stage": "train", "percent": 42.5})
    answer = (
        empty_client.post(path, json={"prices": WINDOW})
        if path == "/predict"
        else empty_client.get(path)
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")
    assert answer.headers["retry-after"]
    assert f"under way: train, 42.5 %. GET /train/{job.id} shows" in answer.json()["detail"]
    assert answer.json()["training"] == {
        "state": "running",
        "phase": "train",
        "percent": 42.5,
        "url": f"/train/{job.id}",
        "reason": None,
    }


def test_the_training_of_another_symbol_is_not_the_first_one(
    empty_client: TestClient, database: Database
) -> None:
    ours, _ = database.jobs.submit("train", "MSFT+1", {"symbols": ["AAPL", "MSFT"]})
    database.jobs.claim("me")
    database.jobs.finish(ours.id, "me", "failed", reason="no_prices: the source has none")
    database.jobs.submit("train", "KO", {"symbols": ["KO"]})
    problem = empty_client.get("/model").json()
    assert problem["training"]["url"] == f"/train/{ours.id}"
    assert "the last training has failed" in problem["detail"]


def test_a_first_training_that_failed_is_told_with_its_reason(
    empty_client: TestClient, database: Database
) -> None:
    job, _ = database.jobs.submit("train", "MSFT", {})
    database.jobs.claim("me")
    database.jobs.finish(job.id, "me", "failed", reason="no_prices: the source has none")
    problem = empty_client.get("/health/ready").json()
    assert "the last training has failed: no_prices: the source has none" in problem["detail"]
    assert problem["training"]["reason"] == "no_prices: the source has none"


def test_where_nobody_trains_the_answer_says_how_to(empty_client: TestClient) -> None:
    problem = empty_client.get("/model").json()
    assert (problem["status"], problem["code"]) == (503, "no_model")
    assert "POST /train" in problem["detail"]
    assert "training" not in problem


@pytest.mark.parametrize(
    "path", ["/forecast/WEGE3", "/forecast/WEGE3/today", "/model?symbol=WEGE3"]
)
def test_another_symbol_that_is_trained_says_how_far_it_is_and_when_to_ask_again(
    client: TestClient, published: Settings, path: str
) -> None:
    assert client.get(path).status_code == 404
    database = Database(published.ledger_url)
    job, _ = database.jobs.submit("train", "WEGE3.SA", {"symbols": ["WEGE3.SA"]})
    queued = client.get(path)
    database.jobs.claim("me")
    database.jobs.heartbeat(job.id, "me", {"stage": "train", "percent": 0.001})
    running = client.get(path)
    database.jobs.finish(job.id, "me", "failed", reason="no_prices: the source has none")
    ended = client.get(path)
    database.close()
    assert (queued.status_code, queued.json()["code"]) == (503, "no_model")
    assert "no model for WEGE3.SA yet" in queued.json()["detail"]
    assert "queued" in queued.json()["detail"]
    assert queued.headers["retry-after"] == "30"
    assert f"under way: train, 0.001 %. GET /train/{job.id}" in running.json()["detail"]
    wait_s = running.headers["retry-after"]
    assert 5 <= int(wait_s) <= 600
    assert running.json()["detail"].endswith(f"ask again in {wait_s} s")
    assert ended.status_code == 404


def test_a_window_of_many_says_so_of_each(empty_client: TestClient, database: Database) -> None:
    database.jobs.submit("train", "MSFT", {})
    problem = empty_client.post("/drift", json={"windows": [{"prices": WINDOW}]}).json()
    assert (problem["code"], problem["training"]["state"]) == ("no_model", "queued")


def test_a_window_of_a_batch_shows_the_first_training(
    empty_client: TestClient, database: Database
) -> None:
    database.jobs.submit("train", "MSFT", {})
    answer = empty_client.post("/predict/batch", json={"windows": [{"prices": WINDOW}]}).json()
    [refused] = answer["results"]
    assert refused["problem"]["training"]["state"] == "queued"


def test_predictions_are_timed_and_refusals_are_not(published: Settings) -> None:
    app = create_app(published)
    with TestClient(app) as client:
        latencies = app.state.service.latencies
        client.post("/predict", json={"prices": WINDOW[:3]})
        client.get("/model")
        assert latencies.quantile(0.95, window_s=600) is None
        assert client.post("/predict", json={"prices": WINDOW}).status_code == 200
        assert latencies.quantile(0.95, window_s=600) > 0
