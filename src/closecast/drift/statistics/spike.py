"""One close that stands apart: there and back again."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic


class Spike(Statistic):
    """Largest pair of opposite moves, in volatilities of the days around it.

    The part of the two moves that cancels: half their difference less half of what is left over.
    Days around count on both sides, for after a real shock they stay wild and after a wrong close
    they do not.
    """

    key = "spike"
    channel = "fault"
    name = "pair of moves that cancel, over the volatility around them"
    weights = 1.0, 1.0

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(_pairs(reading).max(axis=1))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        row = int(_pairs(reading)[i].argmax())
        move = 100 * float(np.expm1(reading.returns[i, row]))
        return Cause("spike", row + 1, {"move": round(move, 1), "times": round(value, 1)})


def _pairs(reading: WindowFeatures) -> FloatArray:
    first, second = reading.returns[:, :-1], reading.returns[:, 1:]
    # |a - b| / 2 - |a + b| / 2 is the smaller of the two where they are opposite, else less than 0
    cancelled = np.abs(first - second) - np.abs(first + second)
    return np.asarray(np.maximum(cancelled, 0.0) / (2 * reading.around_two))
