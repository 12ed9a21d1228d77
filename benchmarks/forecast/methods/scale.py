"""Scales: how large the next session's return may be, from returns so far."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.dataset import EWMA_DECAYS, FLOOR_SHARE


def ewma(returns: FloatArray, decay: float) -> FloatArray:
    """Root of the exponentially weighted mean square up to each row, shape (T, S).

    RiskMetrics (J.P. Morgan/Reuters 1996, section 5.2), with weights that sum to one from the
    first row on, never below ``FLOOR_SHARE`` of the volatility of all rows so far.
    """
    squares = np.square(returns)
    total, weight, mean = np.zeros(returns.shape[1]), 0.0, np.empty_like(returns)
    for t, row in enumerate(squares):
        total, weight = decay * total + row, decay * weight + 1
        mean[t] = total / weight
    return np.asarray(np.maximum(np.sqrt(mean), floor(returns)))


def floor(returns: FloatArray) -> FloatArray:
    """Smallest scale to use, from the mean absolute return of all rows so far.

    At least .1 % a session: after a first return of zero it would be nothing, and the scores of
    10,000 that follow stay in a memory of 750 sessions until 2008.
    """
    count = np.arange(1, len(returns) + 1)[:, None]
    long_run = np.cumsum(np.abs(returns), axis=0) / count * np.sqrt(np.pi / 2)
    return np.asarray(np.maximum(FLOOR_SHARE * long_run, 1e-3))


def three_ewmas(returns: FloatArray) -> FloatArray:
    """Mean of a fast, RiskMetrics' and a slow EWMA."""
    return np.asarray(np.mean([ewma(returns, decay) for decay in EWMA_DECAYS], axis=0))


def scores(returns: FloatArray, scale: FloatArray) -> FloatArray:
    """Next return in units of the scale said before it; row ``t`` is known at ``t + 1``."""
    found = np.full_like(returns, np.nan)
    found[:-1] = returns[1:] / scale[:-1]
    return found


def fast_factor(
    returns: FloatArray, scale: FloatArray, days: int = 5, memory: int = 750, power: float = 0.5
) -> FloatArray:
    """How much wilder the whole panel was lately than its scales said, shape (T, 1).

    ``(mean abs score of the last days / of the last memory) ** power`` over all symbols
    together: the closes of the others tell a crisis a few days before one symbol's own do.
    Measured and described in the project's study of intervals (sections 3 and 5).
    """
    size = np.abs(scores(returns, scale)).mean(axis=1)
    total = np.concatenate([[0.0], np.cumsum(size)])  # total[t]: the t scores known at t
    factor = np.ones((len(returns), 1))
    for t in range(days, len(returns)):
        long = min(memory, t)
        recent = (total[t] - total[t - days]) / days
        usual = (total[t] - total[t - long]) / long
        if usual > 0:
            factor[t] = max(recent / usual, 1e-2) ** power
    return factor
