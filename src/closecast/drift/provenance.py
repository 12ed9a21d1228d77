"""Which known closes a window is: recognised by its returns, whatever its unit."""

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
    """Where a window lies among known closes.

    Attributes
    ----------
    first, last : int
        Rows of the known closes; those of the oldest and the newest close that is among them.
    beyond : int
        Closes of the window that are newer than all that is known.
    log_factor : float
        Median log ratio of what was sent over what is known.
    """

    match: Literal["exact", "gapped", "reversed"]
    first: int
    last: int
    beyond: int
    log_factor: float


@dataclass(frozen=True, slots=True, eq=False)
class SearchWindows:
    """Windows that are to be found among known closes.

    Attributes
    ----------
    tolerance : array, shape (m,)
        How far a log return may be from a known one that is the same: what rounding to cents does
        to it. NaN where there is nothing to recognise: a frozen stretch is everywhere.
    landmarks : array of int, shape (m, k)
        Columns of the largest moves, the largest first: few others are like them.
    """

    moves: WindowReturns
    tolerance: FloatArray
    landmarks: Rows

    @classmethod
    def of(cls, moves: WindowReturns) -> Self:
        """Of windows of any length."""
        tolerance = (_CENT / moves.closes.min(axis=1)).clip(*_TOLERANCE)
        tolerance[~_moving(moves.sizes)] = np.nan
        largest_first = np.argsort(-moves.sizes, axis=1, kind="stable")
        return cls(moves, tolerance, largest_first[:, :_LANDMARKS])


def locate(moves: WindowReturns, known: Prices) -> list[Match | None]:
    """Find windows of closes among known closes.

    Compared as returns, within what rounding to cents does to them: 85 % of them have to agree,
    and ten at least. A chance match is out of the question: ten returns of other days agree with
    a probability of some 1e-20.
    """
    if moves.returns.shape[1] < _ENOUGH or len(known) <= _ENOUGH:
        return [None] * len(moves)
    history = history_of(known)
    fast = native.of(moves.returns)
    if fast is None:
        return _located(moves, history)
    found: list[Match | None] = []
    unsure = []
    for i, (match, start) in enumerate(fast.recognise(history.index.compiled, _RULES, moves, True)):
        place = None
        if match == "unsure":
            unsure.append(i)
        elif match != "nowhere":
            logs = moves.logs[i] if match == "exact" else moves.logs[i, ::-1]
            place = _place(match, start, start, logs, history.log_closes)
        found.append(place)
    if unsure:
        for i, place in zip(unsure, _located(moves.rows(unsure), history), strict=True):
            found[i] = place
    return found


def _located(windows: WindowReturns, history: CloseHistory) -> list[Match | None]:
    """What :func:`locate` finds, defined."""
    sought = SearchWindows.of(windows)
    logs, moves, index = windows.logs, windows.returns, history.index
    n, length = moves.shape
    found: list[Match | None] = [None] * n
    # Each window once as it is and once newest first: then those that are left in pieces.
    both_ways = np.concatenate([moves, -moves[:, ::-1]])
    landmarks = np.concatenate([sought.landmarks, length - 1 - sought.landmarks])
    near = np.concatenate([sought.tolerance, sought.tolerance])
    alike = index.like(both_ways, landmarks, near)
    for row, start in _aligned(both_ways, near, index, alike):
        i = row % n
        if found[i] is not None:  # those that are as they should be come first
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
    moves: WindowReturns, others: OtherSymbols
) -> list[tuple[Prices, Match] | None]:
    """The same among the closes of many symbols: in one piece and in its own order only."""
    found: list[tuple[Prices, Match] | None] = [None] * len(moves)
    if moves.returns.shape[1] < _ENOUGH or not others.series:
        return found
    fast = native.of(moves.returns)
    if fast is None:
        starts = _starts_elsewhere(moves, others.index)
    else:
        places = fast.recognise(others.index.compiled, _RULES, moves, False)
        starts = [(i, start) for i, (match, start) in enumerate(places) if match == "exact"]
    for i, start in starts:
        which, first = others.index.row_of(start)
        prices = others.series[which]
        found[i] = prices, _place("exact", first, first, moves.logs[i], prices.log_closes)
    return found


def _starts_elsewhere(windows: WindowReturns, index: ReturnIndex) -> Iterable[tuple[int, int]]:
    sought = SearchWindows.of(windows)
    landmarks = sought.landmarks[:, :_LANDMARKS_ELSEWHERE]
    alike = index.like(windows.returns, landmarks, sought.tolerance)
    return _aligned(windows.returns, sought.tolerance, index, alike)


def _aligned(
    moves: FloatArray, tolerance: FloatArray, there: ReturnIndex, alike: SimilarPlaces
) -> Iterator[tuple[int, int]]:
    """Rows of ``moves`` that are known in one piece, each once, and where that begins."""
    if not len(alike.starts) or not len(inside := (alike.starts >= 0).nonzero()[0]):
        return
    rows, starts = alike.rows[inside], alike.starts[inside]
    agree, common = there.agreement(starts, moves[rows], tolerance[rows])
    done = set()
    for c in ((common >= _ENOUGH) & (agree >= _SAME * common)).nonzero()[0].tolist():
        row = int(rows[c])
        if row in done:
            continue
        # What moves may lie beyond the end of what is known.
        known = moves[row : row + 1, : common[c]]
        if known.shape[1] == moves.shape[1] or _moving(np.abs(known)).all():
            done.add(row)
            yield row, int(starts[c])


def _two_pieces(sent: FloatArray, there: ReturnIndex, tolerance: float) -> tuple[int, int] | None:
    """Start of the first and of the last of several pieces that are known."""
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
    """Rows that lie close together: those that agree by chance lie apart."""
    rows = np.sort(rows)
    near = np.searchsorted(rows, rows + 5, side="right") - np.searchsorted(rows, rows - 5)
    return rows[near >= 5]


def _partly_there(alike: SimilarPlaces, n: int) -> list[int]:
    """Which of the first n rows have two landmarks, and both neighbours of each, in one piece."""
    if not len(alike.rows):
        return []
    where = zip(alike.rows[alike.both].tolist(), alike.starts[alike.both].tolist(), strict=True)
    pieces = Counter(where)
    return sorted({row for (row, _), landmarks in pieces.items() if row < n and landmarks >= 2})


def _moving(sizes: FloatArray) -> NDArray[np.bool_]:
    """Rows in which there is anything to recognise."""
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
    """Of the returns on days that both have, and how many; ``None`` with fewer than ten."""
    shared, here, there = np.intersect1d(sessions, known_sessions, return_indices=True)
    if len(shared) <= _ENOUGH:
        return None
    a, b = np.diff(np.log(window[here])), np.diff(np.log(known[there]))
    if not (a.std() > 0 and b.std() > 0):
        return None
    return float(np.corrcoef(a, b)[0, 1]), len(a)
