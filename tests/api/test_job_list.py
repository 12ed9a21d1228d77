"""``GET /train``: trainings and updates, by task and queue, in pages."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from closecast.database import Database
from closecast.settings import Settings

SYMBOLS = [f"S{i}" for i in range(7)]


@pytest.fixture
def jobs(client: TestClient, published: Settings) -> list[str]:
    """Identifiers, newest first: trainings and updates in turn."""
    database = Database(published.ledger_url)
    made = [
        database.jobs.submit(("train", "update")[i % 2], symbol, {})[0].id
        for i, symbol in enumerate(SYMBOLS)
    ]
    database.close()
    return made[::-1]


def listed(client: TestClient, **asked: Any) -> list[str]:
    answer = client.get("/train", params=asked)
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["jobs"]]


def test_updates_are_listed_with_trainings(client: TestClient, jobs: list[str]) -> None:
    answer = client.get("/train").json()
    assert [job["id"] for job in answer["jobs"]] == jobs
    assert answer["next"] is None
    assert {(job["task"], job["queue"]) for job in answer["jobs"]} == {
        ("train", "train"),
        ("update", "fast"),
    }


def test_by_task_and_by_queue(client: TestClient, jobs: list[str]) -> None:
    assert listed(client, task="train") == listed(client, queue="train") == jobs[::2]
    assert listed(client, task="update") == listed(client, queue="fast") == jobs[1::2]
    assert listed(client, task="update", queue="train") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("asked", [{}, {"queue": "fast"}, {"task": "train"}], ids=str)
def test_pages_hold_every_job_once(
    client: TestClient, jobs: list[str], limit: int, asked: dict[str, str]
) -> None:
    found, address = [], f"/train?{'&'.join(f'{k}={v}' for k, v in asked.items())}&limit={limit}"
    while address:
        page = client.get(address).json()
        assert len(page["jobs"]) <= limit
        found += [job["id"] for job in page["jobs"]]
        address = page["next"]
    assert found == listed(client, **asked)


def test_jobs_of_one_moment_are_on_one_page_each(
    client: TestClient, jobs: list[str], published: Settings
) -> None:
    engine = sa.create_engine(published.ledger_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE jobs SET created_at = '2026-01-02 12:00:00.000000'"))
    engine.dispose()
    first = client.get("/train?limit=4").json()
    second = client.get(first["next"]).json()
    found = [job["id"] for page in (first, second) for job in page["jobs"]]
    assert sorted(found) == sorted(jobs)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"task": "tune"}, 422),
        ({"queue": "slow"}, 422),
        ({"limit": 0}, 422),
        ({"before_id": "x"}, 404),
        ({"before_id": "0" * 32}, 404),
    ],
)
def test_an_impossible_question_is_refused(
    client: TestClient, asked: dict[str, Any], status: int
) -> None:
    assert client.get("/train", params=asked).status_code == status


def test_health_shows_both_queues(client: TestClient, jobs: list[str]) -> None:
    queues = client.get("/health").json()["queues"]
    assert {name: (one["queued"], one["running"]) for name, one in queues.items()} == {
        "fast": (3, 0),
        "train": (4, 0),
    }
    assert all(one["waiting_s"] >= 0 for one in queues.values())
