"""Sessions missing inside a window, and rows that repeat earlier ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from closecast.drift.difference import Difference, Flags, Sessions, of_rows
from closecast.drift.row_comparison import RowComparison
from closecast.drift.statistics.base import Cause

_FEWEST = 3  # one may be a holiday that a calendar does not know, or a half day
_SHARE = 0.04  # of the sessions; halts and days that only one vendor has are fewer


def missing_or_added(
    found: RowComparison, rest: Flags, sessions: Sessions, dates: Sessions | None
) -> list[Difference]:
    """Sessions that are left out inside the window, and rows that repeat earlier ones.

    Rows that are new to the known closes are no longer part of the ``rest``: there is no close to
    compare them with.
    """
    there = np.flatnonzero(found.rows >= 0)
    rows = found.rows[there]
    steps = np.diff(rows)
    if (steps == 1).all():
        return []
    named: list[Difference] = []
    new = there[1:][(steps == 0) & found.leaving[there[1:]]]
    rest[new] = False
    again = np.flatnonzero((steps < 1) & ~np.isin(there[1:], new))
    if len(again):
        seen = np.isin(rows[again + 1], rows[: again[0] + 1])
        name = "rows that repeat known closes"
        if not seen.any():
            name = "rows that go back"
        count = int((1 - steps[again]).sum()) if seen.any() else len(again)
        one = of_rows(
            "filled_days" if seen.any() else "reversed_order",
            [int(there[again[0] + 1])],
            found,
            sessions,
            name,
        )
        facts = {**one.cause.facts, "rows": count, "known": "again" if seen.any() else "rows"}
        named.append(replace(one, cause=replace(one.cause, facts=facts), value=float(count)))
    between = np.arange(rows.min(), rows.max() + 1)
    left_out = between[~np.isin(between, rows)]  # not those that are merely elsewhere
    same = None if dates is None else sessions[rows] == dates[there]
    run_on = same is not None and bool(same.any() and not same.all())
    if len(left_out) and (run_on or len(left_out) > allowed_to_miss(len(found.rows))):
        later = there[int(np.argmax(rows > left_out[0]))]
        named.append(
            missing_days(int(later), len(left_out), sessions[left_out[0]], len(found.rows))
        )
    return named


def allowed_to_miss(n: int) -> int:
    """Number of sessions that may be missing among n closes: two, or one in 25."""
    return max(_FEWEST - 1, int(_SHARE * n))


def missing_days(row: int, count: int, first: np.datetime64, n: int) -> Difference:
    """Make the finding of sessions that are missing before a row."""
    cause = Cause("missing_days", row, {"missing": count, "date": str(first)})
    name = "sessions left out between the closes"
    return Difference(cause, name, float(count), float(allowed_to_miss(n)))
