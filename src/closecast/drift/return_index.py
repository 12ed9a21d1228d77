"""Index of known closes by their returns: finds a window without reading all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.drift import native
from closecast.drift.features import ewma_before
from closecast.drift.rounding import rounding_of

Rows = NDArray[np.int64]

# Moves with more similar known ones than this identify nothing. Low prices have a wide tolerance;
# without
# these limits one window of a penny stock took 20 ms among 100 symbols, sixteen together 1.8 s.
CROWD = 1_000
MOST_ALIKE = 5_000
_PAD = 1024  # more than any window has: what lies beyond the end is NaN, and agrees with nothing


@dataclass(frozen=True, slots=True, eq=False)
class SimilarPlaces:
    """Places at which known moves are like landmarks of windows.

    Attributes
    ----------
    rows : array of int, shape (c,)
        The window; in the order of the windows, then of their landmarks.
    starts : array of int, shape (c,)
        Place of the window's first move, perhaps before the first one known.
    """

    rows: Rows
    starts: Rows


class ReturnIndex:
    """Returns of one or several histories, one after the other, and their order by size.

    Parameters
    ----------
    log_closes : sequence of arrays, shape (m,) each
        Oldest first.
    """

    def __init__(self, log_closes: Sequence[FloatArray]) -> None:
        parts = [np.diff(logs) for logs in log_closes]
        gap, pad = np.full(1, np.nan), np.full(_PAD, np.nan)
        # A NaN after each history: no window goes on from one to the next.
        self._returns = np.concatenate([*(x for part in parts for x in (part, gap)), pad])
        self._ends = np.cumsum([len(part) + 1 for part in parts], dtype=np.int64)
        self._order = self._returns.argsort()[: len(self._returns) - len(parts) - _PAD]  # NaN last
        self._sorted = self._returns[self._order]
        self._beside: dict[str, FloatArray] = {}
        if len(parts) == 1:  # only there are windows searched for in pieces
            self._beside = {"before": self.at(self._order - 1), "after": self.at(self._order + 1)}
        self.compiled = self._compiled()

    def _compiled(self, **closes: FloatArray) -> native.Index:
        return native.Index(
            returns=self._returns,
            sorted=self._sorted,
            order=self._order,
            ends=self._ends,
            known=len(self._order),
            histories=len(self._ends),
            **self._beside,
            **closes,
        )

    def compare_closes(self, log_closes: FloatArray, error: FloatArray) -> None:
        """Have compiled code compare closes from now on, in an index of one history.

        Parameters
        ----------
        log_closes, error : arrays, shape (n,)
            The known ones, and their rounding errors.
        """
        self.compiled = self._compiled(logs=log_closes, error=error)

    def like(self, moves: FloatArray, landmarks: Rows, tolerance: FloatArray) -> SimilarPlaces:
        """Find known moves like landmarks of windows, with a neighbour that is alike, too.

        If many moves are like a landmark, both neighbours must be alike; a landmark with more than
        :data:`MOST_ALIKE` is skipped.

        Parameters
        ----------
        moves : array, shape (m, n - 1)
            Log returns of m windows.
        landmarks : array of int, shape (m, k)
            Columns of the moves to look for: large ones, since few others are like them.
        tolerance : array, shape (m,)
            Largest distance of two moves that are alike, per window; NaN finds nothing.
        """
        wanted = moves[np.arange(len(moves))[:, None], landmarks]
        off = tolerance[:, None]
        low = self._sorted.searchsorted(wanted - off).ravel()
        counts = self._sorted.searchsorted(wanted + off).ravel() - low
        counts *= counts <= MOST_ALIKE
        which, places = self._places(low, counts)
        if not len(which):
            return _NOWHERE
        rows, columns, last = which // landmarks.shape[1], landmarks.ravel()[which], moves.shape[1]
        near = tolerance[rows]
        after = self._returns[places + 1] - moves[rows, np.minimum(columns + 1, last - 1)]
        before = self._returns[places - 1] - moves[rows, np.maximum(columns - 1, 0)]
        # NaN, where a history begins or ends, is like nothing: then the other side decides.
        goes_on, comes_from = np.abs(after) <= near, np.abs(before) <= near
        both = goes_on & comes_from
        enough = both | ((goes_on | comes_from) & (counts <= CROWD)[which])
        kept = enough.nonzero()[0]
        return SimilarPlaces(rows[kept], places[kept] - columns[kept])

    def alike(self, moves: FloatArray, tolerance: float, crowd: int) -> tuple[Rows, Rows]:
        """Pair moves, shape (k,), with known moves like them: their numbers and places, (c,) each.

        Moves with more than ``crowd`` of those are left out.
        """
        low = self._sorted.searchsorted(moves - tolerance)
        counts = self._sorted.searchsorted(moves + tolerance) - low
        counts *= counts <= crowd
        return self._places(low, counts)

    def at(self, places: Rows) -> FloatArray:
        """Known moves at places; NaN, which agrees with nothing, outside of what is known."""
        beyond = len(self._returns) - 1
        return np.asarray(self._returns[np.where(places < 0, beyond, np.minimum(places, beyond))])

    def _places(self, low: Rows, counts: Rows) -> tuple[Rows, Rows]:
        """Expand ranges of the sorted returns to the range of each place, and the places."""
        ends = counts.cumsum()
        which = np.arange(len(counts)).repeat(counts)
        return which, self._order[np.arange(len(which)) + (low + counts - ends)[which]]

    def agreement(
        self, starts: Rows, moves: FloatArray, tolerance: FloatArray
    ) -> tuple[Rows, Rows]:
        """Count the moves that agree if windows begin at places, and the known ones; (c,) each.

        Parameters
        ----------
        moves, tolerance : arrays, shape (c, n - 1) and (c,)
            One row for each start.
        """
        steps = np.arange(moves.shape[1])
        common = np.minimum(
            self._ends[self._ends.searchsorted(starts, "right")] - 1 - starts, len(steps)
        )
        agree = np.abs(self._returns[starts[:, None] + steps] - moves) <= tolerance[:, None]
        agree &= steps < common[:, None]  # beyond its end another history begins
        return agree.sum(axis=1), common

    def row_of(self, start: int) -> tuple[int, int]:
        """Convert a place to its history and the row in that history."""
        which = int(self._ends.searchsorted(start, "right"))
        return which, start - (int(self._ends[which - 1]) if which else 0)


_NOWHERE = SimilarPlaces(*(np.empty(0, np.int64),) * 2)


class CloseHistory:
    """Known closes of one symbol, with their index and the volatility before each."""

    def __init__(self, closes: FloatArray, log_closes: FloatArray) -> None:
        self._closes = closes
        self.log_closes = log_closes
        self.index = ReturnIndex([log_closes])
        self._before = np.full(len(closes), np.nan)

    @cached_property
    def rounding(self) -> FloatArray:
        """Rounding error of each close, relative to it, shape (n,)."""
        error = rounding_of(self._closes, self.log_closes)
        self.index.compare_closes(self.log_closes, error)
        return error

    def volatility_before(self, row: int) -> float | None:
        """:func:`closecast.drift.features.ewma_before` up to a row's close; computed once."""
        known = float(self._before[row])
        if np.isnan(known):
            found = ewma_before(self._closes[: row + 1])
            self._before[row] = known = -1.0 if found is None else found
        return None if known < 0 else known


_HISTORIES: WeakKeyDictionary[Prices, CloseHistory] = WeakKeyDictionary()


def history_of(prices: Prices) -> CloseHistory:
    """Return the history of closes, built on first use and kept as long as the closes."""
    found = _HISTORIES.get(prices)
    if found is None:
        found = _HISTORIES[prices] = CloseHistory(prices.closes, prices.log_closes)
    return found


class OtherSymbols:
    """Known closes of many symbols, searched for windows of another symbol.

    Parameters
    ----------
    series : iterable of Prices
        The first one counts if a window is found in two.
    """

    def __init__(self, series: Iterable[Prices]) -> None:
        self.series = tuple(prices for prices in series if len(prices) > 1)
        self.index = ReturnIndex([np.log(prices.closes) for prices in self.series])
        self._by_symbol = {prices.symbol: prices for prices in self.series}

    def of(self, symbol: str) -> Prices | None:
        """Closes of one symbol, or ``None``."""
        return self._by_symbol.get(symbol)

    def are_only(self, known: Prices | None) -> bool:
        """Return whether these are closes of no other symbol than that of ``known``."""
        return known is not None and self._by_symbol.keys() <= {known.symbol}
