"""States of live calibration: one per model and symbol, replaced with every new close."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from closecast.core.calendars import as_date
from closecast.core.prices import Prices
from closecast.core.records import DriftDay
from closecast.core.symbols import former_names
from closecast.database.absorbed_closes import (
    AbsorbedCloses,
    absorbed_closes,
    replace_absorbed_closes,
)
from closecast.database.columns import UtcDateTime
from closecast.database.drift_history import replace_drift_days
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


@dataclass(frozen=True, slots=True)
class CalibrationChange:
    """The next state of one symbol, and what it has absorbed.

    Attributes
    ----------
    replaces : int or None
        The stored revision; ``None`` if nothing is stored yet.
    revision : int
        Larger than that.
    session : date
        The newest close that the state has absorbed.
    parts : tuple of bytes
        The part that all steps share, then one part per step.
    absorbed : Prices, optional
        The closes up to ``session``, as they were absorbed.
    since : date, optional
        Stored drift days after this session are replaced by ``drift_days``; without it all stay.
    drift_days : tuple of DriftDay
        Of this version and symbol.
    """

    symbol: str
    replaces: int | None
    revision: int
    session: date
    parts: tuple[bytes, ...]
    absorbed: Prices | None = None
    since: date | None = None
    drift_days: tuple[DriftDay, ...] = ()


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

    def absorbed(self, version: str, symbol: str) -> AbsorbedCloses | None:
        """Return the closes that the stored state has absorbed; ``None`` if none is stored.

        Answers for a damaged state, too.
        """
        c = _calibrations.c
        own = (c.version == version) & (c.symbol == symbol) & (c.step == 0)
        query = sa.select(c.revision, c.session, c.updated_at).where(own)
        with self._engine.transaction(read_only=True) as connection:
            state = connection.execute(query).first()
            prices = absorbed_closes(connection, version, symbol)
        if state is None:
            return None
        if prices is not None and as_date(prices.sessions[-1]) != state.session:
            prices = None  # an older closecast has stored the state since
        return AbsorbedCloses(state.revision, prices, state.updated_at)

    def store(self, version: str, changes: Sequence[CalibrationChange]) -> None:
        """Replace the states of symbols by their next revisions, all in one transaction.

        Parameters
        ----------
        changes : sequence of CalibrationChange
            At most one per symbol; with the states, their closes and drift days are stored.

        Raises
        ------
        PreconditionFailed
            If a stored revision is not the one to be replaced: another process was faster.
        ValueError
            If a state has no parts.
        """
        if any(not change.parts for change in changes):
            raise ValueError("a calibration needs at least the part that all steps share")
        for _ in range(5):
            try:
                with self._engine.transaction() as connection:
                    # All writers in one order: PostgreSQL locks rows, and two orders may deadlock.
                    for change in sorted(changes, key=lambda change: change.symbol):
                        self._replace(connection, version, change)
                        if change.absorbed is not None:
                            replace_absorbed_closes(connection, version, change.absorbed)
                        if change.since is not None:
                            replace_drift_days(
                                connection,
                                version,
                                change.symbol,
                                change.since,
                                change.drift_days,
                            )
            except sa.exc.IntegrityError:
                continue  # another process stored a first revision or a day at this moment
            return
        symbols = ", ".join(sorted(change.symbol for change in changes))
        raise StorageFailed(f"could not store the calibration of {symbols}: the ledger is too busy")

    def _replace(self, connection: Connection, version: str, change: CalibrationChange) -> None:
        c = _calibrations.c
        own = (c.version == version) & (c.symbol == change.symbol)
        # PostgreSQL: the second writer waits at this row, finds it gone, and then cannot insert
        # its own; the next attempt sees the new revision. SQLite has one writer anyway.
        stored = connection.execute(
            sa.select(c.revision).where(own, c.step == 0).with_for_update()
        ).scalar()
        if stored != change.replaces:
            raise PreconditionFailed(
                f"the calibration of {change.symbol} is at revision {stored}, not "
                f"{change.replaces}: read it again, then repeat the change"
            )
        if stored is not None:  # else a first revision of another writer would be deleted here
            connection.execute(_calibrations.delete().where(own))
        shared = {
            "version": version,
            "symbol": change.symbol,
            "revision": change.revision,
            "session": change.session,
            "updated_at": self._clock(),
        }
        connection.execute(
            _calibrations.insert(),
            [
                {
                    **shared,
                    "step": step,
                    "state": state,
                    "digest": _digest(version, change.symbol, change.revision, step, state),
                }
                for step, state in enumerate(change.parts)
            ],
        )


def _digest(version: str, symbol: str, revision: int, step: int, state: bytes) -> str:
    about = f"{version}/{symbol}/{revision}/{step}/".encode()
    return hashlib.sha256(about + state).hexdigest()
