"""The context of a window: closes, dates and volume beside it, and checks of dates and volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.calendars import SessionTable
from closecast.core.market_moves import MarketMoves
from closecast.core.prices import Prices
from closecast.core.verdict import Channel
from closecast.drift.return_index import OtherSymbols
from closecast.drift.statistics.base import Cause

Dates = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """Closes, dates and volume known beside a window; all optional.

    Each of them makes the verdict more precise.

    Attributes
    ----------
    known : Prices
        The symbol's own closes, as far as the service has collected them.
    others : OtherSymbols
        Collected closes of other symbols; searched only if the window is not among ``known``.
    symbol_named : bool
        Whether the caller named the symbol. Without that, "not this symbol's closes" is no more
        than ``regime``.
    level_known : bool
        Whether price levels can be compared: ``known`` has the model's price basis, and is recent
        enough that its adjusted levels were not rewritten since.
    as_of : datetime64[D]
        Date of the window's last close.
    sessions : array of datetime64[D], shape (n,)
        Date of each close, as it was sent: perhaps not in order.
    volume : array, shape (n,)
        Volume traded on each day, in any unit.
    calendar : SessionTable
        Of the symbol's exchange.
    market : MarketMoves
        Moves of the other symbols of the symbol's market: a move that they share is news.
    """

    known: Prices | None = None
    others: OtherSymbols | None = None
    symbol_named: bool = True
    level_known: bool = True
    as_of: np.datetime64 | None = None
    sessions: Dates | None = None
    volume: FloatArray | None = None
    calendar: SessionTable | None = None
    market: MarketMoves | None = None

    @property
    def last_session(self) -> np.datetime64 | None:
        """The date of the newest close according to the caller."""
        if self.sessions is not None:
            return np.datetime64(self.sessions.max(), "D")
        return self.as_of


@dataclass(frozen=True, slots=True)
class ContextFinding:
    """A finding from context, without a statistic: a value and the limit that it exceeds."""

    cause: Cause
    level: Channel
    statistic: str
    value: float
    threshold: float


def check_dates(context: Context) -> list[ContextFinding]:
    """Check that the dates of closes are in order, unique, and sessions of the exchange."""
    if context.sessions is None or len(context.sessions) < 2:
        return []
    steps = np.diff(context.sessions).astype("int64")
    found = []
    if backward := int((steps < 0).sum()):
        row = int(np.argmax(steps < 0)) + 1
        cause = Cause("reversed_order", row, {"rows": backward})
        found.append(ContextFinding(cause, "fault", "dates that go back", float(backward), 0.0))
    twice, strange = _twice(context.sessions), _no_sessions(context)
    if rows := sorted({*twice, *strange}):
        # If the caller did not name the symbol, its calendar may not apply.
        level: Channel = "fault" if twice or context.symbol_named else "regime"
        about: dict[str, int | float | str] = {
            "rows": len(rows),
            "date": str(context.sessions[rows[0]]),
        }
        cause = Cause("filled_days", rows[0], about)
        found.append(ContextFinding(cause, level, "days without a session", float(len(rows)), 0.0))
    return found


def check_volume(window: FloatArray, volume: FloatArray | None) -> list[ContextFinding]:
    """Find days on which nothing was traded and the close did not move."""
    if volume is None:
        return []
    rows = np.flatnonzero((np.diff(window) == 0) & (volume[1:] == 0)) + 1
    if not len(rows) or not (volume > 0).any():
        return []
    cause = Cause("filled_days", int(rows[0]), {"rows": len(rows)})
    return [ContextFinding(cause, "fault", "days without trade", float(len(rows)), 0.0)]


def _twice(sessions: Dates) -> list[int]:
    _, first = np.unique(sessions, return_index=True)
    return sorted({*range(len(sessions))} - {*first.tolist()})


def _no_sessions(context: Context) -> list[int]:
    table, sessions = context.calendar, context.sessions
    assert sessions is not None
    if table is None or not len(table.sessions):
        return []
    inside = (sessions >= table.sessions[0]) & (sessions <= table.sessions[-1])
    rows = np.minimum(np.searchsorted(table.sessions, sessions), len(table.sessions) - 1)
    return np.flatnonzero(inside & (table.sessions[rows] != sessions)).tolist()
