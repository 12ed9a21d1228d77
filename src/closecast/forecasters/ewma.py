"""Naive location with a volatility that follows the market: hard to beat, nothing to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np

from closecast.core.arrays import FloatArray, read_only
from closecast.core.dataset import (
    FLOOR_SHARE,
    Examples,
    ewma_volatility,
    log_returns,
    long_run_volatility,
    make_examples,
)
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.core.prices import Prices
from closecast.forecasters.base import Forecaster, Predictor, TrainingReport, Watch
from closecast.forecasters.files import dump_state, reading

SCORES = 750
"""Errors remembered: three years. 500 to 1250 score alike within .0003 CRPS, 250 costs .004."""


@dataclass(frozen=True, eq=False)
class EwmaPredictor(Predictor):
    """Location 0, scale from the window's EWMA volatility, shape from past errors.

    Attributes
    ----------
    long_run : float
        Long-run volatility; a tenth of it is the floor.
    shape_quantiles : array, shape (horizon, 39)
        Empirical quantiles of the last 750 standardised errors of the training data.
    """

    name: ClassVar[str] = "ewma"

    seq_length: int
    horizon: int
    long_run: float
    shape_quantiles: FloatArray
    training: TrainingReport = field(default_factory=TrainingReport)

    @property
    def _roots(self) -> FloatArray:
        return np.sqrt(np.arange(1, self.horizon + 1))

    def location_scale(self, windows: FloatArray) -> tuple[FloatArray, FloatArray]:
        volatility = ewma_volatility(log_returns(windows), FLOOR_SHARE * self.long_run)
        scale = volatility[:, None] * self._roots
        return np.zeros_like(scale), scale

    def predict_batch(self, windows: FloatArray) -> Forecast:
        location, scale = self.location_scale(windows)
        return Forecast(
            windows[:, -1],
            location,
            scale,
            PROBABILITIES,
            scale[:, :, None] * self.shape_quantiles,
        )

    def to_files(self) -> dict[str, bytes]:
        return dump_state(
            {
                "seq_length": self.seq_length,
                "horizon": self.horizon,
                "long_run": self.long_run,
                "shape_quantiles": self.shape_quantiles.tolist(),
            }
        )

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        with reading(files) as state:
            shape = read_only(state.pop("shape_quantiles"))
            if shape.shape != (state["horizon"], len(PROBABILITIES)):
                raise ValueError(f"shape_quantiles has shape {shape.shape}")
            return cls(**state, shape_quantiles=shape)


class EwmaForecaster(Forecaster):
    """Published first for every symbol, so that there is always something to serve."""

    name = "ewma"

    def _fit(
        self,
        train: Sequence[Prices],
        valid: Sequence[Prices],
        *,
        start_from: Predictor | None,
        watch: Watch,
    ) -> EwmaPredictor:
        p = self.parameters
        returns = np.concatenate([log_returns(prices.closes) for prices in train])
        long_run = long_run_volatility(returns)
        per_series = [
            _scores(make_examples(s, p.seq_length, p.horizon), FLOOR_SHARE * long_run)[-SCORES:]
            for s in train
        ]
        return EwmaPredictor(p.seq_length, p.horizon, long_run, _shape(np.concatenate(per_series)))


def _scores(examples: Examples, floor: float) -> FloatArray:
    """Standardised errors of the naive location, shape (n, horizon), oldest first."""
    volatility = ewma_volatility(log_returns(examples.windows), floor)
    roots = np.sqrt(np.arange(1, examples.targets.shape[1] + 1))
    return examples.targets / (volatility[:, None] * roots)


def _shape(scores: FloatArray) -> FloatArray:
    return read_only(np.quantile(scores, PROBABILITIES, axis=0).T)
