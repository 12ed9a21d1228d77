"""A clock that is set back by a day, and forward by a year, between any two calls."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from benchmarks.serving.served_model import asked_windows
from closecast.core.calendars import SessionTable
from closecast.core.symbols import exchange_of
from closecast.database import Database
from closecast.serving.dated.refresh import UPDATE, Refresh
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from tests.system.chaos.damage import SYMBOL, local_client
from tests.system.chaos.tally import Tally

LEASE = timedelta(seconds=30)
DAY, YEAR = timedelta(days=1), timedelta(days=365)
_JUMPS = (-DAY, YEAR, -YEAR, timedelta(minutes=10), -timedelta(seconds=1), timedelta(0))


class Jumping:
    """A clock that shows what it was set to, and a moment more with every look.

    Beside it one that only goes forward, as leases are judged by.
    """

    def __init__(self, start: datetime) -> None:
        self.now = start
        self.passed_s = 0.0

    def monotonic(self) -> float:
        return self.passed_s

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


def jump_clocks(settings: Settings, times: int, chance: random.Random, tally: Tally) -> None:
    """Let the clock of a service jump, and look at forecasts, jobs, leases and refreshes."""
    table = CalendarCache(settings.data_dir / "calendars").get(exchange_of(SYMBOL))
    assert table is not None
    with local_client(settings) as client:
        origin = client.get(f"/forecast/{SYMBOL}").json()["origin"]
    start = table.closes_at(np.datetime64(origin, "D")) + timedelta(hours=2)
    clock = Jumping(start)
    with (
        local_client(settings, clock=clock) as client,
        closing(Database(settings.ledger_url, clock, clock.monotonic)) as database,
    ):
        for _ in range(times):
            jump = chance.choice(_JUMPS)
            clock.now = start if not jump else clock.now + jump
            name = f"{jump.total_seconds() / 3600:+.1f} h" if jump else "set right again"
            tally.blow("clock", name)
            where = f"clock {name}"
            tally.blame(where, _answers(client, clock, table))
            tally.blame(where, _jobs(database, clock))
            tally.blame(where, _refreshes(database, clock, settings))


def _answers(client: TestClient, clock: Jumping, table: SessionTable) -> Iterator[str]:
    answer = client.post("/predict", json={"prices": asked_windows(2)[1]})
    if answer.status_code != 200:
        yield f"POST /predict: {answer.status_code}"
    for path in ("/health/ready", "/health", "/model", "/", "/metrics", f"/drift/{SYMBOL}"):
        if (answer := client.get(path)).status_code != 200:
            yield f"GET {path}: {answer.status_code} {answer.text[:200]}"
    answer = client.get(f"/forecast/{SYMBOL}")
    said: dict[str, Any] = answer.json()
    if answer.status_code == 200:
        closed = table.closes_at(np.datetime64(said["origin"], "D"))
        if closed > clock.now:
            yield f"a forecast from a close of {closed}, which is not over at {clock.now}"
        if said["age"] < 0:
            yield f"the closes are {said['age']} sessions old"
    elif answer.status_code not in (409, 503) or "code" not in said:
        yield f"GET /forecast: {answer.status_code} {answer.text[:200]}"


def _jobs(database: Database, clock: Jumping) -> Iterator[str]:
    """A job of a worker elsewhere that never speaks again is taken back after its lease."""
    here = database.jobs
    job, _ = here.submit("chaos", SYMBOL, {"at": clock.now.isoformat()})
    owner = "elsewhere/0-1:1:1"
    claimed = here.claim(owner)
    if claimed is None or claimed.id != job.id:
        yield f"job {job.id} is not to be had"
        return
    here.heartbeat(job.id, owner, {})
    if here.bury_dead(LEASE, lambda _: None):
        yield "a job whose worker has just spoken is taken from it"
    spoken = clock.now
    for jump in (-DAY, YEAR):
        clock.now = spoken + jump
        if here.bury_dead(LEASE, lambda _: None):
            yield "a job is taken from its worker because a clock was set"
        if here.bury_dead(LEASE, lambda _: True):
            yield "a job is taken from a living worker"
    clock.now = spoken - DAY
    clock.passed_s += LEASE.total_seconds() + 1
    here.bury_dead(LEASE, lambda _: None)
    clock.now = spoken
    if here.get(job.id).state == "running":
        yield "a job of a worker that is gone runs on until the clock catches up"
    here.cancel(job.id)


def _refreshes(database: Database, clock: Jumping, settings: Settings) -> Iterator[str]:
    """Newer closes are asked for again, though the last attempt is dated a year ahead."""
    quick = settings.model_copy(update={"forecast_wait_s": 0.0})
    refresh = Refresh(database, quick, clock, has_worker=True, monotonic=clock.monotonic)
    right = clock.now
    clock.now += YEAR
    ahead = refresh.request_update("version", [SYMBOL])
    clock.now = right
    assert ahead is not None
    database.jobs.cancel(ahead.id)
    again = None
    for _ in range(2):  # the first look finds its end, which by its date may be of this moment
        clock.passed_s += quick.refresh_after_s
        again = refresh.request_update("version", [SYMBOL])
    if again is None or again.id == ahead.id:
        yield "nobody asks for newer closes until the clock catches up"
    for job in database.jobs.newest(states=("queued",), task=UPDATE):
        database.jobs.cancel(job.id)
