"""Faults in a whole history, such as would spoil a pool of symbols. Pure."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from closecast.core.prices import UNIT_RATIO, Prices
from closecast.errors import PriceProblem

FROZEN_SESSIONS = 15
"""Sessions in a row that hardly move. The longest such run in the 20 sample stocks is 2."""

_HARDLY = 0.02  # of the median absolute return; adjusted closes of a frozen feed are not equal bits
_SPLIT_RATIOS = np.log([2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 20, 25, 30, 40, 50, 100])
_SPLIT_SURPRISE = 12.0  # times the usual day; smaller moves are news


def find_faults(prices: Prices) -> list[PriceProblem]:
    """Find probable faults of a series, each with its date.

    Frozen stretches, rows in another unit (there and back again), and moves that have the ratio
    of a split and stay. A real event can look like the last: it is called suspected, and only
    keeps the symbol out of a pool.
    """
    returns = np.diff(np.log(prices.closes))
    if len(returns) < FROZEN_SESSIONS:
        return []
    usual = float(np.median(np.abs(returns)))
    return [*_frozen(prices, returns, usual), *_jumps(prices, returns, usual)]


def _frozen(prices: Prices, returns: np.ndarray, usual: float) -> list[PriceProblem]:
    still = np.abs(returns) <= _HARDLY * usual
    runs = sliding_window_view(still, FROZEN_SESSIONS).all(axis=1)
    if not runs.any():
        return []
    first = int(np.flatnonzero(runs)[0])
    longest = max(len(run) for run in "".join("x" if s else " " for s in still).split())
    return [
        PriceProblem(
            "frozen_feed",
            f"{longest} sessions in a row hardly move: the feed stood still",
            str(prices.sessions[first + 1]),
            float(prices.closes[first + 1]),
        )
    ]


def _jumps(prices: Prices, returns: np.ndarray, usual: float) -> list[PriceProblem]:
    found = []
    sizes = np.abs(returns)
    for i in np.flatnonzero(sizes > np.log(1.8)):
        day, close = str(prices.sessions[i + 1]), float(prices.closes[i + 1])
        back = returns[i + 1 : i + 6].cumsum()
        returned = len(back) and np.abs(returns[i] + back).min() < 0.2 * sizes[i]
        there = returns[max(0, i - 5) : i][::-1].cumsum()  # this move may be the way back
        returning = len(there) and np.abs(returns[i] + there).min() < 0.2 * sizes[i]
        if sizes[i] > np.log(UNIT_RATIO) and returned:
            found.append(PriceProblem("unit_error", "the close is in another unit", day, close))
        elif (
            not (returned or returning)
            and sizes[i] > _SPLIT_SURPRISE * usual
            and np.abs(_SPLIT_RATIOS - sizes[i]).min() < 3 * usual
        ):
            nearest = _SPLIT_RATIOS[np.abs(_SPLIT_RATIOS - sizes[i]).argmin()]
            ratio = round(float(np.exp(nearest)))
            found.append(
                PriceProblem(
                    "suspected_split", f"a move like an unadjusted {ratio}:1 split", day, close
                )
            )
    return found
