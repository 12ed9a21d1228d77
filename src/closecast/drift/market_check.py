"""Moves that a window shares with its market: news, not wrong closes."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import Dates, FloatArray
from closecast.core.market_moves import MarketMoves
from closecast.drift.context import ContextFinding
from closecast.drift.statistics.base import Cause

SHARED = frozenset({"jump", "spike", "large_move"})
"""Statistics of single moves, which the market may explain."""

_WILD = 2.5  # volatilities of the market, from which on its day is more than noise
_MOST_SHARED = 2.0  # times the market's move: SOL fell by 40 % when the others fell by 17 %
_CRASH = 3.5  # volatilities just before: five days in 18 years of US stocks
_LARGE = 2.0  # long-run volatilities: a day like many of wilder years is no crash
_FOLLOWED = 0.5  # of the market's move, that the symbol itself must have made


def without_market(returns: FloatArray, moves: FloatArray, times: FloatArray) -> FloatArray:
    """Take the market's part out of log returns, on days on which it was wild.

    A move in the market's direction, of up to twice its size, is the market's.

    Parameters
    ----------
    returns, moves, times : arrays, shape (..., n)
        Of a symbol; of its market, as log returns and in volatilities; 0 where not known.
    """
    shared = (np.abs(times) >= _WILD) & (returns * moves > 0)
    part = np.minimum(np.abs(returns), _MOST_SHARED * np.abs(moves))
    return np.asarray(np.where(shared, returns - np.sign(returns) * part, returns))


def check_market(move: float, row: int, day: np.datetime64, market: MarketMoves) -> (
    list[ContextFinding]
):
    """Find a day on which the whole market moved as it seldom does, and the symbol with it.

    Parameters
    ----------
    move : float
        Log return of the symbol on the window's newest day.
    row : int
        Of the window's newest close.
    """
    found = market.on(day)
    if found is None:
        return []
    moved, times = found
    if abs(times) < _CRASH or abs(moved) < _LARGE * market.volatility:
        return []
    if move * moved <= 0 or abs(move) < _FOLLOWED * abs(moved):
        return []
    facts: dict[str, int | float | str] = {
        "move": round(100 * float(np.expm1(move)), 1),
        "times": round(abs(times), 1),
        "market": round(100 * float(np.expm1(moved)), 1),
    }
    name = "median move of the market's other symbols, over the volatility before it"
    return [
        ContextFinding(Cause("shock", row, facts), "regime", name, round(abs(times), 4), _CRASH)
    ]


def moves_of(sessions: Dates, market: MarketMoves) -> tuple[FloatArray, FloatArray]:
    """Moves of the market at each return of a window, shape (n - 1,); 0 where not known."""
    return market.at(sessions[1:])
