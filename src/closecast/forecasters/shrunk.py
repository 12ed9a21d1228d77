"""A predictor whose location is used in part, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from closecast.core.arrays import FloatArray, read_only
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.errors import DamagedBundle
from closecast.forecasters.base import LocationScale, Predictor, Steps

LOCATION_FILE = "location.json"


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """Share of a predictor's location that is used.

    Attributes
    ----------
    factor : array, shape (horizon,)
        In [0, 1], per step; 0 is the naive location.
    reason : str
        The measurement that it comes from.
    """

    factor: FloatArray
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {"factor": self.factor.tolist(), "reason": self.reason}


@dataclass(frozen=True, eq=False)
class ShrunkPredictor(Predictor):
    """Another predictor whose distributions are moved towards the naive location."""

    inner: Predictor
    shrinkage: Shrinkage

    def __post_init__(self) -> None:
        for name in ("name", "uses_history", "seq_length", "horizon", "training"):
            object.__setattr__(self, name, getattr(self.inner, name))

    def predict_batch(self, windows: FloatArray) -> Forecast:
        return self._moved(self.inner.predict_batch(windows))

    def location_scale(self, windows: FloatArray) -> LocationScale:
        return self._shrunk(self.inner.location_scale(windows))

    def steps(self, windows: FloatArray) -> Steps[LocationScale]:
        return self.inner.steps(windows).then(self._shrunk)

    def _shrunk(self, found: LocationScale) -> LocationScale:
        location, scale = found
        return location * self.shrinkage.factor, scale

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        return [self._moved(f) for f in self.inner.predict_along(series, newest)]

    def _moved(self, forecast: Forecast) -> Forecast:
        location = forecast.location * self.shrinkage.factor
        move = location - forecast.location
        return replace(forecast, location=location, quantiles=forecast.quantiles + move[..., None])

    def to_files(self) -> dict[str, bytes]:
        content = json.dumps(self.shrinkage.to_dict()).encode()
        return {**self.inner.to_files(), LOCATION_FILE: content}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        raise NotImplementedError("load_predictor knows whose files these are")


def load_shrunk(inner: Predictor, files: Mapping[str, bytes]) -> Predictor:
    """Apply the shrinkage that the files hold, if any.

    Raises
    ------
    DamagedBundle
        If that file does not parse.
    """
    if LOCATION_FILE not in files:
        return inner
    try:
        said = json.loads(files[LOCATION_FILE])
        factor, reason = read_only(said["factor"]), str(said["reason"])
        if factor.shape != (inner.horizon,) or not ((factor >= 0) & (factor <= 1)).all():
            raise ValueError(f"factor is not {inner.horizon} numbers in [0, 1]")
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedBundle(f"{LOCATION_FILE} cannot be read: {error!r}") from error
    return ShrunkPredictor(inner, Shrinkage(factor, reason))


def without_shrinkage(predictor: Predictor) -> Predictor:
    """The predictor as it was trained: what a fine-tuning starts from."""
    return predictor.inner if isinstance(predictor, ShrunkPredictor) else predictor
