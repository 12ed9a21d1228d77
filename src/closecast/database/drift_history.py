"""Sessions under watch: what was expected of each, what came, and the monitor after it.

One row per version, symbol and session, written in the transaction of the calibration's step by
that close (:meth:`closecast.database.calibrations.Calibrations.store`): none is lost or counted
twice. Nothing is ever removed: a symbol's year is 250 rows of 300 bytes, and the history of a model
that was replaced is what its successor is compared with.
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
    """Read only: rows come with calibrations."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self, version: str, symbol: str, until: date | None = None) -> DriftDay | None:
        """The newest session of a symbol under a model, or ``None`` before the first.

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

    def history(
        self,
        symbol: str,
        limit: int | None = None,
        since: date | None = None,
        version: str | None = None,
    ) -> list[DriftDay]:
        """Sessions of a symbol, oldest first; of one day, versions in order of their names.

        Parameters
        ----------
        limit : int, optional
            Only the newest so many rows.
        since : date, optional
            First session that counts.
        version : str, optional
            Under this model only.
        """
        c = _drift_days.c
        query = _drift_days.select().where(c.symbol == symbol)
        if since is not None:
            query = query.where(c.session >= since)
        if version is not None:
            query = query.where(c.version == version)
        query = query.order_by(c.session.desc(), c.version.desc()).limit(limit)
        with self._engine.transaction(read_only=True) as connection:
            return [_drift_day(row) for row in reversed(connection.execute(query).all())]

    def evidence(self, version: str) -> dict[str, float]:
        """Evidence against a model in force for each of its symbols that has any.

        What :func:`closecast.drift.discoveries` asks for.
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
    """Store days that are not there yet. What was once said of a session stays."""
    c = _drift_days.c
    for day in days:
        own = (c.version == day.version) & (c.symbol == day.symbol) & (c.session == day.session)
        if connection.execute(sa.select(c.session).where(own)).first() is None:
            values = asdict(day) | {"monitor": list(day.monitor)}
            connection.execute(_drift_days.insert().values(values))


def _drift_day(row: Row[Any]) -> DriftDay:
    values = {name: getattr(row, name) for name in DriftDay.__slots__}
    return DriftDay(**values | {"monitor": tuple(row.monitor)})
