"""The forecasts everybody has to beat: "tomorrow = today", and today plus the mean return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import ClassVar, Self

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.dataset import log_returns, make_examples
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.core.prices import Prices
from closecast.forecasters.base import Forecaster, Parameters, Predictor, TrainingReport, Watch
from closecast.forecasters.files import dump_state, reading

_NORMAL_QUANTILES = np.array([NormalDist().inv_cdf(p) for p in PROBABILITIES])


@dataclass(frozen=True)
class NaivePredictor(Predictor):
    """A Gaussian random walk: location 0, constant volatility.

    Attributes
    ----------
    volatility : float
        Standard deviation of one session's log return in training.
    mean : float
        Location of one session's log return; 0 here, learned by ``random_walk_drift``.
    """

    name: ClassVar[str] = "naive"

    seq_length: int
    horizon: int
    volatility: float
    mean: float
    training: TrainingReport = field(default_factory=TrainingReport, compare=False)

    def predict_batch(self, windows: FloatArray) -> Forecast:
        steps = np.arange(1, self.horizon + 1)
        location = self.mean * steps
        scale = self.volatility * np.sqrt(steps)
        quantiles = location[:, None] + scale[:, None] * _NORMAL_QUANTILES
        shape = (len(windows), self.horizon)
        return Forecast(
            windows[:, -1],
            np.broadcast_to(location, shape),
            np.broadcast_to(scale, shape),
            PROBABILITIES,
            np.broadcast_to(quantiles, (*shape, len(PROBABILITIES))),
        )

    def to_files(self) -> dict[str, bytes]:
        return dump_state(
            {
                "seq_length": self.seq_length,
                "horizon": self.horizon,
                "volatility": self.volatility,
                "mean": self.mean,
            }
        )

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        with reading(files) as state:
            return cls(**state)


@dataclass(frozen=True)
class RandomWalkDriftPredictor(NaivePredictor):
    """A Gaussian random walk with drift."""

    name: ClassVar[str] = "random_walk_drift"


class NaiveForecaster(Forecaster):
    """Tomorrow = today. With a constant Gaussian it is the reference of every table."""

    name = "naive"

    def _fit(
        self,
        train: Sequence[Prices],
        valid: Sequence[Prices],
        *,
        start_from: Predictor | None,
        watch: Watch,
    ) -> NaivePredictor:
        p = self.parameters
        returns = _pooled_returns(train, p)
        return NaivePredictor(p.seq_length, p.horizon, max(float(returns.std()), 1e-6), 0.0)


class RandomWalkDriftForecaster(Forecaster):
    """Today plus the mean return of training."""

    name = "random_walk_drift"

    def _fit(
        self,
        train: Sequence[Prices],
        valid: Sequence[Prices],
        *,
        start_from: Predictor | None,
        watch: Watch,
    ) -> RandomWalkDriftPredictor:
        p = self.parameters
        returns = _pooled_returns(train, p)
        volatility = max(float(returns.std()), 1e-6)
        return RandomWalkDriftPredictor(p.seq_length, p.horizon, volatility, float(returns.mean()))


def _pooled_returns(train: Sequence[Prices], p: Parameters) -> FloatArray:
    for prices in train:
        make_examples(prices, p.seq_length, p.horizon)  # refuses a series too short for a window
    return np.concatenate([log_returns(prices.closes) for prices in train])
