"""Provenance: finds a window among known closes by its returns, in any unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.drift import native
from closecast.drift.alignment import (
    SPREAD,
    STILL,
    VOTERS,
    VOTES,
    align,
    likely_start,
    without_strays,
)
from closecast.drift.features import WindowReturns
from closecast.drift.return_index import (
    CROWD,
    MOST_ALIKE,
    CloseHistory,
    OtherSymbols,
    ReturnIndex,
    Rows,
    SimilarPlaces,
    history_of,
)
from closecast.drift.rounding import CENT, FINEST, LARGE, SINGLE, rounding_of
from closecast.drift.row_comparison import EQUAL, RowComparison

_CENT = 0.0105  # closes are sent with two decimals: two of them differ by half a cent each
_TOLERANCE = (1e-5, 1e-3)  # of one log return; least and most
_SAME = 0.85  # share of returns: dividends and corrections may change the others
_ENOUGH = 10  # returns in common
_LANDMARKS, _LANDMARKS_ELSEWHERE = 8, 4  # moves that are looked for
_RULES = native.Rules(
    cent=_CENT,
    least=_TOLERANCE[0],
    most=_TOLERANCE[1],
    still=STILL,
    same=_SAME,
    enough=_ENOUGH,
    crowd=CROWD,
    most_alike=MOST_ALIKE,
    votes=VOTES,
    voters=VOTERS,
    spread=SPREAD,
    equal=EQUAL,
    finest=FINEST,
    cent_error=CENT,
    large_error=LARGE,
    single=SINGLE,
    landmarks=_LANDMARKS,
    landmarks_elsewhere=_LANDMARKS_ELSEWHERE,
)


@dataclass(frozen=True, slots=True)
class Match:
    """Place of a window among known closes.

    Attributes
    ----------
    match : str
        ``exact``: all rows are the known ones, to rounding. ``differs``: some are not. ``gapped``:
        rows are missing or added. ``reversed``: newest first.
    first, last : int
        Rows of the known closes at which the window's oldest and newest known close lie.
    beyond : int
        Number of closes of the window that are newer than all known ones.
    log_factor : float
        Log ratio of the closes sent over the known ones; where it is not the same in all rows,
        that of the rows that agree.
    comparison : RowComparison or None
        All rows beside the known ones, where they do not agree; of the window oldest first.
    """

    match: Literal["exact", "differs", "gapped", "reversed"]
    first: int
    last: int
    beyond: int
    log_factor: float
    comparison: RowComparison | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class SearchWindows:
    """Windows to be searched for among known closes.

    Attributes
    ----------
    tolerance : array, shape (m,)
        Largest distance of a log return from a known one that counts as equal: the effect of
        rounding to cents. NaN where nothing can be recognised: a frozen stretch is everywhere.
    landmarks : array of int, shape (m, k)
        Columns of the largest moves, the largest first: few others are like them.
    """

    windows: WindowReturns
    tolerance: FloatArray
    landmarks: Rows

    @classmethod
    def of(cls, windows: WindowReturns) -> Self:
        """Prepare windows of any length."""
        tolerance = _tolerances(windows.closes)
        tolerance[~_moving(windows.sizes)] = np.nan
        largest_first = np.argsort(-windows.sizes, axis=1, kind="stable")
        return cls(windows, tolerance, largest_first[:, :_LANDMARKS])


def _tolerances(closes: FloatArray) -> FloatArray:
    """Largest distance of two equal log returns, per window."""
    return np.asarray((_CENT / closes.min(axis=1)).clip(*_TOLERANCE))


def locate(windows: WindowReturns, known: Prices) -> list[Match | None]:
    """Find windows of closes among known closes.

    Returns are compared, with a tolerance for rounding to cents: 85 % of them have to agree, and
    ten at least. Ten returns of other days agree by chance with a probability of about 1e-20.
    """
    if windows.returns.shape[1] < _ENOUGH or len(known) <= _ENOUGH:
        return [None] * len(windows)
    history = history_of(known)
    fast = native.of(windows.returns)
    if fast is None:
        return _located(windows, history)
    found: list[Match | None] = []
    unsure = []
    for i, (match, start) in enumerate(
        fast.recognise(history.index.compiled, _RULES, windows, True)
    ):
        place = None
        if match == "unsure":
            unsure.append(i)
        elif match != "nowhere":
            place = _place(
                windows, i, start, history, backwards=match == "reversed", agrees=match == "agrees"
            )
        found.append(place)
    for i in unsure:
        found[i] = _partly_there(windows, i, history)
    return found


def _located(windows: WindowReturns, history: CloseHistory) -> list[Match | None]:
    """Compute :func:`locate` in NumPy, which defines its result."""
    sought = SearchWindows.of(windows)
    moves, index = windows.returns, history.index
    n, length = moves.shape
    found: list[Match | None] = [None] * n
    # Each window once as it is and once newest first; the others are then searched in pieces.
    both_ways = np.concatenate([moves, -moves[:, ::-1]])
    landmarks = np.concatenate([sought.landmarks, length - 1 - sought.landmarks])
    near = np.concatenate([sought.tolerance, sought.tolerance])
    alike = index.like(both_ways, landmarks, near)
    for row, start in _aligned(both_ways, near, index, alike):
        i = row % n
        if found[i] is None:  # windows in their own order come first
            found[i] = _place(windows, i, start, history, backwards=row >= n)
    return [_partly_there(windows, i, history) if f is None else f for i, f in enumerate(found)]


def _partly_there(windows: WindowReturns, i: int, history: CloseHistory) -> Match | None:
    """Find a window of which only some moves are known."""
    tolerance = float(_tolerances(windows.closes[i : i + 1])[0])
    if not _moving(windows.sizes[i : i + 1])[0]:
        return None
    start = likely_start(windows.returns[i], history.index, tolerance)
    if start is None:
        return None
    found = _in_pieces(windows, i, start, history, tolerance)
    return match_of(found, history) if found is not None and found.certain else None


def locate_elsewhere(
    windows: WindowReturns, others: OtherSymbols
) -> list[tuple[Prices, Match] | None]:
    """Find windows among the closes of many symbols, only in one piece and oldest first."""
    found: list[tuple[Prices, Match] | None] = [None] * len(windows)
    if windows.returns.shape[1] < _ENOUGH or not others.series:
        return found
    fast = native.of(windows.returns)
    if fast is None:
        starts = _starts_elsewhere(windows, others.index)
    else:
        places = fast.recognise(others.index.compiled, _RULES, windows, False)
        starts = [(i, start) for i, (match, start) in enumerate(places) if match == "exact"]
    for i, start in starts:
        which, first = others.index.row_of(start)
        prices = others.series[which]
        found[i] = prices, _place(windows, i, first, history_of(prices))
    return found


def _starts_elsewhere(windows: WindowReturns, index: ReturnIndex) -> Iterable[tuple[int, int]]:
    sought = SearchWindows.of(windows)
    landmarks = sought.landmarks[:, :_LANDMARKS_ELSEWHERE]
    alike = index.like(windows.returns, landmarks, sought.tolerance)
    return _aligned(windows.returns, sought.tolerance, index, alike)


def _aligned(
    moves: FloatArray, tolerance: FloatArray, there: ReturnIndex, alike: SimilarPlaces
) -> Iterator[tuple[int, int]]:
    """Find rows of ``moves`` that are known in one piece, each once, and their starts."""
    if not len(alike.starts) or not len(inside := (alike.starts >= 0).nonzero()[0]):
        return
    rows, starts = alike.rows[inside], alike.starts[inside]
    agree, common = there.agreement(starts, moves[rows], tolerance[rows])
    done = set()
    for c in ((common >= _ENOUGH) & (agree >= _SAME * common)).nonzero()[0].tolist():
        row = int(rows[c])
        if row in done:
            continue
        # Those that move may lie beyond the end of the known closes.
        known = moves[row : row + 1, : common[c]]
        if known.shape[1] == moves.shape[1] or _moving(np.abs(known)).all():
            done.add(row)
            yield row, int(starts[c])


def _moving(sizes: FloatArray) -> NDArray[np.bool_]:
    """Rows with at least ten moves, enough to recognise."""
    return np.asarray(np.add.reduce(sizes > STILL, axis=1) >= _ENOUGH)


def _place(
    windows: WindowReturns,
    i: int,
    start: int,
    history: CloseHistory,
    *,
    backwards: bool = False,
    agrees: bool = False,
) -> Match:
    """Compare a window with the known closes from a row on; most of its moves are the same."""
    logs, known = windows.logs[i], history.log_closes
    if backwards:
        logs = logs[::-1]
    end = start + len(logs) - 1
    newest = min(end, len(known) - 1)
    common = newest + 1 - start
    shown = logs[:common] - known[start : newest + 1]
    ratios = np.sort(shown)
    match: Literal["exact", "reversed"] = "reversed" if backwards else "exact"
    factor = float(ratios[common // 2])
    if agrees or ratios[-1] - ratios[0] <= EQUAL:
        return Match(match, start, newest, end - newest, factor)
    closes = windows.closes[i, ::-1] if backwards else windows.closes[i]
    error = rounding_of(closes, logs)[:common] + history.rounding[start : newest + 1]
    if (shown - error).max() <= (shown + error).min():  # there is a ratio that all rows have
        return Match(match, start, newest, end - newest, factor)
    found = RowComparison.of(closes, logs, history, start + np.arange(len(logs)))
    if found is None or not found.leaving.any():
        factor = factor if found is None else found.base
        return Match(match, start, newest, end - newest, factor)
    if backwards:
        return Match(match, start, newest, end - newest, found.base, found)
    tolerance = float(_tolerances(closes[None])[0])
    return match_of(_in_pieces(windows, i, start, history, tolerance) or found, history)


def _in_pieces(
    windows: WindowReturns, i: int, start: int, history: CloseHistory, tolerance: float
) -> RowComparison | None:
    """Compare a window with the known closes near a row, where rows may be missing or added."""
    closes, logs = windows.closes[i], windows.logs[i]
    path = align(windows.returns[i], history.index, start, tolerance)
    found = RowComparison.of(closes, logs, history, path)
    if found is None or found.in_one_piece:
        return found
    # A few moves that are like others by chance lead to closes that are not.
    kept = without_strays(path, found.ratios, found.base, found.error)
    return RowComparison.of(closes, logs, history, kept)


def match_of(found: RowComparison, history: CloseHistory) -> Match:
    """Return the place of a window whose rows were compared, oldest first."""
    there = found.rows[found.rows >= 0]
    match: Literal["exact", "differs", "gapped"] = "gapped"
    if found.in_one_piece:
        match = "differs" if found.leaving.any() else "exact"
    beyond = 0
    if there[-1] == len(history.log_closes) - 1:
        beyond = len(found.rows) - 1 - int(np.flatnonzero(found.rows >= 0)[-1])
    return Match(match, int(there[0]), int(there[-1]), beyond, found.base, found)
