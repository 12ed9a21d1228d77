"""A difference between a window and the known closes: a fact with its row, date and size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.verdict import Code
from closecast.drift.row_comparison import RowComparison
from closecast.drift.statistics.base import Cause

Sessions = NDArray[np.datetime64]
Flags = NDArray[np.bool_]
Facts = dict[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Difference:
    """A way in which closes differ from the known ones.

    Attributes
    ----------
    value : float
        Number of rows, or ratio of the closes sent to the known ones.
    threshold : float
        What the value is where nothing differs.
    """

    cause: Cause
    name: str
    value: float
    threshold: float


def date_of(found: RowComparison, row: int, sessions: Sessions) -> str:
    """Date of the known close beside a row."""
    return str(sessions[found.rows[row]])


def of_rows(
    code: Code, rows: Sequence[int], found: RowComparison, sessions: Sessions, name: str
) -> Difference:
    """Make the finding of a number of rows, oldest first."""
    facts: Facts = {
        "known": "rows",
        "rows": len(rows),
        "date": date_of(found, rows[0], sessions),
    }
    return Difference(Cause(code, rows[0], facts), name, float(len(rows)), 0.0)


def of_ratio(
    code: Code,
    row: int,
    move: float,
    about: Facts,
    found: RowComparison,
    sessions: Sessions,
    alternatives: tuple[Code, ...] = (),
) -> Difference:
    """Make the finding of a ratio that is another one from a row on, or in one row."""
    ratio = float(f"{np.exp(move):.4g}")
    facts = {"known": "ratio", "date": date_of(found, row, sessions), "ratio": ratio, **about}
    name = "close sent over the known close of the session, beside that of the other rows"
    return Difference(Cause(code, row, facts, alternatives), name, ratio, 1.0)


def runs_of(flags: Flags) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
