"""Windows beside the known closes of the same dates, where their moves are not found."""

from __future__ import annotations

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.drift.context import Dates
from closecast.drift.provenance import Match, match_of
from closecast.drift.return_index import Rows, history_of
from closecast.drift.row_comparison import ENOUGH, RowComparison


def place_by_dates(
    closes: FloatArray, rows: Rows, known: Prices
) -> tuple[Match | None, RowComparison | None]:
    """Compare closes with the known ones of the same dates.

    Parameters
    ----------
    rows : array of int, shape (n,)
        As :func:`rows_of` finds them.

    Returns
    -------
    Match or None
        Place of the window, if a share of its closes agree, or all of them in another order.
    RowComparison or None
        Otherwise the comparison of two feeds, if the closes are as near as those of another
        exchange or vendor.
    """
    history, logs = history_of(known), np.log(closes)
    found = RowComparison.of(closes, logs, history, rows)
    if found is None or found.certain:
        return None if found is None else match_of(found, history), None
    if (ordered := RowComparison.in_another_order(closes, logs, history, rows)) is not None:
        return match_of(ordered, history), None
    error = found.error_of_feeds()
    feeds = None if error is None else RowComparison.of(closes, logs, history, rows, error)
    return None, feeds if feeds is not None and feeds.certain else None


def rows_of(sessions: Dates, known: Prices) -> Rows:
    """Rows of the known closes of dates; -1 where there is none."""
    rows = np.minimum(known.sessions.searchsorted(sessions), len(known) - 1)
    return np.where(known.sessions[rows] == sessions, rows, -1)


def correlation(
    window: FloatArray, sessions: Dates, rows: Rows, known: Prices
) -> tuple[float, int] | None:
    """Correlation of the returns on common days, and their number; ``None`` below ten.

    Parameters
    ----------
    sessions : array of datetime64[D], shape (n,)
        In order; of dates that come twice the first counts.
    rows : array of int, shape (n,)
        As :func:`rows_of` finds them.
    """
    common = rows >= 0
    common[1:] &= sessions[1:] != sessions[:-1]
    if np.add.reduce(common) <= ENOUGH:
        return None
    a, b = np.diff(np.log(window[common])), np.diff(known.log_closes[rows[common]])
    if not (a.std() > 0 and b.std() > 0):
        return None
    return float(np.corrcoef(a, b)[0, 1]), len(a)
