"""``GET /health`` is ``ok`` only where everything that the service stands on is."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.errors import StorageFailed
from closecast.infra import write_probe
from closecast.jobs.worker_failures import note_failures, reason_of_exit
from closecast.registry.object_store import Store
from closecast.serving import health
from closecast.settings import Settings
from tests.api.test_predict import WINDOW
from tests.conftest import settings_in
from tests.support.local_client import LocalClient


@pytest.fixture(autouse=True)
def _no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is a new look at the disk."""
    monkeypatch.setattr(health, "PROBED_EVERY_S", 0.0)


def codes(client: TestClient) -> set[str]:
    answer = client.get("/health")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert all(reason["message"] and reason["remedy"] for reason in body["reasons"])
    assert (body["status"] == "ok") == (not body["reasons"])
    return {reason["code"] for reason in body["reasons"]}


def fails_to_write(monkeypatch: pytest.MonkeyPatch, number: int, part: str = "") -> None:
    opened = os.open

    def fail(path: Any, *rest: Any, **more: Any) -> int:
        if ".write-probe-" in str(path) and part in str(path):
            raise OSError(number, os.strerror(number))
        return opened(path, *rest, **more)

    monkeypatch.setattr(write_probe.os, "open", fail)


def test_a_sound_service_has_no_reason(client: TestClient) -> None:
    assert codes(client) == set()


def test_without_a_model_the_reason_is_named(empty_client: TestClient) -> None:
    answer = empty_client.get("/health").json()
    assert answer["status"] == "no_model"
    assert [reason["code"] for reason in answer["reasons"]] == ["no_model"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk_full"), (errno.EROFS, "folder_read_only"), (errno.EIO, "folder_failing")],
    ids=str,
)
def test_a_data_folder_that_cannot_be_written_is_a_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    fails_to_write(monkeypatch, number)
    assert codes(client) == {code}
    assert client.get("/health/ready").status_code == 200, "predictions go on"
    assert client.post("/predict", json={"prices": WINDOW}).status_code == 200
    monkeypatch.undo()
    assert codes(client) == set()


def test_a_disk_that_is_nearly_full_is_a_reason(published: Settings) -> None:
    greedy = published.model_copy(update={"disk_reserve_mb": 10**9})
    with LocalClient(create_app(greedy)) as client:
        assert codes(client) == {"disk_low"}


def test_folders_that_a_worker_writes_to_are_probed_where_there_is_one(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_to_write(monkeypatch, errno.EROFS, "/models/")
    with LocalClient(create_app(published)) as client:
        assert codes(client) == set(), "this service only reads them"
    training = published.model_copy(update={"worker_enabled": True})
    with LocalClient(create_app(training)) as client:
        assert codes(client) == {"folder_read_only"}


def test_a_disk_that_hangs_keeps_nobody_waiting(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, opened = threading.Event(), os.open

    def hang(path: Any, *rest: Any, **more: Any) -> int:
        if ".write-probe-" in str(path):
            go_on.wait(60)
        return opened(path, *rest, **more)

    monkeypatch.setattr(write_probe.os, "open", hang)
    try:
        assert codes(client) == {"folder_silent"}
        assert codes(client) == {"folder_silent"}
    finally:
        go_on.set()
    assert any(codes(client) == set() or time.sleep(0.1) for _ in range(50))


def test_a_served_bundle_that_is_gone_is_a_reason(client: TestClient, published: Settings) -> None:
    client.post("/predict", json={"prices": WINDOW})
    shutil.rmtree(Path(published.models_url) / "bundles")
    assert "bundle_gone" in codes(client)
    assert client.get("/health/ready").status_code == 200


def test_a_store_that_does_not_answer_is_a_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/predict", json={"prices": WINDOW})

    def away(*_: object) -> bytes:
        raise StorageFailed("cannot read s3://bucket: the store is away")

    monkeypatch.setattr(Store, "read", away)
    monkeypatch.setattr(Store, "names", away)
    assert "models_unreadable" in codes(client)


def test_a_deleted_ledger_is_a_reason(client: TestClient, published: Settings) -> None:
    assert codes(client) == set()
    for path in published.data_dir.glob("ledger.sqlite*"):
        path.unlink()
    # A thread that writes at this moment finds the ledger unusable, once.
    assert any(codes(client) == {"ledger_new"} for _ in range(100))


def test_a_worker_that_ends_again_and_again_is_a_reason(
    client: TestClient, published: Settings
) -> None:
    note_failures(published.data_dir, 1, reason_of_exit(1), "train")
    assert codes(client) == set(), "once is chance"
    note_failures(published.data_dir, 3, reason_of_exit(-9), "train")
    assert codes(client) == {"worker_failing"}
    note_failures(published.data_dir, 0, "", "train")
    assert codes(client) == set()


def test_keys_that_cannot_be_read_again_are_a_reason(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(published)
    with LocalClient(app) as client:
        assert codes(client) == set()
        published.keys_path.write_text("{")
        monkeypatch.setattr("closecast.infra.api_keys._LOOK_S", 0.0)
        for _ in range(20):
            found = app.state.service.health.look().troubles
            client.get("/health")
            if found:
                break
            time.sleep(0.1)
        assert [trouble.code for trouble in found] == ["keys_unreadable"]


def test_a_clock_that_is_behind_is_a_reason(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(0)

    monkeypatch.setattr(health, "datetime", Behind)
    assert codes(client) == {"clock_off"}


@pytest.fixture
def training(published: Settings) -> Settings:
    return published.model_copy(update={"worker_enabled": True})


def test_a_training_that_could_not_write_is_refused_at_once(
    training: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalClient(create_app(training)) as client:
        fails_to_write(monkeypatch, errno.EROFS, "/models/")
        answer = client.post("/train", json={"symbol": "MSFT", "forecaster": "ewma"})
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
        assert "CLOSECAST_MODELS_URL" in answer.json()["detail"]
        assert "nothing was begun" in answer.json()["detail"]
        assert "retry-after" in answer.headers
        assert client.get("/train").json()["jobs"] == []


def test_a_service_whose_worker_is_elsewhere_leaves_the_check_to_it(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_to_write(monkeypatch, errno.EROFS, "/models/")
    assert client.post("/train", json={"symbol": "MSFT", "forecaster": "ewma"}).status_code == 202


def test_settings_of_tests_have_no_worker(tmp_path: Path) -> None:
    assert settings_in(tmp_path).worker_enabled is False
