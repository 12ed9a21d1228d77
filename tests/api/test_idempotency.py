"""``Idempotency-Key`` on ``POST /train``: the first answer again, for good."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.schemas.training import TrainBody
from closecast.database import Database, JobState
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.support.live_server import live_server

BODY: dict[str, Any] = {"symbol": "KO", "hyperparameters": {"num_epochs": 3}}
KEY = {"Idempotency-Key": "d2b7b1f0"}


def same(first: Any, again: Any) -> bool:
    """Whether it is the same answer: status, place, job."""
    return bool(
        first.status_code == again.status_code == 202
        and first.headers["location"] == again.headers["location"]
        and first.json()["id"] == again.json()["id"]
    )


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_replay_is_the_first_answer_also_when_the_job_has_ended(
    client: TestClient, published: Settings, end: JobState
) -> None:
    first = client.post("/train", json=BODY, headers=KEY)
    assert same(first, client.post("/train", json=BODY, headers=KEY))
    database = Database(published.ledger_url)
    database.jobs.claim("me")
    database.jobs.finish(first.json()["id"], "me", end)
    again = client.post("/train", json=BODY, headers=KEY)
    assert same(first, again)
    assert again.json()["state"] == end
    assert len(client.get("/train").json()["jobs"]) == 1
    assert not same(first, client.post("/train", json=BODY))


def test_a_replay_is_the_first_answer_also_when_other_symbols_are_served(
    client: TestClient, published: Settings
) -> None:
    registry = Registry(published.models_url)
    of_both = next(m for m in registry.versions("AAPL") if len(m.info.symbols) == 2)
    first = client.post("/train", json={}, headers=KEY)
    assert first.json()["symbol"] == "MSFT"
    moved = {"version": of_both.version, "reason": "a test"}
    assert client.post("/model/promote", json=moved).status_code == 200
    assert same(first, client.post("/train", json={}, headers=KEY))
    other = client.post("/train", json={"preset": "quick"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (409, "job_conflict")


def test_a_replay_is_answered_also_where_the_request_could_not_be_any_more(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.post("/train", json=BODY, headers=KEY)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert same(first, client.post("/train", json=BODY, headers=KEY))
    assert client.post("/train", json=BODY).status_code == 503


def test_a_key_that_an_earlier_version_stored_with_the_symbol_is_still_known(
    client: TestClient, published: Settings
) -> None:
    database = Database(published.ledger_url)
    asked = TrainBody().model_dump_json()
    old = hashlib.sha256(json.dumps(["train", "MSFT+1", asked]).encode()).hexdigest()
    job, _ = database.jobs.submit("train", "MSFT+1", {}, KEY["Idempotency-Key"], asked)
    with sqlite3.connect(published.data_dir / "ledger.sqlite") as connection:
        connection.execute("UPDATE idempotency_keys SET request_digest = ?", [old])
    connection.close()
    database.close()
    again = client.post("/train", json={}, headers=KEY)
    assert (again.status_code, again.json()["id"]) == (202, job.id)
    assert client.post("/train", json=BODY, headers=KEY).status_code == 409


def test_the_key_of_another_request_is_refused(client: TestClient) -> None:
    first = client.post("/train", json=BODY, headers=KEY)
    other = client.post("/train", json={**BODY, "symbol": "AAPL"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (409, "job_conflict")
    assert other.headers["location"] == first.headers["location"]


def test_a_key_sent_many_times_at_once_is_one_job(published: Settings) -> None:
    with live_server(create_app(published)) as address, httpx.Client(base_url=address) as http:

        def send(_: int) -> Any:
            return http.post("/train", json=BODY, headers=KEY, timeout=60)

        with ThreadPoolExecutor(8) as pool:
            first, *others = pool.map(send, range(8))
        assert all(same(first, other) for other in others)
        assert len(http.get("/train").json()["jobs"]) == 1


def test_of_two_requests_at_once_with_one_key_one_is_refused(published: Settings) -> None:
    with live_server(create_app(published)) as address, httpx.Client(base_url=address) as http:

        def send(symbol: str) -> Any:
            return http.post("/train", json={**BODY, "symbol": symbol}, headers=KEY, timeout=60)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(send, ["KO", "AAPL"]))
        assert sorted(answer.status_code for answer in answers) == [202, 409]
