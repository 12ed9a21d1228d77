"""Alignment of windows with known closes where rows are missing, added or wrong."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.drift.return_index import ReturnIndex, Rows

STILL = 1e-4
"""A move that is smaller than this identifies nothing."""

VOTERS = 128
"""Moves with more similar known ones than this have no vote, for the time that it takes."""

VOTES = 4
"""Pairs of neighbouring moves that are known at one distance from the window, or two more: those
of two weeks without their week-ends, of what trades every day."""

SPREAD = 2
"""Most by which these distances differ."""

_FEW, _NEAR = 3, 10  # fewer rows than that lie no further away: they may agree by chance
_LONG = 12  # rows of a piece that cannot be there by chance
_CHANGE = 1.9  # cost of going on elsewhere, in moves that agree: chance gives one or two of them


def likely_start(moves: FloatArray, index: ReturnIndex, tolerance: float) -> int | None:
    """Find the place of a window of which only some moves are known, by votes.

    Two moves in a row that are known in a row vote for the place where the window then begins.
    Two that agree by chance vote for a place of their own.

    Parameters
    ----------
    moves : array, shape (n - 1,)
        Log returns.
    index : ReturnIndex
        Of one history.
    tolerance : float
        Largest distance of two moves that are alike; NaN finds nothing.

    Returns
    -------
    int or None
        Row of the known closes, perhaps negative; ``None`` below :data:`VOTES` votes.
    """
    sizes, first = np.abs(moves), np.arange(len(moves) - 1)
    # The larger one of each pair is looked for: fewer others are like it.
    later = sizes[1:] > sizes[:-1]
    keys = first + later
    keys, later = keys[sizes[keys] > STILL], later[sizes[keys] > STILL]
    which, places = index.alike(moves[keys], tolerance, VOTERS)
    columns, beside = keys[which], np.where(later[which], -1, 1)
    both = np.abs(index.at(places + beside) - moves[columns + beside]) <= tolerance
    starts = np.sort((places - columns)[both])
    votes = starts.searchsorted(starts + SPREAD, "right") - np.arange(len(starts))
    if not len(votes) or votes.max() < VOTES:
        return None
    return int(starts[votes.argmax()])


def align(moves: FloatArray, index: ReturnIndex, start: int, tolerance: float) -> Rows:
    """Find the known row of each close of a window: as many moves agree as can.

    Rows may be missing, added, or out of order in pieces; each change of the distance between the
    window and the known closes has a cost, so that single moves that agree by chance count
    nothing.

    Parameters
    ----------
    moves : array, shape (n - 1,)
        Log returns of the window, oldest first.
    start : int
        Known row at which most of the window would begin.

    Returns
    -------
    array of int, shape (n,)
        Rows of the known closes; below 0, or beyond the last one, where there is none.
    """
    n = len(moves) + 1
    starts = np.arange(start - n, start + n + 1)
    agree = np.abs(index.at(starts[:, None] + np.arange(n - 1)) - moves) <= tolerance
    # The best path of distances, by dynamic programming: where it stays, moves may agree.
    score = np.where(starts == start, 0.0, -1e-9 * np.abs(starts - start))  # of equals, the nearest
    came_from = np.empty((n - 1, len(starts)), np.int64)
    here = np.arange(len(starts))
    for i in range(n - 1):
        best = int(score.argmax())
        stays = score + agree[:, i]
        changes = stays < score[best] - _CHANGE
        came_from[i] = np.where(changes, best, here)
        score = np.where(changes, score[best] - _CHANGE, stays)
    path = np.empty(n, np.int64)
    path[-1] = int(score.argmax())
    for i in range(n - 2, -1, -1):
        path[i] = came_from[i, path[i + 1]]
    return np.asarray(starts[path] + np.arange(n))


def without_strays(rows: Rows, ratios: FloatArray, base: float, error: FloatArray) -> Rows:
    """Return known rows of closes without pieces in which hardly any close is the known one.

    Parameters
    ----------
    rows : array of int, shape (n,)
        As :func:`align` finds them.
    ratios, error : arrays, shape (n,)
        Log ratios of the closes to the known ones, and their rounding errors.
    base : float
        Log ratio of most rows.

    Returns
    -------
    array of int, shape (n,)
        Closes of such a piece follow on those before it, or else precede those after it.
    """
    starts = rows - np.arange(len(rows))
    edges = [0, *(np.flatnonzero(np.diff(starts)) + 1).tolist(), len(rows)]
    pieces = [slice(a, b) for a, b in pairwise(edges)]
    longest = max(pieces, key=lambda piece: piece.stop - piece.start)
    near = np.abs(starts - starts[longest.start]) <= _NEAR
    good = [
        _known(ratios[piece], base, error[piece])
        and (piece.stop - piece.start >= _FEW or bool(near[piece.start]))
        for piece in pieces
    ]
    if not any(good):
        return rows
    kept = starts.copy()
    at = starts[pieces[good.index(True)].start]
    for piece, is_good in zip(pieces, good, strict=True):
        at = starts[piece.start] if is_good else at
        kept[piece] = at
    return np.asarray(kept + np.arange(len(rows)))


def _known(ratios: FloatArray, base: float, error: FloatArray) -> bool:
    """Answer True if half of a piece has one ratio, which may differ from the window's."""
    levels = [base, float(np.median(ratios))] if len(ratios) >= _LONG else [base]
    return any((np.abs(ratios - level) <= 2 * error).mean() >= 0.5 for level in levels)
