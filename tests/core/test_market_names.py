"""Markets that people name: the setting, and the exchange in a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from closecast.core.exchanges import CALENDARS
from closecast.core.market_names import calendar_named, markets_named, record_market
from closecast.core.markets import Market, exchange_of, market_of, name_markets, recorded_markets
from closecast.errors import BadSetting, InvalidSymbol


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    name_markets({})
    yield
    name_markets({})


@pytest.mark.parametrize(
    ("text", "calendar"),
    [
        *(("XNYS", "XNYS"), ("xnys", "XNYS"), (" Nasdaq ", "XNYS"), ("NYSE Arca", "XNYS")),
        *(("B3", "BVMF"), ("Bovespa", "BVMF"), ("BM&FBOVESPA", "BVMF"), ("LSE", "XLON")),
        *(("Xetra", "XETR"), ("Binance", "24/7"), ("24/7", "24/7"), ("US_FUTURES", "us_futures")),
        *(("Mordor", None), ("", None), ("spot", None)),
    ],
)
def test_an_exchange_is_known_by_its_usual_names(text: str, calendar: str | None) -> None:
    assert calendar_named(text) == calendar


def test_every_calendar_is_known_by_its_own_code() -> None:
    assert {calendar_named(code.lower()) for code in CALENDARS} == CALENDARS


def test_a_setting_names_symbols_and_patterns_in_any_spelling() -> None:
    assert markets_named("") == {}
    assert markets_named(
        "acme=B3, brk.b=XLON,*=F=CMES:future,GC=F=us_futures:Future,*-perp=24/7,EURUSD=X=24/5,"
        "FUND?9=XLON:index,"
    ) == {
        "ACME": Market("BVMF", "stock"),
        "BRK-B": Market("XLON", "stock"),
        "*=F": Market("CMES", "future"),
        "GC=F": Market("us_futures", "future"),
        "*-PERP": Market("24/7", "coin"),
        "EURUSD=X": Market("24/5", "currency"),
        "FUND?9": Market("XLON", "index"),
    }


@pytest.mark.parametrize(
    ("setting", "kind"),
    [("GC=F=CMES", "future"), ("*=f=CMES", "future"), ("^TNX=XCBF", "index"), ("ACME=B3", "stock")],
)
def test_a_kind_that_is_not_given_follows_from_the_name(setting: str, kind: str) -> None:
    [market] = markets_named(setting).values()
    assert market.kind == kind


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("ACME", "expected NAME=CALENDAR"),
        ("=BVMF", "expected NAME=CALENDAR"),
        ("ACME=BVMX", r"no calendar 'BVMX' \(did you mean BVMF\?\)"),
        ("MSFT=XNYS,ACME=", "'ACME=': no calendar ''"),
        ("ACME=BVMF:bond", "no kind 'bond'; there are stock, index, coin, currency, future"),
        ("A ME=BVMF", "'A ME' is neither a symbol nor a pattern"),
        ("../*=BVMF", "is neither a symbol nor a pattern"),
        ("brk.b=XLON,BRK-B=XNYS", "the same name has another market before: XLON"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(setting: str, reason: str) -> None:
    with pytest.raises(BadSetting, match=f"CLOSECAST_MARKETS: .*{reason}"):
        markets_named(setting)


def test_the_setting_comes_before_the_tables_and_a_symbol_before_a_pattern() -> None:
    name_markets(markets_named("A*=XLON,ACME=BVMF,*=F=CMES:future,*.QA=XSAU"))
    assert [exchange_of(s) for s in ("ACME", "ABC", "MSFT", "QNBK.QA")] == [
        *("BVMF", "XLON", "XNYS", "XSAU")
    ]
    assert market_of("GC=F") == Market("CMES", "future")


def test_what_a_file_names_counts_for_a_symbol_that_no_table_knows() -> None:
    record_market("FUND99", "B3")
    record_market("FUND99", "BVMF")
    record_market("TOKEN1", "Binance")
    assert market_of("FUND99") == Market("BVMF", "stock")
    assert market_of("TOKEN1") == Market("24/7", "coin")


@pytest.mark.parametrize("symbol", ["VALE3.SA", "BTC-USDT", "^BVSP", "MSFT"])
def test_what_a_file_names_changes_nothing_for_a_symbol_that_is_known(symbol: str) -> None:
    before = market_of(symbol)
    for named in ("NASDAQ", "XNAS", "Mordor"):
        record_market(symbol, named)
    assert recorded_markets().get(symbol) is None
    assert market_of(symbol) == before


def test_a_file_that_contradicts_new_york_is_refused_with_the_setting() -> None:
    with pytest.raises(InvalidSymbol, match=r"New York.*CLOSECAST_MARKETS='ACME=BVMF'"):
        record_market("ACME", "B3")
    name_markets(markets_named("ACME=BVMF"))
    record_market("ACME", "NYSE")
    assert exchange_of("ACME") == "BVMF"


def test_a_file_that_contradicts_an_earlier_one_is_refused() -> None:
    record_market("FUND99", "B3")
    with pytest.raises(InvalidSymbol, match="an earlier file named BVMF"):
        record_market("FUND99", "LSE")


def test_an_exchange_without_a_calendar_is_refused_where_it_is_needed() -> None:
    with pytest.raises(InvalidSymbol, match=r"'Binannce', .*did you mean BINANCE\?.*CLOSECAST_MA"):
        record_market("TOKEN1", "Binannce")
