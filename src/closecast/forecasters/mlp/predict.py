"""The trained scale model, run by numpy: no torch in the serving process."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self
from zipfile import BadZipFile

import numpy as np

from closecast.core.arrays import FloatArray, read_only
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of
from closecast.errors import DamagedBundle
from closecast.forecasters.base import LocationScale, LocationScalePredictor
from closecast.forecasters.files import dump_state, reading
from closecast.forecasters.mlp.features import (
    LARGEST_LOG,
    OWN,
    PANEL,
    Features,
    network_inputs,
    of_panel,
    of_windows,
)

NETWORKS_FILE = "networks.npz"


@dataclass(frozen=True, eq=False)
class Network:
    """One trained ensemble: how features are scaled, and the weights.

    Attributes
    ----------
    mean, deviation : arrays, shape (features,)
    w1, b1, w2, b2, w3, b3 : arrays, shapes (members, inputs, outputs) and (members, outputs)
    shape_quantiles : array, shape (horizon, 39)
        Quantiles of the standardised error on the rows that were learned from.
    """

    mean: FloatArray
    deviation: FloatArray
    w1: FloatArray
    b1: FloatArray
    w2: FloatArray
    b2: FloatArray
    w3: FloatArray
    b3: FloatArray
    shape_quantiles: FloatArray

    def log_scale(self, features: FloatArray) -> FloatArray:
        """Log of what the anchor is multiplied by, shape (n, features) to (n, horizon)."""
        inputs = network_inputs(features, self.mean, self.deviation)
        total = np.zeros((len(features), self.b3.shape[1]))
        for w1, b1, w2, b2, w3, b3 in zip(
            self.w1, self.b1, self.w2, self.b2, self.w3, self.b3, strict=True
        ):
            state = np.tanh(_times(np.tanh(_times(inputs, w1) + b1), w2) + b2)
            total += LARGEST_LOG * np.tanh((_times(state, w3) + b3) / LARGEST_LOG)
        return total / len(self.w1)

    def check(self, features: int, horizon: int) -> None:
        """Raise ValueError where shapes do not fit each other, or a weight is not finite."""
        members, _, hidden = self.w1.shape
        shapes = {
            "mean": (features,),
            "deviation": (features,),
            "w1": (members, features, hidden),
            "b1": (members, hidden),
            "w2": (members, hidden, hidden),
            "b2": (members, hidden),
            "w3": (members, hidden, horizon),
            "b3": (members, horizon),
            "shape_quantiles": (horizon, len(PROBABILITIES)),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is no finite array of shape {shape}")
        if not (self.deviation > 0).all():
            raise ValueError("a deviation is not positive")


def _times(inputs: FloatArray, weights: FloatArray) -> FloatArray:
    """Matrix product, added up input by input.

    BLAS rounds a row differently in another batch; a forecast must be the same bits whether it
    is made alone or among others.
    """
    total = np.zeros((len(inputs), weights.shape[1]))
    for column, row in zip(inputs.T, weights, strict=True):
        total += column[:, None] * row
    return total


@dataclass(frozen=True, eq=False)
class MlpPredictor(LocationScalePredictor):
    """Location naive, scale from a network; one network for windows, one for histories.

    Attributes
    ----------
    long_run : float
        Long-run volatility of the pool; a tenth of it is the least one believed.
    """

    name: ClassVar[str] = "mlp"
    uses_history: ClassVar[bool] = True

    long_run: float
    window_network: Network
    history_network: Network

    @property
    def standard_quantiles(self) -> FloatArray:
        return self.window_network.shape_quantiles

    def location_scale(self, windows: FloatArray) -> LocationScale:
        scale = self._scale(of_windows(windows, self.long_run), self.window_network)
        return np.zeros_like(scale), scale

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        origins = [self.origins(prices, newest) for prices in series]
        by_exchange: dict[str, list[int]] = {}
        for i, prices in enumerate(series):
            by_exchange.setdefault(exchange_of(prices.symbol), []).append(i)
        found: dict[int, Forecast] = {}
        for members in by_exchange.values():
            panel = of_panel([series[i] for i in members], self.long_run)
            for i, features in zip(members, panel, strict=True):
                rows = origins[i]
                part = Features(features.values[rows - 1], features.anchor[rows - 1])
                closes = series[i].closes[rows]
                found[i] = self._forecast(closes, part, self.history_network)
        return [found[i] for i in range(len(series))]

    def _scale(self, features: Features, network: Network) -> FloatArray:
        unit = features.anchor[:, None] * self.roots
        return np.asarray(unit * np.exp(network.log_scale(features.values)))

    def _forecast(self, closes: FloatArray, features: Features, network: Network) -> Forecast:
        scale = self._scale(features, network)
        return Forecast(
            closes,
            np.zeros_like(scale),
            scale,
            PROBABILITIES,
            scale[:, :, None] * network.shape_quantiles,
        )

    def to_files(self) -> dict[str, bytes]:
        state = {
            "seq_length": self.seq_length,
            "horizon": self.horizon,
            "long_run": self.long_run,
        }
        arrays = {
            f"{mode}_{name}": array
            for mode, network in (
                ("window", self.window_network),
                ("history", self.history_network),
            )
            for name, array in vars(network).items()
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return {**dump_state(state), NETWORKS_FILE: buffer.getvalue()}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        with reading(files) as state:
            predictor = cls(
                **state,
                window_network=_network(files[NETWORKS_FILE], "window"),
                history_network=_network(files[NETWORKS_FILE], "history"),
            )
            predictor.window_network.check(OWN, predictor.horizon)
            predictor.history_network.check(OWN + PANEL, predictor.horizon)
        return predictor


def _network(content: bytes, mode: str) -> Network:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {
                name.removeprefix(f"{mode}_"): read_only(file[name])
                for name in file.files
                if name.startswith(f"{mode}_")
            }
    except (BadZipFile, EOFError) as error:
        raise DamagedBundle(f"{NETWORKS_FILE} cannot be read: {error}") from error
    return Network(**arrays)
