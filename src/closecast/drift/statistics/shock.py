"""News: a large last move, and a larger one before it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic
from closecast.drift.statistics.jump import way_back
from closecast.drift.statistics.one_move import LEAST_UNSURE, facts_of, split_or_news
from closecast.drift.statistics.ratios import LEAST_CLEAR

FADE = 0.8
"""Part of its weight that a move loses per session: the maximum over a whole window costs 59 times
as many false alarms as the last move."""

OLD = 0.45
"""Least weight of a move: 17 volatilities are still news after a quarter."""

PART_OF_CLEAR = 7 / 12
"""Weight of moves below those of a split 2:1 in :class:`LargeMove`."""


class Shock(Statistic):
    """Largest move over the volatility just before it; moves of earlier sessions count for less."""

    key = "shock_lately"
    channel = "regime"
    name = "largest move over the volatility before it, newest moves first"
    weights = 0.06, 0.05
    most_threshold = 7.5

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(_faded(reading.standardised).max(axis=1))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        column = int(_faded(reading.standardised[i]).argmax())
        times = abs(float(reading.standardised[i, column]))
        move = float(reading.returns[i, column])
        if reading.sizes[i, column] >= LEAST_UNSURE and stays(reading, i, column):
            return split_or_news(reading, i, column, times)
        return Cause("shock", column + 1, facts_of(move, times))


class LargeMove(Statistic):
    """Largest move that may be a split or news, in volatilities of the days around it.

    Where it was is no matter: a split that was not adjusted for spoils the whole window. The limit
    is fixed, as clean windows of a market with many crashes would otherwise hide its splits.
    """

    key = "large_move"
    channel = "regime"
    name = "move that may be a split's or news, over the volatility around it"
    weights = 0.02, 0.02
    least_threshold = 7.0
    most_threshold = 7.0

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(_large(reading.sizes, reading.around_one).max(axis=1))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        column = int(_large(reading.sizes[i], reading.around_one[i]).argmax())
        times = float(reading.sizes[i, column] / reading.around_one[i, column])
        if stays(reading, i, column):
            return split_or_news(reading, i, column, times)
        return Cause("shock", column + 1, facts_of(float(reading.returns[i, column]), times))


def stays(reading: WindowFeatures, i: int, column: int) -> bool:
    """Answer True if no move of the window reverses this one: a split has no way back."""
    scale = float(reading.around_one[i, column])
    return way_back(reading.returns[i], column, scale) is None


def _faded(standardised: FloatArray) -> FloatArray:
    return np.abs(standardised) * _weights(standardised.shape[-1])


@lru_cache(maxsize=8)
def _weights(n: int) -> FloatArray:
    weights = np.maximum(FADE ** np.arange(n)[::-1], OLD)
    weights.flags.writeable = False
    return np.asarray(weights)


def _large(sizes: FloatArray, around: FloatArray) -> FloatArray:
    counted = np.where(sizes >= LEAST_CLEAR, 1.0, np.where(sizes >= LEAST_UNSURE, PART_OF_CLEAR, 0))
    return np.asarray(counted * sizes / around)
