"""Checks of single closes that all price sources share: rows left out, units, large moves."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from closecast.core.calendars import (
    Dates,
    calendar_span,
    is_complete,
    on_sunday,
    sessions_between,
)
from closecast.core.exchanges import WEEKDAYS
from closecast.core.markets import kind_of
from closecast.core.prices import Prices
from closecast.core.shown_prices import price_text
from closecast.core.spacing import long_gaps
from closecast.core.symbols import exchange_of
from closecast.core.units import UnitBlock, unit_blocks
from closecast.errors import InvalidPrices, PriceProblem

_REMARKABLE_MOVE = 0.5  # noted, never refused: real events reach it
_WRONG_CALENDAR_SHARE = 0.1  # more off-calendar rows than this: the calendar is wrong, not the rows
_BLOCKS_SHOWN = 3


def leave_out(
    symbol: str, dates: Dates, closes: NDArray[np.float64], now: datetime
) -> tuple[NDArray[np.bool_], list[PriceProblem]]:
    """Find rows that are no closes of completed sessions.

    Parameters
    ----------
    dates : array of datetime64[D], shape (n,)
        ``NaT`` where a row has none.
    closes : array, shape (n,)
        NaN where a row has none.
    now : datetime
        The moment (aware) that decides which bar is finished.

    Returns
    -------
    kept, notes
        Mask of shape (n,), and a note for each row that is left out.

    Raises
    ------
    InvalidPrices
        If too many rows are off the exchange's calendar.
    """
    exchange = exchange_of(symbol)
    kept = np.ones(len(dates), dtype=bool)
    notes: list[PriceProblem] = []

    def drop(i: int, rule: str, message: str) -> None:
        kept[i] = False
        value = float(closes[i])
        shown = value if np.isfinite(value) else None
        notes.append(PriceProblem(rule, f"{message}; left out", str(dates[i]), shown))

    for i in np.flatnonzero(np.isnan(closes) & ~np.isnat(dates)):
        drop(int(i), "missing_close", "no close")
    first, last = calendar_span(exchange)
    dated = ~np.isnat(dates) & (dates >= first) & (dates <= last)
    if dated.any():
        days = dates[dated]
        known = sessions_between(exchange, days.min(), days.max())
        off = dated & ~np.isin(dates, known)
        if exchange == WEEKDAYS and (sundays := off & on_sunday(dates)).any():
            kept[sundays], off[sundays] = False, False
            notes.append(
                PriceProblem(
                    "sunday_bars",
                    f"{sundays.sum()} rows of Sundays, the first hours of Monday; left out",
                    str(dates[sundays].min()),
                )
            )
        if off.sum() > max(2, _WRONG_CALENDAR_SHARE * len(off)):
            raise _wrong_calendar(symbol, exchange, dates, off)
        for i in np.flatnonzero(off & kept):
            drop(int(i), "not_a_session", f"not a session of {exchange} (filler row)")
    # Only the last days can be unfinished; looking at every row would cost seconds.
    recent = ~np.isnat(dates) & (dates >= np.datetime64(now.date(), "D") - 3)
    for i in np.flatnonzero(recent & kept):
        if not is_complete(exchange, dates[i], now):
            drop(int(i), "unfinished_bar", "the session is not over")
    return kept, notes


def _wrong_calendar(
    symbol: str, exchange: str, dates: Dates, off: NDArray[np.bool_]
) -> InvalidPrices:
    days = np.sort(dates[off]).astype(str).tolist()
    examples = ", ".join(days[1:-1][: _BLOCKS_SHOWN - 1])
    message = (
        f"{len(days):,} of {len(dates):,} rows are no sessions of {exchange}, such as "
        f"{examples}, the last {days[-1]}"
    )
    return InvalidPrices(
        symbol,
        [PriceProblem("wrong_calendar", message, days[0])],
        "Does the symbol's suffix name the market that these closes come from? Its calendar can be "
        f"named with the setting CLOSECAST_MARKETS='{symbol}=BVMF', or with another code.",
    )


def wrong_units(prices: Prices) -> list[PriceProblem]:
    """Blocks of closes in another unit than those around them, at most three, then the rest."""
    apart = long_gaps(prices)
    blocks = unit_blocks(prices.log_closes, apart)
    if len(blocks) <= _BLOCKS_SHOWN:
        return [_of_block(prices, block) for block in blocks]
    rows = sum(block.stop - block.first for block in blocks)
    ratios = [block.ratio for block in blocks]
    message = (
        f"{rows:,} of {len(prices):,} closes, in {len(blocks):,} blocks up to "
        f"{prices.sessions[blocks[-1].stop - 1]}, are {min(ratios):.3g} to {max(ratios):.3g} "
        "times their neighbours: two units are mixed"
    )
    return [_problem(prices, "unit_error", message, blocks[0].first)]


def _of_block(prices: Prices, block: UnitBlock) -> PriceProblem:
    rows = block.stop - block.first
    inside, outside, order = (
        (block.first, block.first - 1, "after")
        if block.first
        else (block.stop - 1, block.stop, "before")
    )
    own, other = map(price_text, prices.closes[[inside, outside]])
    if rows == 1:
        message = f"close {own} is {block.ratio:.3g} times its neighbour {other}"
    else:
        message = (
            f"{rows} closes up to {prices.sessions[block.stop - 1]} are {block.ratio:.3g} times "
            f"those beside them: {own} {order} {other}"
        )
    return _problem(prices, "unit_error", message, block.first)


def remarkable_moves(prices: Prices) -> list[PriceProblem]:
    """Note moves by half or more: real events reach them."""
    change = prices.closes[1:] / prices.closes[:-1] - 1
    stock = kind_of(prices.symbol) == "stock"
    doubt = "a split that is not adjusted for?" if stock else "a wrong close?"
    return [
        _problem(
            prices, "remarkable_move", f"{change[i]:+,.0%} in one session: news, or {doubt}", i + 1
        )
        for i in np.flatnonzero(
            (change > _REMARKABLE_MOVE) | (change < -_REMARKABLE_MOVE / 1.25)
        ).tolist()
    ]


def _problem(prices: Prices, rule: str, message: str, row: int) -> PriceProblem:
    return PriceProblem(rule, message, str(prices.sessions[row]), float(prices.closes[row]))
