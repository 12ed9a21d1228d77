"""Volatility of the window compared with training, and with the closes before it."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic

LEAST_RATIO = 0.05  # of the level that is compared with


class VolatilityHigh(Statistic):
    """Calmest quarter of the window over the long-run volatility, in logs.

    The calmest, because a crisis usually begins or ends inside a window and leaves a quiet quarter:
    this value has a far thinner tail on clean data than the window's mean, and finds a window that
    is wild throughout (three times the volatility: 16 % of windows at 1 % false alarms). If the
    closes before the window are known, they are the better measure, and this gets a small share.
    """

    key = "volatility_high"
    channel = "regime"
    name = "log of the calmest quarter's volatility over the long-run level"
    weights = 0.055, 0.005

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return _log_ratio(reading.quarters.min(axis=1), self._level(reading))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        return Cause("volatility_high", None, self._facts(reading, i))

    _than = "training"

    def _level(self, reading: WindowFeatures) -> FloatArray:
        return reading.level

    def _named(self, reading: WindowFeatures) -> FloatArray:
        """The level named in the sentence."""
        return reading.volatility

    def _facts(self, reading: WindowFeatures, i: int) -> dict[str, int | float | str]:
        times = float(reading.quarters[i].mean() / self._named(reading)[i])
        return {"times": round(times, 2), "than": self._than}


class VolatilityLow(VolatilityHigh):
    """Long-run volatility over that of the wildest quarter of the window, in logs."""

    key = "volatility_low"
    name = "log of the long-run level over the wildest quarter's volatility"
    weights = 0.001, 0.001
    least_threshold = 1.4  # a quarter of the training level; whole decades are half of others

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return -_log_ratio(reading.quarters.max(axis=1), self._level(reading))

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        return Cause("volatility_low", None, self._facts(reading, i))


class _AgainstBefore(VolatilityHigh):
    """Volatility of the window compared with that of the closes just before it."""

    _than = "before"

    def _level(self, reading: WindowFeatures) -> FloatArray:
        assert reading.before is not None
        return reading.before

    def _named(self, reading: WindowFeatures) -> FloatArray:
        return self._level(reading)


class VolatilityRise(_AgainstBefore):
    """Volatility of the calmest quarter over that just before the window, in logs."""

    key = "volatility_high_before"
    name = "log of the calmest quarter's volatility over that just before the window"
    weights = 0.0, 0.8


class VolatilityFall(_AgainstBefore, VolatilityLow):
    """Volatility just before the window over that of its wildest quarter, in logs."""

    key = "volatility_low_before"
    name = "log of the volatility just before the window over its wildest quarter's"
    weights = 0.0, 0.02
    least_threshold = 0.0


class VolatileWeek(Statistic):
    """Mean size of the last five moves, each over the volatility before it, limited to 4."""

    key = "volatility_high_week"
    channel = "regime"
    name = "mean size of the last five moves over the volatility before them"
    weights = 0.04, 0.1

    def measure(self, reading: WindowFeatures) -> FloatArray:
        last = np.abs(reading.clipped[:, -5:])
        return np.asarray(np.add.reduce(last, axis=1) / last.shape[1])

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        n = reading.returns.shape[1]
        return Cause(
            "volatility_high",
            max(n - 4, 1),
            {"times": round(value * float(np.sqrt(np.pi / 2)), 1), "than": "week"},
        )


def _log_ratio(volatility: FloatArray, level: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(volatility / level, LEAST_RATIO)))
