"""The window is far from where the symbol's price was last seen."""

from __future__ import annotations

from typing import Literal

import numpy as np

from closecast.drift.statistics.base import Context, FloatArray, Scale, Statistic

_FRESH_SESSIONS = 21.0  # an older memory of the price is too vague to call anything a fault


class LevelGap(Statistic):
    """Distance from the last known close, in standard deviations of a random walk that long."""

    code = "level_gap"
    name = "distance from the last known close"
    least_threshold = 6.0

    def measure(
        self, returns: FloatArray, closes: FloatArray, scale: Scale, context: Context | None
    ) -> float | None:
        if context is None:
            return None
        distance = abs(float(np.log(closes[-1] / context.known_close)))
        return distance / (scale.volatility * float(np.sqrt(context.gap_sessions + 1)))

    def level(self, value: float, context: Context | None) -> Literal["regime", "fault"]:
        assert context is not None
        sure = context.symbol_named and context.gap_sessions <= _FRESH_SESSIONS
        return "fault" if sure else "regime"

    def sentence(self, value: float, threshold: float) -> str:
        return (
            f"The last close is {value:.1f} standard deviations away from the last known one: "
            "another symbol, another unit, or another price basis?"
        )
