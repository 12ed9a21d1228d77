"""A column of dates, read in the one order that the whole file allows.

A date that may be read in two ways (``03/04/2022``) is decided by the file's other dates, by the
order of its rows, by the exchange's sessions, or by the language of the labels; else it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closecast.sources.tables.date_texts import EPOCH, Order, Written, written
from closecast.sources.tables.faults import Fault
from closecast.sources.tables.missing import is_missing
from closecast.sources.tables.sessions import Moments, in_exchange_days, off_sessions, session_share

_ENOUGH = 5  # rows from which the order of the rows decides; fewer are in order by chance
_DAILY = 0.9  # share of the sessions between first and last that daily closes have
_EXCEL_DAYS = (25_569, 73_050)  # 1970 to 2099
_UNITS = ((1e11, "s", 1.0), (1e14, "ms", 1e3), (1e17, "µs", 1e6), (1e20, "ns", 1e9))
_DAY_0 = date(1970, 1, 1).toordinal()
_NOT_A_TIME = np.iinfo("int64").min
_EXAMPLE = "is not a date like 2022-12-28"


@dataclass(frozen=True, slots=True)
class Dates:
    """Calendar dates of a column, in the exchange's own time zone.

    Attributes
    ----------
    days : array of datetime64[D], shape (n,)
        ``NaT`` where the cell is empty.
    remarks : tuple of str
        How they were read, where that was not plain.
    """

    days: NDArray[np.datetime64]
    remarks: tuple[str, ...] = ()


def read_dates(
    cells: pd.Series | Sequence[Any],
    exchange: str | None,
    *,
    whole: Iterable[Any] = (),
    hint: Order | None = None,
    hint_from: str = "",
) -> Dates:
    """Read a column of dates.

    Parameters
    ----------
    cells : sequence
        Cells of the rows that are wanted: texts, dates, epochs.
    exchange : str, optional
        Calendar code, which times in UTC and open orders are decided by.
    whole : iterable
        Cells of all rows, the other symbols' included: evidence for the order of day and month.
    hint : Order, optional
        Order to take where nothing else decides, and where that comes from.

    Raises
    ------
    Fault
        If a cell is no date, or the dates may be read in two ways.
    """
    if isinstance(cells, pd.Series):
        if isinstance(cells.dtype, pd.DatetimeTZDtype) or cells.dtype.kind == "M":
            return _typed(cells, exchange)
        cells = cells.tolist()
    texts = ["" if is_missing(cell) else _text(cell) for cell in cells]
    if (plain := _plain_days(texts)) is not None:
        return Dates(plain)
    if any(texts) and all(EPOCH.fullmatch(text) for text in texts if text):
        return _epochs(texts, exchange)
    if any(texts) and all(_is_excel_day(text) for text in texts if text):
        return _excel_days(texts)
    return _written(texts, exchange, {_text(cell) for cell in whole}, hint, hint_from)


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bytes):
        return cell.decode("latin-1").strip()
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, np.datetime64):
        return str(cell.astype("datetime64[s]"))
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e19:
        return str(int(cell))
    return str(cell)


def _plain_days(texts: list[str]) -> NDArray[np.datetime64] | None:
    """The usual case without a loop: ``2022-12-28`` or nothing in each cell."""
    if not all((len(text) == 10 and text[4] == text[7] == "-") or not text for text in texts):
        return None
    try:
        return np.array([text or "NaT" for text in texts], dtype="datetime64[D]")
    except ValueError:
        return None


def _typed(cells: pd.Series, exchange: str | None) -> Dates:
    zoned = isinstance(cells.dtype, pd.DatetimeTZDtype)
    local = cells.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    offset = np.full(len(local), np.nan)
    if zoned:
        utc = cells.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[s]")
        ahead = (local - utc).astype("float64")
        offset = np.where(np.isnat(local), np.nan, ahead / 60)
    return Dates(*in_exchange_days(Moments(local, offset), exchange))


def _epochs(texts: list[str], exchange: str | None) -> Dates:
    numbers = np.array([float(text) if text else np.nan for text in texts])
    seconds, units = np.full(len(numbers), np.nan), []
    for limit, unit, per_second in _UNITS:
        here = np.isnan(seconds) & (numbers < limit)
        if here.any():
            units.append(unit)
        seconds[here] = np.floor(numbers[here] / per_second)
    local = np.full(len(numbers), np.datetime64("NaT", "s"))
    known = ~np.isnan(seconds)
    local[known] = seconds[known].astype("int64").astype("datetime64[s]")
    days, remarks = in_exchange_days(Moments(local, np.where(known, 0.0, np.nan)), exchange)
    return Dates(days, (f"times in {' and '.join(units)} since 1970", *remarks))


def _is_excel_day(text: str) -> bool:
    try:
        return _EXCEL_DAYS[0] <= float(text) <= _EXCEL_DAYS[1] and len(text.split(".")[0]) == 5
    except ValueError:
        return False


def _excel_days(texts: list[str]) -> Dates:
    numbers = [float(text) if text else np.nan for text in texts]
    days = np.full(len(texts), np.datetime64("NaT", "D"))
    known = ~np.isnan(numbers)
    days[known] = np.datetime64("1899-12-30") + np.floor(np.array(numbers)[known]).astype(int)
    return Dates(days, ("dates as Excel's day numbers",))


def _written(
    texts: list[str],
    exchange: str | None,
    whole: set[str],
    hint: Order | None,
    hint_from: str,
) -> Dates:
    parsed = {text: written(text) for text in set(texts) if text}
    short = [text for text, found in parsed.items() if found and found.digits == 2]
    if short and len(short) < len(parsed):
        parsed |= dict.fromkeys(short)  # a year of two digits among others is no year
    open_order = [found for found in parsed.values() if found and found.digits]
    if not open_order:
        return _dated(texts, parsed, exchange, "year/month/day", ())
    order = _only_order(open_order, whole)
    remarks: tuple[str, ...] = ()
    if order is None:
        order, remarks = _decided(texts, parsed, exchange, hint, hint_from)
    return _dated(texts, parsed, exchange, order, (order, *remarks))


def _only_order(found: list[Written], whole: set[str]) -> Order | None:
    """The order in which all dates exist; the first one where none is without a fault."""
    orders = found[0].orders()
    fitting = [order for order in orders if all(_exists(each, order) for each in found)]
    if len(fitting) > 1:
        others = [
            each for text in whole if (each := written(text)) and each.digits == found[0].digits
        ]
        better = [o for o in fitting if all(_exists(each, o) for each in others)]
        fitting = better or fitting
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        counts = {order: sum(_exists(each, order) for each in found) for order in orders}
        return max(counts, key=lambda order: counts[order])
    return None


def _decided(
    texts: list[str],
    parsed: dict[str, Written | None],
    exchange: str | None,
    hint: Order | None,
    hint_from: str,
) -> tuple[Order, tuple[str, ...]]:
    """The order of two that are both possible, and the reason for it."""
    found = [each for text in texts if (each := parsed.get(text))]
    readings = {
        order: np.array([each.day(order) for each in found], dtype="datetime64[D]")
        for order in found[0].orders()
        if all(_exists(each, order) for each in found)
    }
    orderly = [order for order, days in readings.items() if _is_orderly(days, exchange)]
    if len(found) >= _ENOUGH:
        if len(orderly) == 1:
            return orderly[0], ("the only reading in which the rows are in order",)
        daily = [o for o in orderly if session_share(readings[o], exchange) >= _DAILY]
        if len(daily) == 1:
            return daily[0], ("the only reading in which the rows are daily",)
    if hint in readings:
        return hint, (f"as usual in {hint_from}",)
    example = next(text for text in texts if (each := parsed.get(text)) and each.digits)
    ways = " or ".join("/".join(order.split("/")[:2]) for order in readings)
    if found[0].digits == 2:
        ways = " or ".join(readings)
    raise Fault(
        "ambiguous_date", f"{example!r} may be {ways}", advice="Write the dates as YYYY-MM-DD."
    )


def _is_orderly(days: NDArray[np.datetime64], exchange: str | None) -> bool:
    steps = np.diff(days).astype("int64")
    if not ((steps > 0).all() or (steps < 0).all()):
        return False
    return off_sessions(days, exchange) <= max(2, len(days) // 10)


def _exists(found: Written, order: Order) -> bool:
    try:
        found.day(order)
    except ValueError:
        return False
    return True


def _dated(
    texts: list[str],
    parsed: dict[str, Written | None],
    exchange: str | None,
    order: Order,
    remarks: tuple[str, ...],
) -> Dates:
    seconds: dict[str, int] = {"": _NOT_A_TIME}
    for text, found in parsed.items():
        if found is None:
            continue
        try:
            day = found.day(order).toordinal() - _DAY_0
        except ValueError:
            continue
        seconds[text] = day * 86_400 + found.second
    bad = [i for i, text in enumerate(texts) if text not in seconds]
    if bad:
        first = f"row {bad[0] + 1}: {texts[bad[0]][:40]!r}"
        message = f"{first} {_EXAMPLE}"
        if len(bad) > 1:
            message = f"{len(bad)} cells are no dates like 2022-12-28, the first in {first}"
        raise Fault("not_a_date", message, advice="Write the dates as YYYY-MM-DD.")
    local = np.array([seconds[text] for text in texts], dtype="int64").view("datetime64[s]")
    offsets = {
        text: each.offset for text, each in parsed.items() if each and each.offset is not None
    }
    offset = np.array([offsets.get(text, np.nan) for text in texts], dtype=np.float64)
    days, more = in_exchange_days(Moments(local, offset), exchange)
    return Dates(days, (*remarks, *more))
