"""Corrections: sessions whose return differs between two downloads of one symbol's closes. Pure.

A source restates its closes: a dividend or a split multiplies all earlier closes by one factor,
which changes no return but for rounding; a corrected close changes the return to it and the one
from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.calendars import Dates, as_date
from closecast.core.prices import Prices

ROUNDING = 1e-5
"""Largest change of a log return that is rounding. Adjusted closes come with six or seven
significant digits and are computed anew for each download: their returns differ by some 1e-7."""

_MOST_DECIMALS = 6
_ROWS_FOR_TICK = 500
_MANY, _MANY_OF = 10, 0.1


@dataclass(frozen=True, eq=False)
class Corrections:
    """Differences of a download from an earlier one, over the sessions that both could hold.

    Attributes
    ----------
    sessions : array of datetime64[D], shape (n,)
        Sessions whose return changed beyond rounding, or that only one download has; increasing.
    compared : int
        Sessions that both have.
    rescaled : bool
        Whether the newest close that both have is at another level: a dividend, a split.
    """

    sessions: Dates
    compared: int
    rescaled: bool

    @property
    def first(self) -> date | None:
        """First session that changed."""
        return as_date(self.sessions[0]) if len(self.sessions) else None

    @property
    def rewrite_history(self) -> bool:
        """Answer True if so many returns changed that this is another series."""
        return _are_many(len(self.sessions), self.compared)

    def __bool__(self) -> bool:
        return bool(len(self.sessions)) or self.rescaled

    def touches(self, session: str) -> bool:
        """Return whether the return of a session (ISO date) changed."""
        return bool(np.isin(np.datetime64(session, "D"), self.sessions))


def find_corrections(known: Prices, new: Prices) -> Corrections:
    """Compare two downloads from their first common day to the end of the earlier one.

    If few closes are other bits, the history was not restated, and each of them is a correction.
    If it was, both downloads may have been rounded to whole multiples of a tick (two decimals,
    say): half a tick each is allowed.
    """
    start, end = max(known.sessions[0], new.sessions[0]), known.sessions[-1]
    there, here = _rows(known, start, end), _rows(new, start, end)
    alone = np.setxor1d(known.sessions[there], new.sessions[here])
    common, i, j = np.intersect1d(
        known.sessions[there], new.sessions[here], assume_unique=True, return_indices=True
    )
    if not len(common):
        return Corrections(alone, 0, False)
    before, after = known.closes[there][i], new.closes[here][j]
    moved = np.log(after) - np.log(before)
    allowed = np.zeros(len(common))
    if _are_many(int(np.count_nonzero(moved)), len(common)):
        allowed = (tick_of(before) / before + tick_of(after) / after) / 2
    changed = np.abs(np.diff(moved)) > ROUNDING + allowed[1:] + allowed[:-1]
    return Corrections(
        np.union1d(alone, common[1:][changed]),
        len(common),
        bool(np.abs(moved[-1]) > ROUNDING + allowed[-1]),
    )


def is_rounding(before: float, after: float, ends: FloatArray, tick: float) -> bool:
    """Return whether two log returns between the same sessions differ by rounding alone.

    Parameters
    ----------
    before, after : float
        In two downloads.
    ends : array, shape (2,)
        The two closes in either download.
    tick : float
        What closes are whole multiples of; 0 where history was not restated in between.
    """
    return bool(abs(after - before) <= ROUNDING + float((tick / ends).sum()))


def tick_of(closes: FloatArray) -> float:
    """Largest power of ten, at most 1, of which the newest closes are whole multiples; or 0.

    >>> tick_of(np.array([101.25, 99.5]))
    0.01
    """
    newest = closes[-_ROWS_FOR_TICK:]
    for decimals in range(_MOST_DECIMALS + 1):
        if (np.abs(np.round(newest, decimals) - newest) <= 1e-12 * newest).all():
            return float(10.0**-decimals)
    return 0.0


def _are_many(changed: int, compared: int) -> bool:
    """Answer True if too many closes changed to have been corrected one by one."""
    return changed > max(_MANY, _MANY_OF * compared)


def _rows(prices: Prices, start: np.datetime64, end: np.datetime64) -> slice:
    low = int(np.searchsorted(prices.sessions, start))
    return slice(low, int(np.searchsorted(prices.sessions, end, side="right")))
