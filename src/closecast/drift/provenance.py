"""Which known closes a window is: recognised by its returns, whatever its unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from closecast.drift.known import OtherCloses, ReturnIndex, Rows, history_of
from closecast.drift.reading import FloatArray
from closecast.prices import Prices

_CENT = 0.0105  # closes are sent with two decimals: two of them differ by half a cent each
_TOLERANCE = (1e-5, 1e-3)  # of one log return; least and most
_SAME = 0.85  # share of returns: dividends and corrections may change the others
_ENOUGH = 10  # returns in common
_STILL = 1e-4
_MOST_PIECES = 6
_SAME_IN_PIECES = 0.7
_FEW_LANDMARKS, _LANDMARKS = 4, 8  # moves that are looked for


@dataclass(frozen=True, slots=True)
class Place:
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


def locate(windows: FloatArray, known: Prices) -> list[Place | None]:
    """Find windows of closes, shape (m, n), among known closes.

    Compared as returns, within what rounding to cents does to them: 85 % of them have to agree,
    and ten at least. A chance match is out of the question: ten returns of other days agree with
    a probability of some 1e-20.
    """
    found: list[Place | None] = [None] * len(windows)
    if windows.shape[1] <= _ENOUGH or len(known) <= _ENOUGH:
        return found
    history = history_of(known)
    logs, index = np.log(windows), history.index
    moves, tolerance = logs[:, 1:] - logs[:, :-1], _tolerance(windows)
    left = _moving(moves)
    for i, start in _aligned(moves, index, tolerance, left):
        found[i] = _place("exact", start, start, logs[i], history.log_closes)
    if not len(left := _without(left, found)):
        return found
    for i, start in _aligned(-moves[:, ::-1], index, tolerance, left):
        found[i] = _place("reversed", start, start, logs[i, ::-1], history.log_closes)
    if not len(left := _without(left, found)):
        return found
    there = history.log_closes[1:] - history.log_closes[:-1]
    for i in _partly_there(moves, index, tolerance, left):
        if pieces := _two_pieces(moves[i], there, float(tolerance[i])):
            found[i] = _place("gapped", *pieces, logs[i], history.log_closes)
    return found


def locate_elsewhere(windows: FloatArray, others: OtherCloses) -> list[tuple[Prices, Place] | None]:
    """The same among the closes of many symbols: in one piece and in its own order only."""
    found: list[tuple[Prices, Place] | None] = [None] * len(windows)
    if windows.shape[1] <= _ENOUGH or not others.series:
        return found
    logs = np.log(windows)
    moves = logs[:, 1:] - logs[:, :-1]
    for i, start in _aligned(moves, others.index, _tolerance(windows), _moving(moves)):
        which, row = others.index.row_of(start)
        prices = others.series[which]
        found[i] = prices, _place("exact", row, row, logs[i], prices.log_closes)
    return found


def _without(rows: Rows, found: Sequence[object]) -> Rows:
    return np.array([i for i in rows.tolist() if found[i] is None], dtype=np.int64)


def _tolerance(windows: FloatArray) -> FloatArray:
    return np.asarray(np.clip(_CENT / windows.min(axis=1), *_TOLERANCE))


def _aligned(
    moves: FloatArray, there: ReturnIndex, tolerance: FloatArray, among: Rows
) -> Iterator[tuple[int, int]]:
    """Rows (of those in ``among``) whose moves are known in one piece, and where that begins."""
    moves, tolerance = moves[among], tolerance[among]
    landmarks = _standing_out(np.abs(moves), _FEW_LANDMARKS)
    rows, _, starts = there.like(moves, landmarks, tolerance)
    inside = np.flatnonzero(starts >= 0)
    if not len(inside):
        return
    rows, starts = rows[inside], starts[inside]
    agree, common = there.agreement(starts, moves[rows], tolerance[rows])
    done = set()
    for c in np.flatnonzero((common >= _ENOUGH) & (agree >= _SAME * common)).tolist():
        i = int(rows[c])
        if i not in done and len(_moving(moves[i : i + 1, : common[c]])):
            done.add(i)
            yield int(among[i]), int(starts[c])


def _two_pieces(sent: FloatArray, there: FloatArray, tolerance: float) -> tuple[int, int] | None:
    """Start of the first and of the last of several pieces that fit ``there``."""
    rows, columns = np.nonzero(np.abs(sent[:, None] - there[None, :]) <= tolerance)
    offsets, counts = np.unique(columns - rows, return_counts=True)
    pieces = []
    for best in np.argsort(counts)[::-1][:_MOST_PIECES]:
        piece = _dense(rows[columns - rows == offsets[best]])
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


def _partly_there(
    moves: FloatArray, there: ReturnIndex, tolerance: FloatArray, among: Rows
) -> list[int]:
    """Rows of which three moves in a row are known around two of those that stand out most."""
    landmarks = 1 + _standing_out(np.abs(moves[among, 1:-1]), _LANDMARKS)
    rows, columns, _ = there.like(moves[among], landmarks, tolerance[among], both=True)
    pairs = np.unique(np.stack([rows, columns]), axis=1) if len(rows) > 1 else np.empty((2, 0), int)
    times = np.bincount(pairs[0], minlength=len(among))
    return [int(i) for i in among[times >= 2]]


def _standing_out(sizes: FloatArray, count: int) -> Rows:
    """Columns of the largest of each row, the largest first."""
    return np.asarray(sizes.argsort(axis=1)[:, : -count - 1 : -1])


def _moving(moves: FloatArray) -> Rows:
    """Rows in which there is anything to recognise: a frozen stretch is everywhere."""
    return np.flatnonzero((np.abs(moves) > _STILL).sum(axis=1) >= _ENOUGH)


def _place(
    match: Literal["exact", "gapped", "reversed"],
    first: int,
    last: int,
    logs: FloatArray,
    known: FloatArray,
) -> Place:
    start, end = first, last + len(logs) - 1
    newest = min(end, len(known) - 1)
    common = min(len(logs), len(known) - start)
    ratios = np.sort(logs[:common] - known[start : start + common])
    factor = float(ratios[common // 2])
    return Place(match, start, newest, end - newest, factor)


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
