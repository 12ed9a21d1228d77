"""Tables of exchanges: Yahoo's suffixes, names of indices, and the calendars that serve them.

Calendar codes are those of ``exchange_calendars``, most of them ISO 10383 market codes.
"""

from __future__ import annotations

from collections.abc import Mapping

EVERY_DAY = "24/7"
"""Calendar of what trades every day (coins)."""

WEEKDAYS = "24/5"
"""Calendar of what trades from Monday to Friday, holidays included (currencies)."""

NEW_YORK = "XNYS"


def _calendar_of_each(names: Mapping[str, str]) -> dict[str, str]:
    return {name: calendar for calendar, text in names.items() for name in text.split()}


# Exchanges of one country that close on the same days share a calendar: Berlin, Hanover and
# Munich that of Frankfurt; Shenzhen that of Shanghai; the exchanges of India and Canada likewise.
SUFFIXES = _calendar_of_each(
    {
        "BVMF": "SA",
        "XAMS": "AS",
        "XASX": "AX XA",
        "XBKK": "BK",
        "XBOG": "CL",
        "XBOM": "BO NS",
        "XBRU": "BR",
        "XBUD": "BD",
        "XBUE": "BA",
        "XCSE": "CO",
        "XDUB": "IR",
        "XDUS": "DU",
        "XFRA": "DE F BE HA MU",
        "XHAM": "HM",
        "XHEL": "HE",
        "XHKG": "HK",
        "XICE": "IC",
        "XIDX": "JK",
        "XIST": "IS",
        "XJSE": "JO",
        "XKAR": "KA",
        "XKLS": "KL",
        "XKRX": "KS KQ",
        "XLIM": "LM",
        "XLIS": "LS",
        "XLIT": "VS",
        "XLON": "L IL",
        "XMAD": "MC",
        "XMEX": "MX",
        "XMIL": "MI",
        "XMOS": "ME",
        "XNZE": "NZ",
        "XOSL": "OL",
        "XPAR": "PA",
        "XPHS": "PS",
        "XPRA": "PR",
        "XRIS": "RG",
        "XSAU": "SR",
        "XSES": "SI",
        "XSGO": "SN",
        "XSHG": "SS SZ",
        "XSTO": "ST",
        "XSTU": "SG",
        "XSWX": "SW VX",
        "XTAI": "TW TWO",
        "XTAL": "TL",
        "XTKS": "T",
        "XTSE": "TO V CN NE",
        "XWAR": "WA",
        "XWBO": "VI",
    }
)
"""Yahoo's suffix of an exchange, without the dot, and its calendar."""

WITHOUT_CALENDAR = {
    "AE": "Dubai",
    "AT": "Athens",
    "CA": "Cairo",
    "CR": "Caracas",
    "KW": "Kuwait",
    "QA": "Qatar",
    "RO": "Bucharest",
    "TA": "Tel Aviv",
    "VN": "Ho Chi Minh City",
}
"""Suffixes of Yahoo whose exchange has no calendar in ``exchange_calendars``, or one that cannot
be computed with the versions of pandas that it allows (ASEX, XBSE, XTAE)."""

OTHER_SUFFIXES = {"UK": "L", "JP": "T", "PL": "WA", "HU": "BD", "NSE": "NS", "BSE": "BO"}
"""Suffixes of other vendors (Stooq), and Yahoo's for the same exchange: for hints only."""

_B3_INDICES = (
    *("BDRX", "IBRA", "IBXL", "IBXX", "ICO2", "ICON", "IDIV", "IEEX", "IFIX", "IFNC", "IGCT"),
    *("IGCX", "IGNM", "IMAT", "IMOB", "INDX", "ISEE", "ITAG", "IVBX", "MLCX", "SMLL", "UTIL"),
)

INDICES = _calendar_of_each(
    {
        NEW_YORK: "^GSPC ^SPX ^DJI ^DJT ^DJU ^IXIC ^NDX ^NYA ^XAX ^OEX ^MID ^SP400 ^SP600 ^RUT "
        "^RUI ^RUA ^W5000 ^SOX ^VIX ^VXN ^VVIX ^SKEW",
        "BVMF": " ".join(["^BVSP", *(f"{name}.SA" for name in _B3_INDICES)]),
        "XAMS": "^AEX ^AMX",
        "XASX": "^AXJO ^AORD",
        "XBOM": "^BSESN ^NSEI ^NSEBANK",
        "XBRU": "^BFX",
        "XBUE": "^MERV",
        "XCSE": "^OMXC25",
        "XDUB": "^ISEQ",
        "XFRA": "^GDAXI ^MDAXI ^SDAXI ^TECDAX",
        "XHEL": "^OMXH25",
        "XHKG": "^HSI ^HSCE",
        "XIDX": "^JKSE",
        "XIST": "XU100.IS",
        "XKLS": "^KLSE",
        "XKRX": "^KS11 ^KS200 ^KQ11",
        "XLIS": "PSI20.LS",
        "XLON": "^FTSE ^FTMC ^FTLC ^FTAS",
        "XMAD": "^IBEX",
        "XMEX": "^MXX",
        "XMIL": "FTSEMIB.MI",
        "XNZE": "^NZ50",
        "XOSL": "OSEBX.OL",
        "XPAR": "^FCHI ^SBF120 ^STOXX50E",
        "XSES": "^STI",
        "XSGO": "^IPSA",
        "XSHG": "000001.SS 399001.SZ",
        "XSTO": "^OMX",
        "XSWX": "^SSMI",
        "XTAI": "^TWII",
        "XTKS": "^N225",
        "XTSE": "^GSPTSE",
        "XWAR": "WIG20.WA",
        "XWBO": "^ATX",
    }
)
"""Indices as Yahoo names them, and their calendars. ``^NAME.SUFFIX`` needs no row here."""

# These have been shares or funds in New York: as an index they need the suffix.
_ALSO_NEW_YORK = ("ICON", "INDX", "ISEE", "UTIL")

BARE_INDICES = {
    **dict.fromkeys(("IBOV", "IBOVESPA", "BVSP"), "^BVSP"),
    **{name: f"{name}.SA" for name in _B3_INDICES if name not in _ALSO_NEW_YORK},
}
"""Indices of B3 as the exchange writes them, and their names at Yahoo."""

CALENDARS = frozenset(
    {*SUFFIXES.values(), *INDICES.values(), NEW_YORK, EVERY_DAY, WEEKDAYS}
    | {"AIXK", "CMES", "IEPA", "XBDA", "XBRA", "XCBF", "XEEE", "XETR", "XEUR"}
    | {"XLJU", "XLUX", "XZAG", "us_futures"}
)
"""Every calendar that a symbol may be given."""

EXCHANGE_NAMES = _calendar_of_each(
    {
        NEW_YORK: "NYSE NASDAQ AMEX ARCA NYSEARCA NYSEAMERICAN NYSEMKT BATS XNAS XASE ARCX NYQ "
        "NMS NGM NCM PCX ASE",
        "BVMF": "B3 BMF BOVESPA BMFBOVESPA BM&FBOVESPA SAO XBSP",
        "CMES": "CME CBOT COMEX NYMEX",
        "XAMS": "AMS",
        "XASX": "ASX",
        "XBOM": "NSE XNSE NSI",
        "XETR": "XETRA GER",
        "XFRA": "FWB FRA",
        "XHKG": "HKEX HKG",
        "XJSE": "JSE JNB",
        "XKRX": "KRX KSC KOE",
        "XLON": "LSE",
        "XMEX": "BMV",
        "XPAR": "EPA",
        "XSES": "SGX",
        "XSHG": "SSE SZSE XSHE SHH SHZ",
        "XSWX": "SIX EBS",
        "XTKS": "JPX",
        "XTSE": "TSX TSXV XTSX TOR",
        WEEKDAYS: "FOREX FX",
        EVERY_DAY: "BINANCE BINANCEUS BITFINEX BITGET BITMEX BITSTAMP BYBIT COINBASE CRYPTO "
        "CRYPTOCURRENCY GATEIO GEMINI HUOBI KRAKEN KUCOIN MERCADOBITCOIN OKX POLONIEX CCC",
    }
)
"""Names of exchanges in files (without spaces), beside the calendar codes, and their calendars."""
