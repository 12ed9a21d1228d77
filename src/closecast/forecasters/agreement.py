"""Agreement of a network as PyTorch trained it with the same network as it serves."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.errors import TrainingFailed

AGREEMENT = 1e-5
"""Largest relative difference allowed (1e-6 is usual where both compute in float32)."""


def require_agreement(*differences: FloatArray) -> float:
    """Answer the largest of relative differences between torch and the predictor that serves.

    Raises
    ------
    TrainingFailed
        If it exceeds :data:`AGREEMENT` or is not a number; such a network is not published.
    """
    # numpy's maximum keeps a NaN wherever it stands; Python's max() drops all but a leading one.
    worst = float(np.max([np.abs(difference).max() for difference in differences]))
    if not worst <= AGREEMENT:
        raise TrainingFailed(
            f"the exported network differs from torch by {worst:.1e} relative, or answers no "
            "numbers at all: try a lower learning_rate"
        )
    return worst
