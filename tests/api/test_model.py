"""``/model`` and ``/health``: what is served, how it changes, what happens when it cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.registry import Registry
from closecast.settings import Settings
from tests.api.test_predict import WINDOW


def version_of(client: TestClient) -> str:
    return client.post("/predict", json={"prices": WINDOW}).json()["model_version"]


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(100):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_the_model_is_shown_with_naive_beside_every_score(client: TestClient) -> None:
    model = client.get("/model").json()
    assert model["forecaster"] == "lstm"
    assert model["version"] == model["published_version"]
    rows = {row["forecaster"]: row for row in model["evaluation"]["rows"]}
    assert {"naive", "drift", "ewma", "lstm"} <= set(rows)
    assert len(rows["lstm"]["steps"]) == 10
    assert rows["lstm"]["steps"][0]["naive_mape"] == rows["naive"]["steps"][0]["mape"]
    assert model["leak_check"]["passed"] is True
    assert model["data"][0]["basis"] == "adjusted"
    assert model["gate"]["outcome"] in ("promoted", "not_enough_evidence")


def test_versions_are_listed_newest_first(client: TestClient) -> None:
    versions = client.get("/model/versions?symbol=MSFT").json()["versions"]
    assert [v["forecaster"] for v in versions] == ["lstm", "mlp", "ewma"]
    assert [v["current"] for v in versions] == [True, True, False]  # the second for AAPL
    versions = client.get("/model/versions?symbol=AAPL").json()["versions"]
    assert [v["forecaster"] for v in versions] == ["mlp", "ewma"]
    assert len(client.get("/model/versions").json()["versions"]) == 3


def test_rollback_goes_back_and_serves_at_once(client: TestClient) -> None:
    newest, *before = [
        v["version"] for v in client.get("/model/versions?symbol=MSFT").json()["versions"]
    ]
    assert version_of(client) == newest
    for version in before:
        answer = client.post("/model/rollback", json={"reason": "a test"})
        assert answer.json()["reloads"][0]["outcome"] == "swapped"
        assert version_of(client) == version
        assert client.get("/model").json()["version"] == version
    assert client.post("/model/rollback").status_code == 404  # nothing earlier


def test_a_promotion_is_followed_without_being_told(
    client: TestClient, published: Settings
) -> None:
    before = version_of(client)
    Registry(published.models_url).rollback("MSFT", "behind its back")
    assert eventually(lambda: version_of(client) != before)


def test_reload_looks_now_and_says_what_it_found(published: Settings) -> None:
    slow = published.model_copy(update={"pointer_poll_s": 2.0})
    with TestClient(create_app(slow)) as client:
        unchanged = client.post("/model/reload").json()["reloads"]
        assert [r["outcome"] for r in unchanged] == ["unchanged"]
        pointer = Registry(published.models_url).rollback("MSFT", "a test")
        [reload] = client.post("/model/reload").json()["reloads"]
        assert reload["outcome"] == "swapped"
        assert reload["serving_version"] == pointer.version == version_of(client)


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "predictor.json", "network.onnx", "intervals.json", "baseline_stats.json"],
)
def test_a_damaged_bundle_leaves_the_old_one_serving(
    client: TestClient, published: Settings, name: str
) -> None:
    registry = Registry(published.models_url)
    newest = registry.pointer("MSFT")
    assert newest is not None
    client.post("/model/rollback", json={"symbol": "MSFT"})
    serving = version_of(client)
    file = Path(published.models_url) / "bundles" / newest.version / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    point_at(published, newest.version)  # as a careless hand would

    [reload] = client.post("/model/reload", json={"symbol": "MSFT"}).json()["reloads"]
    assert reload["outcome"] == "failed"
    assert newest.version in reload["reason"]
    assert version_of(client) == serving
    health = client.get("/health").json()
    assert health["status"] == "degraded"
    assert "MSFT" in health["failures"]
    assert client.get("/health/ready").status_code == 200


def test_a_damaged_bundle_with_none_before_is_a_503(published: Settings) -> None:
    pointer = Registry(published.models_url).pointer("MSFT")
    assert pointer is not None
    (Path(published.models_url) / "bundles" / pointer.version / "network.onnx").unlink()
    with TestClient(create_app(published), raise_server_exceptions=False) as client:
        answer = client.post("/predict", json={"prices": WINDOW})
        assert answer.status_code == 503
        assert answer.json()["code"] == "damaged_bundle"
        assert "network.onnx" in answer.json()["detail"]
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
        # the one before is whole, and leads out
        assert client.post("/model/rollback").status_code == 200
        assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("version", ["../../etc/passwd", "20200101T000000Z-00000000", "x"])
def test_rollback_to_what_never_was_current_is_a_404(client: TestClient, version: str) -> None:
    before = version_of(client)
    assert client.post("/model/rollback", json={"version": version}).status_code == 404
    assert version_of(client) == before


def test_unknown_symbols_are_404s(client: TestClient) -> None:
    assert client.get("/model?symbol=ACME").status_code == 404
    assert client.post("/model/reload", json={"symbol": "ACME"}).status_code == 404
    assert client.post("/model/rollback", json={"symbol": "ACME"}).status_code == 404


def test_a_symbol_is_loaded_when_it_is_first_asked_for(client: TestClient) -> None:
    assert [m["symbol"] for m in client.get("/health").json()["models"]] == ["MSFT"]
    client.post("/predict", json={"prices": WINDOW, "symbol": "AAPL"})
    assert [m["symbol"] for m in client.get("/health").json()["models"]] == ["MSFT", "AAPL"]


def test_health_tells_machine_artefacts_and_versions(client: TestClient) -> None:
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["ledger"] == "ok"
    assert all(health["artefacts"].values())
    assert 0 < health["memory_percent"] <= 100
    assert health["process_memory_mb"] > 10
    [model] = health["models"]
    assert model["serving_version"] == model["published_version"]


def test_before_any_training_it_lives_and_is_not_ready(empty_client: TestClient) -> None:
    assert empty_client.get("/health/live").json() == {"status": "alive"}
    assert empty_client.get("/health/ready").status_code == 503
    assert empty_client.get("/health").json()["status"] == "no_model"
    assert empty_client.get("/model").status_code == 503
    assert empty_client.get("/model/versions").json() == {"versions": []}


def test_a_first_model_is_picked_up_by_a_running_service(
    empty_client: TestClient, settings: Settings, published: Settings
) -> None:
    del settings  # the same folder: the fixture has just filled it
    assert eventually(lambda: empty_client.get("/health/ready").status_code == 200)
    assert version_of(empty_client) == Registry(published.models_url).pointer("MSFT").version  # type: ignore[union-attr]


def test_an_unexpected_error_is_a_problem_with_the_request_id(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.cpu_percent", lambda: 1 / 0)
    answer = client.get("/health", headers={"x-request-id": "abc-9"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "abc-9"
    assert "ZeroDivision" not in answer.text


def test_artefacts_are_looked_for_on_the_disk(client: TestClient, published: Settings) -> None:
    version = version_of(client)
    (Path(published.models_url) / "bundles" / version / "intervals.json").unlink()
    assert client.get("/health").json()["artefacts"]["intervals"] is False


def test_what_is_not_there_is_a_problem_document_too(client: TestClient) -> None:
    for answer, status in (
        (client.get("/nowhere"), 404),
        (client.get("/predict"), 405),
        (client.put("/config", json={}), 405),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.headers["x-request-id"]


def point_at(settings: Settings, version: str) -> None:
    """Move a pointer by hand, past every check."""
    path = Path(settings.models_url) / "current" / "MSFT.json"
    pointer = json.loads(path.read_text())
    pointer["version"] = version
    pointer["generation"] += 1
    path.write_text(json.dumps(pointer))
