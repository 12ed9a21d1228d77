"""Observations of one day: forecast, scored close, and their mean over a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.forecast import Forecast

ENDS = np.array([0.05, 0.95])
"""Probabilities of the interval that the coverage tracker watches."""


@dataclass(frozen=True, eq=False)
class OriginForecast:
    """Uncalibrated forecast from one origin.

    Attributes
    ----------
    location, scale : arrays, shape (horizon,)
        In cumulative log return.
    ends : array, shape (horizon, 2)
        The predictor's own 5 % and 95 % quantiles in units of ``scale``, from ``location``.
    """

    location: FloatArray
    scale: FloatArray
    ends: FloatArray

    @classmethod
    def of(cls, forecast: Forecast) -> Self:
        """From one forecast."""
        lower, upper = (int(np.abs(forecast.probabilities - p).argmin()) for p in ENDS)
        ends = forecast.quantiles[:, [lower, upper]] - forecast.location[:, None]
        return cls(forecast.location, forecast.scale, ends / forecast.scale[:, None])


@dataclass(frozen=True, eq=False)
class ScoredClose:
    """Scores of the earlier forecasts of one new close.

    Attributes
    ----------
    surprise : float
        Size of the one-step error in units of the uncalibrated scale; NaN if unknown.
    scores, misses : arrays, shape (horizon,)
        Standardised error per step, and whether its 90 % interval missed; NaN where no
        forecast was waiting.
    """

    surprise: float
    scores: FloatArray
    misses: FloatArray


@dataclass(frozen=True, eq=False)
class PanelObservation:
    """The same, over all symbols of a panel that have a close on that day."""

    surprise: float
    misses: FloatArray

    @classmethod
    def of(cls, scored: Sequence[ScoredClose]) -> Self:
        """Means over members; NaN where no member has a value."""
        return cls(
            float(_mean([np.float64(s.surprise) for s in scored])),
            np.asarray(_mean([s.misses for s in scored])),
        )


def _mean(values: Sequence[FloatArray | np.float64]) -> FloatArray:
    """Mean over a list, added up one by one: the same bits on every machine."""
    total, count = np.zeros_like(values[0]), np.zeros_like(values[0])
    for value in values:
        known = np.isfinite(value)
        total = total + np.where(known, value, 0.0)
        count = count + known
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.where(count > 0, count, np.nan))
