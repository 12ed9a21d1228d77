"""Ticker symbols: one canonical spelling each, earlier ones, a name that is safe as a folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from closecast.core.exchanges import BARE_INDICES, EVERY_DAY, EXCHANGE_NAMES, SUFFIXES
from closecast.core.markets import exchange_of, is_new_york, market_in_tables
from closecast.core.pairs import OTHER_NAMES, pair_name
from closecast.errors import InvalidSymbol

__all__ = [
    "EVERY_DAY",
    "canonical",
    "canonical_list",
    "exchange_of",
    "folder_name",
    "former_names",
    "panel_label",
    "panel_name",
    "present_name",
    "quoted",
    "readable_panel",
    "typed_symbols",
]

_LONGEST = 40

_BETWEEN_NAMES = re.compile(r"[\s,;|]+")
_AROUND_NAMES = "'\"`\u201c\u201d\u2018\u2019[](){}"
_SYMBOL = re.compile(r"\^?[A-Z0-9][A-Z0-9&]{0,11}(?:[.\-=][A-Z0-9]{1,6}){0,2}", re.ASCII)
# Four characters and a number: of shares and rights (1 to 19), of receipts of foreign shares (31
# to 39), or of a future's year. A digit before the number is one of funds only (B5P211).
_B3_TICKER = re.compile(
    r"(?:[A-Z][A-Z0-9]{2}[A-Z](?:1?[0-9]|3[1-9])|(?=.*[A-Z])[A-Z0-9]{4}11)[FB]?"
    r"|[A-Z][A-Z0-9]{2}[FGHJKMNQUVXZ][0-9]{2}",
    re.ASCII,
)
_PANEL = re.compile(r"(.+)\+(\d+)\.[0-9a-f]{6}", re.ASCII)
_ALWAYS_WITH_SUFFIX = re.compile(r"[A-Z][A-Z0-9]{3}[0-9]{1,2}", re.ASCII)
_SHARE_CLASS = re.compile(r"([A-Z]{1,5})\.([AB])|([A-Z]{2,5})/([A-Z])", re.ASCII)
_CLASS_BEFORE_SUFFIX = re.compile(r"([A-Z0-9]+)\.([A-Z]{1,2})\.([A-Z]{1,3})", re.ASCII)


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The one spelling under which a symbol is stored and answered: Yahoo's, in upper case.

    A ticker of B3 gets its suffix, a share class a dash, a pair of coins the form ``BASE-QUOTE``,
    a pair of currencies ``EURUSD=X``.

    Raises
    ------
    InvalidSymbol
        If the text cannot be a ticker symbol.

    Examples
    --------
    >>> canonical("vale3"), canonical("petr4f"), canonical("IBOV"), canonical(" msft ")
    ('VALE3.SA', 'PETR4F.SA', '^BVSP', 'MSFT')
    >>> canonical("brk.b"), canonical("BTCUSDT"), canonical("btc/usdt"), canonical("EURUSD")
    ('BRK-B', 'BTC-USDT', 'BTC-USDT', 'EURUSD=X')
    """
    symbol = text.strip(" ").upper() if text.isascii() and len(text) <= _LONGEST else text
    symbol = _renamed(symbol)
    if not _SYMBOL.fullmatch(symbol):
        raise InvalidSymbol(
            f"{text[:40]!r} is not a ticker symbol; expected something like 'MSFT', "
            "'VALE3.SA' or 'BTC-USD' (letters and digits, at most two parts after . - =)"
        )
    return symbol


def _renamed(symbol: str) -> str:
    if symbol in BARE_INDICES:
        return BARE_INDICES[symbol]
    if _B3_TICKER.fullmatch(symbol):
        return f"{symbol}.SA"
    if pair := pair_name(symbol):
        return pair
    if share := _SHARE_CLASS.fullmatch(symbol):
        return "-".join(part for part in share.groups() if part)
    if (share := _CLASS_BEFORE_SUFFIX.fullmatch(symbol)) and share[3] in {*SUFFIXES, "US"}:
        return _renamed(f"{share[1]}-{share[2]}.{share[3]}")
    exchange, colon, name = symbol.partition(":")
    if colon and exchange in EXCHANGE_NAMES:  # as TradingView writes NASDAQ:MSFT
        market = market_in_tables(_renamed(name))
        known = market is not None and market.calendar == EXCHANGE_NAMES[exchange]
        return _renamed(name) if known else symbol
    if symbol.endswith(".US"):  # as Stooq writes New York
        name = symbol.removesuffix(".US")
        # SMLL alone is an index of B3; with .US it stays a fund in New York.
        return name if is_new_york(name) and _renamed(name) == name else symbol
    return symbol


def canonical_list(symbols: Iterable[str]) -> tuple[str, ...]:
    """Canonical spellings, each once, in alphabetical order.

    >>> canonical_list(["msft", "AAPL", "MSFT"])
    ('AAPL', 'MSFT')
    """
    return tuple(sorted({canonical(symbol) for symbol in symbols}))


def typed_symbols(text: str) -> tuple[str, ...]:
    """Canonical spellings of a list that a person typed, each once, in the order given.

    Commas, semicolons and blanks separate; quotes and brackets around names are passed over.

    Raises
    ------
    InvalidSymbol
        If a part is no symbol, or there is none.

    Examples
    --------
    >>> typed_symbols("vale3, ITUB4;'btc/usdt',")
    ('VALE3.SA', 'ITUB4.SA', 'BTC-USDT')
    """
    named = [part.strip(_AROUND_NAMES) for part in _BETWEEN_NAMES.split(text)]
    found = tuple(dict.fromkeys(canonical(name) for name in named if name))
    if not found:
        raise InvalidSymbol(
            f"there is no symbol in {text[:40]!r}; name one or several with commas between, such "
            "as VALE3,ITUB4"
        )
    return found


def panel_name(symbols: Sequence[str]) -> str:
    """A short name of canonical symbols that are trained together; of one symbol, itself.

    >>> panel_name(["MSFT"]), panel_name(["AAPL", "KO", "MSFT"])
    ('MSFT', 'AAPL+2.ba3658')
    """
    if len(symbols) == 1:
        return symbols[0]
    digest = hashlib.sha256(",".join(symbols).encode()).hexdigest()[:6]
    return f"{symbols[0]}+{len(symbols) - 1}.{digest}"


def panel_label(symbols: Sequence[str]) -> str:
    """The name of a panel for people; several panels may share it. Of one symbol, itself.

    >>> panel_label(["MSFT"]), panel_label(["AAPL", "KO", "MSFT"])
    ('MSFT', 'AAPL and 2 more')
    """
    return readable_panel(panel_name(symbols))


def readable_panel(name: str) -> str:
    """A name of :func:`panel_name` as :func:`panel_label` shows it; any other stays.

    >>> readable_panel("AAPL+2.ba3658"), readable_panel("VALE3.SA")
    ('AAPL and 2 more', 'VALE3.SA')
    """
    found = _PANEL.fullmatch(name)
    return f"{found[1]} and {found[2]} more" if found else name


def folder_name(symbol: str) -> str:
    """A canonical symbol as one safe path component (reversible, case-insensitive).

    >>> folder_name("^BVSP"), folder_name("VALE3.SA")
    ('%5EBVSP', 'VALE3.SA')
    """
    return quoted(canonical(symbol))


def quoted(name: str) -> str:
    """The name as one path component, in the spelling given; ``urllib.parse.unquote`` reverses it.

    >>> quoted("BRK.B"), quoted("EURUSD=X")
    ('BRK.B', 'EURUSD%3DX')
    """
    return name.replace("^", "%5E").replace("=", "%3D").replace("&", "%26")


def present_name(stored: str) -> str:
    """Today's spelling of a name that an earlier version stored; what is no symbol stays.

    >>> present_name("BRK.B"), present_name("AAPL+2.ba3658")
    ('BRK-B', 'AAPL+2.ba3658')
    """
    try:
        return canonical(stored)
    except InvalidSymbol:
        return stored


@lru_cache(maxsize=4096)
def former_names(symbol: str) -> tuple[str, ...]:
    """Names under which earlier versions stored what belongs to a canonical symbol.

    >>> former_names("BRK-B"), former_names("PETR4F.SA"), former_names("EURUSD=X")
    (('BRK.B',), ('PETR4F',), ('EURUSD', 'EUR-USD'))
    >>> former_names("MSFT"), former_names("VALE3.SA")
    ((), ())
    """
    base, _, quote = symbol.partition("-")
    maybe = [
        *(bare for bare, index in BARE_INDICES.items() if index == symbol),
        symbol.removesuffix(".SA"),
        *([f"{base}.{quote}"] if "." not in symbol else ()),
        *(
            f"{one}{mark}{quote}"
            for mark in ("", "-")
            for one in (base, *OTHER_NAMES.get(base, ()))
        ),
    ]
    if symbol.endswith("=X"):
        maybe += [symbol[:6], f"{symbol[:3]}-{symbol[3:6]}"]
    return tuple(
        name
        for name in dict.fromkeys(maybe)
        if name != symbol
        and _SYMBOL.fullmatch(name)
        and not _ALWAYS_WITH_SUFFIX.fullmatch(name)
        and canonical(name) == symbol
    )
