"""Closes that repeat: a frozen feed, or days without trade that were filled."""

from __future__ import annotations

from functools import lru_cache
from math import comb, log10

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic

FROZEN = 4  # still days in a row
_MOST = 300.0


class FrozenFeed(Statistic):
    """Surprise of the longest run of still days, given the symbol's share of still days."""

    key = "frozen_feed"
    channel = "fault"
    name = "minus log10 probability of the longest run of repeated closes"
    weights = 0.1, 0.1
    least_threshold = 3.0

    def measure(self, reading: WindowFeatures) -> FloatArray:
        values = np.zeros(len(reading))
        for i in reading.still_rows:
            start, stop = _longest_run(reading.still[i])
            share = rounded_share(float(reading.still_share[i]))
            surprise = -(stop - start) * log10(share) - log10(reading.still.shape[1])
            values[i] = min(max(surprise, 0.0), _MOST)
        return values

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        start, stop = _longest_run(reading.still[i])
        return Cause("frozen_feed", start + 1, {"rows": stop - start + 1})


class FilledDays(Statistic):
    """Surprise of the number of still days outside of a frozen stretch."""

    key = "filled_days"
    channel = "fault"
    name = "minus log10 probability of so many repeated closes"
    weights = 0.15, 0.15
    least_threshold = 2.0

    def measure(self, reading: WindowFeatures) -> FloatArray:
        n = reading.still.shape[1]
        values = np.zeros(len(reading))
        for i in reading.still_rows:
            count = len(_scattered(reading.still[i]))
            values[i] = surprises(n, rounded_share(float(reading.still_share[i])))[count]
        return values

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        rows = _scattered(reading.still[i])
        return Cause("filled_days", int(rows[0]) + 1, {"rows": len(rows)})


def rounded_share(still: float) -> float:
    """Share of still days as both statistics use it: at most 0.5, three decimals."""
    return round(min(still, 0.5), 3)


def _longest_run(still: np.ndarray) -> tuple[int, int]:
    """Start and stop of the longest run of true values; of equal ones, the first."""
    rows = np.flatnonzero(still).tolist()
    best = start = previous = rows[0]
    length = 1
    for row in rows[1:]:
        if row != previous + 1:
            start = row
        previous = row
        if row - start + 1 > length:
            best, length = start, row - start + 1
    return best, best + length


def _scattered(still: np.ndarray) -> np.ndarray:
    start, stop = _longest_run(still)
    rows = np.flatnonzero(still)
    return rows[(rows < start) | (rows >= stop)] if stop - start >= FROZEN else rows


@lru_cache(maxsize=256)
def surprises(n: int, share: float) -> FloatArray:
    """Minus log10 of P(X >= k), X binomial, for k = 0 .. n."""
    law = [comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    tails = np.minimum(np.cumsum(law[::-1])[::-1], 1.0)
    return np.asarray(np.minimum(-np.log10(np.maximum(tails, 10**-_MOST)), _MOST))
