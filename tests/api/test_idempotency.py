"""``Idempotency-Key`` on ``POST /train``: the first answer again, for good."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.ledger import JobState, Ledger
from closecast.settings import Settings
from tests.live_server import live_server

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
    ledger = Ledger(published.ledger_url)
    ledger.jobs.claim("me")
    ledger.jobs.finish(first.json()["id"], "me", end)
    again = client.post("/train", json=BODY, headers=KEY)
    assert same(first, again)
    assert again.json()["state"] == end
    assert len(client.get("/train").json()["jobs"]) == 1
    assert not same(first, client.post("/train", json=BODY))


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
