"""Which known closes a window is: recognised by its returns, whatever its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from closecast.drift.reading import FloatArray
from closecast.prices import Prices

_CENT = 0.0105  # closes are sent with two decimals: two of them differ by half a cent each
_TOLERANCE = (1e-5, 1e-3)  # of one log return; least and most
_SAME = 0.85  # share of returns: dividends and corrections may change the others
_ENOUGH = 10  # returns in common
_STILL = 1e-4
_MOST_PIECES = 6
_SAME_IN_PIECES = 0.7
_LANDMARKS = 8


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


def locate(window: FloatArray, known: Prices, *, whole_only: bool = False) -> Place | None:
    """Find a window of closes, shape (n,), among known closes.

    Compared as returns, within what rounding to cents does to them: 85 % of them have to agree,
    and ten at least. A chance match is out of the question: ten returns of other days agree with
    a probability of some 1e-20.

    Parameters
    ----------
    whole_only : bool
        Look for the window in one piece and in its own order only: cheaper, and all that is
        wanted of another symbol.
    """
    if len(window) <= _ENOUGH or len(known) <= _ENOUGH:
        return None
    logs, known_logs = np.log(window), known.log_closes
    sent, there = logs[1:] - logs[:-1], known_logs[1:] - known_logs[:-1]
    tolerance = min(max(_CENT / float(window.min()), _TOLERANCE[0]), _TOLERANCE[1])
    if found := _aligned(sent, there, tolerance):
        return _place("exact", found, found, logs, known_logs)
    if whole_only:
        return None
    if found := _aligned(-sent[::-1], there, tolerance):
        return _place("reversed", found, found, logs[::-1], known_logs)
    if not _partly_there(sent, there, tolerance):
        return None
    if offsets := _two_pieces(sent, there, tolerance):
        return _place("gapped", *offsets, logs, known_logs)
    return None


def _aligned(sent: FloatArray, there: FloatArray, tolerance: float) -> int | None:
    """One more than the row of ``there`` at which ``sent`` begins; 0 means not found."""
    # The returns that stand out first: few others are like them.
    for j in np.abs(sent).argsort()[::-1][:4]:
        for row in _with_a_neighbour(sent, int(j), there, tolerance):
            start = int(row - j)
            if start < 0:
                continue
            common = min(len(sent), len(there) - start)
            if common < _ENOUGH:
                continue
            agree = np.abs(there[start : start + common] - sent[:common]) <= tolerance
            if int(np.count_nonzero(agree)) >= _SAME * common and _moves(sent[:common]):
                return start + 1
    return None


def _with_a_neighbour(
    sent: FloatArray, j: int, there: FloatArray, tolerance: float
) -> NDArray[np.int64]:
    """Rows of ``there`` that agree with move j of ``sent``, and beside it on one side at least."""
    rows = np.flatnonzero(np.abs(there - sent[j]) <= tolerance)
    after = np.abs(there[np.minimum(rows + 1, len(there) - 1)] - sent[min(j + 1, len(sent) - 1)])
    before = np.abs(there[np.maximum(rows - 1, 0)] - sent[max(j - 1, 0)])
    return np.asarray(rows[(after <= tolerance) | (before <= tolerance)])


def _two_pieces(sent: FloatArray, there: FloatArray, tolerance: float) -> tuple[int, int] | None:
    """Start (plus one) of the first and of the last of several pieces that fit ``there``."""
    if not _moves(sent):
        return None
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
    return starts[0] + 1, starts[-1] + 1


def _dense(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that lie close together: those that agree by chance lie apart."""
    rows = np.sort(rows)
    near = np.searchsorted(rows, rows + 5, side="right") - np.searchsorted(rows, rows - 5)
    return rows[near >= 5]


def _partly_there(sent: FloatArray, there: FloatArray, tolerance: float) -> bool:
    """Whether three moves in a row are known around some of those that stand out most."""
    inner = np.abs(sent[1:-1]).argsort()[::-1][:_LANDMARKS] + 1
    return sum(_known_triple(sent, j, there, tolerance) for j in inner) >= 2


def _known_triple(sent: FloatArray, j: int, there: FloatArray, tolerance: float) -> bool:
    rows = np.flatnonzero(np.abs(there[1:-1] - sent[j]) <= tolerance) + 1
    before = np.abs(there[rows - 1] - sent[j - 1]) <= tolerance
    return bool((before & (np.abs(there[rows + 1] - sent[j + 1]) <= tolerance)).any())


def _moves(sent: FloatArray) -> bool:
    """Whether there is anything to recognise: a frozen stretch is everywhere."""
    return int(np.count_nonzero(np.abs(sent) > _STILL)) >= _ENOUGH


def _place(
    match: Literal["exact", "gapped", "reversed"],
    first: int,
    last: int,
    logs: FloatArray,
    known: FloatArray,
) -> Place:
    start, end = first - 1, last - 1 + len(logs) - 1
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
