"""States of live calibration: one per model and symbol, replaced after every close."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from closecast.core.records import DriftDay
from closecast.core.symbols import former_names
from closecast.database.columns import UtcDateTime
from closecast.database.drift_history import add_missing_drift_days
from closecast.database.engine import METADATA, Clock, Engine
from closecast.errors import DamagedBundle, PreconditionFailed, StorageFailed

_calibrations = sa.Table(
    "calibrations",
    METADATA,
    sa.Column("version", sa.String(100), primary_key=True),
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("session", sa.Date, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
_panel_days = sa.Table(
    "panel_days",
    METADATA,
    sa.Column("version", sa.String(100), primary_key=True),
    sa.Column("exchange", sa.String(20), primary_key=True),
    sa.Column("session", sa.Date, primary_key=True),
    sa.Column("statistics", sa.LargeBinary, nullable=False),
)

PanelDay = tuple[str, date, bytes]
"""Exchange, session, and the statistics of all its symbols on that day, serialised."""


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """One revision of a calibration state.

    Attributes
    ----------
    session : date
        Session of the newest close that the state has absorbed.
    parts : tuple of bytes, length horizon + 1
        The part that all steps share, then one part per step.
    """

    version: str
    symbol: str
    revision: int
    session: date
    parts: tuple[bytes, ...]


class Calibrations:
    """Table of calibration states, one per version and symbol, replaced as a whole."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def newest(self, version: str, symbol: str) -> StoredCalibration | None:
        """Return the state in force, or ``None`` if none was stored yet.

        Raises
        ------
        DamagedBundle
            If the stored bytes do not have their digest.
        """
        c = _calibrations.c
        query = (
            _calibrations.select()
            .where(c.version == version, c.symbol == symbol)
            .order_by(c.step)  # one statement: all rows are of one revision
        )
        with self._engine.transaction(read_only=True) as connection:
            rows = connection.execute(query).all()
        if not rows:
            return None
        parts = tuple(bytes(row.state) for row in rows)
        for row, part in zip(rows, parts, strict=True):
            written = (symbol, *former_names(symbol))  # the digest is one of the name, too
            if row.digest not in {
                _digest(version, name, rows[0].revision, row.step, part) for name in written
            }:
                raise DamagedBundle(
                    f"the stored calibration of {symbol}, step {row.step}, is not what was written"
                )
        return StoredCalibration(version, symbol, rows[0].revision, rows[0].session, parts)

    def session_of(self, version: str, symbol: str) -> date | None:
        """Return the session of the newest absorbed close, without reading the state."""
        c = _calibrations.c
        query = sa.select(c.session).where(c.version == version, c.symbol == symbol, c.step == 0)
        with self._engine.transaction(read_only=True) as connection:
            found: date | None = connection.execute(query).scalar()
        return found

    def forget(self, version: str, symbol: str) -> None:
        """Delete a state that cannot be used; panel days stay."""
        c = _calibrations.c
        own = (c.version == version) & (c.symbol == symbol)
        with self._engine.transaction() as connection:
            connection.execute(_calibrations.delete().where(own))

    def store(
        self,
        version: str,
        symbol: str,
        revision: int,
        session: date,
        parts: Sequence[bytes],
        panel_days: Sequence[PanelDay] = (),
        drift_days: Sequence[DriftDay] = (),
    ) -> StoredCalibration:
        """Replace the state by the next revision, all parts in one transaction.

        Parameters
        ----------
        revision : int
            One more than the stored one; any number if nothing is stored yet.
        session : date
            The newest close that the state has absorbed.
        parts : sequence of bytes
            The part that all steps share, then one part per step.
        panel_days : sequence of (exchange, session, bytes)
            Stored in the same transaction, unless that day is stored already.
        drift_days : sequence of DriftDay
            Likewise.

        Raises
        ------
        PreconditionFailed
            If the stored revision is not ``revision - 1``: another process was faster.
        ValueError
            If there are no parts.
        """
        if not parts:
            raise ValueError("a calibration needs at least the part that all steps share")
        for _ in range(5):
            try:
                with self._engine.transaction() as connection:
                    self._replace(connection, version, symbol, revision, session, parts)
                    _add_missing(connection, version, panel_days)
                    add_missing_drift_days(connection, drift_days)
            except sa.exc.IntegrityError:
                continue  # another process stored a first revision or a day at this moment
            return StoredCalibration(version, symbol, revision, session, tuple(parts))
        raise StorageFailed(f"could not store the calibration of {symbol}: the ledger is too busy")

    def panel_day(self, version: str, exchange: str, session: date) -> bytes | None:
        """Return the panel statistics of an exchange on one day, or ``None``."""
        c = _panel_days.c
        query = sa.select(c.statistics).where(
            c.version == version, c.exchange == exchange, c.session == session
        )
        with self._engine.transaction(read_only=True) as connection:
            found = connection.execute(query).scalar()
        return None if found is None else bytes(found)

    def _replace(
        self,
        connection: Connection,
        version: str,
        symbol: str,
        revision: int,
        session: date,
        parts: Sequence[bytes],
    ) -> None:
        c = _calibrations.c
        own = (c.version == version) & (c.symbol == symbol)
        # PostgreSQL: the second writer waits at this row, finds it gone, and then cannot insert
        # its own; the next attempt sees the new revision. SQLite has one writer anyway.
        stored = connection.execute(
            sa.select(c.revision).where(own, c.step == 0).with_for_update()
        ).scalar()
        if stored is not None:
            if stored != revision - 1:
                raise PreconditionFailed(
                    f"the calibration of {symbol} is at revision {stored}, not {revision - 1}: "
                    "read it again, then repeat the change"
                )
            connection.execute(_calibrations.delete().where(own))
        shared = {
            "version": version,
            "symbol": symbol,
            "revision": revision,
            "session": session,
            "updated_at": self._clock(),
        }
        connection.execute(
            _calibrations.insert(),
            [
                {
                    **shared,
                    "step": step,
                    "state": state,
                    "digest": _digest(version, symbol, revision, step, state),
                }
                for step, state in enumerate(parts)
            ],
        )


def _digest(version: str, symbol: str, revision: int, step: int, state: bytes) -> str:
    about = f"{version}/{symbol}/{revision}/{step}/".encode()
    return hashlib.sha256(about + state).hexdigest()


def _add_missing(connection: Connection, version: str, days: Sequence[PanelDay]) -> None:
    c = _panel_days.c
    for exchange, session, statistics in sorted(days):
        own = (c.version == version) & (c.exchange == exchange) & (c.session == session)
        if connection.execute(sa.select(c.session).where(own)).first() is None:
            connection.execute(
                _panel_days.insert().values(
                    version=version, exchange=exchange, session=session, statistics=statistics
                )
            )
