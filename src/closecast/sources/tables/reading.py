"""A file of closes from its bytes to the rows of one symbol, with a note of how it was read."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closecast.core.market_names import calendar_named
from closecast.core.markets import market_of
from closecast.core.prices import Basis
from closecast.core.symbols import canonical
from closecast.errors import InvalidSymbol, PriceProblem
from closecast.sources.tables.binary_tables import table_of_parquet, table_of_workbook
from closecast.sources.tables.columns import NotInFile as NotInFile
from closecast.sources.tables.columns import (
    closes_column,
    date_columns,
    named_columns,
    named_market,
    no_column,
    role_of,
    rows_of_symbol,
)
from closecast.sources.tables.containers import Content, is_workbook, unpack
from closecast.sources.tables.date_texts import Order as DateOrder
from closecast.sources.tables.dates import Dates, read_dates
from closecast.sources.tables.faults import Fault
from closecast.sources.tables.fixed_width import CotahistRows
from closecast.sources.tables.grid import Column, Table
from closecast.sources.tables.json_lists import looks_like_json, table_of_json
from closecast.sources.tables.labels import DAY_FIRST_LANGUAGES
from closecast.sources.tables.numbers import read_numbers
from closecast.sources.tables.text_table import table_of_text, text_of
from closecast.sources.tables.words import layout_name, notes_on, seen_of


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows read for one symbol, and the way they were read.

    Attributes
    ----------
    layout : str
        Exporter, or the columns by which the table was read.
    details : tuple of str
        Container, encoding, delimiter, and how dates and numbers were read.
    symbols : tuple of str
        Symbols that the file names, as it writes them; empty where it names none.
    date_column, close_column : str
        Labels of the columns that were read.
    basis : {"raw", "adjusted", "unknown"}
        Price basis.
    dates : array of datetime64[D], shape (n,)
        In the order of the file; ``NaT`` where a row has none.
    closes : array of float64, shape (n,)
        NaN where a row has none.
    notes : tuple of PriceProblem
        Lines and rows that were left out.
    market : str, optional
        The exchange that a column names for the symbol.
    """

    layout: str
    details: tuple[str, ...]
    symbols: tuple[str, ...]
    date_column: str
    close_column: str
    basis: Basis
    dates: NDArray[np.datetime64]
    closes: NDArray[np.float64]
    notes: tuple[PriceProblem, ...] = ()
    market: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Days whose closes are wanted, both included; open where ``None``."""

    start: np.datetime64 | None = None
    end: np.datetime64 | None = None

    def holds(self, dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        """Mask of the wanted dates; a row without a date is wanted in any span."""
        wanted = np.ones(len(dates), dtype=bool)
        if self.start is not None:
            wanted &= ~(dates < self.start)
        if self.end is not None:
            wanted &= ~(dates > self.end)
        return wanted


EVERY_DATE = Span()


class EmptyFile(Exception):
    """There is nothing in the file."""


def open_file(stream: IO[bytes], symbol: str | None) -> Content:
    """Unpack a file as far as it is compressed or archived.

    Raises
    ------
    Fault
        If it is damaged, too large, or an archive in which no single file is meant.
    """
    with _one_sentence():
        return unpack(stream, symbol)


def read_content(content: Content, symbol: str | None, span: Span = EVERY_DATE) -> Reading:
    """Read the closes of one symbol.

    Parameters
    ----------
    content : Content
        The unpacked file.
    symbol : str, optional
        Canonical symbol; without it the only or first one in the file.
    span : Span
        Closes outside of it need not be numbers.

    Raises
    ------
    Fault
        One sentence for which the file is refused.
    NotInFile
        The file names its symbols, and this one is not among them.
    EmptyFile
        If there is nothing in the file.
    """
    if isinstance(content.data, CotahistRows):
        return _of_cotahist(content.data, content.inside, symbol, span)
    if not content.data.strip():
        raise EmptyFile
    with _one_sentence():
        table = _table(content.data, content.inside, symbol)
    try:
        return _of_table(table, symbol, span)
    except Fault as fault:
        fault.seen = seen_of(table)
        raise


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except (ValueError, csv.Error) as error:
        raise Fault(
            "unreadable_table",
            f"no table can be made of it ({error})",
            advice="Export it again as CSV (one line per day, columns Date and Close), as .xlsx "
            "or as Parquet.",
        ) from error


def _table(data: bytes, inside: tuple[str, ...], symbol: str | None) -> Table:
    if data.startswith(b"PAR1"):
        return table_of_parquet(data, inside)
    if is_workbook(data):
        return table_of_workbook(data, inside, symbol)
    text, encoding = text_of(data)
    made_of = (*inside, encoding) if encoding else inside
    if looks_like_json(text):
        return table_of_json(text, made_of)
    return table_of_text(text, made_of)


def _of_table(table: Table, symbol: str | None, span: Span) -> Reading:
    columns = named_columns(table, symbol)
    rows, nameless, symbols = rows_of_symbol(table, columns, symbol)
    asked_for = symbol or _first_of(symbols)
    own = columns if rows is None else [Column(c.labels, _at(c.cells, rows)) for c in columns]
    market = named_market(own)
    at, dates = _dates(table, columns, own, _calendar(asked_for, market))
    closes = closes_column(table, own, own[at], asked_for)
    whole = columns[own.index(closes.column)]
    wanted = np.zeros(len(whole.cells), dtype=bool)
    in_span = span.holds(dates.days)
    wanted[np.arange(len(whole.cells)) if rows is None else np.flatnonzero(rows)] = in_span
    every_date = np.full(len(whole.cells), np.datetime64("NaT", "D"))
    every_date[slice(None) if rows is None else rows] = dates.days
    exporter = table.exporter
    known = exporter if exporter and table.delimiter in ("", exporter.delimiter) else None
    numbers = read_numbers(
        whole.cells,
        wanted,
        every_date,
        others=[
            c.cells
            for c in columns
            if c is not whole and isinstance(c.cells, list) and not _is_label(c)
        ],
        usual=known.decimal if known else None,
    )
    details = (*dates.remarks, *numbers.remarks, *closes.remarks, *table.made_of)
    return Reading(
        layout_name(table, own, own[at], closes),
        details,
        symbols,
        str(own[at]),
        str(closes.column),
        closes.basis,
        dates.days[in_span],
        numbers.values,
        notes_on(table, nameless),
        market,
    )


def _first_of(symbols: tuple[str, ...]) -> str | None:
    """The only symbol of a file in its canonical spelling."""
    try:
        return canonical(symbols[0]) if len(symbols) == 1 else None
    except InvalidSymbol:
        return None


def _at(cells: pd.Series | list[object], rows: NDArray[np.bool_]) -> pd.Series | list[object]:
    if isinstance(cells, pd.Series):
        return cells[rows]
    return [cells[i] for i in np.flatnonzero(rows)]


def _is_label(column: Column) -> bool:
    found = role_of(column)
    return found is not None and found.role in ("date", "time", "symbol", "market")


def _dates(
    table: Table, columns: Sequence[Column], own: Sequence[Column], exchange: str | None
) -> tuple[int, Dates]:
    """Index of the column of dates, and its dates; several columns have to agree."""
    found = [own.index(column) for column in date_columns(table, own)]
    read = []
    for i in found:
        hint, hint_from = _hint(table, own, i)
        try:
            read.append(
                read_dates(
                    own[i].cells,
                    exchange,
                    whole=columns[i].cells if columns[i] is not own[i] else (),
                    hint=hint,
                    hint_from=hint_from,
                )
            )
        except Fault:
            if len(found) == 1:
                raise
    same = [np.array_equal(each.days, read[0].days, equal_nan=True) for each in read]
    if len(read) < len(found) or not all(same):
        raise no_column("date", "'Date'", [own[i] for i in found], own)
    return found[0], read[0]


def _calendar(symbol: str | None, market: str | None) -> str | None:
    try:
        return market_of(symbol).calendar if symbol else None
    except InvalidSymbol:  # `fetch` says so after reading, unless the file names the exchange
        return calendar_named(market) if market else None


def _hint(table: Table, columns: Sequence[Column], at: int) -> tuple[DateOrder | None, str]:
    """The order of day and month that the labels or the marks between the numbers imply."""
    if table.exporter and table.exporter.month_first:
        return "month/day/year", f"files of {table.exporter.name}"
    languages = {found.language for c in columns if (found := role_of(c))}
    if spoken := sorted(languages & DAY_FIRST_LANGUAGES):
        return "day/month/year", spoken[0]
    if any("." in cell[:6] for cell in columns[at].cells[:1] if isinstance(cell, str)):
        return "day/month/year", "dates with points"
    return None, ""


def _of_cotahist(
    found: CotahistRows, inside: tuple[str, ...], symbol: str | None, span: Span
) -> Reading:
    if not found.dates:
        raise NotInFile(found.papers)
    dates = read_dates(found.dates, None).days
    wanted = span.holds(dates)
    notes: tuple[PriceProblem, ...] = ()
    if found.per_many:
        text = f"{found.per_many} prices were those of many shares at once; divided by their number"
        notes = (PriceProblem("quoted_per_many", text),)
    return Reading(
        "COTAHIST (B3)",
        inside,
        found.papers,
        "columns 3 to 10",
        "columns 109 to 121",
        "raw",
        dates[wanted],
        np.array(found.closes)[wanted],
        notes,
    )
