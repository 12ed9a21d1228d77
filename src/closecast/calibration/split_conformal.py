"""``SplitConformal``: fixed scores of rows that were kept apart. For windows without a history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from closecast.calibration.quantiles import MEMORY, half_quantiles
from closecast.core.arrays import FloatArray, read_only
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.errors import DamagedBundle

MOST_POOLED = 3000
"""Scores per step of a pool: those of one day are alike, so that more would only take time."""


@dataclass(frozen=True, eq=False)
class SplitConformal:
    """Standardised errors ``(log return - location) / scale`` of past forecasts, per step.

    Attributes
    ----------
    scores : array, shape (horizon, n)
        Oldest first; computed on rows that no weight was fitted to (early stopping and the
        location's share did look at them).
    """

    scores: FloatArray

    @classmethod
    def from_forecasts(cls, forecast: Forecast, targets: FloatArray) -> Self:
        """From a batch of forecasts, oldest first, and the log returns that came, (n, horizon)."""
        scores = (targets - forecast.location) / forecast.scale
        return cls(read_only(scores[-MEMORY:].T.round(6)))

    @classmethod
    def pooled(cls, members: Sequence[Self]) -> Self:
        """Scores of all symbols of a panel together, each thinned alike to 3,000 in all."""
        every = -(-sum(member.scores.shape[1] for member in members) // MOST_POOLED)
        # Each begins on another day, so that no day of the panel is left out.
        thinned = [member.scores[:, i % every :: every] for i, member in enumerate(members)]
        return cls(read_only(np.concatenate(thinned, axis=1)))

    def apply(self, forecast: Forecast) -> Forecast:
        """The same locations and scales with calibrated quantiles, at the same probabilities."""
        return self.at(forecast, PROBABILITIES, self._table)

    def at(
        self, forecast: Forecast, probabilities: FloatArray, table: FloatArray | None = None
    ) -> Forecast:
        """The same locations and scales with calibrated quantiles at other probabilities.

        Raises
        ------
        TooFewCloses
            If the scores are too few for the outermost level.
        """
        if table is None:
            table = self.quantiles(probabilities)
        quantiles = forecast.location[..., None] + forecast.scale[..., None] * table
        return replace(forecast, probabilities=probabilities, quantiles=quantiles)

    @cached_property
    def _table(self) -> FloatArray:
        return self.quantiles(PROBABILITIES)

    def quantiles(self, probabilities: FloatArray) -> FloatArray:
        """Quantiles of the standardised error, shape (horizon, q); see ``half_quantiles``."""
        return half_quantiles(self.scores, probabilities)

    def to_json(self) -> bytes:
        """The state as one small file."""
        return json.dumps({"method": "half-conformal", "scores": self.scores.tolist()}).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read :meth:`to_json`.

        Raises
        ------
        DamagedBundle
            If it is something else.
        """
        try:
            scores = read_only(json.loads(content)["scores"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedBundle(f"intervals.json does not parse: {error!r}") from error
        if scores.ndim != 2 or not np.isfinite(scores).all():
            raise DamagedBundle("intervals.json holds no table of finite scores")
        return cls(scores)
