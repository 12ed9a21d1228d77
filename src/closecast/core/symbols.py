"""Ticker symbols: one canonical spelling, its exchange, a name that is safe as a folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from closecast.errors import InvalidSymbol

_SYMBOL = re.compile(r"\^?[A-Z0-9]{1,12}(?:[.\-=][A-Z0-9]{1,6}){0,2}", re.ASCII)
_B3_TICKER = re.compile(r"[A-Z][A-Z0-9]{3}[0-9]{1,2}", re.ASCII)
_COIN = re.compile(r"[A-Z0-9]{2,12}-(?:USDT?|USDC|EUR|GBP|BRL|BTC|ETH)", re.ASCII)

EVERY_DAY = "24/7"
"""Calendar of what trades every day (coins)."""

# Yahoo's suffix -> ISO 10383 market code, as exchange_calendars names its calendars.
_EXCHANGES = {
    "": "XNYS",
    "SA": "BVMF",
    "L": "XLON",
    "DE": "XFRA",
    "PA": "XPAR",
    "AS": "XAMS",
    "MI": "XMIL",
    "MC": "XMAD",
    "SW": "XSWX",
    "TO": "XTSE",
    "T": "XTKS",
    "HK": "XHKG",
    "AX": "XASX",
    "MX": "XMEX",
    "BA": "XBUE",
}
_INDICES = {
    **dict.fromkeys(("^GSPC", "^DJI", "^IXIC", "^NDX", "^RUT", "^VIX"), "XNYS"),
    "^BVSP": "BVMF",
    "^FTSE": "XLON",
    "^GDAXI": "XFRA",
    "^N225": "XTKS",
    "^HSI": "XHKG",
}


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The one spelling under which a symbol is stored and answered.

    Upper case; a bare B3 ticker gets Yahoo's suffix.

    Raises
    ------
    InvalidSymbol
        If the text cannot be a ticker symbol.

    Examples
    --------
    >>> canonical("vale3"), canonical("VALE3.SA"), canonical(" msft "), canonical("btc-usd")
    ('VALE3.SA', 'VALE3.SA', 'MSFT', 'BTC-USD')
    """
    symbol = text.strip(" ").upper() if text.isascii() else text
    if not _SYMBOL.fullmatch(symbol):
        raise InvalidSymbol(
            f"{text[:40]!r} is not a ticker symbol; expected something like 'MSFT', "
            "'VALE3.SA' or 'BTC-USD' (letters and digits, at most two parts after . - =)"
        )
    return f"{symbol}.SA" if _B3_TICKER.fullmatch(symbol) else symbol


@lru_cache(maxsize=4096)
def exchange_of(symbol: str) -> str:
    """Calendar code of a canonical symbol's exchange (``24/7`` for coins).

    >>> exchange_of("VALE3.SA"), exchange_of("MSFT"), exchange_of("BTC-USD")
    ('BVMF', 'XNYS', '24/7')

    Raises
    ------
    InvalidSymbol
        If the suffix belongs to no exchange in the list.
    """
    if _COIN.fullmatch(symbol):
        return EVERY_DAY
    if symbol in _INDICES:
        return _INDICES[symbol]
    suffix = symbol.partition(".")[2]
    if symbol.startswith("^") or "=" in symbol:
        raise InvalidSymbol(
            f"{symbol!r}: no trading calendar known; known indices: {', '.join(sorted(_INDICES))}"
        )
    if suffix not in _EXCHANGES:
        # Class shares are written BRK-B at Yahoo, yet BRK.B in most exports.
        if len(suffix) == 1 and suffix in "AB":
            return _EXCHANGES[""]
        known = ", ".join(f".{s}" for s in sorted(_EXCHANGES) if s)
        raise InvalidSymbol(f"{symbol!r}: no exchange known for suffix .{suffix}; known: {known}")
    return _EXCHANGES[suffix]


def canonical_list(symbols: Iterable[str]) -> tuple[str, ...]:
    """Canonical spellings, each once, in alphabetical order.

    >>> canonical_list(["msft", "AAPL", "MSFT"])
    ('AAPL', 'MSFT')
    """
    return tuple(sorted({canonical(symbol) for symbol in symbols}))


def panel_name(symbols: Sequence[str]) -> str:
    """A short name of canonical symbols that are trained together; of one symbol, itself.

    >>> panel_name(["MSFT"]), panel_name(["AAPL", "KO", "MSFT"])
    ('MSFT', 'AAPL+2.ba3658')
    """
    if len(symbols) == 1:
        return symbols[0]
    digest = hashlib.sha256(",".join(symbols).encode()).hexdigest()[:6]
    return f"{symbols[0]}+{len(symbols) - 1}.{digest}"


def folder_name(symbol: str) -> str:
    """A canonical symbol as one safe path component (reversible, case-insensitive).

    >>> folder_name("^BVSP"), folder_name("VALE3.SA")
    ('%5EBVSP', 'VALE3.SA')
    """
    return canonical(symbol).replace("^", "%5E").replace("=", "%3D")
