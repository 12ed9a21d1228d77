"""Which API processes there are, what each serves, and how fast it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine

SILENT = timedelta(seconds=10)
"""A process of another machine that said nothing for so long counts as gone: five heartbeats."""

_processes = sa.Table(
    "processes",
    METADATA,
    sa.Column("id", sa.String(300), primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.Column("p95_ms", sa.Double),
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
    """What a process serves for one symbol.

    Attributes
    ----------
    version, generation
        ``None`` if it has nothing for the symbol.
    failure : str, optional
        Why it could not load what the pointer leads to.
    failed_generation : int, optional
        Of the pointer that it could not follow, where that could be read.
    """

    version: str | None
    generation: int | None
    failure: str | None = None
    failed_generation: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A living API process, and what it serves for the symbol that was asked about.

    Attributes
    ----------
    serving : ServedModel, optional
        ``None`` while nobody has asked it for the symbol.
    since : datetime, optional
        When that became so.
    """

    id: str
    started_at: datetime
    seen_at: datetime
    p95_ms: float | None
    serving: ServedModel | None
    since: datetime | None


class ApiProcesses:
    """What API processes report of themselves. A report that is missed is made up for later."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def report(
        self,
        process: str,
        started_at: datetime,
        served: Mapping[str, ServedModel],
        p95_ms: float | None = None,
        *,
        whole: bool,
    ) -> None:
        """Write what a process serves now.

        Parameters
        ----------
        served : mapping
            By symbol: all of it, or only what is new.
        p95_ms : float, optional
            Of its recent predictions.
        whole : bool
            Whether anything else that was reported before is forgotten.
        """
        now = self._clock()
        own = _served.c.process == process
        if not whole:
            own &= _served.c.symbol.in_(served)
        with self._engine.transaction() as connection:
            connection.execute(_processes.delete().where(_processes.c.id == process))
            connection.execute(
                _processes.insert().values(
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
        """A sign of life; ``False`` if the process is not known, and has to report."""
        with self._engine.transaction() as connection:
            known = connection.execute(
                _processes.update()
                .where(_processes.c.id == process)
                .values(seen_at=self._clock(), p95_ms=p95_ms)
            )
        return bool(known.rowcount)

    def forget(self, process: str) -> None:
        """Remove a process that ends."""
        with self._engine.transaction() as connection:
            _remove(connection, [process])

    def forget_dead(self, is_alive: Callable[[str], bool | None]) -> list[str]:
        """Remove processes that ended without a word; answers their names."""
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(_processes.select()).all()
        dead = [row.id for row in rows if not self._lives(row, is_alive)]
        if dead:
            with self._engine.transaction() as connection:
                _remove(connection, dead)
        return dead

    def living(
        self, symbols: Sequence[str], is_alive: Callable[[str], bool | None]
    ) -> dict[str, list[ProcessState]]:
        """By symbol the processes that live, the first started first, with what they serve of it.

        Parameters
        ----------
        is_alive : callable
            Whether a process lives, ``None`` where that cannot be known from here.
        """
        c = _served.c
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(
                _processes.select().order_by(_processes.c.started_at, _processes.c.id)
            ).all()
            found = connection.execute(_served.select().where(c.symbol.in_(symbols)))
            served = {(row.process, row.symbol): row for row in found}
        alive = [row for row in rows if self._lives(row, is_alive)]
        return {
            symbol: [_state(row, served.get((row.id, symbol))) for row in alive]
            for symbol in symbols
        }

    def slowest_p95_ms(self, place: str, is_alive: Callable[[str], bool | None]) -> float | None:
        """The largest p95 of predictions in living processes of one place, in milliseconds.

        Parameters
        ----------
        place : str
            As :func:`closecast.infra.processes.place` names it.
        """
        c = _processes.c
        query = sa.select(c.id, c.seen_at, c.p95_ms).where(
            c.p95_ms.is_not(None), c.id.startswith(f"{place}:", autoescape=True)
        )
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(query).all()
        # One that hangs says nothing new: its last word must not hold a training for ever.
        recent = [
            row.p95_ms
            for row in rows
            if self._spoke_recently(row.seen_at) and is_alive(row.id) is not False
        ]
        return max(recent, default=None)

    def _lives(self, row: Row[Any], is_alive: Callable[[str], bool | None]) -> bool:
        alive = is_alive(row.id)
        return self._spoke_recently(row.seen_at) if alive is None else alive

    def _spoke_recently(self, at: datetime) -> bool:
        # Nor from a time to come: the clock was set back, and nobody spoke since.
        return abs(self._clock() - at) <= SILENT


def _remove(connection: Connection, processes: Iterable[str]) -> None:
    names = list(processes)
    connection.execute(_served.delete().where(_served.c.process.in_(names)))
    connection.execute(_processes.delete().where(_processes.c.id.in_(names)))


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
