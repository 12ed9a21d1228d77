"""A single move between news and a split that was not adjusted for: names, facts and ranks."""

from __future__ import annotations

from typing import Literal

import numpy as np

from closecast.core.verdict import Code
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics.base import Cause
from closecast.drift.statistics.ratios import like_split, nearest_split

LEAST_UNSURE = 0.33
"""Log return from which a move may be a split 3:2 with what the session itself adds: -28 %."""


def split_or_news(
    reading: WindowFeatures,
    i: int,
    column: int,
    value: float,
    first: Literal["split"] | None = None,
) -> Cause:
    """Name both causes of a large move, the likelier first, and the rank of a split.

    Parameters
    ----------
    i, column : int
        Window, and place among its returns.
    value : float
        Move in volatilities.
    first : "split", optional
        The likelier of the two; by default a split where a ratio is as near as a session's move.

    Returns
    -------
    Cause
        Its rank of ``split`` is the share of the window's moves that are as large as the distance
        from the ratio, the move itself included.
    """
    move, scale = float(reading.returns[i, column]), float(reading.around_one[i, column])
    ratio, distance = nearest_split(move)
    sizes = reading.sizes[i]
    others = int((np.delete(sizes, column) >= distance).sum())
    facts = facts_of(move, value)
    ranks: dict[Code, float] = {"split": round((1 + others) / len(sizes), 4)}
    facts |= {"ratio": ratio, "days": round(distance / scale, 1)}
    if first == "split":
        return Cause("split", column + 1, facts, ("shock",), ranks)
    facts["unsure"] = "yes"
    if like_split(move, scale) is not None:
        return Cause("split", column + 1, facts, ("split", "shock"), ranks)
    return Cause("shock", column + 1, facts, ("shock", "split"), ranks)


def facts_of(move: float, value: float) -> dict[str, int | float | str]:
    """The move in per cent, and how many usual days it is."""
    return {"move": percent(move), "times": round(value, 1)}


def percent(log_return: float) -> float:
    """A log return in per cent, rounded to one decimal."""
    return round(100 * float(np.expm1(log_return)), 1)
