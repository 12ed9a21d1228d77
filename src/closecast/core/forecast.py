"""``Forecast``: a distribution per step, in log returns from the last close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import (
    FloatOrFloats,
    Floats,
    FloatsOrTable,
    TableOrTables,
    read_only,
)

PROBABILITIES = read_only(np.arange(1, 40) / 40)
"""The 39 probabilities at which forecasters state quantiles: 0.025, 0.05, … 0.975.

They hold the ends of the 50, 80, 90 and 95 % intervals exactly; the mean pinball loss
over them approximates the CRPS.
"""

DEFAULT_LEVELS = (0.8, 0.95)
"""Levels of the central intervals of an answer, where a caller names none."""

MAX_LOG_RETURN = 50.0
"""Larger ones are cut: exp(50) is 5e21, beyond any close and far inside a double."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """Predictive distributions of the cumulative log return, one per step.

    With ``n`` windows at once every array has a leading axis of length ``n``.

    Attributes
    ----------
    last_close : array, shape () or (n,)
        The close that returns are counted from.
    location, scale : arrays, shape (horizon,) or (n, horizon)
        Median log return and a positive measure of spread in the same unit.
    probabilities : array, shape (q,)
        Increasing, inside (0, 1).
    quantiles : array, shape (horizon, q) or (n, horizon, q)
        Quantiles of the log return, non-decreasing along the last axis.
    """

    last_close: FloatOrFloats
    location: FloatsOrTable
    scale: FloatsOrTable
    probabilities: Floats
    quantiles: TableOrTables

    def __post_init__(self) -> None:
        for name in ("last_close", "location", "scale", "probabilities", "quantiles"):
            object.__setattr__(self, name, read_only(getattr(self, name)))
        if self.quantiles.shape != (*self.location.shape, len(self.probabilities)):
            raise ValueError(
                f"quantiles {self.quantiles.shape} do not fit location {self.location.shape} "
                f"and {len(self.probabilities)} probabilities"
            )
        if (
            self.scale.shape != self.location.shape
            or self.last_close.shape != self.location.shape[:-1]
        ):
            raise ValueError("last_close, location and scale have different shapes")
        if not all(
            np.isfinite(array).all()
            for array in (self.last_close, self.location, self.scale, self.quantiles)
        ):
            raise ValueError("a forecast must be finite")
        if not (self.scale > 0).all():
            raise ValueError("a forecast's scale must be positive")

    @property
    def horizon(self) -> int:
        """Number of steps ahead."""
        return int(self.location.shape[-1])

    @property
    def price(self) -> NDArray[np.float64]:
        """Median price per step, shape like ``location``."""
        return self._to_price(self.location)

    def interval(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper price of the central interval, shapes like ``location``.

        Raises
        ------
        ValueError
            If the forecast does not state the interval's end points.
        """
        lower = self._column((1 - level) / 2)
        upper = self._column((1 + level) / 2)
        return self._to_price(self.quantiles[..., lower]), self._to_price(
            self.quantiles[..., upper]
        )

    def __getitem__(self, row: int | slice) -> Forecast:
        """The forecast of one window (or of several) out of a batch."""
        return replace(
            self,
            last_close=self.last_close[row],
            location=self.location[row],
            scale=self.scale[row],
            quantiles=self.quantiles[row],
        )

    def _column(self, probability: float) -> int:
        i = int(np.argmin(np.abs(self.probabilities - probability)))
        if abs(self.probabilities[i] - probability) > 1e-9:
            raise ValueError(f"no quantile at probability {probability:g}")
        return i

    def _to_price(self, log_return: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.last_close[..., None] * growth(log_return))


def growth(log_return: NDArray[np.float64]) -> NDArray[np.float64]:
    """Growth factor of the price; any shape."""
    return np.exp(np.minimum(np.maximum(log_return, -MAX_LOG_RETURN), MAX_LOG_RETURN))


def stack(forecasts: Sequence[Forecast]) -> Forecast:
    """Forecasts of one window each, of one horizon and at the same probabilities, as a batch."""
    return Forecast(
        np.array([f.last_close for f in forecasts]),
        np.array([f.location for f in forecasts]),
        np.array([f.scale for f in forecasts]),
        forecasts[0].probabilities,
        np.array([f.quantiles for f in forecasts]),
    )
