"""Answers to windows of closes, and the forecasts that they are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from closecast.calibration import AdaptiveState
from closecast.core.arrays import FloatArray
from closecast.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one window, in plain numbers.

    Attributes
    ----------
    symbol : str or None
        Canonical, of the closes; ``None`` where the caller named none.
    model_symbol : str
        Whose model and drift baseline answered: the symbol's own, or the default symbol's.
    pooled : bool
        Whether the symbol has no model: the intervals are calibrated by past errors of all symbols
        that the model was trained on.
    calibration_revision : int or None
        Of the live calibration, if the answer was made with the history.
    levels : tuple of float
        Of the intervals.
    rows : sequence of sequences of float
        Per step ahead the median price, then lower and upper end of each level.
    closes_used, left_out : int
        Closes of the window that the model reads, and older ones that were sent before them.
    degraded_reason : str or None
        Why the answer is the last close with a wide interval instead of the model's forecast.
    """

    symbol: str | None
    model_symbol: str
    pooled: bool
    model_version: str
    generation: int
    calibration_revision: int | None
    naive_price: float
    levels: tuple[float, ...]
    rows: Sequence[Sequence[float]]
    verdict: Verdict
    closes_used: int
    left_out: int = 0
    degraded_reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BatchForecast:
    """Forecasts of several windows, before drift has checked the windows.

    Attributes
    ----------
    closes : array, shape (m, n)
    prices : array, shape (m, horizon, 1 + 2 levels)
        Median, then the ends of each level.
    """

    closes: FloatArray
    levels: tuple[float, ...]
    prices: FloatArray
    state: AdaptiveState | None
