"""Closes in another unit than those around them: pence among pounds, thousands among points. Pure.

A move beyond :data:`closecast.core.prices.UNIT_RATIO` in one session leads to another level.
Where a later move leads back, the rows between are in another unit, one row or a hundred. Where
none does, the last rows of a series (or its first) are, unless they are many: an unadjusted split
stays for good.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from closecast.core.prices import UNIT_RATIO

STAYS_UP, STAYS_DOWN = 30, 60
"""Closes on the other side of a large move, up or down, that make it one that stays. Shares are
merged a hundred to one now and then; none is split by a hundred where pence and pounds are."""

_LIMIT = float(np.log(UNIT_RATIO))
_SAME_LEVEL = _LIMIT / 2
_WHOLE_SPLITS = np.log([20, 25, 30, 40, 50])  # what exchanges know; pence and pounds are 100
_OF_A_SPLIT = float(np.log(1.1))


@dataclass(frozen=True, slots=True)
class UnitBlock:
    """Neighbouring rows in another unit.

    Attributes
    ----------
    first, stop : int
        Rows from ``first`` to before ``stop``.
    ratio : float
        Of their first close to the nearest close outside.
    """

    first: int
    stop: int
    ratio: float


@dataclass(frozen=True, slots=True)
class _Level:
    first: int
    stop: int
    height: float  # sum of the large moves that led to it, in logarithms


def unit_blocks(
    log_closes: NDArray[np.float64], apart: NDArray[np.bool_] | None = None
) -> list[UnitBlock]:
    """Rows in another unit than most of those around them, oldest first.

    Parameters
    ----------
    log_closes : array, shape (n,)
        Natural logarithms of closes, oldest first.
    apart : array of bool, shape (n - 1,), optional
        Moves over a long gap, which may be of any size.
    """
    moves = np.diff(log_closes)
    if apart is not None:
        moves = np.where(apart, 0.0, moves)
    large = np.flatnonzero(np.abs(moves) > _LIMIT)
    if not len(large):
        return []
    edges = [0, *(large + 1).tolist(), len(log_closes)]
    heights = np.concatenate([[0.0], np.cumsum(moves[large])])
    levels = [
        _Level(a, b, float(h)) for a, b, h in zip(edges[:-1], edges[1:], heights, strict=True)
    ]
    wrong = _wrong(levels, at_start=True, at_end=True)
    return [_block(level, log_closes) for level in wrong]


def lasting_moves(
    log_closes: NDArray[np.float64], apart: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Rows to which a move beyond the unit ratio leads that is not taken back, oldest first."""
    moves = np.diff(log_closes)
    if apart is not None:
        moves = np.where(apart, 0.0, moves)
    rows = np.flatnonzero(np.abs(moves) > _LIMIT) + 1
    ends = {end for b in unit_blocks(log_closes, apart) for end in (b.first, b.stop)}
    return np.array([row for row in rows.tolist() if row not in ends], dtype=np.int64)


def _wrong(levels: Sequence[_Level], *, at_start: bool, at_end: bool) -> list[_Level]:
    """Levels that are not the usual one of the rows around them."""
    if not levels:
        return []
    usual = _most_common(levels)
    own = [i for i, level in enumerate(levels) if _same(level.height, usual.height)]
    before, between, after = levels[: own[0]], levels[own[0] : own[-1]], levels[own[-1] + 1 :]
    starts, ends = _on_both_sides(before, after)
    if starts < len(before):  # the moves to the usual level and from it take each other back
        found = [*_wrong(before[:starts], at_start=at_start, at_end=False), *before[starts:]]
        found += [level for level in between if not _same(level.height, usual.height)]
        return [*found, *after[:ends], *_wrong(after[ends:], at_start=False, at_end=at_end)]
    found = _outside(before, usual, at_start, of_start=True)
    found += [level for level in between if not _same(level.height, usual.height)]
    return found + _outside(after, usual, at_end, of_start=False)


def _on_both_sides(before: Sequence[_Level], after: Sequence[_Level]) -> tuple[int, int]:
    """First of the levels before that is one of those after, and end of those that are before."""
    earlier, later = _Heights(before), _Heights(after)
    starts = [i for i, level in enumerate(before) if later.rows_at(level.height)]
    ends = [i for i, level in enumerate(after) if earlier.rows_at(level.height)]
    return (starts[0], ends[-1] + 1) if starts else (len(before), 0)


def _outside(
    levels: Sequence[_Level], usual: _Level, at_edge: bool, *, of_start: bool
) -> list[_Level]:
    """Wrong levels before or after all rows at the usual one."""
    if not levels:
        return []
    rows = sum(level.stop - level.first for level in levels)
    move = usual.height - levels[-1].height if of_start else levels[0].height - usual.height
    may_be_a_split = len(levels) == 1 and np.abs(_WHOLE_SPLITS - abs(move)).min() < _OF_A_SPLIT
    if at_edge and rows < (STAYS_UP if move > 0 else STAYS_DOWN) and not may_be_a_split:
        return list(levels)
    return _wrong(levels, at_start=of_start and at_edge, at_end=not of_start and at_edge)


def _most_common(levels: Sequence[_Level]) -> _Level:
    """The level at whose height most rows are; the first of several."""
    heights = _Heights(levels)
    return max(levels, key=lambda level: heights.rows_at(level.height))


class _Heights:
    """Heights of levels in order, so that thousands of levels are counted in no time."""

    def __init__(self, levels: Sequence[_Level]) -> None:
        ordered = sorted(levels, key=lambda level: level.height)
        self._heights = [level.height for level in ordered]
        self._rows = [0, *accumulate(level.stop - level.first for level in ordered)]

    def rows_at(self, height: float) -> int:
        """Number of rows of the levels at this height."""
        low = bisect_right(self._heights, height - _SAME_LEVEL)
        return self._rows[bisect_left(self._heights, height + _SAME_LEVEL)] - self._rows[low]


def _same(a: float, b: float) -> bool:
    return abs(a - b) < _SAME_LEVEL


def _block(level: _Level, log_closes: NDArray[np.float64]) -> UnitBlock:
    beside, row = (level.first - 1, level.first) if level.first else (level.stop, level.stop - 1)
    return UnitBlock(level.first, level.stop, float(np.exp(log_closes[row] - log_closes[beside])))
