"""Labels of columns in several languages, and the role that each of them gives a column."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Role = Literal["date", "time", "close", "adjusted", "symbol", "market", "bar"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """Role of a column, by its label.

    Attributes
    ----------
    role : {"date", "time", "close", "adjusted", "symbol", "market", "bar"}
        ``bar`` is any other part of a daily bar, which is not read.
    rank : int
        Of two columns with one role, the lower rank is read: ``close`` before ``last``.
    language : str
        Language of the label, in English.
    """

    role: Role
    rank: int
    language: str


_LABELS: dict[tuple[Role, int], dict[str, str]] = {
    ("date", 1): {
        "English": "date, datetime, timestamp, trade date, trading date, price date, "
        "observation_date, snapped_at, ds, unix, unix timestamp, open time, time open, date time, "
        "datetime utc, date utc, gmt time, local time, RptDt, dates, exchange date, window_start, "
        "start time",
        "Portuguese": "data, data pregão, data do pregão, data/hora",
        "German": "datum, handelstag, Börsentag",
        "Spanish": "fecha, fecha y hora",
        "Turkish": "tarih",
        "Russian": "дата",
        "Chinese": "日期, 交易日期",
        "Japanese": "日付, 日付け",
        "Korean": "날짜, 일자",
    },
    ("date", 2): {"English": "time"},
    ("time", 2): {
        "English": "time of day, trade time",
        "Portuguese": "hora",
        "German": "uhrzeit, zeit",
        "French": "heure",
    },
    ("close", 1): {
        "English": "close, close/last, closing price, close price, price close, closing, "
        "close usd, "
        "close price adjusted for splits, close close price adjusted for splits",
        "Portuguese": "fechamento, preço de fechamento, fecho, fech",
        "German": "schluss, schlusskurs, schlußkurs, schlusspreis",
        "Spanish": "cierre, precio de cierre, precio cierre, cerrar",
        "French": "clôture, cours de clôture, cloture",
        "Italian": "chiusura, prezzo di chiusura",
        "Dutch": "slotkoers, slot",
        "Polish": "zamknięcie, zamkniecie, kurs zamknięcia",
        "Turkish": "kapanış",
        "Russian": "закрытие",
        "Chinese": "收盘, 收盘价, 收盤價",
        "Japanese": "終値",
        "Korean": "종가",
    },
    ("close", 2): {
        "English": "last, latest, last price, price, px_last, ltp, LastPric, quote",
        "Portuguese": "último, preço, cotação, último preço, ult",
        "German": "zuletzt, letzter, kurs, preis",
        "Spanish": "último, precio, último precio",
        "French": "dernier, cours, prix",
        "Italian": "ultimo, prezzo",
        "Dutch": "laatste, koers",
        "Polish": "ostatnio",
        "Turkish": "şimdi",
        "Swedish": "senaste",
        "Russian": "цена",
    },
    ("adjusted", 1): {
        "English": "adj close, adjusted close, close adj, close adjusted, adjusted, adj last, "
        "adjusted price, adj price, adjusted close price, adj closing price, "
        "adj close adjusted close price adjusted for splits and dividend and/or capital gain "
        "distributions",
        "Portuguese": "fechamento ajustado, fechamento ajust, preço ajustado",
        "German": "schlusskurs bereinigt, bereinigter schlusskurs, adj schlusskurs",
        "Spanish": "cierre ajustado, precio ajustado",
        "French": "clôture ajustée, cours ajusté",
        "Italian": "chiusura rettificata",
        "Chinese": "调整后收盘价",
        "Japanese": "調整後終値",
    },
    ("symbol", 1): {
        "English": "symbol, ticker, unique_id, act_symbol, tic, TckrSymb, ticker symbol, "
        "stock symbol",
        "Portuguese": "ativo, código de negociação, codneg, papel",
        "German": "kürzel",
        "Spanish": "símbolo",
        "French": "symbole",
    },
    # Read only where the cells look like ticker symbols: others have names of companies here.
    ("symbol", 2): {
        "English": "name, code, stock, asset, instrument, security, stock code, contract",
        "Portuguese": "código, ação",
    },
    ("market", 1): {
        "English": "exchange, market, mic, exchange code, exchange mic, primary exchange, "
        "listing exchange, stock exchange",
        "Portuguese": "bolsa, mercado",
        "German": "börse, börsenplatz",
        "French": "bourse, marché",
    },
    ("bar", 1): {
        "English": "open, high, low, volume, vol, open interest, change, change %, vwap, turnover, "
        "market cap, trades",
        "Portuguese": "abertura, máxima, mínima, máximo, mínimo, variação, var%, quantidade",
        "German": "eröffnung, eröffn, hoch, tief, tagestief, tageshoch, volumen",
        "Spanish": "apertura, volumen, % var",
        "French": "ouv, ouverture, plus haut, plus bas, haut, bas",
        "Italian": "apertura, massimo, minimo",
    },
}


@lru_cache(maxsize=4096)
def plain(label: str) -> str:
    """A label as labels are compared: letters and digits in lower case, without accents.

    >>> plain(" Último "), plain("<CLOSE>"), plain("5. adjusted close"), plain("Schlußkurs")
    ('ultimo', 'close', 'adjustedclose', 'schlusskurs')
    """
    text = re.sub(r"^\s*\d+\.\s+", "", label.casefold())
    return "".join(c for c in unicodedata.normalize("NFKD", text) if c.isalnum())


def _table() -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    for (role, rank), languages in _LABELS.items():
        for language, spellings in languages.items():
            for spelling in spellings.split(", "):
                found.setdefault(plain(spelling), Meaning(role, rank, language))
    return found


_MEANINGS = _table()
_UNADJUSTED_WORD = re.compile(r"(?:un|non|not|nao|nicht|no|sem)(?:adj|ajust|bereinig)")
_ADJUSTED_WORD = re.compile(r"adj|ajust|bereinig")
_CLOSE_WORD = re.compile(r"close|last|price|fechamento|preco|schluss|cierre|precio|clotur|cours")


@lru_cache(maxsize=4096)
def meaning(label: str) -> Meaning | None:
    """Role of a column with this label; ``None`` where the label is not in the table.

    >>> meaning("Fechamento").role, meaning("Close (adj.)").role, meaning("Adj Open")
    ('close', 'adjusted', None)
    """
    name = plain(label)
    if name in _MEANINGS:
        return _MEANINGS[name]
    if _UNADJUSTED_WORD.search(name):
        return None
    if _ADJUSTED_WORD.search(name) and _CLOSE_WORD.search(name):
        return Meaning("adjusted", 1, "English")
    return None


DAY_FIRST_LANGUAGES = frozenset(
    (
        "Portuguese",
        "German",
        "Spanish",
        "French",
        "Italian",
        "Dutch",
        "Russian",
        "Polish",
        "Turkish",
    )
)
"""Languages in which no country writes the month before the day."""
