"""Drift history: for each session the expected and observed errors, and the monitor after it.

One row per version, symbol and session, written in the transaction in which the calibration
absorbs that close (:meth:`closecast.database.calibrations.Calibrations.store`), so that none is
lost or counted twice. Rows are never deleted: a year of a symbol is 250 rows of 300 bytes, and a
new model is compared with the history of the one that it replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from closecast.core.records import DriftDay
from closecast.database.columns import UtcDateTime
from closecast.database.engine import METADATA, Engine

_drift_days = sa.Table(
    "drift_days",
    METADATA,
    sa.Column("version", sa.String(100), primary_key=True),
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("session", sa.Date, primary_key=True),
    sa.Column("monitor", sa.JSON, nullable=False),
    sa.Column("evidence", sa.Double, nullable=False),
    sa.Column("miss", sa.Boolean),
    sa.Column("pit", sa.Double),
    sa.Column("shock", sa.Double),
    sa.Column("error", sa.Double),
    sa.Column("expected_error", sa.Double),
    sa.Column("width", sa.Double),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("drift_days_of_a_symbol", "symbol", "session"),
)


class DriftHistory:
    """Table of drift days, to read; rows are written together with calibrations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, version: str, symbol: str, until: date | None = None) -> DriftDay | None:
        """Return the newest session of a symbol under a model, or ``None`` before the first.

        Parameters
        ----------
        until : date, optional
            Last session that counts.
        """
        c = _drift_days.c
        query = _drift_days.select().where(c.version == version, c.symbol == symbol)
        if until is not None:
            query = query.where(c.session <= until)
        query = query.order_by(c.session.desc()).limit(1)
        with self._engine.transaction(read_only=True) as connection:
            row = connection.execute(query).first()
        return None if row is None else _drift_day(row)

    def history(self, symbol: str) -> list[DriftDay]:
        """List the sessions of a symbol, oldest first, within a day in order of versions."""
        c = _drift_days.c
        query = _drift_days.select().where(c.symbol == symbol).order_by(c.session, c.version)
        with self._engine.transaction(read_only=True) as connection:
            return [_drift_day(row) for row in connection.execute(query)]

    def evidence(self, version: str) -> dict[str, float]:
        """Return the current evidence against a model for each symbol that has any.

        It is the input of :func:`closecast.drift.discoveries`.
        """
        c = _drift_days.c
        last = (
            sa.select(c.symbol, sa.func.max(c.session).label("session"))
            .where(c.version == version)
            .group_by(c.symbol)
            .subquery()
        )
        query = (
            sa.select(c.symbol, c.evidence)
            .join(last, (c.symbol == last.c.symbol) & (c.session == last.c.session))
            .where(c.version == version)
            .order_by(c.symbol)
        )
        with self._engine.transaction(read_only=True) as connection:
            return {row.symbol: row.evidence for row in connection.execute(query)}


def add_missing_drift_days(connection: Connection, days: Sequence[DriftDay]) -> None:
    """Insert the days that are not stored yet; a stored day never changes."""
    c = _drift_days.c
    for day in days:
        own = (c.version == day.version) & (c.symbol == day.symbol) & (c.session == day.session)
        if connection.execute(sa.select(c.session).where(own)).first() is None:
            values = asdict(day) | {"monitor": list(day.monitor)}
            connection.execute(_drift_days.insert().values(values))


def _drift_day(row: Row[Any]) -> DriftDay:
    values = {name: getattr(row, name) for name in DriftDay.__slots__}
    return DriftDay(**values | {"monitor": tuple(row.monitor)})
