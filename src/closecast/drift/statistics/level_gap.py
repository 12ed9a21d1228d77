"""Gap between the last known close and the first close of the window."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause, Statistic
from closecast.drift.statistics.ratios import like_split, like_unit


class LevelGap(Statistic):
    """Distance from the last known close, in deviations of a random walk that long.

    The volatility is the one just before the window, and the walk as long as the sessions between
    the two closes: an older known close allows a larger gap.
    """

    key = "level_gap"
    channel = "fault"
    name = "distance from the last known close, in standard deviations"
    weights = 0.0, 0.8

    def measure(self, reading: WindowFeatures) -> FloatArray:
        assert reading.gap is not None
        return np.abs(reading.gap)

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        assert reading.gap is not None
        assert reading.gap_scale is not None
        scale = float(reading.gap_scale[i])
        distance = float(reading.gap[i]) * scale
        facts: dict[str, int | float | str] = {
            "times": round(value, 1),
            "distance": round(100 * float(np.expm1(min(distance, 20.0))), 1),
        }
        if (factor := like_unit(distance, scale)) is not None:
            return Cause("unit_error", 0, {**facts, "factor": factor})
        if like_split(distance, scale) is not None:
            return Cause("wrong_symbol", 0, facts, alternatives=("split",))
        return Cause("wrong_symbol", 0, facts)
