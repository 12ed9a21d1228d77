"""Drift history: for each session the expected and observed errors, and the monitor after it.

One row per version, symbol and session, written in the transaction in which the calibration
absorbs that close (:meth:`closecast.database.calibrations.Calibrations.store`), so that none is
lost or counted twice. Rows grow old with their model and stay: a year of a symbol is 250 rows of
300 bytes, and a new model is compared with the history of the one that it replaced. Only a
calibration that is rebuilt after a corrected close brings other rows for the same sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
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


def replace_drift_days(
    connection: Connection, version: str, symbol: str, since: date, days: Sequence[DriftDay]
) -> None:
    """Store sessions of one symbol under a model in place of all after ``since``.

    A session that comes out as it is stored keeps the time at which it was written down.
    """
    c = _drift_days.c
    own = (c.version == version) & (c.symbol == symbol)
    rows = connection.execute(_drift_days.select().where(own, c.session > since))
    stored = {row.session: _drift_day(row) for row in rows}
    new = []
    for day in days:
        before = stored.get(day.session)
        if before is not None and before == replace(day, at=before.at):
            del stored[day.session]
        else:
            new.append(asdict(day) | {"monitor": list(day.monitor)})
    gone = sorted(stored)
    for first in range(0, len(gone), 500):  # SQLite may bind a thousand values at most
        wanted = gone[first : first + 500]
        connection.execute(_drift_days.delete().where(own, c.session.in_(wanted)))
    if new:
        connection.execute(_drift_days.insert(), new)


def _drift_day(row: Row[Any]) -> DriftDay:
    values = {name: getattr(row, name) for name in DriftDay.__slots__}
    return DriftDay(**values | {"monitor": tuple(row.monitor)})
