"""Markets that people name: the setting ``CLOSECAST_MARKETS``, and the exchange in a file."""

from __future__ import annotations

import difflib
import re
from typing import get_args

from closecast.core.exchanges import CALENDARS, EVERY_DAY, EXCHANGE_NAMES, NEW_YORK, WEEKDAYS
from closecast.core.markets import (
    Market,
    MarketKind,
    is_new_york,
    market_by_setting,
    market_in_tables,
    recorded_markets,
)
from closecast.core.symbols import canonical
from closecast.errors import BadSetting, InvalidSymbol

_PATTERN = re.compile(r"[A-Z0-9^.=&*?-]{1,40}", re.ASCII)
_CODES = {code.upper(): code for code in CALENDARS}
_USUAL_KINDS: dict[str, MarketKind] = {EVERY_DAY: "coin", WEEKDAYS: "currency"}


def calendar_named(text: str) -> str | None:
    """Calendar of an exchange that is written as people do; ``None`` for an unknown one.

    >>> calendar_named("Nasdaq"), calendar_named("B3"), calendar_named("xlon")
    ('XNYS', 'BVMF', 'XLON')
    """
    name = "".join(text.split()).upper()
    return _CODES.get(name) or EXCHANGE_NAMES.get(name)


def markets_named(setting: str) -> dict[str, Market]:
    """Markets by symbol or pattern, of a text ``NAME=CALENDAR[:KIND], …``.

    Parameters
    ----------
    setting : str
        A name is a symbol in any spelling, or a pattern with ``*`` and ``?``. Where no kind is
        given, it is ``coin`` on the calendar 24/7, ``currency`` on 24/5, ``future`` for ``GC=F``,
        ``index`` for ``^TNX``, and otherwise ``stock``.

    Raises
    ------
    BadSetting

    Examples
    --------
    >>> markets_named("ACME=B3, *=F=CMES:future")
    {'ACME': Market(calendar='BVMF', kind='stock'), '*=F': Market(calendar='CMES', kind='future')}
    """
    named: dict[str, Market] = {}
    for item in filter(None, (part.strip() for part in setting.split(","))):
        name, equals, market = item.rpartition("=")
        code, colon, kind = market.partition(":")
        calendar = calendar_named(code)
        if not equals or not name.strip():
            raise _refused(item, "expected NAME=CALENDAR or NAME=CALENDAR:KIND, such as ACME=BVMF")
        if calendar is None:
            raise _refused(item, f"no calendar {code.strip()!r}{_similar(code)}")
        chosen = kind.strip().lower() if colon else _usual_kind(name.strip(), calendar)
        if chosen not in get_args(MarketKind):
            raise _refused(item, f"no kind {chosen!r}; there are {', '.join(get_args(MarketKind))}")
        market_of_item = Market(calendar, chosen)  # type: ignore[arg-type]
        known = named.setdefault(_name(item, name.strip()), market_of_item)
        if known != market_of_item:
            raise _refused(item, f"the same name has another market before: {known.calendar}")
    return named


def _usual_kind(name: str, calendar: str) -> MarketKind:
    """Kind where none is given: by the calendar, or by the marks that Yahoo gives names."""
    by_name: MarketKind = "index" if name.startswith("^") else "stock"
    return "future" if name.upper().endswith("=F") else _USUAL_KINDS.get(calendar, by_name)


def record_market(symbol: str, named: str) -> None:
    """Keep the market that a source names for a symbol of which nothing else is known.

    What the tables or the setting say of a symbol counts; the name is compared where a symbol
    without suffix would be taken for a share in New York.

    Parameters
    ----------
    symbol : str
        Canonical.
    named : str
        An exchange as people write it, or a calendar code.

    Raises
    ------
    InvalidSymbol
        If no exchange is known under this name, or it contradicts New York or an earlier file.
    """
    default = is_new_york(symbol)
    if market_by_setting(symbol) or (market_in_tables(symbol) and not default):
        return
    calendar = calendar_named(named)
    if calendar is None:
        if default:
            return
        raise InvalidSymbol(
            f"{symbol!r}: its file names the exchange {named[:40]!r}, which has no calendar"
            f"{_similar(named)}. Name one with the setting CLOSECAST_MARKETS='{symbol}=XNYS' or "
            "with another calendar's code"
        )
    known = Market(NEW_YORK, "stock") if default else recorded_markets().get(symbol)
    if known is None:
        recorded_markets().put(symbol, Market(calendar, _USUAL_KINDS.get(calendar, "stock")))
    elif known.calendar != calendar:
        reason = "a name of one to five letters is a share in New York"
        raise InvalidSymbol(
            f"{symbol!r}: its file names the exchange {named[:40]!r} ({calendar}), and "
            f"{reason if default else f'an earlier file named {known.calendar}'}. Decide with the "
            f"setting CLOSECAST_MARKETS='{symbol}={calendar}'"
        )


def _name(item: str, name: str) -> str:
    if "*" in name or "?" in name:
        if _PATTERN.fullmatch(name.upper()):
            return name.upper()
    else:
        try:
            return canonical(name)
        except InvalidSymbol:
            pass
    raise _refused(item, f"{name[:40]!r} is neither a symbol nor a pattern with * or ?")


def _similar(code: str) -> str:
    name = "".join(code.split()).upper()
    meant = difflib.get_close_matches(name, {*_CODES, *EXCHANGE_NAMES}, n=1, cutoff=0.6)
    return f" (did you mean {meant[0]}?)" if meant else ""


def _refused(item: str, reason: str) -> BadSetting:
    return BadSetting(f"CLOSECAST_MARKETS: {item[:60]!r}: {reason}")
