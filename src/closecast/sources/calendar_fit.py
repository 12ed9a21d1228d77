"""Closes that were made on another exchange than the symbol's: the calendar that fits them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from closecast.core.calendars import Dates, calendar_span, sessions_between
from closecast.core.exchanges import NEW_YORK, SUFFIXES
from closecast.core.markets import is_new_york, market_by_setting, market_in_tables
from closecast.errors import InvalidPrices, PriceProblem

# The exchanges whose files are met most often; any other can be named by the setting.
_TRIED = (
    *(NEW_YORK, "BVMF", "XTSE", "XLON", "XFRA", "XPAR", "XTKS", "XHKG", "XASX", "XBOM", "XSHG"),
    "XMEX",
)
_KINDS = ("stock", "index")  # coins and currencies have no holidays that could be compared
_FEW = 3
_CLEARLY = 4


def require_calendar(symbol: str, dates: Dates, closes: NDArray[np.float64]) -> None:
    """Refuse closes that were made on another exchange than that of the symbol.

    Filler rows repeat a close. Rows off the calendar that carry new closes, with sessions missing
    elsewhere, are sessions of another exchange: leaving them out would lose real closes. A
    calendar that the setting names is not doubted.

    Parameters
    ----------
    dates : array of datetime64[D], shape (n,)
        ``NaT`` where a row has none.
    closes : array, shape (n,)
        NaN where a row has none.

    Raises
    ------
    InvalidPrices
        If another calendar fits clearly better; the message names it.
    """
    market = market_in_tables(symbol)
    if market is None or market.kind not in _KINDS or market_by_setting(symbol) is not None:
        return
    usable = ~np.isnat(dates) & ~np.isnan(closes)
    days, first_rows = np.unique(dates[usable], return_index=True)
    made = closes[usable][first_rows]
    new = np.concatenate([[False], made[1:] != made[:-1]])
    off, missing = _misfit(market.calendar, days)
    if (off & new).sum() < _FEW or not missing:
        return
    count, calendar = min((_misfits(code, days), code) for code in _TRIED)
    if _CLEARLY * count > off.sum() + missing:
        return
    own = "New York" if market.calendar == NEW_YORK else market.calendar
    problem = PriceProblem(
        "wrong_calendar",
        f"{off.sum()} rows are no sessions of {own}, {missing} of its sessions have no row, and "
        f"the calendar {calendar} fits better",
        str(days[off][0]),
    )
    raise InvalidPrices(symbol, [problem], _advice(symbol, market.calendar, calendar))


def _advice(symbol: str, own: str, better: str) -> str:
    settings = (
        f"set CLOSECAST_MARKETS='{symbol}={better}' (or '{symbol}={own}' to leave these rows out)"
    )
    if not is_new_york(symbol):
        return f"Does the symbol name the market that these closes come from? If so, {settings}"
    suffix = next(one for one, code in SUFFIXES.items() if code == better)
    return (
        "A name of one to five letters is a share in New York. Write the suffix of the exchange "
        f"({symbol}.{suffix}), or {settings}"
    )


def _misfit(calendar: str, days: Dates) -> tuple[NDArray[np.bool_], int]:
    """Weekdays with a row that are no sessions, shape (n,), and the number of missing sessions."""
    first, last = calendar_span(calendar)
    known = days[(days >= first) & (days <= last)]
    if not len(known):
        return np.zeros(len(days), dtype=bool), 0
    sessions = sessions_between(calendar, known[0], known[-1])
    off = np.isin(days, known) & ~np.isin(days, sessions) & np.is_busday(days)
    return off, int((~np.isin(sessions, known)).sum())


def _misfits(calendar: str, days: Dates) -> int:
    off, missing = _misfit(calendar, days)
    return int(off.sum()) + missing
