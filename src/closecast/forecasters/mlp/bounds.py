"""Bounds of the scale model's inputs and outputs, one for torch and for NumPy."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray

LARGEST_LOG = 3.0
"""Bound of the log of the factor that the anchor is multiplied by."""

LARGEST_INPUT = 5.0
"""Bound of a standardised feature, in standard deviations."""


def network_inputs(features: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """Standardise and clip features, shape (n, features)."""
    return np.clip((features - mean) / deviation, -LARGEST_INPUT, LARGEST_INPUT)
