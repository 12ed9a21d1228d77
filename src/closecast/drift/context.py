"""The context of a window: closes, dates and volume beside it, and checks of dates and volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.calendars import SessionTable
from closecast.core.market_moves import MarketMoves
from closecast.core.prices import Prices
from closecast.core.verdict import Channel
from closecast.drift.missing_rows import allowed_to_miss
from closecast.drift.return_index import OtherSymbols
from closecast.drift.statistics.base import Cause

Dates = NDArray[np.datetime64]

_NO_DATES: Dates = np.empty(0, "datetime64[D]")


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
    by_own_levels : bool
        Whether the window is measured by its own volatility, and closes of another symbol are
        expected: no model was trained on its symbol, so the baseline is another symbol's.
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
    by_own_levels: bool = False

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


def check_dates(context: Context, own: Prices | None = None) -> list[ContextFinding]:
    """Check that the dates of closes are in order, unique, and all sessions of the exchange.

    Parameters
    ----------
    own : Prices, optional
        Known closes of the symbol that the window is of, where the context is that of another one:
        its calendar does not apply.
    """
    if context.sessions is None or len(context.sessions) < 2:
        return []
    steps = np.diff(context.sessions).astype("int64")
    found = []
    if backward := int((steps < 0).sum()):
        row = int(np.argmax(steps < 0)) + 1
        cause = Cause("reversed_order", row, {"rows": backward})
        found.append(ContextFinding(cause, "fault", "dates that go back", float(backward), 0.0))
    sessions = _Sessions.of(context, own)
    twice = [] if (steps > 0).all() else _twice(context.sessions)
    strange = sessions.strange(context.sessions)
    # If the caller did not name the symbol, its calendar may not apply.
    level: Channel = "fault" if context.symbol_named else "regime"
    if rows := sorted({*twice, *strange}):
        about: dict[str, int | float | str] = {
            "rows": len(rows),
            "date": str(context.sessions[rows[0]]),
        }
        cause = Cause("filled_days", rows[0], about)
        worst: Channel = "fault" if twice else level
        name = "days without a session"
        found.append(ContextFinding(cause, worst, name, float(len(rows)), 0.0))
    allowed = allowed_to_miss(len(context.sessions))
    # Dates that come twice or are no sessions hide missing ones, and are a finding already.
    missing = sessions.missing(context.sessions, allowed)
    if len(missing):
        about = {"missing": len(missing), "date": str(missing[0])}
        row = int(np.argmax(context.sessions > missing[0]))
        cause = Cause("missing_days", row, about)
        name = "sessions left out between the dates"
        found.append(ContextFinding(cause, level, name, float(len(missing)), float(allowed)))
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


@dataclass(frozen=True, slots=True, eq=False)
class _Sessions:
    """Sessions that dates are compared with: of a calendar, and of known closes; perhaps none."""

    calendar: Dates
    known: Dates

    @classmethod
    def of(cls, context: Context, own: Prices | None) -> Self:
        """Build from a window's context; ``own`` as in :func:`check_dates`."""
        table, known = (context.calendar, context.known) if own is None else (None, own)
        return cls(
            _NO_DATES if table is None else table.sessions,
            _NO_DATES if known is None else known.sessions,
        )

    def strange(self, dates: Dates) -> list[int]:
        """Rows of dates that are no sessions; one of which a close is known is one."""
        calendar = self.calendar
        if not len(calendar):
            return []
        inside = (dates >= calendar[0]) & (dates <= calendar[-1])
        rows = np.minimum(np.searchsorted(calendar, dates), len(calendar) - 1)
        found = np.flatnonzero(inside & (calendar[rows] != dates))
        return found[~np.isin(dates[found], self.known)].tolist() if len(found) else []

    def missing(self, dates: Dates, allowed: int) -> Dates:
        """Sessions between the first date and the last that are not among them.

        Those of which no close is known, though of earlier and later ones there are, do not count:
        a halt. If there are no more than ``allowed``, none are returned.
        """
        sessions = self.calendar if len(self.calendar) else self.known
        low, high = np.searchsorted(sessions, (dates.min(), dates.max() + 1)).tolist()
        if high - low - len(dates) <= allowed:
            return _NO_DATES
        missing = np.setdiff1d(sessions[low:high], dates)
        if len(self.known):
            inside = (missing > self.known[0]) & (missing < self.known[-1])
            missing = missing[~inside | np.isin(missing, self.known)]
        return missing if len(missing) > allowed else _NO_DATES
