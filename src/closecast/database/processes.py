"""API processes: their heartbeats, the models they serve, and their latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine
from closecast.database.silence import SilenceWatch

SILENT_S = 10.0
"""Longest silence of a living process of another machine, in seconds: five heartbeats."""

PROCESSES = sa.Table(
    "processes",
    METADATA,
    sa.Column("id", sa.String(300), primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("p95_ms", sa.Double),
    sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"),
)
_served = sa.Table(
    "served",
    METADATA,
    sa.Column("process", sa.String(300), primary_key=True),
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("version", sa.String(100)),
    sa.Column("generation", sa.BigInteger),
    sa.Column("failure", sa.Text),
    sa.Column("failed_generation", sa.BigInteger),
    sa.Column("since", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that a process serves for one symbol.

    Attributes
    ----------
    version, generation
        ``None`` if the process has no model for the symbol.
    failure : str, optional
        Reason why it could not load the bundle of the pointer.
    failed_generation : int, optional
        Generation of the pointer that it could not follow, if it could be read.
    """

    version: str | None
    generation: int | None
    failure: str | None = None
    failed_generation: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A living API process and the model that it serves for one symbol.

    Attributes
    ----------
    serving : ServedModel, optional
        ``None`` before the first request for the symbol.
    since : datetime, optional
        Time since which it serves this model.
    """

    id: str
    started_at: datetime
    seen_at: datetime
    p95_ms: float | None
    serving: ServedModel | None
    since: datetime | None


class ApiProcesses:
    """Table of API processes. A report that fails is repeated at the next heartbeat."""

    def __init__(
        self, engine: Engine, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._silence = SilenceWatch(monotonic)

    def report(
        self,
        process: str,
        started_at: datetime,
        served: Mapping[str, ServedModel],
        p95_ms: float | None = None,
        *,
        whole: bool,
    ) -> None:
        """Store the models that a process serves now.

        Parameters
        ----------
        served : mapping
            Models by symbol: all of them, or only the changed ones.
        p95_ms : float, optional
            95th percentile of the duration of its recent predictions, in milliseconds.
        whole : bool
            Whether models of an earlier report that are not in this one are deleted.
        """
        now = self._clock()
        own = _served.c.process == process
        if not whole:
            own &= _served.c.symbol.in_(served)
        with self._engine.transaction() as connection:
            connection.execute(PROCESSES.delete().where(PROCESSES.c.id == process))
            connection.execute(
                PROCESSES.insert().values(
                    id=process, started_at=started_at, seen_at=now, p95_ms=p95_ms
                )
            )
            connection.execute(_served.delete().where(own))
            if served:
                rows = [
                    {
                        "process": process,
                        "symbol": symbol,
                        "since": now,
                        **{name: getattr(one, name) for name in ServedModel.__slots__},
                    }
                    for symbol, one in served.items()
                ]
                connection.execute(_served.insert(), rows)

    def beat(self, process: str, p95_ms: float | None) -> bool:
        """Record a heartbeat; return ``False`` if the process is unknown and has to report."""
        with self._engine.transaction() as connection:
            known = connection.execute(
                PROCESSES.update()
                .where(PROCESSES.c.id == process)
                .values(seen_at=self._clock(), p95_ms=p95_ms, beats=PROCESSES.c.beats + 1)
            )
        return bool(known.rowcount)

    def forget(self, process: str) -> None:
        """Delete a process that ends."""
        with self._engine.transaction() as connection:
            _remove(connection, [process])

    def forget_dead(self, is_alive: Callable[[str], bool | None]) -> list[str]:
        """Delete processes that died; return their names."""
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(PROCESSES.select()).all()
        self._silence.forget_all_but(row.id for row in rows)
        dead = [row.id for row in rows if not self._lives(row, is_alive)]
        if dead:
            with self._engine.transaction() as connection:
                _remove(connection, dead)
        return dead

    def living(
        self, symbols: Sequence[str], is_alive: Callable[[str], bool | None]
    ) -> dict[str, list[ProcessState]]:
        """List for each symbol the living processes and their models, the oldest process first.

        Parameters
        ----------
        is_alive : callable
            Answers for a process: alive, dead, or ``None`` on another machine, where it counts as
            alive until no heartbeat has come for ``SILENT_S`` seconds since this was first called.
        """
        c = _served.c
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(
                PROCESSES.select().order_by(PROCESSES.c.started_at, PROCESSES.c.id)
            ).all()
            found = connection.execute(_served.select().where(c.symbol.in_(symbols)))
            served = {(row.process, row.symbol): row for row in found}
        alive = [row for row in rows if self._lives(row, is_alive)]
        return {
            symbol: [_state(row, served.get((row.id, symbol))) for row in alive]
            for symbol in symbols
        }

    def slowest_p95_ms(self, place: str, is_alive: Callable[[str], bool | None]) -> float | None:
        """Return the largest p95 of predictions among living processes of one place.

        Parameters
        ----------
        place : str
            As :func:`closecast.infra.processes.place` names it.

        Returns
        -------
        float or None
            In milliseconds; ``None`` where no process reports any.
        """
        c = PROCESSES.c
        query = sa.select(c.id, c.seen_at, c.p95_ms, c.beats).where(
            c.p95_ms.is_not(None), c.id.startswith(f"{place}:", autoescape=True)
        )
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(query).all()
        # The last report of a process that hangs must not hold a training for ever.
        recent = [
            row.p95_ms
            for row in rows
            if self._speaks(row.id, row.beats, row.seen_at) and is_alive(row.id) is not False
        ]
        return max(recent, default=None)

    def _lives(self, row: Row[Any], is_alive: Callable[[str], bool | None]) -> bool:
        speaks, alive = self._speaks(row.id, row.beats, row.seen_at), is_alive(row.id)
        return speaks if alive is None else alive

    def _speaks(self, process: str, beats: int, seen_at: datetime) -> bool:
        """Check for a new report within ``SILENT_S`` seconds; ``True`` at the first look.

        Counted on the clock of this process: that of the other machine may be hours away.
        """
        return self._silence.silent_s(process, (beats, seen_at)) <= SILENT_S


def _remove(connection: Connection, processes: Iterable[str]) -> None:
    names = list(processes)
    connection.execute(_served.delete().where(_served.c.process.in_(names)))
    connection.execute(PROCESSES.delete().where(PROCESSES.c.id.in_(names)))


def _state(process: Row[Any], served: Row[Any] | None) -> ProcessState:
    return ProcessState(
        id=process.id,
        started_at=process.started_at,
        seen_at=process.seen_at,
        p95_ms=process.p95_ms,
        serving=None
        if served is None
        else ServedModel(**{name: getattr(served, name) for name in ServedModel.__slots__}),
        since=None if served is None else served.since,
    )
