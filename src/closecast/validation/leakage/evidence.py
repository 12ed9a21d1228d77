"""Evidence that the look-ahead check works on, its findings and its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closecast.calibration import SplitConformal
from closecast.core.arrays import FloatArray
from closecast.core.dataset import Split
from closecast.core.prices import Prices
from closecast.forecasters import Forecaster, Predictor, TrainingReport


@dataclass(frozen=True, slots=True)
class LeakEvidence:
    """A candidate, and all that it was made from.

    Attributes
    ----------
    collected : sequence of Prices
        As the source gave them: all series that took part in the choice of the two days at which
        is cut, also those that were too short in the end.
    splits : sequence of Split
        The parts that training and evaluation really worked on, one per symbol.
    train_size, valid_size : float
        The shares that the splits were made with; ``valid_size`` 0 halves what training leaves.
    forecaster : Forecaster
        With the candidate's hyper-parameters: its ``training_rows`` are what was learned from.
    training : TrainingReport
        With the content hashes of the series that ``fit`` received.
    """

    collected: Sequence[Prices]
    splits: Sequence[Split]
    train_size: float
    forecaster: Forecaster
    predictor: Predictor
    training: TrainingReport
    calibrations: Mapping[str, SplitConformal]
    valid_size: float = 0.0

    def closes_of(self, split: Split) -> Prices:
        """The collected closes of a split's symbol."""
        return next(prices for prices in self.collected if prices.symbol == split.test.symbol)


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """Outcome of the look-ahead check: days, number of origins compared, and failures."""

    passed: bool
    cuts: tuple[str, ...]
    compared_origins: int
    failures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)


class LeakFindings:
    """Failures found so far; of one check and symbol the first one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}

    def expect(self, holds: bool | np.bool_, check: str, symbol: str, otherwise: str) -> None:
        """Note a failure unless it holds."""
        if not holds:
            self._found.setdefault((check, symbol), f"{check}: {symbol}: {otherwise}")

    @property
    def failures(self) -> tuple[str, ...]:
        """Sentences, each beginning with the name of its check and the symbol."""
        return tuple(self._found.values())


def close_to(left: FloatArray, right: FloatArray) -> bool:
    """Equal but for rounding; far below anything that one close more could change."""
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=1e-9, atol=1e-12))


def windows_of(closes: FloatArray, origins: NDArray[np.int64], length: int) -> FloatArray:
    """The closes up to and including each origin, shape (n, length)."""
    return np.asarray(closes[origins[:, None] + np.arange(1 - length, 1)])


def labels_of(closes: FloatArray, origins: NDArray[np.int64], horizon: int) -> FloatArray:
    """Log returns from each origin to 1 .. horizon closes later, shape (n, horizon)."""
    after: FloatArray = closes[origins[:, None] + np.arange(1, horizon + 1)]
    return np.asarray(np.log(after / closes[origins][:, None]))
