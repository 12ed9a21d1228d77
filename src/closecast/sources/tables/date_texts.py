"""Dates as people and programs write them, one cell at a time."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal, NamedTuple

Order = Literal["day/month/year", "month/day/year", "year/month/day"]

_MONTHS = (
    "january janeiro januar enero janvier gennaio",
    "february fevereiro februar febrero fevrier febbraio",
    "march marco marz maerz marzo mars",
    "april abril avril aprile",
    "may maio mai mayo maggio",
    "june junho juni junio juin giugno",
    "july julho juli julio juillet luglio",
    "august agosto aout",
    "september setembro septiembre setiembre septembre settembre",
    "october outubro oktober octubre octobre ottobre",
    "november novembro noviembre novembre",
    "december dezembro dezember diciembre decembre dicembre",
)

_TIME = (
    r"(?:[T ,]\s*(?P<h>\d{1,2})(?:[:h.]?(?P<mi>\d{2})(?:[:.]?(?P<s>\d{2})(?:[.,]\d+)?)?)?"
    r"\s*(?P<half>[ap]\.?m\.?)?"
    r"\s*(?P<zone>Z|(?:UTC|GMT)?\s*[+-]\d{2}:?\d{2}|[A-Z]{2,5})?(?:\s*[\[(][^\])]*[\])])?)?"
)
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,?\s+)?"
_ORDINAL = r"(?:st|nd|rd|th|º|er|\.)?"
_MONTH = r"(?P<name>[^\W\d_]{3,10})\.?"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text + _TIME, re.ASCII | re.IGNORECASE)


def _words(text: str) -> re.Pattern[str]:
    return re.compile(_WEEKDAY + text + _TIME, re.IGNORECASE)


_YEAR_FIRST = (
    _pattern(r"(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})"),
    _pattern(r"(?P<y>(?:19|20)\d{2})(?P<m>0[1-9]|1[0-2])(?P<d>[0-3]\d)"),
    re.compile(r"(?P<y>\d{4})[年년]\s*(?P<m>\d{1,2})[月월]\s*(?P<d>\d{1,2})[日일]" + _TIME),
    re.compile(r"(?P<y>\d{4})-\s(?P<m>\d{2})-\s(?P<d>\d{2})" + _TIME),
)
_NUMBERS = _pattern(r"(?P<a>\d{1,2})(?P<sep>[-/. ])(?P<b>\d{1,2})(?P=sep)(?P<c>\d{4}|\d{2})")
_SHORT = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})", re.ASCII)
_NAMED = (
    _words(rf"(?P<d>\d{{1,2}}){_ORDINAL}[-/. ]*(?:de )?\s*{_MONTH}[-/., ]*(?:de )?(?P<y>\d{{4}})"),
    _words(rf"(?P<d>\d{{1,2}})[-/. ]{_MONTH}[-/. ](?P<y>\d{{2}})"),
    _words(rf"{_MONTH}[-/ ]*(?P<d>\d{{1,2}}){_ORDINAL},?[-/ ]+(?P<y>\d{{4}})"),
    _words(rf"(?P<y>\d{{4}})[-/ ]{_MONTH}[-/ ](?P<d>\d{{1,2}})"),
)
EPOCH = re.compile(r"\d{9,19}(?:\.\d*)?", re.ASCII)
_LONGEST = 80  # characters; longer cells are no dates and would only be searched through


class Written(NamedTuple):
    """A date as it is written in one cell.

    Attributes
    ----------
    parts : tuple of int
        Year, month and day; or three numbers whose order is open.
    digits : int
        Digits of the last number where the order is open, else 0.
    second : int
        Second of the day; 0 where no time is written.
    offset : int or None
        Minutes that the written time is ahead of UTC; ``None`` where it is not written.
    """

    parts: tuple[int, int, int]
    digits: int = 0
    second: int = 0
    offset: int | None = None

    def day(self, order: Order) -> date:
        """The calendar date, read in this order where the order is open.

        Raises
        ------
        ValueError
            If there is no such date.
        """
        a, b, c = self.parts
        if not self.digits:
            return date(a, b, c)
        if order == "year/month/day":
            year, month, day = a, b, c
        else:
            year, month, day = (c, b, a) if order == "day/month/year" else (c, a, b)
        if self.digits == 2:
            year += 2000 if year < 70 else 1900
        return date(year, month, day)

    def orders(self) -> tuple[Order, ...]:
        """Orders in which it may be read; of a two-digit year, the year may come first, too."""
        if self.digits == 2:
            return ("day/month/year", "month/day/year", "year/month/day")
        return ("day/month/year", "month/day/year")


@lru_cache(maxsize=65536)
def written(text: str) -> Written | None:
    """Read the parts of a date; ``None`` for a text that is none.

    >>> written("3 de janeiro de 2022").parts, written("Jan 3, 2022 4:00 PM").second
    ((2022, 1, 3), 57600)
    >>> written("03/04/2022").digits, written("2022-01-03T09:30:00-05:00").offset
    (4, -300)
    """
    text = text.strip()
    if len(text) > _LONGEST:
        return None
    if match := _SHORT.fullmatch(text):  # most exports; the others take three times as long
        return Written((int(match[1]), int(match[3]), int(match[4])), 4)
    if text[:4].isdigit():
        for pattern in _YEAR_FIRST:
            if match := pattern.fullmatch(text):
                return _complete(match, int(match["m"]))
    elif match := _NUMBERS.fullmatch(text):
        parts = (int(match["a"]), int(match["b"]), int(match["c"]))
        return _timed(match, parts, len(match["c"]))
    for pattern in _NAMED:
        if (match := pattern.fullmatch(text)) and (month := month_of(match["name"])):
            return _complete(match, month)
    return None


def looks_like_date(cell: Any) -> bool:
    """True for a date of any kind, a number of seconds since 1970 included."""
    if isinstance(cell, date | datetime):
        return True
    text = str(cell).strip() if isinstance(cell, str | int | float) else ""
    if not text or not any(c.isdigit() for c in text[:24]):
        return False
    return bool(EPOCH.fullmatch(text)) or written(text) is not None


@lru_cache(maxsize=512)
def month_of(name: str) -> int | None:
    """Number of a month by its name or the beginning of it, in any of six languages.

    >>> month_of("Mär"), month_of("dez"), month_of("juil"), month_of("EST")
    (3, 12, 7, None)
    """
    letters = unicodedata.normalize("NFKD", name.casefold())
    word = "".join(c for c in letters if not unicodedata.combining(c)).rstrip(".")
    fitting = {
        number
        for number, names in enumerate(_MONTHS, 1)
        if any(full.startswith(word) for full in names.split())
    }
    return fitting.pop() if len(word) > 2 and len(fitting) == 1 else None


def _complete(match: re.Match[str], month: int) -> Written | None:
    year = int(match["y"])
    if len(match["y"]) == 2:
        year += 2000 if year < 70 else 1900
    return _timed(match, (year, month, int(match["d"])), 0)


def _timed(match: re.Match[str], parts: tuple[int, int, int], digits: int) -> Written | None:
    hour, minute, second = (int(match[part] or 0) for part in ("h", "mi", "s"))
    if half := match["half"]:
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    if hour > 24 or minute > 59 or second > 60:
        return None
    zone = match["zone"]
    return Written(parts, digits, hour * 3600 + minute * 60 + second, _offset(zone))


def _offset(zone: str | None) -> int | None:
    """Minutes ahead of UTC; the letters of other zones mean several of them."""
    if zone is None:
        return None
    name = zone.upper().removeprefix("UTC").removeprefix("GMT").strip()
    if name in ("", "Z"):
        return 0
    if name[0] not in "+-":
        return None
    minutes = int(name[1:3]) * 60 + int(name[-2:])
    return -minutes if name[0] == "-" else minutes
