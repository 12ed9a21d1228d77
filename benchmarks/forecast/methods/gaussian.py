"""Gaussian intervals, with a constant or with a moving scale."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from benchmarks.forecast.methods.scale import ewma
from benchmarks.forecast.panel import Bounds
from closecast.core.arrays import FloatArray

LEVEL = 0.9
"""Level of every interval here."""

Z = NormalDist().inv_cdf((1 + LEVEL) / 2)

TRAINING = 500
"""Sessions from which the constant is taken: those before 2007 in the sample."""


def ewma_gaussian(returns: FloatArray) -> Bounds:
    """Normal quantiles times the EWMA with decay .94 (RiskMetrics 1996, section 5)."""
    half = Z * ewma(returns, 0.94)
    return -half, half


def training_gaussian(returns: FloatArray) -> Bounds:
    """Normal quantiles times the standard deviation of the first :data:`TRAINING` sessions."""
    _, half = expanding_gaussian(returns)
    half[TRAINING:] = half[TRAINING - 1]
    return -half, half


def expanding_gaussian(returns: FloatArray) -> Bounds:
    """Normal quantiles times the standard deviation of all sessions so far."""
    count = np.arange(1, len(returns) + 1)[:, None]
    square, mean = np.cumsum(returns**2, axis=0) / count, np.cumsum(returns, axis=0) / count
    half = Z * np.sqrt(np.maximum(square - mean**2, 0))
    return -half, half
