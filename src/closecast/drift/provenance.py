"""Provenance: finds a window among known closes by its returns, in any unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.drift import native
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

_CENT = 0.0105  # closes are sent with two decimals: two of them differ by half a cent each
_TOLERANCE = (1e-5, 1e-3)  # of one log return; least and most
_SAME = 0.85  # share of returns: dividends and corrections may change the others
_ENOUGH = 10  # returns in common
_STILL = 1e-4
_MOST_PIECES = 6
_SAME_IN_PIECES = 0.7
_LANDMARKS, _LANDMARKS_ELSEWHERE = 8, 4  # moves that are looked for
_RULES = native.Rules(
    cent=_CENT,
    least=_TOLERANCE[0],
    most=_TOLERANCE[1],
    still=_STILL,
    same=_SAME,
    enough=_ENOUGH,
    crowd=CROWD,
    most_alike=MOST_ALIKE,
    landmarks=_LANDMARKS,
    landmarks_elsewhere=_LANDMARKS_ELSEWHERE,
)


@dataclass(frozen=True, slots=True)
class Match:
    """Place of a window among known closes.

    Attributes
    ----------
    first, last : int
        Rows of the known closes at which the window's oldest and newest known close lie.
    beyond : int
        Number of closes of the window that are newer than all known ones.
    log_factor : float
        Median log ratio of the closes sent over the known ones.
    """

    match: Literal["exact", "gapped", "reversed"]
    first: int
    last: int
    beyond: int
    log_factor: float


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
        tolerance = (_CENT / windows.closes.min(axis=1)).clip(*_TOLERANCE)
        tolerance[~_moving(windows.sizes)] = np.nan
        largest_first = np.argsort(-windows.sizes, axis=1, kind="stable")
        return cls(windows, tolerance, largest_first[:, :_LANDMARKS])


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
            logs = windows.logs[i] if match == "exact" else windows.logs[i, ::-1]
            place = _place(match, start, start, logs, history.log_closes)
        found.append(place)
    if unsure:
        for i, place in zip(unsure, _located(windows.rows(unsure), history), strict=True):
            found[i] = place
    return found


def _located(windows: WindowReturns, history: CloseHistory) -> list[Match | None]:
    """Compute :func:`locate` in NumPy, which defines its result."""
    sought = SearchWindows.of(windows)
    logs, moves, index = windows.logs, windows.returns, history.index
    n, length = moves.shape
    found: list[Match | None] = [None] * n
    # Each window once as it is and once newest first; the others are then searched in pieces.
    both_ways = np.concatenate([moves, -moves[:, ::-1]])
    landmarks = np.concatenate([sought.landmarks, length - 1 - sought.landmarks])
    near = np.concatenate([sought.tolerance, sought.tolerance])
    alike = index.like(both_ways, landmarks, near)
    for row, start in _aligned(both_ways, near, index, alike):
        i = row % n
        if found[i] is not None:  # windows in their own order come first
            continue
        if row < n:
            found[i] = _place("exact", start, start, logs[i], history.log_closes)
        else:
            found[i] = _place("reversed", start, start, logs[i, ::-1], history.log_closes)
    for i in _partly_there(alike, n):
        if found[i] is None and (
            pieces := _two_pieces(moves[i], index, float(sought.tolerance[i]))
        ):
            found[i] = _place("gapped", *pieces, logs[i], history.log_closes)
    return found


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
        found[i] = prices, _place("exact", first, first, windows.logs[i], prices.log_closes)
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


def _two_pieces(sent: FloatArray, there: ReturnIndex, tolerance: float) -> tuple[int, int] | None:
    """Find the starts of the first and the last of several known pieces."""
    rows, places = there.pairs(sent, tolerance)
    offsets, counts = np.unique(places - rows, return_counts=True)
    pieces = []
    for best in np.argsort(counts)[::-1][:_MOST_PIECES]:
        piece = _dense(rows[places - rows == offsets[best]])
        if len(piece) >= _ENOUGH:
            pieces.append((float(np.median(piece)), int(offsets[best]), len(piece)))
    pieces.sort()
    starts = [offset for _, offset, _ in pieces]
    if not starts or sum(length for *_, length in pieces) < _SAME_IN_PIECES * len(sent):
        return None
    in_order = starts in (sorted(starts), sorted(starts, reverse=True))
    if not in_order or starts[0] < 0 or abs(starts[-1] - starts[0]) > len(sent):
        return None
    return starts[0], starts[-1]


def _dense(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Select rows that lie close together: those that agree by chance lie apart."""
    rows = np.sort(rows)
    near = np.searchsorted(rows, rows + 5, side="right") - np.searchsorted(rows, rows - 5)
    return rows[near >= 5]


def _partly_there(alike: SimilarPlaces, n: int) -> list[int]:
    """Find those of the first n rows with two landmarks and their neighbours in one piece."""
    if not len(alike.rows):
        return []
    where = zip(alike.rows[alike.both].tolist(), alike.starts[alike.both].tolist(), strict=True)
    pieces = Counter(where)
    return sorted({row for (row, _), landmarks in pieces.items() if row < n and landmarks >= 2})


def _moving(sizes: FloatArray) -> NDArray[np.bool_]:
    """Rows with at least ten moves, enough to recognise."""
    return np.asarray(np.add.reduce(sizes > _STILL, axis=1) >= _ENOUGH)


def _place(
    match: Literal["exact", "gapped", "reversed"],
    first: int,
    last: int,
    logs: FloatArray,
    known: FloatArray,
) -> Match:
    start, end = first, last + len(logs) - 1
    newest = min(end, len(known) - 1)
    common = min(len(logs), len(known) - start)
    ratios = np.sort(logs[:common] - known[start : start + common])
    factor = float(ratios[common // 2])
    return Match(match, start, newest, end - newest, factor)


def correlation(
    window: FloatArray,
    sessions: NDArray[np.datetime64],
    known: FloatArray,
    known_sessions: NDArray[np.datetime64],
) -> tuple[float, int] | None:
    """Correlation of the returns on common days, and their number; ``None`` below ten."""
    shared, here, there = np.intersect1d(sessions, known_sessions, return_indices=True)
    if len(shared) <= _ENOUGH:
        return None
    a, b = np.diff(np.log(window[here])), np.diff(np.log(known[there]))
    if not (a.std() > 0 and b.std() > 0):
        return None
    return float(np.corrcoef(a, b)[0, 1]), len(a)
