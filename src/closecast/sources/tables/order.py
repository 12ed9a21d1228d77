"""The order of rows: oldest first, newest first, or one sentence about neither."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from closecast.errors import PriceProblem

Order = Literal["oldest first", "newest first"]


def order_of(
    dates: NDArray[np.datetime64], closes: NDArray[np.float64]
) -> tuple[Order, list[PriceProblem]]:
    """The order of the rows that have a date and a close, and what is wrong with it.

    Strictly descending dates have one meaning; any other disorder is refused, with one problem
    for all rows that come too early and one for all dates that are there twice.

    Parameters
    ----------
    dates : array of datetime64[D], shape (n,)
    closes : array of float64, shape (n,)
    """
    days = dates[~np.isnat(dates) & ~np.isnan(closes)]
    steps = np.diff(days).astype("int64")
    if len(steps) and (steps < 0).all():
        return "newest first", []
    if (steps > 0).all():
        return "oldest first", []
    descending = (steps < 0).sum() > (steps > 0).sum()
    early = np.flatnonzero(steps > 0 if descending else steps < 0) + 1
    twice = np.flatnonzero(steps == 0) + 1
    problems = []
    if len(twice):
        rows = "1 row has" if len(twice) == 1 else f"{len(twice)} rows have"
        problems.append(
            PriceProblem(
                "duplicate",
                f"{rows} the date of the row before: bars within a day, or a row twice",
                str(days[twice[0]]),
            )
        )
    if len(early):
        first = early[0]
        rows = "1 row is" if len(early) == 1 else f"{len(early)} rows are"
        problems.append(
            PriceProblem(
                "unsorted",
                f"{rows} out of order, the first comes after {days[first - 1]}; sort by date",
                str(days[first]),
            )
        )
    return "newest first" if descending else "oldest first", problems
