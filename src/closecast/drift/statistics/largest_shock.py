"""One session that moved far more than the sessions before it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from closecast.dataset import FLOOR_SHARE
from closecast.drift.statistics.base import Context, FloatArray, Scale, Statistic, standardised

# A tenth or ten times the price at more than this many sigmas: units, not news. The 2:1 split
# and the crash look alike to a single number, so anything smaller stays a matter of the market.
_UNITS = 60.0


class LargestShock(Statistic):
    """Largest absolute return over the EWMA volatility just before it."""

    code = "shock"
    name = "largest standardised return"
    least_threshold = 6.0

    def measure(
        self, returns: FloatArray, closes: FloatArray, scale: Scale, context: Context | None
    ) -> float | None:
        shocks = np.abs(standardised(returns, FLOOR_SHARE * scale.volatility))
        return float(shocks.max()) if len(shocks) else None  # a window of ten has no warm-up

    def level(self, value: float, context: Context | None) -> Literal["regime", "fault"]:
        return "fault" if value > _UNITS else "regime"

    def sentence(self, value: float, threshold: float) -> str:
        return (
            f"One session moved {value:.1f} times the volatility before it "
            f"(more than {threshold:.1f} is unusual): news, a split, or a wrong close."
        )
