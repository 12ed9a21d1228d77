"""Quantiles of standardised errors, half symmetric, half signed. Functions of numbers alone."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.errors import TooFewCloses

MEMORY = 750
"""Newest scores kept per step: three years of sessions. 500 to 1250 score alike within 0.0003
CRPS; 250 costs 0.004 at ten steps (61 series)."""


def needed_scores(level: float) -> int:
    """Scores without which a central interval of this level cannot be stated.

    Enough for the signed half, whose tails hold half as much as the symmetric one's: with 19
    scores, all that the symmetric half needs, a 95 % interval covered 93.4 %.

    >>> needed_scores(0.95), needed_scores(0.99)
    (39, 199)
    """
    return int(np.ceil(2 / (1 - level) - 1 - 1e-9))


LEAST_SCORES = needed_scores(0.95)
"""Scores that the outermost of the 39 probabilities needs."""


def half_quantiles(scores: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Mean of two conformal quantiles over the same scores.

    The symmetric half has the ranks of split conformal prediction, ``ceil((n + 1) level)``
    (Vovk et al. 2005; Lei et al. 2018), the signed half those of ``weibull``; each alone covers
    at least at the level in finite samples of exchangeable errors. Their mean is held to it by
    measurement (CRPS 0.954 against 0.955 for the symmetric one alone, 61 series, equal coverage).

    Parameters
    ----------
    scores : array, shape (..., n)
        Standardised errors, in any order.
    probabilities : array, shape (q,)

    Returns
    -------
    array, shape (..., q), non-decreasing along q

    Raises
    ------
    TooFewCloses
        If the scores are too few for the outermost level.
    """
    n = scores.shape[-1]
    level = np.abs(2 * probabilities - 1)
    needed = needed_scores(float(level.max()))
    if n < needed:
        raise TooFewCloses(
            f"{n} past errors cannot hold a {level.max():.0%} interval; {needed} are needed"
        )
    absolute, signed = np.sort(np.abs(scores), axis=-1), np.sort(scores, axis=-1)
    rank = np.clip(np.ceil((n + 1) * level - 1e-9).astype(int), 1, n) - 1
    symmetric = np.sign(probabilities - 0.5) * absolute[..., rank]
    symmetric[..., level < 1e-9] = 0.0
    place = np.clip((n + 1) * probabilities - 1, 0, n - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, n - 1)
    share = place - below
    weibull = signed[..., below] * (1 - share) + signed[..., above] * share
    return np.maximum.accumulate((symmetric + weibull) / 2, axis=-1)
