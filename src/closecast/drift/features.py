"""Features of windows: returns and volatilities that several statistics share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray

NORMAL = float(np.sqrt(np.pi / 2))
"""Mean absolute value to standard deviation, of a normal law."""

QUARTERS = 4

DECAY = 0.94
AROUND = 0.9  # weight of the returns around a close, per session of distance
FLOOR = 0.3  # of the long-run volatility: a frozen stretch is no scale
CLIP = 6.0  # of the median absolute return: one fault must not hide another
LARGE = 4.0
_DECIMALS = 12
STILL = 1e-6  # adjusted closes of equal raw ones differ in their last digits


@dataclass(frozen=True, slots=True, eq=False)
class WindowReturns:
    """Windows of closes and their log returns, the input of all drift computations.

    Returns and sizes are free of the price level: another currency changes nothing.

    Attributes
    ----------
    closes, logs : arrays, shape (m, n)
        Oldest first, and their logarithms.
    returns, sizes : arrays, shape (m, n - 1)
        Log returns, rounded to twelve decimals, and their absolute values.
    """

    closes: FloatArray
    logs: FloatArray
    returns: FloatArray
    sizes: FloatArray

    @classmethod
    def of(cls, closes: FloatArray) -> Self:
        """Compute the returns of windows of positive, finite closes, shape (m, n)."""
        closes = np.ascontiguousarray(closes, np.float64)  # compiled code is given addresses
        logs = np.log(closes)
        # Another currency changes the last bits of a log return; verdicts must not depend on them.
        returns = (logs[:, 1:] - logs[:, :-1]).round(_DECIMALS)
        return cls(closes, logs, returns, np.abs(returns))

    def rows(self, rows: Sequence[int]) -> Self:
        """Select windows by row, in increasing order."""
        if len(rows) == len(self):
            return self
        picked = (self.closes, self.logs, self.returns, self.sizes)
        return type(self)(*(array[rows] for array in picked))

    def __len__(self) -> int:
        return len(self.closes)


@dataclass(frozen=True, slots=True, eq=False)
class WindowFeatures:
    """Windows in units of their own volatility.

    Attributes
    ----------
    returns, sizes : arrays, shape (m, n - 1)
        Log returns and their absolute values.
    around_one, around_two : arrays, shape (m, n - 1) and (m, n - 2)
        Volatility around each return, and around each pair of neighbours, without them.
    standardised : array, shape (m, n - 1)
        Returns over the EWMA volatility before each. Starts at what was known before the window,
        or else at the long-run level.
    clipped : array, shape (m, n - 1)
        ``standardised``, limited to +-4.
    quarters : array, shape (m, 4)
        Volatility of each quarter of the window, with single large moves limited.
    volatility, level : arrays, shape (m,)
        Long-run volatility of the symbol in training, and that volatility times the baseline's
        ``wildness``: training years may have been calmer than most.
    plausible : array, shape (m,)
        Long-run volatility by which news of a size is plausible: the symbol's, or that of the
        wilder symbols of its kind where the window may be of another one.
    before : array, shape (m,), or None
        EWMA volatility just before the window, where the closes are known.
    still : array of bool, shape (m, n - 1)
        Whether the close did not move.
    still_rows : sequence of int
        Windows in which it did not move, at least once.
    still_share : array, shape (m,)
        Probability that a close stays the same: the share in training, or a larger one if the
        ticks of the window are that coarse.
    gap, gap_scale : arrays, shape (m,), or None
        Signed log distance of the first close from the last known one over its scale, and that
        scale: the volatility before the window times the root of the sessions between them.
    """

    returns: FloatArray
    sizes: FloatArray
    around_one: FloatArray
    around_two: FloatArray
    standardised: FloatArray
    clipped: FloatArray
    quarters: FloatArray
    volatility: FloatArray
    level: FloatArray
    plausible: FloatArray
    before: FloatArray | None
    still: NDArray[np.bool_]
    still_rows: Sequence[int]
    still_share: FloatArray
    gap: FloatArray | None = None
    gap_scale: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.returns)


def features_of(
    windows: WindowReturns,
    volatility: FloatArray,
    still_share: FloatArray,
    before: FloatArray | None = None,
    gap: FloatArray | None = None,
    gap_scale: FloatArray | None = None,
    level: FloatArray | None = None,
    plausible: FloatArray | None = None,
) -> WindowFeatures:
    """Compute the features of m windows, each with the levels of its symbol, shape (m,)."""
    returns, sizes = windows.returns, windows.sizes
    n = returns.shape[1]
    around, past, first = _weights(n)
    floor = FLOOR * volatility[:, None]
    typical = np.maximum(np.sort(sizes, axis=1)[:, n // 2 : n // 2 + 1], floor)
    cut = np.minimum(sizes, CLIP * typical)
    start = volatility if before is None else before
    variance = (cut * cut) @ past + (start * start)[:, None] * first
    standardised = returns / np.maximum(np.sqrt(variance), floor / 3)
    share = n // QUARTERS
    rest = np.minimum(sizes, LARGE * typical)[:, n - QUARTERS * share :]
    quarters = np.add.reduce(rest.reshape(len(rest), QUARTERS, share), axis=2) / share
    around_both = np.maximum(cut @ around, floor)
    still = sizes < STILL
    quarters *= NORMAL
    still_rows: list[int] = []
    if still.any():
        still_rows = np.flatnonzero(still.any(axis=1)).tolist()
        still_share = np.maximum(still_share, _share_by_ticks(sizes, still, quarters))
    return WindowFeatures(
        returns=returns,
        sizes=sizes,
        around_one=around_both[:, :n],
        around_two=around_both[:, n:],
        standardised=standardised,
        clipped=np.minimum(np.maximum(standardised, -LARGE), LARGE),
        quarters=quarters,
        volatility=volatility,
        level=volatility if level is None else level,
        plausible=volatility if plausible is None else plausible,
        before=before,
        still=still,
        still_rows=still_rows,
        still_share=still_share,
        gap=gap,
        gap_scale=gap_scale,
    )


def _share_by_ticks(
    sizes: FloatArray, still: NDArray[np.bool_], quarters: FloatArray
) -> FloatArray:
    """Share of closes that stay the same because of the size of their ticks alone, shape (m,).

    Prices in steps of a tick stay with a probability of about 0.4 ticks per volatility; the
    smallest move of the window is a tick, or less where prices have none.
    """
    ticks = np.where(still, np.inf, sizes).min(axis=1)
    shares = 0.4 * ticks / np.maximum(quarters.mean(axis=1), 1e-9)
    return np.where(np.isfinite(ticks), shares, 0.0)


def ewma_before(closes: FloatArray) -> float | None:
    """Compute the EWMA volatility at the end of closes, shape (n,); ``None`` if there are few.

    At least 21 closes are needed.
    """
    recent = closes[-(_MEMORY + 1) :]
    if len(recent) <= _LEAST_BEFORE:
        return None
    logs = np.log(recent)
    sizes = np.abs(logs[1:] - logs[:-1])
    cut = np.minimum(sizes, CLIP * max(float(np.sort(sizes)[len(sizes) // 2]), 1e-9))
    weights = _fading(len(cut))
    return max(float(np.sqrt((cut * cut) @ weights)), 1e-9)


_MEMORY = 100
_LEAST_BEFORE = 20


@lru_cache(maxsize=64)
def _fading(n: int) -> FloatArray:
    weights = DECAY ** np.arange(n)[::-1]
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=8)
def _weights(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight matrices, multiplied from the right with rows of n absolute or squared returns."""
    lag = np.subtract.outer(np.arange(n), np.arange(n))  # later minus earlier
    past = np.where(lag > 0, (1 - DECAY) * DECAY ** np.maximum(lag - 1, 0), 0.0)
    around = np.concatenate([_around(n, 1), _around(n, 2)], axis=1)
    found = [around, past.T.copy(), np.asarray(DECAY ** np.arange(n))]
    for weights in found:
        weights.flags.writeable = False
    return found[0], found[1], found[2]


def _around(n: int, width: int) -> FloatArray:
    """Weights whose column i averages the returns before i and from ``i + width`` on."""
    lag = np.subtract.outer(np.arange(n - width + 1), np.arange(n))
    left = np.where(lag > 0, AROUND ** np.maximum(lag - 1, 0), 0.0)
    right = np.where(lag <= -width, AROUND ** np.maximum(-lag - width, 0), 0.0)
    both = left + right
    return np.ascontiguousarray((NORMAL * both / both.sum(axis=1, keepdims=True)).T)
