"""Delivery of jobs: the local backend over SQLite and PostgreSQL, and submit as its only door."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from closecast.database import Database
from closecast.errors import StorageFailed, UnknownName
from closecast.jobs.backends import JobBackend, make_backend
from closecast.jobs.backends.local import LocalBackend
from tests.contracts.job_backend import JobBackendContract
from tests.database.test_database import Place

pytest_plugins = ["tests.support.database_url"]

ROOT = Path(__file__).parents[2]


class TestLocalBackend(JobBackendContract):
    @pytest.fixture
    def database(self, place: Place) -> Database:
        return place.database()

    @pytest.fixture
    def backend(self, database: Database) -> JobBackend:
        return LocalBackend(database)


def test_an_unknown_backend_is_refused_with_the_names_of_those_there_are(
    database: Database,
) -> None:
    with pytest.raises(UnknownName, match="valid: local"):
        make_backend("pigeon", database)


def test_submit_publishes_what_is_queued_and_nothing_else(database: Database) -> None:
    published: list[str] = []
    database.jobs.publish_with(lambda job_id, _: published.append(job_id))
    job, _ = database.jobs.submit("train", "MSFT", {})
    assert published == [job.id]
    database.jobs.submit("train", "MSFT", {})  # the same request: a lost delivery is repaired
    assert published == [job.id, job.id]
    database.jobs.claim("me")
    database.jobs.submit("train", "MSFT", {})
    assert published == [job.id, job.id]


def test_a_job_is_stored_before_it_is_published(database: Database) -> None:
    states: list[str] = []
    database.jobs.publish_with(lambda job_id, _: states.append(database.jobs.get(job_id).state))
    database.jobs.submit("train", "MSFT", {})
    assert states == ["queued"]


def test_a_job_that_cannot_be_published_stays_queued(database: Database) -> None:
    def fail(*_: str) -> None:
        raise StorageFailed("the broker is away")

    database.jobs.publish_with(fail)
    with pytest.raises(StorageFailed):
        database.jobs.submit("train", "MSFT", {})
    assert [job.state for job in database.jobs.newest()] == ["queued"]


def test_a_job_taken_from_a_dead_worker_is_published_again(database: Database) -> None:
    published: list[str] = []
    job, _ = database.jobs.submit("train", "MSFT", {})
    database.jobs.claim("dead")
    database.jobs.publish_with(lambda job_id, _: published.append(job_id))
    database.jobs.bury_dead(timedelta(seconds=30), lambda _: False)
    assert published == [job.id]


def test_a_job_is_published_to_the_queue_of_its_task(database: Database) -> None:
    published: list[tuple[str, str]] = []
    database.jobs.publish_with(lambda job_id, queue: published.append((job_id, queue)))
    train, _ = database.jobs.submit("train", "MSFT", {})
    update, _ = database.jobs.submit("update", "MSFT", {})
    assert published == [(train.id, "train"), (update.id, "fast")]
    assert (train.queue, update.queue) == ("train", "fast")


def test_a_named_job_is_claimed_once(database: Database) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {})
    second, _ = database.jobs.submit("train", "AAPL", {})
    claimed = database.jobs.claim("me", second.id)
    assert claimed is not None
    assert claimed.id == second.id
    assert database.jobs.claim("me", second.id) is None
    assert database.jobs.next_queued() == first.id
    assert database.jobs.claim("me", "0" * 32) is None


def test_backends_are_known_only_where_a_process_is_wired() -> None:
    """Everything else submits: a caller that also had to publish would forget it somewhere."""
    users = {
        str(file.relative_to(ROOT))
        for folder in ("src/closecast", "api", "scripts")
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(from|import) closecast\.jobs\.backends", file.read_text(), re.MULTILINE)
        and file.parent.name != "backends"
    }
    assert users == {"api/service.py", "src/closecast/jobs/worker.py"}
