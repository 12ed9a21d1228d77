"""Causes of the differences between a window and the known closes: each a fact with its row."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from closecast.core.verdict import Code
from closecast.drift.difference import (
    Difference,
    Facts,
    Flags,
    Sessions,
    of_ratio,
    of_rows,
    runs_of,
)
from closecast.drift.missing_rows import missing_or_added
from closecast.drift.row_comparison import RowComparison
from closecast.drift.statistics.ratios import SPLITS, UNITS, like_unit

MATERIAL = 0.029
"""Log ratio of a finding: 3 %. Dividends are smaller, but for few, and corrections are, too."""

_NOTABLE = 0.01  # of several closes, a day's usual move: no correction, and no other auction
_FEW = 3
_FROZEN = 5  # repeated rows
_SPLICED = 8  # rows of another series
_BONUSES = {"11:10": 1.1, "6:5": 1.2, "5:4": 1.25, "4:3": 4 / 3}
_RATIOS = {**{name: float(np.log(ratio)) for name, ratio in _BONUSES.items()}, **SPLITS}
_EXACT = {name: 0.003 if name in _BONUSES else 0.01 for name in _RATIOS}


def differences(
    found: RowComparison, sessions: Sessions, dates: Sessions | None = None
) -> list[Difference]:
    """Name the differences of a window, oldest first, from the known closes beside it.

    Parameters
    ----------
    sessions : array of datetime64[D], shape (k,)
        Of the known closes.
    dates : array of datetime64[D], shape (n,), optional
        Of the closes of the window, as they were sent.
    """
    rest = found.leaving.copy()
    named = missing_or_added(found, rest, sessions, dates)
    if not found.rough:
        named += _out_of_order(found, rest, sessions)
        named += _filled(found, rest, sessions)
    named += _other_basis(found, rest, sessions)
    named += _wrong_closes(found, rest, sessions)
    kept: dict[Code, Difference] = {}
    for one in named:
        kept.setdefault(one.cause.code, one)
    return list(kept.values())


# -- order ---------------------------------------------------------------------------------------


def _out_of_order(found: RowComparison, rest: Flags, sessions: Sessions) -> Iterator[Difference]:
    """Rows whose closes are those of one another."""
    rows = np.flatnonzero(rest)
    if len(rows) < 2:
        return
    sent, known = np.sort(found.logs[rows]), np.sort(found.known[rows] + found.base)
    # Many closes that are each a little off are like one another in any order.
    apart = np.median(np.abs(found.ratios[rows] - found.base))
    if np.abs(sent - known).max() <= min(2 * found.error[rows].max(), 0.2 * apart):
        rest[rows] = False
        name = "rows that have the known closes of one another"
        yield of_rows("reversed_order", rows.tolist(), found, sessions, name)


# -- rows that were filled -----------------------------------------------------------------------


def _filled(found: RowComparison, rest: Flags, sessions: Sessions) -> Iterator[Difference]:
    """Rows that repeat the one before, or lie on a line, where the known closes do not."""
    repeats = np.zeros(len(rest), bool)
    repeats[1:] = (found.closes[1:] == found.closes[:-1]) & (rest[1:] | rest[:-1])
    moved = np.abs(np.diff(found.known)) > found.error[1:] + found.error[:-1]
    repeats[1:] &= moved
    lines = _on_a_line(found) & rest & ~repeats
    few = (np.add.reduce(repeats) >= 2, np.add.reduce(lines) >= _FEW)
    filled = (repeats & few[0]) | (lines & few[1])
    if np.add.reduce(filled) <= np.add.reduce(rest) / 4:  # a few among many are so by chance
        return
    runs = list(runs_of(repeats & few[0]))
    for first, stop in runs_of(rest):
        if filled[first:stop].any():
            rest[first:stop] = False
    longest = max((stop - first for first, stop in runs), default=0)
    code: Code = "frozen_feed" if longest >= _FROZEN and not few[1] else "filled_days"
    rows = np.flatnonzero(filled).tolist()
    name = "rows that repeat the one before or lie on a line, where the known closes do not"
    yield of_rows(code, rows, found, sessions, name)


def _on_a_line(found: RowComparison) -> Flags:
    """Rows halfway between their neighbours, to rounding, where the known ones are not."""
    error = found.error[:-2] + 2 * found.error[1:-1] + found.error[2:]
    on_it = np.zeros(len(found.logs), bool)
    for sent, there in zip(_bends(found.logs), _bends(found.known), strict=True):
        on_it[1:-1] |= (sent <= error) & (there > 2 * error)
    return on_it


def _bends(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of closes from a straight line between their neighbours: of logarithms, of closes.

    Both are relative to the close; shape (n - 2,).
    """
    before, after = logs[:-2] - logs[1:-1], logs[2:] - logs[1:-1]
    return np.abs(before + after), np.abs(np.expm1(before) + np.expm1(after))


# -- rows in another unit or price basis ---------------------------------------------------------


def _other_basis(found: RowComparison, rest: Flags, sessions: Sessions) -> Iterator[Difference]:
    """Rows with one and the same other ratio: a step that stays, or a mixture."""
    for rows in _levels(found, rest):
        rest[rows] = False
        row, move = _step(found, rows)
        if abs(move) < MATERIAL:
            continue
        about: Facts = {"rows": len(rows)}
        yield _named_ratio(found, sessions, row, move, about)


def _named_ratio(
    found: RowComparison,
    sessions: Sessions,
    row: int,
    move: float,
    about: Facts,
) -> Difference:
    if (factor := _unit(move)) is not None:
        return of_ratio("unit_error", row, move, {**about, "factor": factor}, found, sessions)
    if (split := _split(move)) is not None:
        doubt: tuple[Code, ...] = ("level_gap",) if abs(move) < SPLITS["3:2"] - 0.01 else ()
        return of_ratio("split", row, move, {**about, "split": split}, found, sessions, doubt)
    return of_ratio("level_gap", row, move, about, found, sessions)


def _unit(move: float) -> str | None:
    return like_unit(move, 0.0) if abs(move) > UNITS else None


def _split(move: float) -> str | None:
    """Ratio of a split, new shares for old."""
    for name, ratio in _RATIOS.items():
        if abs(abs(move) - ratio) <= _EXACT[name]:
            return name if move < 0 else ":".join(reversed(name.split(":")))
    return None


def _levels(found: RowComparison, rest: Flags) -> Iterator[NDArray[np.int64]]:
    """Groups of rows with one ratio, the earliest first; not rows that have it by chance."""
    rows = np.flatnonzero(rest)
    groups: list[NDArray[np.int64]] = []
    left = rows[np.argsort(found.ratios[rows], kind="stable")]
    while len(left):
        ratios = found.ratios[left]
        width = 2 * float(np.median(found.error[left]))
        stop = int(np.searchsorted(ratios, ratios[0] + 2 * width, "right"))
        group = np.sort(left[:stop])
        left = left[stop:]
        flags = np.zeros(len(rest), bool)
        flags[group] = True
        longest = max(end - first for first, end in runs_of(flags))
        in_numbers = len(group) >= max(2, len(rows) / 4) and (len(group) >= _FEW or longest >= 2)
        if longest >= _FEW or in_numbers:
            groups.append(group)
    yield from sorted(groups, key=lambda group: int(group[0]))


def _step(found: RowComparison, rows: NDArray[np.int64]) -> tuple[int, float]:
    """First row after the step to rows with one ratio (or from them, if they come first)."""
    flags = np.zeros(len(found.ratios), bool)
    flags[rows] = True
    runs = list(runs_of(flags))
    level, steps = float(np.median(found.ratios[rows])), []
    others = ~flags & ~np.isnan(found.ratios)
    for first, stop in runs:
        before = found.ratios[:first][others[:first]][-3:]
        after = found.ratios[stop:][others[stop:]][:3]
        for row, near, sign in ((first, before, 1.0), (stop, after, -1.0)):
            if len(near) and found.rows[row] >= 0:
                steps.append((row, sign * (level - float(np.median(near)))))
    if not steps:
        return int(rows[0]), 0.0
    if len(runs) > 1:  # a mixture: its steps undo one another
        largest = max(abs(move) for _, move in steps)
        return int(rows[0]), float(np.copysign(largest, level - found.base))
    return max(steps, key=lambda step: (round(abs(step[1]), 3), -step[0]))


# -- closes that differ each by itself ------------------------------------------------------------


def _wrong_closes(found: RowComparison, rest: Flags, sessions: Sessions) -> Iterator[Difference]:
    """Rows with ratios of their own."""
    rows = np.flatnonzero(rest)
    if not len(rows):
        return
    usual = np.where(found.leaving & rest, np.nan, found.ratios)
    apart = np.array(
        [found.ratios[row] - _ratio_around(usual, row, found.base) for row in rows.tolist()]
    )
    wrong = rows[np.abs(apart) >= MATERIAL]
    if not len(wrong):
        wrong = rows[np.abs(apart) >= _NOTABLE]
        if len(wrong) < _FEW or found.rough:
            return
    row = int(wrong[0])
    move = float(apart[np.flatnonzero(rows == row)[0]])
    for first, stop in runs_of(rest):
        at_an_end = first == 0 or (found.rows[stop:] < 0).all()
        if stop - first >= _SPLICED and at_an_end and np.isin(wrong, range(first, stop)).any():
            name = "closes in a row that are not the known ones"
            yield of_rows("wrong_symbol", [*range(first, stop)], found, sessions, name)
            return
    newest = int(np.flatnonzero(found.rows >= 0)[-1])
    about: Facts = {"rows": len(wrong)}
    same = (_unit(move) is not None) or (row == newest and _split(move) is not None)
    if same and abs(move) > SPLITS["3:2"] - 0.01:
        yield _named_ratio(found, sessions, row, move, about)
    else:
        yield of_ratio("spike", row, move, about, found, sessions)


def _ratio_around(usual: NDArray[np.float64], row: int, base: float) -> float:
    """Ratio of the rows beside one, as far as they have the same as others."""
    near = usual[max(0, row - 3) : row + 4]
    near = near[~np.isnan(near)]
    return float(np.median(near)) if len(near) else base
