"""The same close again and again: a feed that stopped, or holidays that were filled."""

from __future__ import annotations

from typing import Literal

import numpy as np

from closecast.drift.statistics.base import Context, FloatArray, Scale, Statistic

# Adjusted closes of equal raw closes differ in the last digits, so equality has a tolerance.
_SAME = 1e-6


class RepeatedCloses(Statistic):
    """Longest run of equal closes, counted in closes."""

    code = "frozen_feed"
    name = "longest run of repeated closes"
    least_threshold = 4.0

    def measure(
        self, returns: FloatArray, closes: FloatArray, scale: Scale, context: Context | None
    ) -> float | None:
        changed = np.flatnonzero(np.abs(returns) > _SAME)
        ends = np.concatenate([[-1], changed, [len(returns)]])
        return float(np.diff(ends).max())

    def level(self, value: float, context: Context | None) -> Literal["regime", "fault"]:
        return "fault"

    def sentence(self, value: float, threshold: float) -> str:
        return f"The close did not change for {value:.0f} rows in a row: is the feed frozen?"
