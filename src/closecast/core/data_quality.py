"""Faults in a whole history, such as would spoil a pool of symbols. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.markets import kind_or_stock
from closecast.core.prices import UNIT_RATIO, Prices
from closecast.core.spacing import long_gaps
from closecast.core.units import lasting_moves, unit_blocks
from closecast.errors import PriceProblem

FROZEN_SESSIONS = 15
"""Sessions in a row that hardly move. The longest such run in the 20 sample stocks is 2."""

_HARDLY = 0.02  # of the median absolute return; adjusted closes of a frozen feed are not equal bits
_SPLIT_RATIOS = np.log([2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 20, 25, 30, 40, 50, 100])
_SPLIT_SURPRISE = 12.0  # times the usual day; smaller moves are news
_STOCK_SPLIT = float(np.log(1.8))
_REDENOMINATION = float(np.log(9.5))  # of coins and currencies: by ten or more, if at all
_SHARED = 0.5  # of a move; the median of the others reaches it: the market moved
_LARGEST_SHARED = float(np.log(3))  # no market fell so far in a session; a feed did
_LEAST_OTHERS = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """A probable fault of a series.

    Attributes
    ----------
    problem : PriceProblem
        Rule, sentence, date and close.
    sound_from : int
        First row of what follows it.
    """

    problem: PriceProblem
    sound_from: int


def find_faults(prices: Prices, others: Sequence[Prices] = ()) -> list[PriceProblem]:
    """Find probable faults of a series, each with its date, oldest first.

    Frozen stretches, blocks of rows in another unit, and moves that have the ratio of a split and
    stay. A real event can look like the last: it is called suspected, and keeps the closes before
    it out of a pool.

    Parameters
    ----------
    others : sequence of Prices, optional
        Symbols of the same kind of market, such as the rest of a pool; ``prices`` itself may be
        among them. A move that they shared is news: the median of at least two of them went half
        as far on that day, in the same direction.

    Notes
    -----
    Only shares are split: of a coin, an index or a currency, a move by ten or more is suspected.
    """
    return [fault.problem for fault in faults_of(prices, others)]


def faults_of(prices: Prices, others: Sequence[Prices] = ()) -> list[Fault]:
    """:func:`find_faults`, each with the first sound row after it."""
    if len(prices) < FROZEN_SESSIONS + 1:
        return []
    returns = np.diff(prices.log_closes)
    usual = float(np.median(np.abs(returns)))
    found = [*_frozen(prices, returns, usual), *_units(prices), *_splits(prices, usual, others)]
    return sorted(found, key=lambda fault: fault.problem.date or "")


def _frozen(prices: Prices, returns: NDArray[np.float64], usual: float) -> Iterator[Fault]:
    still = np.concatenate([[False], np.abs(returns) <= _HARDLY * usual, [False]])
    edges = np.flatnonzero(np.diff(still))
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stop - first >= FROZEN_SESSIONS:
            message = f"{stop - first} sessions in a row hardly move: the feed stood still"
            yield Fault(_problem(prices, "frozen_feed", message, first + 1), stop + 1)


def _units(prices: Prices) -> Iterator[Fault]:
    for block in unit_blocks(prices.log_closes, long_gaps(prices)):
        rows = block.stop - block.first
        message = (
            f"the close is {block.ratio:.3g} times the one beside it: another unit"
            if rows == 1
            else f"{rows} closes are {block.ratio:.3g} times those beside them: another unit"
        )
        yield Fault(_problem(prices, "unit_error", message, block.first), block.stop)


def _splits(prices: Prices, usual: float, others: Sequence[Prices]) -> Iterator[Fault]:
    returns = np.where(long_gaps(prices), 0.0, np.diff(prices.log_closes))
    lasting = set(lasting_moves(prices.log_closes, long_gaps(prices)).tolist())
    least = _STOCK_SPLIT if kind_or_stock(prices.symbol) == "stock" else _REDENOMINATION
    sizes = np.abs(returns)
    for i in np.flatnonzero(sizes > least).tolist():
        beyond = sizes[i] > np.log(UNIT_RATIO)
        if (beyond and i + 1 not in lasting) or (not beyond and _is_taken_back(returns, i)):
            continue
        nearest = _SPLIT_RATIOS[np.abs(_SPLIT_RATIOS - sizes[i]).argmin()]
        if sizes[i] > _SPLIT_SURPRISE * usual and abs(nearest - sizes[i]) < 3 * usual:
            shared = sizes[i] < _LARGEST_SHARED
            if shared and _others_moved(prices, i + 1, returns[i], others):
                continue
            message = f"a move like an unadjusted {round(float(np.exp(nearest)))}:1 split"
            yield Fault(_problem(prices, "suspected_split", message, i + 1), i + 1)
        elif beyond:
            message = f"the close is {np.exp(returns[i]):.3g} times the one before: another unit"
            yield Fault(_problem(prices, "unit_error", message, i + 1), i + 1)


def _is_taken_back(returns: NDArray[np.float64], i: int) -> bool:
    """Answer True if a move goes back within five sessions, or is the way back."""
    back = returns[i + 1 : i + 6].cumsum()
    there = returns[max(0, i - 5) : i][::-1].cumsum()
    around = np.concatenate([back, there])
    return bool((np.abs(returns[i] + around) < 0.2 * abs(returns[i])).any())


def _others_moved(prices: Prices, row: int, move: float, others: Sequence[Prices]) -> bool:
    """Answer True if the median of the others went half as far between the same two closes."""
    before, day = prices.sessions[row - 1], prices.sessions[row]
    moves = [
        _move(other, before, day)
        for other in others
        if other.symbol != prices.symbol
        and kind_or_stock(other.symbol) == kind_or_stock(prices.symbol)
    ]
    known = [one for one in moves if np.isfinite(one)]
    return len(known) >= _LEAST_OTHERS and float(np.median(known)) / move >= _SHARED


def _move(prices: Prices, before: np.datetime64, day: np.datetime64) -> float:
    rows = np.searchsorted(prices.sessions, np.array([before, day]))
    if rows[1] >= len(prices) or (prices.sessions[rows] != np.array([before, day])).any():
        return float("nan")
    return float(prices.log_closes[rows[1]] - prices.log_closes[rows[0]])


def _problem(prices: Prices, rule: str, message: str, row: int) -> PriceProblem:
    return PriceProblem(rule, message, str(prices.sessions[row]), float(prices.closes[row]))
