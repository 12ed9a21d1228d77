"""One canonical spelling per symbol, its exchange, a name that is safe as a folder."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.symbols import (
    canonical,
    canonical_list,
    exchange_of,
    folder_name,
    panel_label,
    panel_name,
    readable_panel,
)
from closecast.errors import InvalidSymbol
from tests.support.synthetic_prices import patiently

SYMBOLS = st.from_regex(r"\^?[A-Za-z0-9]{1,12}([.\-=][A-Za-z0-9]{1,6}){0,2}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MSFT", "MSFT"),
        ("msft", "MSFT"),
        ("  msft ", "MSFT"),
        ("VALE3", "VALE3.SA"),
        ("vale3.sa", "VALE3.SA"),
        ("TAEE11", "TAEE11.SA"),
        ("BRK-B", "BRK-B"),
        ("BRK.B", "BRK-B"),
        ("BTC-USD", "BTC-USD"),
        ("^bvsp", "^BVSP"),
        ("eurusd=x", "EURUSD=X"),
        ("7203.T", "7203.T"),
    ],
)
def test_canonical(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "A B", "../etc", "a/b", "a\\b", "..", ".SA", "MSFT.", "MSFT..SA", "A.B.C.D"),
        *("MSFT\n", "\tMSFT", "MSFT\x00", "ＭＳＦＴ", "MŠFT", "ſ", "A" * 13, "A." + "B" * 7),
        *("%2e%2e", "CON:", "$MSFT", "^^BVSP", "MS^FT", "-MSFT"),
    ],
)
def test_what_cannot_be_a_symbol_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidSymbol, match="expected something like 'MSFT'"):
        canonical(text)


def test_the_refusal_of_a_long_text_is_short() -> None:
    with pytest.raises(InvalidSymbol) as caught:
        canonical("x" * 100_000)
    assert len(str(caught.value)) < 300


@patiently
@given(SYMBOLS)
def test_canonical_is_stable_whatever_the_case(text: str) -> None:
    once = canonical(text)
    assert canonical(once) == canonical(once.lower()) == canonical(f" {text} ") == once


@pytest.mark.parametrize(
    ("symbol", "exchange"),
    [
        ("MSFT", "XNYS"),
        ("BRK-B", "XNYS"),
        ("BRK.B", "XNYS"),
        ("VALE3.SA", "BVMF"),
        ("^BVSP", "BVMF"),
        ("^GSPC", "XNYS"),
        ("7203.T", "XTKS"),
        ("SAP.DE", "XFRA"),
        ("BTC-USD", "24/7"),
        ("ETH-BTC", "24/7"),
        ("ADA-USDT", "24/7"),
    ],
)
def test_exchange(symbol: str, exchange: str) -> None:
    assert exchange_of(symbol) == exchange


@pytest.mark.parametrize("symbol", ["SHOP.XX", "SHOP.C", "SHOP.SA.X"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(symbol: str) -> None:
    with pytest.raises(InvalidSymbol, match=r"suffix \..*; known: .*\.SA"):
        exchange_of(symbol)


@patiently
@given(SYMBOLS)
def test_a_folder_name_is_one_safe_component_and_reversible(text: str) -> None:
    name = folder_name(text)
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-%")
    assert name.strip(".") == name
    assert unquote(name) == canonical(text)


@pytest.mark.parametrize("text", ["..", "../MSFT", "a/b", ""])
def test_a_folder_name_is_never_a_path(text: str) -> None:
    with pytest.raises(InvalidSymbol):
        folder_name(text)


def test_a_list_of_symbols_is_canonical_sorted_and_without_repetition() -> None:
    assert canonical_list(["vale3", " msft", "VALE3.SA", "aapl"]) == ("AAPL", "MSFT", "VALE3.SA")
    assert canonical_list([]) == ()
    with pytest.raises(InvalidSymbol):
        canonical_list(["MSFT", ""])


def test_a_panel_has_a_short_name_of_its_own_that_is_safe_as_a_folder() -> None:
    many = [f"S{i}" for i in range(60)]
    assert panel_name(["^BVSP"]) == panel_label(["^BVSP"]) == "^BVSP"
    assert panel_label(many) == readable_panel(panel_name(many)) == "S0 and 59 more"
    assert panel_name(many).startswith("S0+59.")
    assert len(panel_name(many)) < 20
    names = {panel_name(many[:i] + many[i + 1 :]) for i in range(1, 60)}
    assert len(names) == 59
    assert all(set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+abcdef") for name in names)
