"""``Baseline``: what the windows of training looked like, as numbers that travel with a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from closecast.dataset import log_returns, long_run_volatility, make_examples
from closecast.drift.statistics import STATISTICS
from closecast.drift.statistics.base import Scale
from closecast.errors import DamagedBundle
from closecast.prices import Prices

QUANTILE = 0.995
"""Share of training windows below a threshold, before its margin. A window of training is an
overlapping, in-sample one: the rate on new data is higher, and is not promised yet."""


@dataclass(frozen=True)
class Baseline:
    """Training levels and thresholds. Returns only: price levels never enter.

    Attributes
    ----------
    volatility : float
        Long-run volatility of one session's log return.
    thresholds : mapping
        Statistic code to the value beyond which a window is called odd.
    """

    symbol: str
    basis: str
    seq_length: int
    first_session: str
    last_session: str
    data_hash: str
    windows: int
    mean_return: float
    sd_return: float
    volatility: float
    thresholds: Mapping[str, float]

    @classmethod
    def fit(cls, train: Prices, seq_length: int) -> Self:
        """From the training part.

        Raises
        ------
        TooFewCloses
            If it holds no window.
        """
        windows = make_examples(train, seq_length, 1).windows
        returns = log_returns(train.closes)
        scale = Scale(long_run_volatility(returns))
        window_returns = log_returns(windows)
        thresholds = {}
        for code, statistic in STATISTICS.items():
            values = [
                statistic.measure(r, w, scale, None)
                for r, w in zip(window_returns, windows, strict=True)
            ]
            measured = [value for value in values if value is not None]
            usual = float(np.quantile(measured, QUANTILE)) + statistic.margin if measured else 0.0
            thresholds[code] = round(max(usual, statistic.least_threshold), 4)
        first, last = train.span
        return cls(
            symbol=train.symbol,
            basis=train.basis,
            seq_length=seq_length,
            first_session=first,
            last_session=last,
            data_hash=train.content_hash,
            windows=len(windows),
            mean_return=float(returns.mean()),
            sd_return=float(returns.std()),
            volatility=scale.volatility,
            thresholds=thresholds,
        )

    def to_json(self) -> bytes:
        """As ``baseline_stats.json``."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read :meth:`to_json`.

        Raises
        ------
        DamagedBundle
            If it is something else.
        """
        try:
            values: dict[str, Any] = json.loads(content)
            baseline = cls(**values)
            missing = set(STATISTICS) - set(baseline.thresholds)
            if missing:
                raise ValueError(f"no thresholds for {sorted(missing)}")
            numbers = [baseline.volatility, *(baseline.thresholds[code] for code in STATISTICS)]
            if not (np.isfinite(numbers).all() and baseline.volatility > 0):
                raise ValueError(f"volatility and thresholds must be numbers, not {numbers}")
        except (ValueError, TypeError) as error:
            raise DamagedBundle(f"baseline_stats.json does not fit: {error}") from error
        return baseline
