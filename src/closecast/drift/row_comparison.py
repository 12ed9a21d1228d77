"""Comparison of a window with known closes row by row: which rows leave the usual ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.drift.return_index import CloseHistory, Rows
from closecast.drift.rounding import COARSEST, FINEST, rounding_of

EQUAL = 4 * FINEST
"""Log ratios that spread less than this are equal to rounding, however they were rounded."""

ENOUGH = 10
"""Closes at one ratio to the known ones, so that there is no doubt about the place."""

_SHARE = 0.2  # of the rows with a known close
_AT_ONE = 5  # closes equal to the known ones: then those are the base, and not the majority
_AT_ONE_SHARE = 0.05
_NEAR = 0.005  # distance of two feeds of one symbol, as a median
_FAR = 6.0  # times that distance


@dataclass(frozen=True, slots=True, eq=False)
class RowComparison:
    """Closes of a window beside the known closes of the same sessions.

    Attributes
    ----------
    closes, logs : arrays, shape (n,)
        The closes that were sent, and their logarithms.
    rows : array of int, shape (n,)
        Known row of each close; -1 where there is none.
    known : array, shape (n,)
        Logarithms of the known closes; NaN where there is none.
    ratios : array, shape (n,)
        Logarithms of the closes sent over the known ones.
    error : array, shape (n,)
        Rounding error of each ratio.
    base : float
        Ratio of the rows that agree: 0 if some are equal to the known closes, else that of most.
    leaving : array of bool, shape (n,)
        Whether there is a known close and the ratio is not the base, to rounding.
    most : int
        Number of rows that share one ratio, the base or another one.
    rough : bool
        Whether the closes are those of another feed, and agree no better than feeds do.
    """

    closes: FloatArray
    logs: FloatArray
    rows: Rows
    known: FloatArray
    ratios: FloatArray
    error: FloatArray
    base: float
    leaving: NDArray[np.bool_]
    most: int
    rough: bool = False

    @classmethod
    def of(
        cls,
        closes: FloatArray,
        logs: FloatArray,
        history: CloseHistory,
        rows: Rows,
        feeds: float = 0.0,
    ) -> Self | None:
        """Compare a window with known closes; ``None`` below ten rows in common.

        Parameters
        ----------
        rows : array of int, shape (n,)
            Known row of each close; any other number where there is none.
        feeds : float
            Least error to allow for, where the closes are those of another feed.
        """
        there = (rows >= 0) & (rows < len(history.log_closes))
        if np.add.reduce(there) < ENOUGH:
            return None
        rows = np.where(there, rows, -1)
        known = np.where(there, history.log_closes[rows], np.nan)
        ratios, error = logs - known, rounding_of(closes, logs) + history.rounding[rows]
        error = np.maximum(error, feeds)
        shown = ratios[there]
        # A single close in a smaller unit has a larger error, which is not that of the others.
        usual = float(np.sort(error[there])[9 * len(shown) // 10])
        base, most = _base(shown, error[there], usual)
        near = np.abs(ratios - base) <= error + usual  # NaN is not
        leaving = there & ~near
        return cls(closes, logs, rows, known, ratios, error, base, leaving, most, feeds > 0)

    @property
    def certain(self) -> bool:
        """Answer True if so many rows agree that they could not do so by chance."""
        there = self.rows >= 0
        usual = _middle(np.sort(self.error[there]))
        if usual > (_FAR * _NEAR if self.rough else COARSEST):
            return False
        return bool(self.most >= max(ENOUGH, _SHARE * np.add.reduce(there)))

    def error_of_feeds(self) -> float | None:
        """Error that covers the distance of most rows; ``None`` if these are not two feeds."""
        shown = self.ratios[self.rows >= 0]
        apart = _middle(np.sort(np.abs(shown - _middle(np.sort(shown)))))
        return _FAR / 2 * apart if apart <= _NEAR else None

    @classmethod
    def in_another_order(
        cls, closes: FloatArray, logs: FloatArray, history: CloseHistory, rows: Rows
    ) -> Self | None:
        """Compare a window with known closes, if all of them are there in another order."""
        there = (rows >= 0) & (rows < len(history.log_closes))
        if not there.all() or len(logs) < ENOUGH:
            return None
        known = history.log_closes[rows]
        apart = np.sort(logs) - np.sort(known)
        base = _middle(np.sort(apart))
        furthest = float(np.abs(apart - base).max())
        if furthest > 2 * COARSEST:
            return None
        error = rounding_of(closes, logs) + history.rounding[rows]
        widest = float(error.max())
        if widest > COARSEST or furthest > 2 * widest:
            return None
        ratios = logs - known
        leaving = np.abs(ratios - base) > 2 * widest
        return cls(closes, logs, rows, known, ratios, error, base, leaving, len(logs))

    @property
    def in_one_piece(self) -> bool:
        """Answer True if the closes are known sessions in a row, none missing, none added."""
        there = np.flatnonzero(self.rows >= 0)
        return bool((self.rows[there] - there == self.rows[there[0]] - there[0]).all())


def _base(ratios: FloatArray, error: FloatArray, usual: float) -> tuple[float, int]:
    """Ratio of the rows that agree, and the number of rows with the commonest ratio."""
    ordered = np.sort(ratios)
    counts = ordered.searchsorted(ordered + 2 * usual, "right") - np.arange(len(ordered))
    best = int(counts.argmax())
    most = int(counts[best])
    equal = np.abs(ratios) <= error
    if np.add.reduce(equal) >= max(_AT_ONE, _AT_ONE_SHARE * len(ratios)):
        return _middle(np.sort(ratios[equal])), most
    return _middle(ordered[best : best + most]), most


def _middle(ordered: FloatArray) -> float:
    """Median of sorted values, and one of them; NumPy's takes longer than all else here."""
    return float(ordered[len(ordered) // 2])
