"""Methods that correct themselves by their own misses. All see a score only after it is known.

Each follows its own sets: an infinite one counts as a hit, an empty one as a miss. What
replaces such sets in the table (see ``benchmarks.forecast.interval_table``) is not fed back.
"""

from __future__ import annotations

import numpy as np

from benchmarks.forecast.methods.conformal import LEAST, half_ends, ordered, symmetric
from benchmarks.forecast.methods.gaussian import LEVEL, Z
from benchmarks.forecast.methods.scale import ewma, fast_factor, scores
from benchmarks.forecast.panel import Bounds
from closecast.core.arrays import FloatArray

ALPHA = 1 - LEVEL

DTACI_GAMMAS = np.array([0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128])
DTACI_SPAN = 500  # sessions over which the regret is kept small, as in the paper

PID_RATE = 0.1  # step of the tracker, as a share of the newest scores' range
PID_SPAN = 100  # newest scores whose range and largest value set step and gain
PID_START = 250  # sessions before the first step: the very first scales make scores of 50
PID_HORIZON, PID_DELTA = 4000, 0.01  # sessions after which the coverage shall be within delta


def aci(returns: FloatArray, scale: FloatArray, gamma: float, memory: int) -> Bounds:
    """Adaptive conformal inference (Gibbs and Candès 2021, section 2.1) over the newest scores."""
    found = scores(returns, scale)
    size = np.abs(found)
    factor = np.full_like(returns, np.inf)
    alpha = np.full(returns.shape[1], ALPHA)
    for t in range(LEAST, len(returns)):
        factor[t] = symmetric(ordered(found[max(0, t - memory) : t]), alpha)
        alpha = alpha + gamma * (ALPHA - ~(size[t] <= factor[t]))
    return -factor * scale, factor * scale


def aci_slow(returns: FloatArray) -> Bounds:
    """:func:`aci` on errors over EWMA, 500 scores, gamma .005, the paper's choice."""
    return aci(returns, ewma(returns, 0.94), 0.005, 500)


def aci_quick(returns: FloatArray) -> Bounds:
    """:func:`aci` on errors over EWMA, 500 scores, gamma .02."""
    return aci(returns, ewma(returns, 0.94), 0.02, 500)


def dtaci(returns: FloatArray) -> Bounds:
    """Aggregated ACI: DtACI (Gibbs and Candès 2024, section 2) on errors over EWMA, 500 scores.

    Eight rates run side by side; weights grow with how small their pinball losses were, and
    the weighted mean of their levels is used (the form without a random draw).
    """
    scale = ewma(returns, 0.94)
    found = scores(returns, scale)
    size = np.abs(found)
    experts = len(DTACI_GAMMAS)
    sigma = 1 / (2 * DTACI_SPAN)
    spread = LEVEL**2 * ALPHA**3 + ALPHA**2 * LEVEL**3
    eta = np.sqrt(3 / DTACI_SPAN * (np.log(experts * DTACI_SPAN) + 2) / spread)
    alphas = np.full((experts, returns.shape[1]), ALPHA)
    weights = np.full_like(alphas, 1 / experts)
    factor = np.full_like(returns, np.inf)
    for t in range(LEAST, len(returns)):
        sizes = ordered(found[max(0, t - 500) : t])
        factor[t] = symmetric(sizes, (weights * alphas).sum(axis=0))
        n = sizes.shape[1]
        # The largest alpha whose set still holds the score that came.
        beta = 1 - (sizes < size[t][:, None]).sum(axis=1) / (n + 1)
        gap = beta - alphas
        weights = weights * np.exp(-eta * (ALPHA * gap - np.minimum(gap, 0)))
        weights = weights / weights.sum(axis=0)
        weights = (1 - sigma) * weights + sigma / experts
        alphas = alphas + DTACI_GAMMAS[:, None] * (ALPHA - (alphas >= beta))
    return -factor * scale, factor * scale


def pid(size: FloatArray, scorecast: FloatArray) -> FloatArray:
    """Conformal PID control (Angelopoulos, Candès and Tibshirani 2023, section 2).

    Parameters
    ----------
    size : array, shape (T, S)
        Absolute scores; row ``t`` is known at ``t + 1``.
    scorecast : array, shape (T, S)
        What the next score's quantile is expected to be (D); P and I work on what is left.

    Returns
    -------
    array, shape (T, S)
        Quantile of the next score: tracking (section 2.1) with the step as a share of the
        newest scores' range, plus the integrator of errors (section 2.2) with its tangent for
        saturation and constants by the paper's heuristics. It may be infinite or negative.
    """
    left = size - scorecast
    saturation = 2 / np.pi * (np.ceil(np.log(PID_HORIZON) * PID_DELTA) - 1 / np.log(PID_HORIZON))
    quantile = np.full_like(size, np.inf)
    errors = np.zeros(size.shape[1])
    tracked = np.quantile(left[PID_START - PID_SPAN : PID_START], LEVEL, axis=0)
    for t in range(PID_START, len(size)):
        newest = left[t - PID_SPAN : t]
        n = t - PID_START + 1
        angle = errors * np.log(n + 1) / (saturation * (n + 1))
        gain = np.abs(newest).max(axis=0) * np.tan(np.clip(angle, -1.57, 1.57))
        integral = np.where(np.abs(angle) < np.pi / 2, gain, np.copysign(np.inf, angle))
        quantile[t] = scorecast[t] + tracked + integral
        miss = ~(size[t] <= quantile[t]) - ALPHA
        tracked = tracked + PID_RATE * (newest.max(axis=0) - newest.min(axis=0)) * miss
        errors = errors + miss
    return quantile


def _as_bounds(half: FloatArray) -> Bounds:
    half = np.where(half < 0, np.nan, half)
    return -half, half


def pid_on_scores(returns: FloatArray) -> Bounds:
    """:func:`pid` on errors over EWMA, no scorecaster: the EWMA already plays its part."""
    scale = ewma(returns, 0.94)
    size = np.abs(scores(returns, scale))
    return _as_bounds(pid(size, np.zeros_like(size)) * scale)


def pid_with_scorecaster(returns: FloatArray) -> Bounds:
    """:func:`pid` on absolute returns; the scorecaster is EWMA-Gaussian's quantile."""
    size = np.abs(scores(returns, np.ones_like(returns)))
    return _as_bounds(pid(size, Z * ewma(returns, 0.94)))


def fast_factor_aci(returns: FloatArray) -> Bounds:
    """EWMA times the panel's fast factor (5 / 750 days, power .5), :func:`aci` .02 over 750."""
    scale = ewma(returns, 0.94)
    return aci(returns, scale * fast_factor(returns, scale), 0.02, 750)


def fast_factor_half_aci(returns: FloatArray) -> Bounds:
    """:func:`fast_factor_aci` over half symmetric, half signed quantiles: the trial's method."""
    base = ewma(returns, 0.94)
    scale = base * fast_factor(returns, base)
    found = scores(returns, scale)
    lower, upper = np.full_like(returns, -np.inf), np.full_like(returns, np.inf)
    alpha = np.full(returns.shape[1], ALPHA)
    for t in range(LEAST, len(returns)):
        lower[t], upper[t] = half_ends(found[max(0, t - 750) : t], alpha)
        hit = (lower[t] <= found[t]) & (found[t] <= upper[t])
        alpha = alpha + 0.02 * (ALPHA - ~hit)
    return lower * scale, upper * scale
