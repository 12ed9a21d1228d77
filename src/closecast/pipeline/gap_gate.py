"""The gate's rule for long gaps: no forecast starts from a window that spans one.

Closes after a gap are held back until a window of them is there. From then on forecasts start
after the gap, and the closes of that first window are no origins.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime

import numpy as np

from closecast.core.calendars import as_date
from closecast.core.prices import Prices
from closecast.core.records import HeldCloses
from closecast.core.spacing import long_gaps, skipped_sessions
from closecast.core.symbols import exchange_of

GAP = "long_gap"
"""Code of closes that are held back because they follow a gap."""


def held_by_gap(
    prices: Prices, after: date, accepted: Collection[date], seq_length: int, now: datetime
) -> HeldCloses | None:
    """Closes since the newest gap, where they are fewer than a window.

    Parameters
    ----------
    after : date
        Last session that the model was trained on; a gap before it is none of the gate's.
    accepted : collection of date
        First sessions after gaps that a person decided windows may span.
    seq_length : int
        Closes in a window.
    now : datetime
        Aware.
    """
    gaps = _gaps(prices, after, accepted)
    if not gaps or len(prices) - gaps[-1] >= seq_length:
        return None
    row, exchange = gaps[-1], exchange_of(prices.symbol)
    missing = int(skipped_sessions(exchange, prices.sessions[row - 1 : row + 1])[0])
    since = as_date(prices.sessions[row])
    return HeldCloses(
        since,
        GAP,
        f"no close in the {missing} sessions of {exchange} after {prices.sessions[row - 1]}: a "
        "window would count the move over them as one session's",
        f"{seq_length} closes after the gap end it ({len(prices) - row} so far), its closes from "
        f"the source, or a person: `closecast accept {prices.symbol} {since}` if windows may span "
        "it.",
        now,
    )


def sessions_after_gaps(
    prices: Prices, after: date, accepted: Collection[date]
) -> tuple[date, ...]:
    """First sessions after the gaps that the gate looks at: no window spans what is before one."""
    return tuple(as_date(prices.sessions[row]) for row in _gaps(prices, after, accepted))


def _gaps(prices: Prices, after: date, accepted: Collection[date]) -> list[int]:
    """Rows that follow a long gap, oldest first."""
    rows = (np.flatnonzero(long_gaps(prices)) + 1).tolist()
    days = [as_date(prices.sessions[row]) for row in rows]
    return [row for row, day in zip(rows, days, strict=True) if day > after and day not in accepted]
