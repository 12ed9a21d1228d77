"""Closes of another exchange than that of the symbol are refused, never thinned out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from closecast.core.calendars import Dates, sessions_between
from closecast.core.market_names import markets_named
from closecast.core.markets import name_markets
from closecast.errors import InvalidPrices
from closecast.sources.calendar_fit import require_calendar
from tests.support.synthetic_prices import random_walk


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    yield
    name_markets({})


def days_of(calendar: str) -> Dates:
    return sessions_between(calendar, np.datetime64("2021-01-04"), np.datetime64("2022-12-30"))


@pytest.mark.parametrize(
    ("calendar", "written"),
    [("BVMF", "ACME.SA"), ("XLON", "ACME.L"), ("XTKS", "ACME.T"), ("XTSE", "ACME.TO")],
)
def test_closes_of_another_exchange_are_refused_with_its_calendar(
    calendar: str, written: str
) -> None:
    days = days_of(calendar)
    closes = random_walk(len(days), 1).closes
    with pytest.raises(InvalidPrices) as caught:
        require_calendar("ACME", days, closes)
    [problem] = caught.value.problems
    assert problem.rule == "wrong_calendar"
    assert f"the calendar {calendar} fits better" in problem.message
    assert written in str(caught.value)
    assert f"CLOSECAST_MARKETS='ACME={calendar}'" in str(caught.value)


def test_closes_of_new_york_pass_with_filler_rows_on_holidays() -> None:
    days = days_of("24/5")
    sessions = np.isin(days, days_of("XNYS"))
    closes = random_walk(len(days), 1).closes.copy()
    for row in np.flatnonzero(~sessions[1:]) + 1:
        closes[row] = closes[row - 1]
    require_calendar("ACME", days, closes)
    require_calendar("ACME", days[sessions], closes[sessions])


def test_closes_on_holidays_beside_all_sessions_are_no_other_exchange() -> None:
    days = days_of("24/5")  # a broker's contract on a share
    require_calendar("ACME", days, random_walk(len(days), 1).closes)


@pytest.mark.parametrize(
    ("symbol", "calendar"),
    [("PETR4.SA", "XNYS"), ("ACME.L", "BVMF"), ("SHOP.TO", "XNYS"), ("^BVSP", "XNYS")],
)
def test_closes_of_another_exchange_than_that_of_the_suffix_are_refused(
    symbol: str, calendar: str
) -> None:
    days = days_of(calendar)
    with pytest.raises(InvalidPrices, match=f"the calendar {calendar} fits better"):
        require_calendar(symbol, days, random_walk(len(days), 1).closes)
    name_markets(markets_named(f"{symbol}={calendar}"))
    require_calendar(symbol, days, random_walk(len(days), 1).closes)


@pytest.mark.parametrize("symbol", ["BTC-USD", "EURUSD=X", "ACME1"])
def test_coins_currencies_and_names_in_no_table_are_not_compared(symbol: str) -> None:
    days = days_of("BVMF")
    require_calendar(symbol, days, random_walk(len(days), 1).closes)


def test_the_setting_decides() -> None:
    days = days_of("BVMF")
    name_markets(markets_named("ACME=XNYS, ACME.L=XLON"))
    for symbol in ("ACME", "ACME.L"):
        require_calendar(symbol, days, random_walk(len(days), 1).closes)


def test_rows_without_a_date_or_a_close_say_nothing() -> None:
    days = days_of("XNYS").copy()
    closes = random_walk(len(days), 1).closes.copy()
    days[3], closes[7] = np.datetime64("NaT"), np.nan
    require_calendar("ACME", days, closes)
    require_calendar("ACME", days[3:4], closes[3:4])
