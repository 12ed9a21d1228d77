"""Rounding of closes: the relative error that the digits of the numbers sent leave open."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray

FINEST = 5e-6
"""Least error that is allowed for: adjusted closes of two downloads differ in the sixth digit."""

COARSEST = 0.01
"""Beyond this error, closes are too coarse to be compared one by one."""

CENT = 0.005  # half a unit: the coarsest usual rounding
LARGE = 1e-3  # of closes with fewer digits than cents, such as points of an index
_POWERS = 10.0 ** np.arange(11)
SINGLE = 6e-8  # of a number that was stored in 32 bits
_LN_10 = float(np.log(10))


def rounding_of(closes: FloatArray, logs: FloatArray) -> FloatArray:
    """Compute half a unit of the last digit of each close, over the close; shape (n,).

    Closes are rounded alike: to a number of decimals, or of significant digits. Both are taken
    from the digits that at least three in four closes have, since one in ten ends in a zero and
    shows fewer; a close with more digits of its own has the error of those.

    Parameters
    ----------
    closes, logs : arrays, shape (n,)
        Positive closes, and their logarithms.

    >>> closes = np.array([101.25, 99.5, 98.13, 100.02, 100.17])
    >>> (closes * rounding_of(closes, np.log(closes))).round(6).tolist()
    [0.005, 0.005, 0.005, 0.005, 0.005]
    """
    scaled = closes[:, None] * _POWERS
    whole = np.abs(scaled - np.rint(scaled)) <= SINGLE * scaled
    whole[:, -1] = True
    decimals = whole.argmax(axis=1)
    before = np.floor(logs / _LN_10 + 1e-9).astype(np.int64) + 1  # digits before the point
    quarter = len(closes) // 4
    fixed = np.sort(decimals)[quarter]
    significant = np.sort(decimals + before)[quarter]
    decimals = np.maximum(decimals, np.minimum(fixed, significant - before))
    half = 0.5 * 10.0**-decimals
    half = np.minimum(half, np.maximum(CENT, LARGE * closes))
    return np.asarray(np.maximum(half / closes, FINEST))
