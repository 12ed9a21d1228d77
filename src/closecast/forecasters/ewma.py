"""Naive location with a volatility that follows the market: hard to beat, nothing to train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from closecast.core.arrays import FloatArray, read_only
from closecast.core.dataset import (
    FLOOR_SHARE,
    ewma_volatility,
    log_returns,
    long_run_volatility,
    make_examples,
)
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.forecasters.base import (
    Forecaster,
    LocationScale,
    LocationScalePredictor,
    TrainingData,
)
from closecast.forecasters.rows import TrainingRows, View

SCORES = 750
"""Errors remembered: three years. 500 to 1250 score alike within 0.0003 CRPS, 250 costs 0.004."""


@dataclass(frozen=True, eq=False)
class EwmaPredictor(LocationScalePredictor):
    """Location 0, scale from the window's EWMA volatility, shape from past errors.

    Attributes
    ----------
    long_run : float
        Long-run volatility; a tenth of it is the floor.
    shape_quantiles : array, shape (horizon, 39)
        Empirical quantiles of the last 750 standardised errors of the training data.
    """

    name: ClassVar[str] = "ewma"

    long_run: float
    shape_quantiles: FloatArray

    def __post_init__(self) -> None:
        if self.shape_quantiles.shape != (self.horizon, len(PROBABILITIES)):
            raise ValueError(f"shape_quantiles has shape {self.shape_quantiles.shape}")

    @property
    def standard_quantiles(self) -> FloatArray:
        return self.shape_quantiles

    def location_scale(self, windows: FloatArray) -> LocationScale:
        volatility = ewma_volatility(log_returns(windows), FLOOR_SHARE * self.long_run)
        scale = volatility[:, None] * self.roots
        return np.zeros_like(scale), scale


class EwmaForecaster(Forecaster):
    """Published first for every symbol, so that there is always something to serve."""

    name = "ewma"

    def training_rows(
        self, series: Sequence[Prices], train: Sequence[Prices]
    ) -> Mapping[View, Sequence[TrainingRows]]:
        p, floor = self.parameters, FLOOR_SHARE * _long_run(train)
        rows = []
        for prices in series:
            examples = make_examples(prices, p.seq_length, p.horizon)
            volatility = ewma_volatility(log_returns(examples.windows), floor)
            rows.append(TrainingRows(volatility[:, None], volatility, examples.targets))
        return {"window": rows}

    def _fit(self, data: TrainingData) -> EwmaPredictor:
        p = self.parameters
        rows = self.training_rows(data.train, data.train)["window"]
        scores = np.concatenate([_scores(one)[-SCORES:] for one in rows])
        return EwmaPredictor(p.seq_length, p.horizon, _long_run(data.train), _shape(scores))


def _long_run(train: Sequence[Prices]) -> float:
    """Long-run volatility of the returns of all series together."""
    return long_run_volatility(np.concatenate([log_returns(prices.closes) for prices in train]))


def _scores(rows: TrainingRows) -> FloatArray:
    """Standardised errors of the naive location, shape (n, horizon), oldest first."""
    assert rows.volatility is not None
    roots = np.sqrt(np.arange(1, rows.targets.shape[1] + 1))
    return np.asarray(rows.targets / (rows.volatility[:, None] * roots))


def _shape(scores: FloatArray) -> FloatArray:
    return read_only(np.quantile(scores, PROBABILITIES, axis=0).T)
