"""Moves that a window shares with its market: news, not wrong closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from closecast.core.arrays import Dates, FloatArray
from closecast.core.market_moves import MarketMoves
from closecast.core.verdict import Finding
from closecast.drift.context import Context, ContextFinding
from closecast.drift.messages import sentence
from closecast.drift.statistics.base import Cause
from closecast.drift.statistics.shock import Shock

EXPLAINED = frozenset({"split", "spike"})
"""Codes of single moves, which the market may explain."""

_WILD = 2.5  # volatilities of the market, from which on its day is more than noise
_MOST_SHARED = 2.0  # times the market's move: SOL fell by 40 % when the others fell by 17 %
_CRASH = 3.5  # volatilities just before: five days in 18 years of US stocks
_LARGE = 2.0  # long-run volatilities: a day like many of wilder years is no crash
_RECENT = 5  # sessions
_FOLLOWED = 0.5  # of the market's move, that the symbol itself must have made


def may_be_explained(finding: Finding) -> bool:
    """True of single moves that are faults or unsure, which the market may explain."""
    return finding.code in EXPLAINED or bool(finding.code == "shock" and finding.alternatives)


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


def shared_or_not(
    finding: Finding, without: Sequence[Finding], moves: FloatArray, times: FloatArray
) -> Finding | None:
    """Call a single move news if it is gone without the market's part; of old news nothing is left.

    Parameters
    ----------
    without : sequence of Finding
        Of the window without the market's part.
    moves, times : arrays, shape (n - 1,)
        Of the market, as in :func:`without_market`.
    """
    row = finding.row
    if not row or not may_be_explained(finding):
        return finding
    # A ratio of a split between two others may be a unit's without the market's part.
    left = (
        f
        for f in without
        if (may_be_explained(f) or f.code == "unit_error") and f.row and abs(f.row - row) <= 1
    )
    if any(f.level == finding.level for f in left):
        return finding
    day = max(range(row - 1, min(row + 1, len(times))), key=lambda i: abs(times[i]))
    if abs(times[day]) < _WILD:
        return finding
    if row <= len(times) - _RECENT and finding.statistic != Shock.name:
        return None  # a split or a wrong close would spoil the window wherever it is; news is over
    facts = {
        "move": finding.facts["move"],
        "times": finding.facts["times"],
        "market": round(100 * float(np.expm1(moves[day])), 1),
    }
    return replace(
        finding,
        code="shock",
        level="regime",
        alternatives=(),
        tail_ranks={},
        facts=facts,
        sentence=sentence("shock", facts),
    )


def check_market(
    move: float, row: int, day: np.datetime64, market: MarketMoves
) -> list[ContextFinding]:
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


def dates_of(context: Context, placed: Dates | None, n: int) -> Dates | None:
    """Dates of a window's n closes, if they are known: sent, found, or counted back.

    Parameters
    ----------
    placed : array of datetime64[D] or None
        Dates at which the window lies among known closes; fewer than n if it is newer.
    """
    sent, table = context.sessions, context.calendar
    if sent is not None:
        return sent if (np.diff(sent) > np.timedelta64(0, "D")).all() else None
    if placed is not None:
        missing = np.full(n - len(placed), np.datetime64("NaT"), placed.dtype)
        return np.concatenate([placed, missing]) if len(missing) else placed
    if context.as_of is None or table is None:
        return None
    stop = int(table.sessions.searchsorted(context.as_of, side="right"))
    known = n <= stop and table.sessions[stop - 1] == context.as_of
    return table.sessions[stop - n : stop] if known else None
