"""Markets: the calendar and the kind of each symbol."""

from __future__ import annotations

import pytest

from closecast.core.markets import Market, kind_of, market_of


@pytest.mark.parametrize(
    ("symbol", "calendar", "kind"),
    [
        ("MSFT", "XNYS", "stock"),
        ("VALE3.SA", "BVMF", "stock"),
        ("^BVSP", "BVMF", "index"),
        ("BTC-USD", "24/7", "coin"),
    ],
)
def test_the_market_of_a_symbol(symbol: str, calendar: str, kind: str) -> None:
    assert market_of(symbol) == Market(calendar, kind)  # type: ignore[arg-type]
    assert kind_of(symbol) == kind
