"""Markets: the trading calendar of a symbol, and the kind of thing that trades there.

The tables know Yahoo's suffixes, indices, coins and currencies; :func:`name_markets` adds those
that the setting ``CLOSECAST_MARKETS`` or a file's column names.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal, Protocol

from closecast.core.exchanges import (
    EVERY_DAY,
    INDICES,
    NEW_YORK,
    OTHER_SUFFIXES,
    SUFFIXES,
    WEEKDAYS,
    WITHOUT_CALENDAR,
)
from closecast.core.pairs import is_coin_pair, is_currency_pair, possible_pairs
from closecast.errors import InvalidSymbol

MarketKind = Literal["stock", "index", "coin", "currency", "future"]
"""Kind of what trades: symbols of one kind share thresholds of drift."""

_NEW_YORK_SHARE = re.compile(r"[A-Z]{1,5}(?:-[A-Z]{1,2}|\.[AB]|\.US)?", re.ASCII)
_LIKE_B3 = re.compile(r"[A-Z0-9]{4}[0-9]{1,2}", re.ASCII)
_BEFORE_SUFFIX = re.compile(r"\^?[A-Z0-9&]+(?:-[A-Z0-9&]+)*", re.ASCII)


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


class MarketBook(Protocol):
    """Markets that files named, by symbol; an entry never changes."""

    def get(self, symbol: str) -> Market | None:
        """Market of a canonical symbol, or ``None``."""

    def put(self, symbol: str, market: Market) -> None:
        """Keep the market of a canonical symbol that has none yet."""


class _Remembered(dict[str, Market]):
    """A book for as long as the process runs."""

    def put(self, symbol: str, market: Market) -> None:
        self[symbol] = market


@dataclass(slots=True)
class _Named:
    """Markets that are in no table; the same in every process, as its settings are."""

    by_setting: Mapping[str, Market]
    book: MarketBook


_named = _Named({}, _Remembered())


def name_markets(by_setting: Mapping[str, Market], book: MarketBook | None = None) -> None:
    """Set the markets of symbols that are in no table, for this process, at its start.

    Parameters
    ----------
    by_setting : mapping
        From a canonical symbol, or a pattern with ``*`` and ``?``, to its market. These come
        before the tables; a symbol counts before a pattern, an earlier pattern before a later one.
    book : MarketBook, optional
        Looked up last, before a symbol is refused. Without one, what files name is kept in memory.
    """
    _named.by_setting, _named.book = dict(by_setting), book or _Remembered()
    market_of.cache_clear()


def recorded_markets() -> MarketBook:
    """Markets that files named."""
    return _named.book


@lru_cache(maxsize=4096)
def market_of(symbol: str) -> Market:
    """Market of a canonical symbol.

    >>> market_of("VALE3.SA"), market_of("BTC-USD").kind
    (Market(calendar='BVMF', kind='stock'), 'coin')

    Raises
    ------
    InvalidSymbol
        If no market is known; the message names the setting.
    """
    found = market_by_setting(symbol) or market_in_tables(symbol) or _named.book.get(symbol)
    if found is None:
        raise InvalidSymbol(_refusal(symbol))
    return found


def kind_of(symbol: str) -> MarketKind:
    """Kind of market of a canonical symbol.

    >>> kind_of("^BVSP"), kind_of("MSFT")
    ('index', 'stock')
    """
    return market_of(symbol).kind


def kind_or_stock(symbol: str) -> MarketKind:
    """:func:`kind_of`; a stock where no market is known.

    >>> kind_or_stock("ACME1")
    'stock'
    """
    try:
        return kind_of(symbol)
    except InvalidSymbol:
        return "stock"


def exchange_of(symbol: str) -> str:
    """Calendar code of a canonical symbol's market (``24/7`` for coins).

    >>> exchange_of("VALE3.SA"), exchange_of("MSFT"), exchange_of("BTC-USD")
    ('BVMF', 'XNYS', '24/7')

    Raises
    ------
    InvalidSymbol
        If no market is known.
    """
    return market_of(symbol).calendar


def market_in_tables(symbol: str) -> Market | None:
    """Market of a canonical symbol by the tables alone.

    >>> market_in_tables("EURUSD=X"), market_in_tables("ACME1") is None
    (Market(calendar='24/5', kind='currency'), True)
    """
    if symbol in INDICES:
        return Market(INDICES[symbol], "index")
    if is_coin_pair(symbol):
        return Market(EVERY_DAY, "coin")
    if is_currency_pair(symbol):
        return Market(WEEKDAYS, "currency")
    if is_new_york(symbol):
        return Market(NEW_YORK, "stock")
    name, dot, suffix = symbol.partition(".")
    if dot and suffix in SUFFIXES and _BEFORE_SUFFIX.fullmatch(name):
        return Market(SUFFIXES[suffix], "index" if name.startswith("^") else "stock")
    return None


def is_new_york(symbol: str) -> bool:
    """Answer True for one to five letters, with or without a share class.

    That is the default for names that are in no table.
    """
    return _NEW_YORK_SHARE.fullmatch(symbol) is not None


def market_by_setting(symbol: str) -> Market | None:
    """Market that the setting names for a canonical symbol, or ``None``."""
    rules = _named.by_setting
    if symbol in rules:
        return rules[symbol]
    return next((rules[one] for one in rules if fnmatchcase(symbol, one)), None)


def _refusal(symbol: str) -> str:
    name, _, suffix = symbol.partition(".")
    setting = f"CLOSECAST_MARKETS='{symbol}=XNYS' or with another calendar's code"
    mend = f"Name its calendar with the setting {setting}, or in a column `exchange` of the file"
    if symbol.startswith("^"):
        known = ", ".join(sorted(name for name in INDICES if name.startswith("^")))
        return f"{symbol!r}: no trading calendar known; known indices: {known}. {mend}"
    if suffix in WITHOUT_CALENDAR:
        place = WITHOUT_CALENDAR[suffix]
        return f"{symbol!r}: the library of calendars has none of {place}. {mend}"
    if suffix:
        known = ", ".join(f".{one}" for one in sorted(SUFFIXES))
        hint = _hint([f"{name}.{one}" for one in _like(suffix)])
        return f"{symbol!r}: no exchange known for suffix .{suffix}{hint}; known: {known}. {mend}"
    like_b3 = [f"{symbol}.SA"] if _LIKE_B3.fullmatch(symbol) else []
    hint = _hint([*like_b3, *possible_pairs(symbol)[:2]])
    return (
        f"{symbol!r}: no market known{hint}. A name of one to five letters is a share in New York; "
        "others carry the suffix of their exchange (VALE3.SA), coins their currency (BTC-USDT). "
        f"{mend}"
    )


def _like(suffix: str) -> list[str]:
    if suffix in OTHER_SUFFIXES:
        return [OTHER_SUFFIXES[suffix]]
    return difflib.get_close_matches(suffix, SUFFIXES, n=1, cutoff=0.6)


def _hint(meant: list[str]) -> str:
    return f" (did you mean {' or '.join(meant)}?)" if meant else ""
