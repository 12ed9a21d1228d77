"""Absorbed closes: the closes behind each stored calibration, as they were downloaded then.

The next update compares them with what the source has now: closes that were corrected since are
found, and the calibration is rebuilt. They are written in the transaction that stores the state
(:meth:`closecast.database.calibrations.Calibrations.store`). Twenty years of one symbol take 45 kB.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from closecast.core.prices import Prices
from closecast.database.engine import METADATA
from closecast.errors import InvalidPrices

_absorbed_closes = sa.Table(
    "absorbed_closes",
    METADATA,
    sa.Column("version", sa.String(100), primary_key=True),
    sa.Column("symbol", sa.String(40), primary_key=True),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("basis", sa.String(20), nullable=False),
    sa.Column("sessions", sa.LargeBinary, nullable=False),
    sa.Column("closes", sa.LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class AbsorbedCloses:
    """Closes behind a stored calibration.

    Attributes
    ----------
    revision : int
        Of the calibration.
    prices : Prices or None
        Up to the newest absorbed close; ``None`` if a version before closes were remembered
        stored the state.
    at : datetime
        Aware; when the state was stored.
    """

    revision: int
    prices: Prices | None
    at: datetime


def absorbed_closes(connection: Connection, version: str, symbol: str) -> Prices | None:
    """Read the closes behind a stored calibration; ``None`` where none are, or no longer parse."""
    c = _absorbed_closes.c
    query = _absorbed_closes.select().where(c.version == version, c.symbol == symbol)
    row = connection.execute(query).first()
    if row is None:
        return None
    try:
        days = np.frombuffer(zlib.decompress(bytes(row.sessions)), "<i4")
        closes = np.frombuffer(bytes(row.closes), "<f8")
        return Prices(
            symbol, days.astype("<i8").astype("datetime64[D]"), closes, row.source, row.basis
        )
    except (ValueError, zlib.error, InvalidPrices):  # bytes of something else are as good as none
        return None


def replace_absorbed_closes(connection: Connection, version: str, prices: Prices) -> None:
    """Store the closes of one symbol in place of the earlier ones."""
    c = _absorbed_closes.c
    connection.execute(
        _absorbed_closes.delete().where(c.version == version, c.symbol == prices.symbol)
    )
    connection.execute(
        _absorbed_closes.insert().values(
            version=version,
            symbol=prices.symbol,
            source=prices.source,
            basis=prices.basis,
            sessions=zlib.compress(prices.sessions.astype("<i8").astype("<i4").tobytes()),
            closes=prices.closes.astype("<f8").tobytes(),
        )
    )
