"""Conformal intervals over the newest scores, with fixed ranks."""

from __future__ import annotations

import numpy as np

from benchmarks.forecast.methods.gaussian import LEVEL
from benchmarks.forecast.methods.scale import ewma, scores, three_ewmas
from benchmarks.forecast.panel import Bounds
from closecast.core.arrays import FloatArray

LEAST = 39
"""Scores before the first interval; until then the set is infinite."""


def ordered(known: FloatArray) -> FloatArray:
    """Absolute scores in rising order: shape (n, S) to (S, n)."""
    return np.sort(np.abs(known).T, axis=1)


def symmetric(sizes: FloatArray, alpha: FloatArray) -> FloatArray:
    """Split conformal quantile of absolute scores (Vovk et al. 2005; Lei et al. 2018, section 2).

    Parameters
    ----------
    sizes : array, shape (S, n)
        From :func:`ordered`.
    alpha : array, shape (S,)
        Share of misses aimed at, per symbol.

    Returns
    -------
    array, shape (S,)
        The ``ceil((n + 1)(1 - alpha))``-th smallest: infinite beyond the last score, nan (an
        empty set) where ``alpha`` is one or more.
    """
    n = sizes.shape[1]
    rank = np.ceil((n + 1) * (1 - alpha) - 1e-9).astype(int)
    value = sizes[np.arange(len(sizes)), np.clip(rank, 1, n) - 1]
    return np.where(rank > n, np.inf, np.where(rank < 1, np.nan, value))


def half_quantiles(known: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Mean of the symmetric conformal and the signed empirical quantiles.

    Parameters
    ----------
    known : array, shape (n, S)
        Scores, in any order.
    probabilities : array, shape (q,)

    Returns
    -------
    array, shape (q, S)

    Notes
    -----
    The symmetric half as in :func:`symmetric` (its rank cut at ``n``), the signed half that of
    filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999, section 2).
    """
    n = len(known)
    level = np.abs(2 * probabilities - 1)
    rank = np.clip(np.ceil((n + 1) * level - 1e-9).astype(int), 1, n) - 1
    even = np.sign(probabilities - 0.5)[:, None] * np.sort(np.abs(known), axis=0)[rank]
    even[level < 1e-9] = 0.0
    rising = np.sort(known, axis=0)
    position = np.clip((n + 1) * probabilities - 1, 0, n - 1)
    below = np.floor(position).astype(int)
    share = (position - below)[:, None]
    signed = rising[below] * (1 - share) + rising[np.minimum(below + 1, n - 1)] * share
    return np.asarray((even + signed) / 2)


def half_ends(known: FloatArray, alpha: FloatArray) -> Bounds:
    """Ends of :func:`half_quantiles`' central interval at one ``alpha`` per symbol, each (S,).

    Infinite and empty as in :func:`symmetric`.
    """
    n, columns = len(known), np.arange(known.shape[1])
    even, rising = symmetric(ordered(known), alpha), np.sort(known, axis=0)

    def signed(probability: FloatArray) -> FloatArray:
        position = np.clip((n + 1) * probability - 1, 0, n - 1)
        below = np.floor(position).astype(int)
        share = position - below
        above = np.minimum(below + 1, n - 1)
        return np.asarray(rising[below, columns] * (1 - share) + rising[above, columns] * share)

    return (signed(alpha / 2) - even) / 2, (signed(1 - alpha / 2) + even) / 2


def over_scale(returns: FloatArray, scale: FloatArray, memory: int) -> Bounds:
    """Symmetric conformal over the newest ``memory`` scores, times the scale."""
    found = scores(returns, scale)
    factor = np.full_like(returns, np.inf)
    alpha = np.full(returns.shape[1], 1 - LEVEL)
    for t in range(LEAST, len(returns)):
        factor[t] = symmetric(ordered(found[max(0, t - memory) : t]), alpha)
    return -factor * scale, factor * scale


def split_conformal(returns: FloatArray) -> Bounds:
    """Absolute returns of the last 250 sessions (Lei et al. 2018, section 2, rolled)."""
    return over_scale(returns, np.ones_like(returns), 250)


def ewma_conformal(returns: FloatArray) -> Bounds:
    """Errors in units of the EWMA, over 500 sessions (Lei et al. 2018, section 5.2, rolled)."""
    return over_scale(returns, ewma(returns, 0.94), 500)


def half_conformal(returns: FloatArray) -> Bounds:
    """Half symmetric, half signed quantiles of 750 scores of the mean of three EWMAs.

    What closecast's baseline ``ewma`` says; the project's study of intervals, section 5.
    """
    scale = three_ewmas(returns)
    found = scores(returns, scale)
    ends = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    lower, upper = np.full_like(returns, -np.inf), np.full_like(returns, np.inf)
    for t in range(LEAST, len(returns)):
        low, high = half_quantiles(found[max(0, t - 750) : t], ends)
        lower[t], upper[t] = low * scale[t], high * scale[t]
    return lower, upper
