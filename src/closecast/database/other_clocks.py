"""Differences between the clock of this machine and those of others that use the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from closecast.database.engine import Clock, Engine
from closecast.database.job_records import JOBS
from closecast.database.processes import PROCESSES
from closecast.infra.processes import place, place_of

TOLERANCE_S = 5.0
"""Difference of two clocks, in seconds, that is not worth a word."""


@dataclass(frozen=True, slots=True)
class OtherClock:
    """A clock that differs from the one of this machine.

    Attributes
    ----------
    owner : str
        ``database``, or the process that goes by it, as ``closecast.infra.processes`` names it.
    ahead_s : float
        Seconds by which it is ahead; negative where it is behind.
    """

    owner: str
    ahead_s: float


class OtherClocks:
    """Compares clocks: at once with the database's server, with other processes as they beat.

    A heartbeat that has come between two looks was written between them. Where its time is
    outside of them, its clock is another.
    """

    def __init__(self, engine: Engine, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock
        self._monotonic = monotonic
        self._seen: dict[str, int] = {}
        self._looked_s: float | None = None

    def look(self) -> OtherClock | None:
        """Find a clock that differs by more than ``TOLERANCE_S`` seconds.

        Raises
        ------
        StorageFailed
        """
        before = self._clock()
        server = self._engine.server_time()
        if server is not None and (ahead_s := _outside_s(server, before, self._clock())):
            return OtherClock("database", ahead_s)
        with self._engine.transaction(read_only=True) as connection:
            processes, c = sa.select(PROCESSES.c.id, PROCESSES.c.seen_at, PROCESSES.c.beats), JOBS.c
            jobs = sa.select(c.owner, c.heartbeat_at, c.beats).where(c.state == "running")
            found = [*connection.execute(processes), *connection.execute(jobs)]
        rows = [row for row in found if place_of(row[0]) != place()]  # here is one clock
        now, now_s = self._clock(), self._monotonic()
        seen, since_s = self._seen, self._looked_s
        self._seen = {owner: beats for owner, _, beats in rows}
        self._looked_s = now_s
        if since_s is None:
            return None
        last = now - timedelta(seconds=now_s - since_s)
        for owner, at, beats in rows:
            known = seen.get(owner)
            if known is not None and beats > known and (ahead_s := _outside_s(at, last, now)):
                return OtherClock(owner, ahead_s)
        return None


def _outside_s(moment: datetime, first: datetime, last: datetime) -> float:
    """Seconds from a span to a moment; 0 inside it, and within the tolerance."""
    distance_s = 0.0
    if moment > last:
        distance_s = (moment - last).total_seconds()
    elif moment < first:
        distance_s = (moment - first).total_seconds()
    return round(distance_s, 1) if abs(distance_s) > TOLERANCE_S else 0.0
