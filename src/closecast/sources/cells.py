"""Cells of people's exports as dates and numbers; what can be read in two ways is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closecast.errors import InvalidPrices, PriceProblem

_MISSING = frozenset({"", "-", "nan", "null", "none", "na", "n/a", "#n/a", "<na>", "nat"})
_CURRENCY = re.compile(r"^(?:R\$|US\$|\$|€|£)")
_YEAR_FIRST = re.compile(r"(\d{4})([-/.]?)(\d{1,2})\2(\d{1,2})(?:[T ].*)?", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})(?:[T ].*)?", re.ASCII)
_POINT_NUMBER = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]?inf(?:inity)?",
    re.ASCII | re.IGNORECASE,
)
_COMMA_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?", re.ASCII)
_DIGITS_AND_MARKS = re.compile(r"[-+]?[\d.,]+", re.ASCII)
_COMMA_GROUPS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+", re.ASCII)


def read_dates(cells: pd.Series, subject: str) -> NDArray[np.datetime64]:
    """Calendar dates as written: the exchange's own, so never converted to UTC."""
    if isinstance(cells.dtype, pd.DatetimeTZDtype) or cells.dtype.kind == "M":
        return np.asarray(cells.dt.tz_localize(None), dtype="datetime64[D]")
    texts = cells.astype(str).tolist()
    year_last = [match for text in texts if (match := _YEAR_LAST.fullmatch(text))]
    day_first = any(int(match[1]) > 12 for match in year_last)
    if year_last and not day_first and all(int(match[3]) <= 12 for match in year_last):
        raise InvalidPrices(
            subject,
            [PriceProblem("ambiguous_date", f"{year_last[0][0]!r} may be day/month or month/day")],
            "Write the dates as YYYY-MM-DD.",
        )
    dates = np.full(len(texts), np.datetime64("NaT", "D"))
    problems = []
    for i, text in enumerate(texts):
        if text.lower() in _MISSING:
            continue
        try:
            dates[i] = _date(text, day_first)
        except ValueError:
            problems.append(
                PriceProblem(
                    "not_a_date", f"row {i + 1}: {text[:40]!r} is not a date like 2022-12-28"
                )
            )
    if problems:
        raise InvalidPrices(subject, problems, "Write the dates as YYYY-MM-DD.")
    return dates


def _date(text: str, day_first: bool) -> date:
    if match := _YEAR_FIRST.fullmatch(text):
        return date(int(match[1]), int(match[3]), int(match[4]))
    if match := _YEAR_LAST.fullmatch(text):
        day, month = (1, 3) if day_first else (3, 1)
        return date(int(match[4]), int(match[month]), int(match[day]))
    raise ValueError(text)


def read_numbers(
    cells: pd.Series, dates: NDArray[np.datetime64], asked: NDArray[np.bool_], subject: str
) -> NDArray[np.float64]:
    """The requested cells as numbers; NaN where a cell is empty."""
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return np.asarray(cells[asked].to_numpy(np.float64, na_value=np.nan))
    texts = [_CURRENCY.sub("", "".join(text.split())) for text in cells.astype(str)]
    number = _number_reader(texts, subject)
    closes, problems = [], []
    for i in np.flatnonzero(asked):
        if texts[i].lower() in _MISSING:
            closes.append(np.nan)
        elif (value := number(texts[i])) is not None:
            closes.append(value)
        else:
            day = None if np.isnat(dates[i]) else str(dates[i])
            message = f"close {str(cells.iloc[i])[:40]!r} is not a number"
            problems.append(PriceProblem("not_a_number", message, day))
    if problems:
        raise InvalidPrices(subject, problems, "Correct these rows, or choose a span without them.")
    return np.array(closes, dtype=np.float64)


def _number_reader(texts: Sequence[str], subject: str) -> Callable[[str], float | None]:
    """Reads a number the way this column writes them: one convention for all of its cells."""
    with_comma = [text for text in texts if _DIGITS_AND_MARKS.fullmatch(text) and "," in text]
    # Where a number has both marks, the one further right is the decimal one.
    both = next((text for text in with_comma if "." in text), None)
    if both:
        decimal_comma = both.rindex(",") > both.rindex(".")
    else:
        decimal_comma = any(not _COMMA_GROUPS.fullmatch(text) for text in with_comma)
        if with_comma and not decimal_comma and not any("." in text for text in texts):
            message = f"close {with_comma[0]!r} may be in thousands or have three decimals"
            raise InvalidPrices(
                subject,
                [PriceProblem("ambiguous_number", message)],
                "Write closes with a decimal point and without thousands separators.",
            )

    def number(text: str) -> float | None:
        if decimal_comma and _COMMA_NUMBER.fullmatch(text):
            return float(text.replace(".", "").replace(",", "."))
        if not decimal_comma and _POINT_NUMBER.fullmatch(text):
            return float(text.replace(",", ""))
        return None

    return number
