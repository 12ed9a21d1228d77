"""Layouts of named exporters: by their labels, and by their columns where they write no labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from closecast.sources.tables.labels import plain


@dataclass(frozen=True, slots=True)
class Exporter:
    """An exporter that is recognised by the labels that it writes.

    Attributes
    ----------
    name : str
        Its name, as a note shows it.
    labels : frozenset of str
        Labels that are all there, as :func:`~closecast.sources.tables.labels.plain` writes them.
    language : str
        Language of the labels, shown for exporters that write several.
    decimal : str
        Decimal mark, where the numbers leave it open.
    delimiter : str
        Delimiter of the untouched export: where another program wrote the file again, its
        decimal mark may be another one, too.
    month_first : bool
        True where dates with slashes are always month/day/year.
    ignored : frozenset of str
        Labels with another meaning than usual here.
    close : str
        Label of the closes where it is no usual one; ``*`` for the only column besides the date.
    date : str
        Label of the dates where it is no usual one.
    """

    name: str
    labels: frozenset[str]
    language: str = ""
    decimal: Literal[".", ","] = "."
    delimiter: str = ","
    month_first: bool = False
    ignored: frozenset[str] = frozenset()
    close: str = ""
    date: str = ""


def _exporter(name: str, labels: str, **details: Any) -> Exporter:
    return Exporter(name, _names(labels), **details)


def _names(labels: str) -> frozenset[str]:
    return frozenset(plain(label) for label in labels.split(","))


EXPORTERS: tuple[Exporter, ...] = (
    _exporter("Nasdaq", "Date,Close/Last,Volume,Open,High,Low", month_first=True),
    _exporter("Investing.com", "Date,Price,Open,High,Low,Change %", language="English"),
    _exporter(
        "Investing.com",
        "Data,Último,Abertura,Máxima,Mínima,Var%",
        language="Portuguese",
        decimal=",",
    ),
    _exporter(
        "Investing.com",
        "Fecha,Último,Apertura,Máximo,Mínimo,% var.",
        language="Spanish",
        decimal=",",
    ),
    _exporter("Investing.com", "Datum,Zuletzt,Eröffn.,Hoch,Tief", language="German", decimal=","),
    _exporter(
        "Investing.com", "Date,Dernier,Ouv.,Plus Haut,Plus Bas", language="French", decimal=","
    ),
    _exporter(
        "Investing.com", "Data,Ultimo,Apertura,Massimo,Minimo", language="Italian", decimal=","
    ),
    _exporter(
        "CoinMarketCap",
        "timeOpen,timeClose,timeHigh,timeLow,close,marketCap",
        delimiter=";",
        ignored=_names("name"),
    ),
    _exporter("Alpha Vantage", "timestamp,open,high,low,close,adjusted_close"),
    _exporter("Alpha Vantage", "timestamp,open,high,low,close,volume"),
    _exporter("CoinMarketCap", "Date,Open,High,Low,Close,Market Cap"),
    _exporter("CoinGecko", "snapped_at,price"),
    _exporter("Barchart", "Time,Open,High,Low,Last,Change", month_first=True),
    _exporter("Barchart", "Time,Open,High,Low,Latest,Change", month_first=True),
    _exporter("CryptoDataDownload", "Unix,Date,Symbol,Open,High,Low,Close"),
    _exporter("Binance", "open_time,open,high,low,close,volume,close_time"),
    _exporter("ProfitChart", "Ativo,Data,Abertura,Fechamento", decimal=",", delimiter=";"),
    _exporter("B3", "RptDt,TckrSymb,LastPric", decimal=",", delimiter=";"),
    _exporter("stooq", "<TICKER>,<PER>,<DATE>,<CLOSE>"),
    _exporter("MetaTrader", "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<TICKVOL>", delimiter="\t"),
    _exporter("TradingView", "time,open,high,low,close"),
    _exporter("candles with t, o, h, l, c", "t,o,h,l,c", date="t", close="c"),
    _exporter("NSE", "Date,series,OPEN,HIGH,LOW,PREV. CLOSE,ltp,close"),
    _exporter("FRED", "observation_date", close="*"),
    _exporter("Nixtla", "unique_id,ds,y", close="y"),
    _exporter("Kaggle", "date,open,high,low,close,volume,Name"),
    _exporter("Yahoo", "Date,Open,High,Low,Close,Adj Close,Volume"),
    _exporter("Tiingo", "date,close,adjClose,divCash"),
    _exporter("quantmod", "symbol,date,open,high,low,close,volume,adjusted"),
)
"""Tried in this order: the first whose labels are all in the file."""


def exporter_of(labels: Iterable[str]) -> Exporter | None:
    """Find the exporter that writes these labels.

    >>> exporter_of(["Date", "Close/Last", "Volume", "Open", "High", "Low"]).name
    'Nasdaq'
    >>> exporter_of(["Date", "Close"])
    """
    there = {plain(label) for label in labels}
    return next((e for e in EXPORTERS if e.labels <= there), None)


@dataclass(frozen=True, slots=True)
class Headerless:
    """A layout without labels: what each column is, and whether its first cell is an epoch.

    A layout with open, high, low and close is taken only if the high is the highest of them in
    every row and the low the lowest.
    """

    name: str
    columns: tuple[str, ...]
    epoch: bool


_BAR = ("open", "high", "low", "close")
_TAKERS = ("taker buy volume", "taker buy quote volume")
_KLINE = ("open time", *_BAR, "volume", "close time", "quote volume", "trades", *_TAKERS)

HEADERLESS: tuple[Headerless, ...] = (
    Headerless("Binance klines", (*_KLINE, "ignored"), epoch=True),
    Headerless("Binance klines", _KLINE, epoch=True),
    Headerless("candles [time, open, high, low, close, volume]", ("date", *_BAR, "volume"), True),
    Headerless("Bitfinex candles", ("date", "open", "close", "high", "low", "volume"), True),
    Headerless("Coinbase candles", ("date", "low", "high", "open", "close", "volume"), True),
    Headerless("Kraken candles", ("date", *_BAR, "volume", "number of trades"), True),
    Headerless("Kraken candles", ("date", *_BAR, "vwap", "volume", "trades"), True),
    Headerless("MetaTrader 4", ("date", "time", *_BAR, "volume"), False),
    Headerless("columns date, open, high, low, close, volume", ("date", *_BAR, "volume"), False),
    Headerless("columns date, open, high, low, close", ("date", *_BAR), False),
    Headerless(
        "columns symbol, date, open, high, low, close, volume",
        ("symbol", "date", *_BAR, "volume"),
        False,
    ),
    Headerless("columns date, close", ("date", "close"), False),
    Headerless("columns time, price", ("date", "close"), True),
)
"""Those of one width are told apart by their first cells and by which column is the highest."""
