"""The table of jobs, and the record that a row becomes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Row

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ACTIVE: tuple[JobState, ...] = ("queued", "running")

Queue = Literal["fast", "train"]
QUEUES: tuple[Queue, ...] = ("fast", "train")
"""Queues of jobs: collecting and absorbing closes takes seconds, a training up to hours."""

_FAST_TASKS = ("update",)

JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("task", sa.String(40), nullable=False),
    sa.Column("symbol", sa.String(40), nullable=False),
    sa.Column("arguments", sa.JSON, nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("idempotency_key", sa.String(255), unique=True),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    sa.Column("result", sa.JSON),
    sa.Column("reason", sa.Text),
    sa.Column("owner", sa.String(200)),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("started_at", UtcDateTime),
    sa.Column("heartbeat_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    # NULL in rows of an earlier version, which had one queue for all.
    sa.Column("queue", sa.String(10)),
    # Another number with every heartbeat: times of a machine whose clock was set may come again.
    sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"),
)
job_queue = sa.func.coalesce(
    JOBS.c.queue, sa.case((JOBS.c.task.in_(_FAST_TASKS), "fast"), else_="train")
)
"""The queue of a row, in SQL."""

# The database itself forbids two active jobs for one symbol, even of simultaneous requests.
_one_active = sa.Index(
    "one_active_job_per_symbol",
    JOBS.c.task,
    JOBS.c.symbol,
    unique=True,
    sqlite_where=JOBS.c.state.in_(ACTIVE),
    postgresql_where=JOBS.c.state.in_(ACTIVE),
)
# A table of its own: a key may also belong to a job that another request had queued before.
KEYS = sa.Table(
    "idempotency_keys",
    METADATA,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_digest", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(32), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Job:
    """One job: task and arguments, state and progress, result or reason of the end.

    Attributes
    ----------
    attempts : int
        Number of times that a worker has begun the job; 2 at most, where the first worker died.
    reason : str, optional
        Cause of the end, where the job did not succeed.
    owner : str, optional
        The worker that runs it, as :func:`closecast.infra.processes.owner_name` names it.
    heartbeat_at : datetime, optional
        Last sign of life of that worker, aware (UTC) like all moments, on its own clock.
    queue : str
        The queue that it is delivered by.
    """

    id: str
    task: str
    symbol: str
    arguments: Mapping[str, Any]
    state: JobState
    progress: Mapping[str, Any]
    result: Mapping[str, Any] | None
    reason: str | None
    owner: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None
    attempts: int = 0
    queue: Queue = "train"


def queue_of(task: str) -> Queue:
    """Queue in which jobs of a task wait."""
    return "fast" if task in _FAST_TASKS else "train"


def to_job(row: Row[Any]) -> Job:
    """Convert a row of the table."""
    values = {name: getattr(row, name) for name in Job.__slots__}
    return Job(**{**values, "queue": row.queue or queue_of(row.task)})


def digest(value: Any) -> str:
    """Hash a JSON value: SHA-256 in hexadecimal digits, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
