"""Markets: the trading calendar of a symbol, and the kind of thing that trades there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from closecast.core.symbols import EVERY_DAY, exchange_of

MarketKind = Literal["stock", "index", "coin", "currency", "future"]
"""Kind of what trades: symbols of one kind share thresholds of drift."""


@dataclass(frozen=True, slots=True)
class Market:
    """The market of a symbol.

    Attributes
    ----------
    calendar : str
        Calendar code, as ``exchange_calendars`` names it: ``XNYS``, ``BVMF``, ``24/7``.
    kind : {"stock", "index", "coin", "currency", "future"}
        Shares, funds and receipts are stocks.
    """

    calendar: str
    kind: MarketKind


@lru_cache(maxsize=4096)
def market_of(symbol: str) -> Market:
    """Market of a canonical symbol.

    >>> market_of("VALE3.SA"), market_of("BTC-USD").kind
    (Market(calendar='BVMF', kind='stock'), 'coin')

    Raises
    ------
    InvalidSymbol
        If no market is known.
    """
    calendar = exchange_of(symbol)
    if calendar == EVERY_DAY:
        return Market(calendar, "coin")
    return Market(calendar, "index" if symbol.startswith("^") else "stock")


def kind_of(symbol: str) -> MarketKind:
    """Kind of market of a canonical symbol.

    >>> kind_of("^BVSP"), kind_of("MSFT")
    ('index', 'stock')
    """
    return market_of(symbol).kind
