"""A ledger that an earlier version wrote is given what is new, and keeps what it holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from closecast.database import Database
from closecast.errors import JobConflict

# As SQLAlchemy created it before there were attempts and a table of keys.
JOBS_BEFORE = """
CREATE TABLE jobs (
    id VARCHAR(32) NOT NULL, task VARCHAR(40) NOT NULL, symbol VARCHAR(40) NOT NULL,
    arguments JSON NOT NULL, fingerprint VARCHAR(64) NOT NULL,
    request_digest VARCHAR(64) NOT NULL, idempotency_key VARCHAR(255), state VARCHAR(10) NOT NULL,
    progress JSON NOT NULL, result JSON, reason TEXT, owner VARCHAR(200),
    cancel_requested BOOLEAN NOT NULL, created_at DATETIME NOT NULL, started_at DATETIME,
    heartbeat_at DATETIME, finished_at DATETIME, PRIMARY KEY (id), UNIQUE (idempotency_key)
);
INSERT INTO jobs VALUES (
    '00000000000000000000000000000001', 'train', 'MSFT', '{}', 'f', 'd', 'key', 'queued', '{}',
    NULL, NULL, NULL, 0, '2026-01-02 12:00:00.000000', NULL, NULL, NULL
);
"""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as old:
        old.executescript(JOBS_BEFORE)
    return Database(f"sqlite:///{tmp_path}/ledger.sqlite")


def test_jobs_of_before_wait_and_run(database: Database) -> None:
    [job] = database.jobs.newest()
    assert (job.symbol, job.state, job.attempts) == ("MSFT", "queued", 0)
    claimed = database.jobs.claim("me")
    assert claimed is not None
    assert (claimed.id, claimed.attempts) == (job.id, 1)


def test_a_key_of_before_still_belongs_to_its_request(database: Database) -> None:
    with pytest.raises(JobConflict, match="used for another request"):
        database.jobs.submit("train", "AAPL", {}, "key")


def test_a_ledger_is_brought_up_to_date_once(database: Database, tmp_path: Path) -> None:
    database.check()
    again = Database(f"sqlite:///{tmp_path}/ledger.sqlite")
    again.check()
    assert len(again.jobs.newest()) == 1
