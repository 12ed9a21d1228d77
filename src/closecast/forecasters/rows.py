"""Rows that a forecaster learns from, in the form that the look-ahead check inspects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from closecast.core.arrays import FloatArray

View = Literal["window", "history"]
"""The past that a row's inputs are computed from: its own window, or all closes before it."""


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Inputs and targets that a forecaster learns from, one row per origin of a series.

    The origins are those of :func:`closecast.core.dataset.make_examples`.

    Attributes
    ----------
    inputs : array, shape (n, features)
    volatility : array, shape (n,), or None
        EWMA volatility at the origin, in units of one session's log return: ``fit`` divides the
        targets by it. None where it divides by nothing.
    targets : array, shape (n, horizon)
        Log returns from the origin's close to the close 1 .. horizon sessions later.
    """

    inputs: FloatArray
    volatility: FloatArray | None
    targets: FloatArray

    def newest(self, n: int) -> TrainingRows:
        """The last ``n`` rows."""
        rows = slice(len(self.targets) - n, None)
        volatility = None if self.volatility is None else self.volatility[rows]
        return TrainingRows(self.inputs[rows], volatility, self.targets[rows])
