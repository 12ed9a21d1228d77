"""Moves too large for news: of a split 2:1 and beyond, or of another unit."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic
from closecast.drift.statistics.one_move import facts_of, percent, split_or_news
from closecast.drift.statistics.ratios import (
    LEAST_CLEAR,
    UNITS,
    factor_of,
    like_split,
    tolerance,
)

IMPLAUSIBLE = 18.0
"""Long-run volatilities beyond which news is implausible. On 2020-03-12 coins fell by 8 to 17;
a split 2:1 of a stock is 20 to 70."""


class Jump(Statistic):
    """Largest move that news hardly makes, in volatilities of the days around it.

    Smaller moves count as 0: those below a split 2:1, and those that the symbol's own volatility
    explains. A ratio of a split near the move decides on the name, not on the value, so that the
    value never falls as the move grows. Beyond a factor of 15 the days around it do not matter
    either: units that alternate make them as wild as the move.
    """

    key = "jump"
    channel = "fault"
    name = "move like a split's or a unit's, over the volatility around it"
    weights = 0.15, 0.15
    least_threshold = 7.0
    least_elsewhere = 21.0  # coins hardly ever split, and fell by 9 to 16 of these on 2020-03-12

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(_scores(reading).max(axis=1))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        largest = int(_scores(reading)[i].argmax())
        scale = float(reading.around_one[i, largest])
        back = way_back(reading.returns[i], largest, scale)
        row = largest if back is None else min(largest, back)
        move = float(reading.returns[i, row])
        unit = abs(move) >= UNITS and like_split(move, scale) is None
        if back is not None and abs(largest - back) == 1 and abs(move) < UNITS:
            return Cause("spike", row + 1, {"move": percent(move), "times": round(value, 1)})
        if unit or back is not None:
            facts = facts_of(move, value)
            return Cause("unit_error", row + 1, {**facts, "factor": factor_of(move)})
        # A real fall by half looks the same; only the volume would distinguish them.
        return split_or_news(reading, i, row, value, first="split")


def least_jump(volatility: float) -> float:
    """Size of a log return below which it has no value in :class:`Jump`.

    >>> least_jump(0.02), round(least_jump(0.05), 3), round(least_jump(0.5), 3)
    (0.58, 0.9, 2.708)
    """
    return min(max(LEAST_CLEAR, IMPLAUSIBLE * volatility), UNITS)


def way_back(returns: FloatArray, row: int, scale: float) -> int | None:
    """Row of a move that reverses the given one, if there is one."""
    size = abs(float(returns[row]))
    undoing = np.abs(returns + returns[row]) <= max(0.2 * size, tolerance(scale, size))
    found = np.flatnonzero(undoing)
    return int(found[np.abs(found - row).argmin()]) if len(found) else None


def _scores(reading: WindowFeatures) -> FloatArray:
    sizes, around = reading.sizes, reading.around_one
    plausible = np.maximum(LEAST_CLEAR, IMPLAUSIBLE * reading.plausible[:, None])
    least = np.minimum(plausible, UNITS)
    scale = np.where(sizes < UNITS, around, np.minimum(around, reading.volatility[:, None]))
    return np.where(sizes >= least, sizes / scale, 0.0)
