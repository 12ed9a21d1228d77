"""Markets: one name, one calendar and one kind for each way in which a symbol is written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.calendars import calendar_span, sessions_between
from closecast.core.exchanges import (
    BARE_INDICES,
    CALENDARS,
    EXCHANGE_NAMES,
    INDICES,
    SUFFIXES,
    WITHOUT_CALENDAR,
)
from closecast.core.markets import Market, kind_of, market_of, name_markets, recorded_markets
from closecast.core.pairs import COINS, QUOTES
from closecast.core.symbols import canonical, exchange_of, folder_name
from closecast.errors import InvalidSymbol
from tests.support.synthetic_prices import patiently

B3, NEW_YORK = ("BVMF", "stock"), ("XNYS", "stock")
COIN, CURRENCY = ("24/7", "coin"), ("24/5", "currency")

WRITTEN = {
    # B3: lots, fractional lots, units, receipts of foreign shares, funds, rights, indices
    "PETR4": ("PETR4.SA", *B3),
    "PETR4F": ("PETR4F.SA", *B3),
    "petr4f.sa": ("PETR4F.SA", *B3),
    "WEGE3F": ("WEGE3F.SA", *B3),
    "SANB11": ("SANB11.SA", *B3),
    "TAEE11F": ("TAEE11F.SA", *B3),
    "AAPL34": ("AAPL34.SA", *B3),
    "M1TA34": ("M1TA34.SA", *B3),
    "ROXO33": ("ROXO33.SA", *B3),
    "BIVB39": ("BIVB39.SA", *B3),
    "BOVA11": ("BOVA11.SA", *B3),
    "XPLG12": ("XPLG12.SA", *B3),
    "PETR1": ("PETR1.SA", *B3),
    "BRFS10": ("BRFS10.SA", *B3),
    "B3SA3": ("B3SA3.SA", *B3),
    "B5P211": ("B5P211.SA", *B3),
    "5GTK11": ("5GTK11.SA", *B3),
    "DI1F31": ("DI1F31.SA", *B3),
    "BMFBOVESPA:PETR4": ("PETR4.SA", *B3),
    "IBOV": ("^BVSP", "BVMF", "index"),
    "BVSP": ("^BVSP", "BVMF", "index"),
    "TSLA34F": ("TSLA34F.SA", *B3),
    "^bvsp": ("^BVSP", "BVMF", "index"),
    "IFIX": ("IFIX.SA", "BVMF", "index"),
    "SMLL": ("SMLL.SA", "BVMF", "index"),
    # New York
    "MSFT": ("MSFT", *NEW_YORK),
    "F": ("F", *NEW_YORK),
    "GOOGL": ("GOOGL", *NEW_YORK),
    "MSFT.US": ("MSFT", *NEW_YORK),
    "SMLL.US": ("SMLL.US", *NEW_YORK),
    "NASDAQ:MSFT": ("MSFT", *NEW_YORK),
    "BRK.B": ("BRK-B", *NEW_YORK),
    "BRK-B": ("BRK-B", *NEW_YORK),
    "BRK/B": ("BRK-B", *NEW_YORK),
    "brk.b.us": ("BRK-B", *NEW_YORK),
    "BF.B": ("BF-B", *NEW_YORK),
    "JPM-PD": ("JPM-PD", *NEW_YORK),
    "^GSPC": ("^GSPC", "XNYS", "index"),
    # pairs of coins
    "BTCUSDT": ("BTC-USDT", *COIN),
    "BTC-USDT": ("BTC-USDT", *COIN),
    "btc/usdt": ("BTC-USDT", *COIN),
    "BTC_USDT": ("BTC-USDT", *COIN),
    "BTC:USDT": ("BTC-USDT", *COIN),
    "BINANCE:BTCUSDT": ("BTC-USDT", *COIN),
    "BTC-JPY": ("BTC-JPY", *COIN),
    "BTCJPY": ("BTC-JPY", *COIN),
    "BTC-TRY": ("BTC-TRY", *COIN),
    "ETH-FDUSD": ("ETH-FDUSD", *COIN),
    "ETHFDUSD": ("ETH-FDUSD", *COIN),
    "XBTUSD": ("BTC-USD", *COIN),
    "XBT/EUR": ("BTC-EUR", *COIN),
    "XXBTZUSD": ("BTC-USD", *COIN),
    "SOLBTC": ("SOL-BTC", *COIN),
    "USDTBRL": ("USDT-BRL", *COIN),
    "EURUSDT": ("EUR-USDT", *COIN),
    "1000PEPEUSDT": ("1000PEPE-USDT", *COIN),
    "NEWCOINUSDT": ("NEWCOIN-USDT", *COIN),
    "SUSDT": ("S-USDT", *COIN),
    "ARBUSD": ("ARB-USD", *COIN),
    "BNBBUSD": ("BNB-BUSD", *COIN),
    "SUI20947-USD": ("SUI20947-USD", *COIN),
    # pairs of currencies
    "EURUSD": ("EURUSD=X", *CURRENCY),
    "eurusd=x": ("EURUSD=X", *CURRENCY),
    "EUR/USD": ("EURUSD=X", *CURRENCY),
    "EUR-USD": ("EURUSD=X", *CURRENCY),
    "USDBRL=X": ("USDBRL=X", *CURRENCY),
    "BRL=X": ("USDBRL=X", *CURRENCY),
    "GBPJPY": ("GBPJPY=X", *CURRENCY),
    "EURGEL": ("EURGEL=X", *CURRENCY),
    "USDTRY": ("USDTRY=X", *CURRENCY),
    "XAUUSD": ("XAUUSD=X", *CURRENCY),
    # other exchanges
    "VOD.L": ("VOD.L", "XLON", "stock"),
    "SAP.DE": ("SAP.DE", "XFRA", "stock"),
    "7203.T": ("7203.T", "XTKS", "stock"),
    "0700.HK": ("0700.HK", "XHKG", "stock"),
    "000001.SZ": ("000001.SZ", "XSHG", "stock"),
    "000001.SS": ("000001.SS", "XSHG", "index"),
    "M&M.NS": ("M&M.NS", "XBOM", "stock"),
    "BAJAJ-AUTO.NS": ("BAJAJ-AUTO.NS", "XBOM", "stock"),
    "ERIC-B.ST": ("ERIC-B.ST", "XSTO", "stock"),
    "REI.UN.TO": ("REI-UN.TO", "XTSE", "stock"),
    "SHOP.V": ("SHOP.V", "XTSE", "stock"),
    "2222.SR": ("2222.SR", "XSAU", "stock"),
    "^SET.BK": ("^SET.BK", "XBKK", "index"),
    "PSI20.LS": ("PSI20.LS", "XLIS", "index"),
    "^N225": ("^N225", "XTKS", "index"),
}

UNKNOWN = {
    "GC=F": "no market known",
    "ACMECORP": "no market known",
    "S1": "no market known",
    "FOO12": r"did you mean FOO12\.SA\?",
    "ABCD77": r"did you mean ABCD77\.SA\?",
    "FOOUSD": r"did you mean FOO-USD\?",
    "XYZBUSD": r"did you mean XYZB-USD or XYZ-BUSD\?",
    "tBTCUSD": r"did you mean BTC-USD or TBTC-USD\?",
    "BTCUSDTPERP": "no market known",
    "BTCUSDT.P": r"suffix \.P",
    "PETRH300": "no market known",
    "WINFUT": "no market known",
    "BTC-PERP": "no market known",
    "BTC-USDT-SWAP": "no market known",
    "VOD.UK": r"did you mean VOD\.L\?",
    "7203.JP": r"did you mean 7203\.T\?",
    "SHOP.XX": r"suffix \.XX; known: .*\.SA",
    "OTE.AT": "calendars has none of Athens",
    "QNBK.QA": "calendars has none of Qatar",
    "^TNX": r"known indices: .*\^GSPC",
    "DX-Y.NYB": "suffix .NYB",
}

TEXTS = st.text("ABCDEFTUSDBR0123456789.-=^/_: ", max_size=16) | st.tuples(
    st.sampled_from([*sorted(COINS), "MSFT", "EUR", "PETR4"]),
    st.sampled_from(["", "-", "/", "_", ":", ".", "="]),
    st.sampled_from([*sorted(QUOTES), *sorted(SUFFIXES), "X", "US", "A", "F"]),
).map("".join)


@pytest.fixture
def named() -> Iterator[None]:
    yield
    name_markets({})


@pytest.mark.parametrize("text", WRITTEN)
def test_each_way_to_write_a_symbol_leads_to_one_name_with_a_calendar_and_a_kind(text: str) -> None:
    name, calendar, kind = WRITTEN[text]
    assert canonical(text) == name
    assert market_of(name) == Market(calendar, kind)  # type: ignore[arg-type]
    assert (exchange_of(name), kind_of(name)) == (calendar, kind)


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_market_that_no_table_knows_is_refused_with_the_setting_that_names_it(text: str) -> None:
    symbol = canonical(text)
    with pytest.raises(InvalidSymbol, match=UNKNOWN[text]) as caught:
        exchange_of(symbol)
    assert f"CLOSECAST_MARKETS='{symbol}=XNYS'" in str(caught.value)
    assert "column `exchange`" in str(caught.value)


@pytest.mark.parametrize("letters", ["A", "AB", "ABC", "ABCD", "ABCDE"])
def test_one_to_five_letters_are_a_share_in_new_york(letters: str) -> None:
    assert market_of(canonical(letters)) == Market("XNYS", "stock")
    assert market_of(canonical(f"{letters}-A")) == Market("XNYS", "stock")


def test_each_coin_of_the_list_is_recognised_before_the_dollar() -> None:
    for coin in sorted(COINS - {"USDT"}):
        if len(coin) > 2:
            assert canonical(f"{coin}USD") == f"{coin}-USD"
    assert market_of(canonical("OPUSD")) == Market("XNYS", "stock")  # five letters
    assert canonical("OP-USD") == "OP-USD"


@patiently
@given(TEXTS)
def test_a_name_leads_to_itself_and_its_market_is_known_or_refused(text: str) -> None:
    try:
        once = canonical(text)
        assert canonical(once) == canonical(once.lower()) == canonical(f" {text.lower()} ") == once
        folder_name(once)
        exchange_of(once)
    except InvalidSymbol:
        pass


def test_the_tables_name_calendars_that_are_installed() -> None:
    import exchange_calendars

    installed = set(exchange_calendars.get_calendar_names(include_aliases=False))
    assert installed >= CALENDARS
    assert {*SUFFIXES.values(), *INDICES.values(), *EXCHANGE_NAMES.values()} <= CALENDARS
    assert not {*SUFFIXES} & {*WITHOUT_CALENDAR}


@pytest.mark.parametrize("calendar", sorted(CALENDARS))
def test_each_calendar_of_the_tables_can_be_computed(calendar: str) -> None:
    first, last = calendar_span(calendar)
    assert first <= np.datetime64("2021-01-05")
    assert last >= np.datetime64("2026-12-30")


def test_currencies_trade_on_weekdays_and_on_holidays() -> None:
    assert sessions_between("24/5", date(2024, 12, 24), date(2025, 1, 1)).astype(str).tolist() == [
        *("2024-12-24", "2024-12-25", "2024-12-26", "2024-12-27"),
        *("2024-12-30", "2024-12-31", "2025-01-01"),
    ]


def test_every_row_of_the_tables_is_reached() -> None:
    for suffix, calendar in SUFFIXES.items():
        assert exchange_of(canonical(f"ABC.{suffix}")) == calendar
    for index, calendar in INDICES.items():
        assert market_of(canonical(index)) == Market(calendar, "index")
    for bare, index in BARE_INDICES.items():
        assert canonical(bare) == index


def test_a_market_can_be_named_for_a_symbol_or_a_pattern(named: None) -> None:
    name_markets({"ACME": Market("BVMF", "stock"), "*=F": Market("CMES", "future")})
    recorded_markets().put("FUND99", Market("XLON", "stock"))
    assert exchange_of("ACME") == "BVMF"
    assert market_of("GC=F") == Market("CMES", "future")
    assert exchange_of("FUND99") == "XLON"
    assert exchange_of("MSFT") == "XNYS"
    name_markets({})
    assert exchange_of("ACME") == "XNYS"
    with pytest.raises(InvalidSymbol):
        exchange_of("GC=F")
