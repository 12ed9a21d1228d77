"""Decisions about closes: faulty ones that are held back, and those that a person accepted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from closecast.core.records import AcceptedClose, HeldCloses
from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Clock, Engine
from closecast.errors import StorageFailed

_accepted_closes = sa.Table(
    "accepted_closes",
    METADATA,
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("session", sa.Date, primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.String(200), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)
_held_closes = sa.Table(
    "held_closes",
    METADATA,
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("since", sa.Date, nullable=False),
    sa.Column("code", sa.String(100), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("ends", sa.Text, nullable=False),
    sa.Column("noticed_at", UtcDateTime, nullable=False),
)


class CloseDecisions:
    """Tables of accepted closes, which are kept for ever, and of closes that are held back now."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def accept(
        self, symbol: str, session: date, reason: str, by: str, since: datetime | None = None
    ) -> AcceptedClose:
        """Record that a close is right although it looks faulty.

        A session is accepted once for each fault: the same again, from any process, returns the
        first decision.

        Parameters
        ----------
        by : str
            Name of the person or API key that decided.
        since : datetime, optional
            Moment at which the fault was noticed: a decision from before it is about another
            fault of that session, and a new revision is recorded beside it.

        Raises
        ------
        StorageFailed
        """
        c = _accepted_closes.c
        newest = (
            _accepted_closes.select()
            .where(c.symbol == symbol, c.session == session)
            .order_by(c.revision.desc())
            .limit(1)
        )
        for _ in range(5):
            try:
                with self._engine.transaction() as connection:
                    row = connection.execute(newest).first()
                    if row is not None and (since is None or row.at >= since):
                        return _accepted(row)
                    made = AcceptedClose(symbol, session, reason, by, self._clock())
                    revision = row.revision + 1 if row is not None else 1
                    connection.execute(
                        _accepted_closes.insert().values(**asdict(made), revision=revision)
                    )
                return made
            except sa.exc.IntegrityError:
                continue  # another process accepted it at this moment
        raise StorageFailed(f"could not accept the close of {symbol}: the ledger is too busy")

    def accepted(self, symbol: str) -> dict[date, AcceptedClose]:
        """Return the newest decision of each accepted session of a symbol, in order of sessions."""
        c = _accepted_closes.c
        query = _accepted_closes.select().where(c.symbol == symbol).order_by(c.session, c.revision)
        with self._engine.transaction(read_only=True) as connection:
            return {row.session: _accepted(row) for row in connection.execute(query)}

    def all_accepted(self) -> list[AcceptedClose]:
        """Return all decisions on all symbols, by symbol, session and time."""
        c = _accepted_closes.c
        query = _accepted_closes.select().order_by(c.symbol, c.session, c.revision)
        with self._engine.transaction(read_only=True) as connection:
            return [_accepted(row) for row in connection.execute(query)]

    def hold(self, symbol: str, held: HeldCloses | None) -> None:
        """Record that closes of a symbol are held back; ``None``: that none are any more.

        A fault that is recorded already, by its first session and code, keeps the time at which
        it was noticed; its sentences become the new ones.

        Raises
        ------
        StorageFailed
        """
        if held is None and self.held(symbol) is None:
            return  # nearly always: no writer waits for it
        own = _held_closes.c.symbol == symbol
        for _ in range(5):
            try:
                with self._engine.transaction() as connection:
                    row = connection.execute(
                        _held_closes.select().where(own).with_for_update()
                    ).first()
                    if held is None:
                        connection.execute(_held_closes.delete().where(own))
                        return
                    values = asdict(held)
                    if row is None:
                        connection.execute(_held_closes.insert().values(symbol=symbol, **values))
                        return
                    if (row.since, row.code) == (held.since, held.code):
                        del values["noticed_at"]
                    connection.execute(_held_closes.update().where(own).values(values))
                    return
            except sa.exc.IntegrityError:
                continue  # another process recorded a first fault at this moment
        raise StorageFailed(f"could not record the held closes of {symbol}: the ledger is too busy")

    def held(self, symbol: str) -> HeldCloses | None:
        """Return the fault for which closes of a symbol are held back, or ``None``."""
        query = _held_closes.select().where(_held_closes.c.symbol == symbol)
        with self._engine.transaction(read_only=True) as connection:
            row = connection.execute(query).first()
        return None if row is None else _held(row)

    def all_held(self) -> dict[str, HeldCloses]:
        """Return all symbols of which closes are held back, in their order, with the faults."""
        query = _held_closes.select().order_by(_held_closes.c.symbol)
        with self._engine.transaction(read_only=True) as connection:
            return {row.symbol: _held(row) for row in connection.execute(query)}


def _accepted(row: Row[Any]) -> AcceptedClose:
    return AcceptedClose(**{name: getattr(row, name) for name in AcceptedClose.__slots__})


def _held(row: Row[Any]) -> HeldCloses:
    return HeldCloses(**{name: getattr(row, name) for name in HeldCloses.__slots__})
