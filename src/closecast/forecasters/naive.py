"""Reference forecasts: "tomorrow = today", and today plus the mean return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.dataset import log_returns, make_examples
from closecast.core.prices import Prices
from closecast.forecasters.base import (
    Forecaster,
    LocationScale,
    LocationScalePredictor,
    TrainingData,
)
from closecast.forecasters.parameters import Parameters


@dataclass(frozen=True)
class NaivePredictor(LocationScalePredictor):
    """A Gaussian random walk: location 0, constant volatility.

    Attributes
    ----------
    volatility : float
        Standard deviation of one session's log return in training.
    mean : float
        Location of one session's log return; 0 here, learned by ``random_walk_drift``.
    """

    name: ClassVar[str] = "naive"

    volatility: float
    mean: float

    def location_scale(self, windows: FloatArray) -> LocationScale:
        shape = (len(windows), self.horizon)
        location = self.mean * np.arange(1, self.horizon + 1)
        scale = self.volatility * self.roots
        return np.broadcast_to(location, shape), np.broadcast_to(scale, shape)


@dataclass(frozen=True)
class RandomWalkDriftPredictor(NaivePredictor):
    """A Gaussian random walk with drift."""

    name: ClassVar[str] = "random_walk_drift"


class NaiveForecaster(Forecaster):
    """Tomorrow = today. With a constant Gaussian it is the reference of every table."""

    name = "naive"

    def _fit(self, data: TrainingData) -> NaivePredictor:
        p = self.parameters
        returns = _pooled_returns(data.train, p)
        return NaivePredictor(p.seq_length, p.horizon, max(float(returns.std()), 1e-6), 0.0)


class RandomWalkDriftForecaster(Forecaster):
    """Today plus the mean return of training."""

    name = "random_walk_drift"

    def _fit(self, data: TrainingData) -> RandomWalkDriftPredictor:
        p = self.parameters
        returns = _pooled_returns(data.train, p)
        volatility = max(float(returns.std()), 1e-6)
        return RandomWalkDriftPredictor(p.seq_length, p.horizon, volatility, float(returns.mean()))


def _pooled_returns(train: Sequence[Prices], p: Parameters) -> FloatArray:
    for prices in train:
        make_examples(prices, p.seq_length, p.horizon)  # refuses a series too short for a window
    return np.concatenate([log_returns(prices.closes) for prices in train])
