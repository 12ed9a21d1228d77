"""Many moves in one direction."""

from __future__ import annotations

from math import sqrt

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic


class WeekTrend(Statistic):
    """Sum of the last five standardised moves, in standard deviations of such a sum.

    It finds crashes: the five sessions from 2020-02-24 were beyond it for 17 of 20 symbols.
    """

    key = "trend_week"
    channel = "regime"
    name = "sum of the last 5 standardised moves, in standard deviations"
    weights = 0.15, 0.3
    sessions = 5

    def measure(self, reading: WindowFeatures) -> FloatArray:
        last = reading.clipped[:, -self.sessions :]
        return np.asarray(np.abs(np.add.reduce(last, axis=1)) / sqrt(last.shape[1]))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        moves = reading.returns[i, -self.sessions :]
        move = round(100 * float(np.expm1(moves.sum())), 1)
        row = reading.returns.shape[1] - len(moves) + 1
        return Cause("trend", row, {"move": move, "sessions": len(moves)})


class MonthTrend(WeekTrend):
    """Sum of the last thirty standardised moves, in standard deviations of such a sum."""

    key = "trend_month"
    name = "sum of the last 30 standardised moves, in standard deviations"
    weights = 0.03, 0.04
    sessions = 30
