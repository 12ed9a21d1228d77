"""What a drift statistic is, and the standardised returns that several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_DECAY = 0.94
_WARM_UP = 10  # returns before the first one that can be standardised


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside the window.

    Attributes
    ----------
    known_close : float
        A close of the symbol that the service collected itself.
    gap_sessions : float
        Sessions between that close and the window's last one.
    symbol_named : bool
        Whether the caller named the symbol; otherwise "not this symbol's closes" is no fault.
    """

    known_close: float
    gap_sessions: float
    symbol_named: bool = True


@dataclass(frozen=True, slots=True)
class Scale:
    """The training level that a window is measured against."""

    volatility: float


class Statistic(ABC):
    """One number of a window, large where something is odd. Stateless."""

    code: ClassVar[str]
    name: ClassVar[str]
    least_threshold: ClassVar[float]
    """The threshold never falls below this, however quiet the training data were."""

    margin: ClassVar[float] = 1.0
    """Added to the highest value of clean training windows, in units of the statistic."""

    @abstractmethod
    def measure(
        self, returns: FloatArray, closes: FloatArray, scale: Scale, context: Context | None
    ) -> float | None:
        """The statistic of one window, or ``None`` where it does not apply.

        Parameters
        ----------
        returns : array, shape (n - 1,)
            Log returns of the closes.
        closes : array, shape (n,)
            The window, oldest first.
        """

    @abstractmethod
    def level(self, value: float, context: Context | None) -> Literal["regime", "fault"]:
        """How grave a value beyond the threshold is."""

    @abstractmethod
    def sentence(self, value: float, threshold: float) -> str:
        """The finding in plain words."""


def standardised(returns: FloatArray, floor: float) -> FloatArray:
    """Each return over the EWMA volatility of the window's earlier ones, shape (n - warm-up,)."""
    variance = _past_weights(len(returns)) @ np.square(returns)
    volatility = np.maximum(np.sqrt(variance), floor)
    return np.asarray((returns / volatility)[_WARM_UP:])


@lru_cache(maxsize=8)
def _past_weights(n: int) -> FloatArray:
    """Row t weights the returns before t and sums to one, shape (n, n)."""
    lag = np.subtract.outer(np.arange(n), np.arange(n))
    weights = np.where(lag > 0, _DECAY ** np.maximum(lag, 0), 0.0)
    weights[1:] /= weights[1:].sum(axis=1, keepdims=True)
    weights.flags.writeable = False
    return weights
