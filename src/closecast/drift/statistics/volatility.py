"""The whole window is wilder or calmer than training was."""

from __future__ import annotations

from typing import Literal

import numpy as np

from closecast.drift.statistics.base import Context, FloatArray, Scale, Statistic


def _ratio(returns: FloatArray, scale: Scale) -> float:
    """Mean absolute return over the training level (both as standard deviations)."""
    return float(np.abs(returns).mean() * np.sqrt(np.pi / 2)) / scale.volatility


class HighVolatility(Statistic):
    """Volatility of the window over that of training."""

    code = "volatility_high"
    name = "volatility ratio"
    least_threshold = 1.5
    margin = 0.1

    def measure(
        self, returns: FloatArray, closes: FloatArray, scale: Scale, context: Context | None
    ) -> float | None:
        return _ratio(returns, scale)

    def level(self, value: float, context: Context | None) -> Literal["regime", "fault"]:
        return "regime"

    def sentence(self, value: float, threshold: float) -> str:
        return f"High volatility detected ({value:.1f}x the training level)."


class LowVolatility(Statistic):
    """The inverse ratio: how many times calmer the window is."""

    code = "volatility_low"
    name = "inverse volatility ratio"
    least_threshold = 2.0
    margin = 0.1

    def measure(
        self, returns: FloatArray, closes: FloatArray, scale: Scale, context: Context | None
    ) -> float | None:
        return 1 / max(_ratio(returns, scale), 1e-3)

    def level(self, value: float, context: Context | None) -> Literal["regime", "fault"]:
        return "regime"

    def sentence(self, value: float, threshold: float) -> str:
        return f"Low volatility detected ({1 / value:.2f}x the training level)."
