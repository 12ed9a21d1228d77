"""``/model`` and ``/health``: what is served, how it changes, what happens when it cannot."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.errors import StorageFailed
from closecast.registry.documents import Pointer
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.api.test_predict import WINDOW
from tests.support.local_client import LocalClient

WHY = {"reason": "a test"}


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
    assert {"naive", "random_walk_drift", "ewma", "lstm"} <= set(rows)
    assert len(rows["lstm"]["steps"]) == 10
    assert rows["lstm"]["steps"][0]["naive_mape"] == rows["naive"]["steps"][0]["mape"]
    assert model["leak_check"]["passed"] is True
    assert model["data"][0]["basis"] == "adjusted"
    assert model["gate"]["outcome"] in ("promoted", "rejected", "not_enough_evidence")


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
        reload, *_ = client.post("/model/rollback", json=WHY).json()["reloads"]
        assert reload["serving_version"] == version, "whoever loaded it: the follower may be first"
        assert version_of(client) == version
        assert client.get("/model").json()["version"] == version
    assert client.post("/model/rollback", json=WHY).status_code == 404  # nothing earlier


@pytest.mark.parametrize("path", ["/model/promote", "/model/rollback"])
@pytest.mark.parametrize(
    "change",
    [
        *({"reason": None}, {"reason": ""}, {"reason": "  \t\n "}, {"reason": "x" * 501}),
        *({"by": ""}, {"by": "   "}, {"by": "x" * 101}, {"who": "ana"}),
    ],
    ids=lambda change: repr(change)[:24],
)
def test_a_pointer_is_not_moved_without_saying_why(
    client: TestClient, published: Settings, path: str, change: dict[str, Any]
) -> None:
    before = pointer_of(published)
    body = {**WHY, "version": before.history[0].version, **change}
    answer = client.post(path, json={k: v for k, v in body.items() if v is not None})
    assert answer.status_code == 422, answer.text
    [item] = answer.json()["errors"]
    assert item["pointer"] == f"/{next(iter(change))}"
    assert pointer_of(published) == before


@pytest.mark.parametrize("path", ["/model/promote", "/model/rollback"])
def test_a_pointer_is_not_moved_without_a_body(
    client: TestClient, published: Settings, path: str
) -> None:
    before = pointer_of(published)
    answer = client.post(path)
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"POST {path} needs a JSON body; /docs shows one"
    assert pointer_of(published) == before


def test_who_rolled_back_when_and_why_is_answered_and_kept(
    client: TestClient, published: Settings
) -> None:
    before = pointer_of(published)
    answer = client.post("/model/rollback", json={"reason": "too narrow", "by": "ana"}).json()
    step = pointer_of(published).history[-1]
    assert step == pointer_of(published).history[before.generation]
    assert (step.by, step.reason, step.kind) == ("ana", "too narrow", "rollback")
    assert (step.rolled_back, step.generation) == (before.version, before.generation + 1)
    assert answer["steps"] == {"MSFT": step.model_dump(mode="json")}
    [reload] = answer["reloads"]
    assert (reload["serving_version"], reload["reason"]) == (step.version, None)


def test_who_does_not_say_a_name_is_known_by_the_address(
    client: TestClient, published: Settings
) -> None:
    left = pointer_of(published).version
    assert client.post("/model/rollback", json=WHY).json()["steps"]["MSFT"]["by"].startswith("api:")
    answer = client.post("/model/promote", json={**WHY, "version": left})
    assert answer.status_code == 200, "a caller of the API is a person, whom no rollback binds"
    assert [s.by for s in pointer_of(published).history[-2:]] == ["api:127.0.0.1"] * 2


def test_a_person_promotes_what_the_gate_rejected(client: TestClient, published: Settings) -> None:
    before = pointer_of(published)
    rejected = published_again(published, gate={"MSFT": {"outcome": "rejected", "reason": "r"}})
    assert version_of(client) == before.version
    answer = client.post(
        "/model/promote",
        json={"symbol": "msft", "version": rejected, "reason": "I know better", "by": "ana"},
    )
    assert answer.status_code == 200, answer.text
    step = pointer_of(published).history[-1]
    assert answer.json()["steps"] == {"MSFT": step.model_dump(mode="json")}
    assert (step.version, step.by, step.kind) == (rejected, "ana", "promotion")
    assert (step.reason, step.rolled_back) == ("I know better", None)
    assert answer.json()["reloads"][0]["serving_version"] == rejected
    assert version_of(client) == rejected
    assert client.get("/model").json()["gate"]["outcome"] == "rejected"


def test_what_cannot_be_promoted_leaves_everything_as_it_was(
    client: TestClient, published: Settings
) -> None:
    registry = Registry(published.models_url)
    left = pointer_of(published).version
    client.post("/model/rollback", json={"reason": "too narrow", "by": "ana"})
    before = pointer_of(published)
    first = before.history[0].version
    unverified = published_again(published, leak_check={"passed": False, "failures": ["x"]})
    other = published_again(published, symbols=("ACME",))
    damaged = published_again(published)
    (Path(published.models_url) / "bundles" / damaged / "predictor.json").unlink()
    for changes, status, code, said in (
        ({"version": "../../etc/passwd"}, 404, "unknown_version", "is not a version"),
        ({"version": "20200101T000000Z-00000000"}, 404, "unknown_version", "no bundle"),
        ({"version": other}, 404, "unknown_version", "is for ACME, not for MSFT"),
        ({"version": first, "symbol": "ACME"}, 404, "unknown_version", "not for ACME"),
        ({"version": unverified}, 409, "unverified_bundle", f"closecast verify {unverified}"),
        ({"version": left, "by": "closecast"}, 409, "rolled_back", "ana rolled MSFT back"),
        ({"version": first, "expected_generation": 1}, 409, "pointer_moved", "generation 1"),
        ({"version": damaged}, 503, "damaged_bundle", "predictor.json is missing"),
    ):
        answer = client.post("/model/promote", json={**WHY, **changes})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert said in answer.json()["detail"]
        assert pointer_of(published) == before
        assert version_of(client) == before.version
    assert registry.pointer("ACME") is None


def test_a_promotion_against_the_generation_that_was_read_goes_through(
    client: TestClient, published: Settings
) -> None:
    model = client.get("/model").json()
    [_, before, *_] = model["history"]
    body = {
        **WHY,
        "version": before["version"],
        "expected_generation": model["history"][0]["generation"],
    }
    assert client.post("/model/promote", json=body).status_code == 200
    again = client.post("/model/promote", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "pointer_moved")
    assert again.json()["generation"] == pointer_of(published).generation


def test_the_newest_steps_of_the_pointer_are_shown_newest_first(
    client: TestClient, published: Settings
) -> None:
    registry = Registry(published.models_url)
    version = pointer_of(published).version
    for i in range(25):
        registry.promote("MSFT", version, f"step {i}", by="ana")
    history = client.get("/model").json()["history"]
    assert [step["reason"] for step in history] == [f"step {i}" for i in range(24, 4, -1)]
    newest = pointer_of(published).history[-1]
    assert history[0] == newest.model_dump(mode="json")


def test_the_model_of_a_short_history_shows_all_of_it(
    client: TestClient, published: Settings
) -> None:
    steps = pointer_of(published).history
    shown = [step["version"] for step in client.get("/model").json()["history"]]
    assert shown == [step.version for step in reversed(steps)]


@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04"])
def test_a_damaged_pointer_shows_no_history_and_a_promotion_mends_it(
    client: TestClient, published: Settings, content: bytes
) -> None:
    before = pointer_of(published)
    file_of_pointer(published).write_bytes(content)
    model = client.get("/model")
    assert model.status_code == 200
    assert (model.json()["history"], model.json()["published_version"]) == ([], None)
    listed = client.get("/model/versions")
    assert listed.status_code == 200, "what there is to promote"
    assert before.version in {v["version"] for v in listed.json()["versions"]}
    assert client.post("/model/rollback", json=WHY).json()["code"] == "damaged_bundle"
    assert version_of(client) == before.version

    other = before.history[0].version
    answer = client.post("/model/promote", json={**WHY, "version": other})
    assert answer.json()["reloads"][0]["serving_version"] == other
    assert version_of(client) == other
    assert client.get("/health").json()["status"] == "ok"


def test_health_is_told_while_the_models_cannot_be_read(
    client: TestClient, published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StorageFailed("the store is away")

    monkeypatch.setattr(Registry, "files_of", away)
    monkeypatch.setattr(Registry, "pointer", away)
    answer = client.get("/health")
    assert answer.status_code == 200
    health = answer.json()
    assert health["status"] == "degraded"
    assert health["failures"] == {"MSFT": "the store is away"}
    assert health["artefacts"]["model"] is False
    assert client.get("/health/ready").status_code == 200


def test_the_machine_is_described_after_the_data_folder_was_removed(
    published: Settings, tmp_path: Path
) -> None:
    elsewhere = published.model_copy(update={"ledger_url": f"sqlite:///{tmp_path}/ledger.sqlite"})
    with LocalClient(create_app(elsewhere), raise_server_exceptions=False) as client:
        shutil.rmtree(published.data_dir)
        answers = [client.get(path) for path in ("/health", "/monitor")]
        metrics = client.get("/metrics").text
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all(answer.json()["disk_free_gb"] > 0 for answer in answers)
    assert "\nclosecast_disk_free_bytes " in metrics


def test_a_promotion_is_followed_without_being_told(
    client: TestClient, published: Settings
) -> None:
    before = version_of(client)
    Registry(published.models_url).rollback("MSFT", "behind its back")
    assert eventually(lambda: version_of(client) != before)


def test_reload_looks_now_and_says_what_it_found(published: Settings) -> None:
    slow = published.model_copy(update={"pointer_poll_s": 2.0})
    with LocalClient(create_app(slow)) as client:
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
    client.post("/model/rollback", json={**WHY, "symbol": "MSFT"})
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
    with LocalClient(create_app(published), raise_server_exceptions=False) as client:
        answer = client.post("/predict", json={"prices": WINDOW})
        assert answer.status_code == 503
        assert answer.json()["code"] == "damaged_bundle"
        assert "network.onnx" in answer.json()["detail"]
        assert client.get("/health/ready").status_code == 503
        assert client.get("/health/live").status_code == 200
        # the one before is whole, and leads out
        assert client.post("/model/rollback", json=WHY).status_code == 200
        assert client.get("/health/ready").status_code == 200


def lose_a_file(bundle: Path) -> None:
    (bundle / "network.onnx").unlink()


def alter_a_byte(bundle: Path) -> None:
    content = bytearray((bundle / "predictor.json").read_bytes())
    content[len(content) // 2] ^= 0x01
    (bundle / "predictor.json").write_bytes(content)


def lose_the_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()


@pytest.mark.parametrize("damage", [lose_a_file, alter_a_byte, lose_the_manifest])
@pytest.mark.parametrize("way_out", ["rollback", "promote"])
def test_from_a_pointer_to_a_damaged_bundle_there_is_a_way_out(
    published: Settings, damage: Callable[[Path], None], way_out: str
) -> None:
    whole = pointer_of(published).version
    newer, newest = published_again(published), published_again(published)
    registry = Registry(published.models_url)
    for version in (newer, newest):
        registry.promote("MSFT", version, "a test")
        damage(Path(published.models_url) / "bundles" / version)
    with LocalClient(create_app(published), raise_server_exceptions=False) as fresh:
        answer = fresh.post("/predict", json={"prices": WINDOW})
        assert (answer.status_code, answer.json()["code"]) == (503, "damaged_bundle")
        assert newest in answer.json()["detail"]
        other = fresh.post("/predict", json={"prices": WINDOW, "symbol": "AAPL"})
        assert other.status_code == 200, "other symbols do not notice"
        if way_out == "rollback":  # the one before is damaged, too
            moved = fresh.post("/model/rollback", json=WHY)
        else:
            moved = fresh.post("/model/promote", json={**WHY, "version": whole})
        assert moved.json()["reloads"][0]["serving_version"] == whole, moved.text
        assert version_of(fresh) == whole
        assert fresh.get("/health").json()["status"] == "ok"


@pytest.mark.parametrize("damage", [lose_a_file, alter_a_byte, lose_the_manifest])
def test_a_running_process_keeps_the_one_before_a_damaged_bundle(
    client: TestClient, published: Settings, damage: Callable[[Path], None]
) -> None:
    serving = version_of(client)
    broken = published_again(published)
    damage(Path(published.models_url) / "bundles" / broken)
    point_at(published, broken)
    [reload] = client.post("/model/reload").json()["reloads"]
    assert (reload["outcome"], reload["serving_version"]) == ("failed", serving)
    assert broken in reload["reason"]
    assert version_of(client) == serving
    assert client.get("/health/ready").status_code == 200


def test_a_bundle_without_a_passed_leak_check_is_not_served(
    client: TestClient, published: Settings
) -> None:
    serving = version_of(client)
    unverified = published_again(published, leak_check={})
    point_at(published, unverified)  # the registry refuses to
    [reload] = client.post("/model/reload").json()["reloads"]
    assert (reload["outcome"], reload["serving_version"]) == ("failed", serving)
    assert version_of(client) == serving
    with LocalClient(create_app(published), raise_server_exceptions=False) as fresh:
        answer = fresh.post("/predict", json={"prices": WINDOW})
        assert (answer.status_code, answer.json()["code"]) == (503, "unverified_bundle")
        assert f"closecast verify {unverified}" in answer.json()["detail"]
        assert fresh.get("/health/ready").status_code == 503
        other = fresh.post("/predict", json={"prices": WINDOW, "symbol": "AAPL"})
        assert other.status_code == 200
        assert fresh.post("/train").status_code == 202, "training leads out, too"


_KILLED_BEFORE_PROMOTING = """
import os, signal, sys
from closecast.errors import StorageFailed
from closecast.registry.registry import Registry
registry = Registry(sys.argv[1])
bundle = registry.load(registry.pointer("MSFT").version)
print(registry.publish(bundle.manifest.info, bundle.files).version, flush=True)
registry._store.one_writer = lambda: os.kill(os.getpid(), signal.SIGKILL)
registry.promote("MSFT", registry.pointer("MSFT").version, "never")
"""


def test_a_trainer_killed_between_publishing_and_promoting_leaves_a_bundle_to_promote(
    client: TestClient, published: Settings
) -> None:
    before = pointer_of(published)
    command = [sys.executable, "-c", _KILLED_BEFORE_PROMOTING, published.models_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    version = done.stdout.strip()

    listed = client.get("/model/versions?symbol=MSFT").json()["versions"][0]
    assert (listed["version"], listed["current"]) == (version, False)
    assert pointer_of(published) == before
    assert client.post("/model/reload").json()["reloads"][0]["outcome"] == "unchanged"
    assert version_of(client) == before.version
    assert client.get("/health").json()["status"] == "ok"

    answer = client.post("/model/promote", json={**WHY, "version": version})
    assert answer.json()["reloads"][0]["serving_version"] == version
    assert version_of(client) == version
    assert pointer_of(published).generation == before.generation + 1


@pytest.mark.parametrize("version", ["../../etc/passwd", "20200101T000000Z-00000000", "x"])
def test_rollback_to_what_never_was_current_is_a_404(client: TestClient, version: str) -> None:
    before = version_of(client)
    answer = client.post("/model/rollback", json={**WHY, "version": version})
    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_version"
    assert version_of(client) == before


def test_unknown_symbols_are_404s(client: TestClient) -> None:
    assert client.get("/model?symbol=ACME").status_code == 404
    assert client.post("/model/reload", json={"symbol": "ACME"}).status_code == 404
    assert client.post("/model/rollback", json={**WHY, "symbol": "ACME"}).status_code == 404


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
    monkeypatch.setattr("api.routes.health.can_train", lambda: 1 / 0)
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


def file_of_pointer(settings: Settings) -> Path:
    return Path(settings.models_url) / "current" / "MSFT.json"


def pointer_of(settings: Settings) -> Pointer:
    pointer = Registry(settings.models_url).pointer("MSFT")
    assert pointer is not None
    return pointer


def published_again(settings: Settings, **changes: Any) -> str:
    """Another bundle with the files of the current one; not current."""
    registry = Registry(settings.models_url)
    bundle = registry.load(pointer_of(settings).version)
    info = bundle.manifest.info.model_copy(update=changes)
    return registry.publish(info, bundle.files).version


def point_at(settings: Settings, version: str) -> None:
    """Move a pointer by hand, past every check."""
    path = file_of_pointer(settings)
    pointer = json.loads(path.read_text())
    pointer["version"] = version
    pointer["generation"] += 1
    path.write_text(json.dumps(pointer))
