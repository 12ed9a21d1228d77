"""Closes from a CSV or Parquet file, on disk or behind any fsspec URL (``s3://``, ``https://`` …).

Reads what people really have: yfinance's exports (with one, two or three header lines), long files
of several symbols, one column per symbol, semicolons and decimal commas. Where a file can be read
in two ways (``03/04/2022``, ``1,234``) it is refused instead of guessed at.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import fsspec
import numpy as np
import pandas as pd

from closecast.core.prices import Basis
from closecast.core.symbols import canonical
from closecast.errors import (
    BadSetting,
    InvalidPrices,
    InvalidSymbol,
    NoPrices,
    PriceProblem,
    SourceUnavailable,
    UnknownSymbol,
)
from closecast.settings import Settings
from closecast.sources.base import PriceSource, RawRows
from closecast.sources.cells import read_dates, read_numbers

# Compared after `_plain`: lower case, letters and digits only.
_DATE_NAMES = frozenset({"date", "datetime", "timestamp", "data"})
_CLOSE_NAMES = frozenset({"close", "closelast", "fechamento"})
_ADJUSTED_NAMES = frozenset({"adjclose", "adjustedclose", "closeadj", "fechamentoajustado"})
_SYMBOL_NAMES = frozenset({"symbol", "ticker"})
_LEVEL_NAMES = frozenset({"price", "ticker"})  # what yfinance writes above the dates


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: its label on each header line (blanks left out) and its cells."""

    labels: tuple[str, ...]
    cells: pd.Series

    def named(self, names: frozenset[str]) -> bool:
        return any(_plain(label) in names for label in self.labels)

    def belongs_to(self, symbol: str) -> bool:
        return any(_same_symbol(label, symbol) for label in self.labels)

    def __str__(self) -> str:
        return " ".join(self.labels) or "(no name)"


class FileSource(PriceSource):
    """A CSV or Parquet file of daily closes.

    Parameters
    ----------
    url : str
        A path or any fsspec URL. ``{symbol}`` in it stands for the canonical symbol. Compression
        is recognised by the ending (``.gz``, ``.xz``, ``.zip`` …). What the URL's file system
        needs (keys, end points) comes from that file system's own environment variables, such as
        ``AWS_ENDPOINT_URL`` and ``AWS_ACCESS_KEY_ID`` for ``s3://``.

    Raises
    ------
    BadSetting
        If the URL is empty.

    Notes
    -----
    A file with neither ``{symbol}`` in its URL nor symbols inside is taken to be about the
    requested symbol. ``Adj Close`` is preferred to ``Close``.
    """

    name = "file"

    def __init__(self, url: str) -> None:
        if not url.strip():
            raise BadSetting(
                "the source 'file' needs to know which file; write file:URL, such as "
                "'file:prices/{symbol}.csv' or 'file:s3://bucket/prices.parquet'"
            )
        self.url = url.strip()

    @classmethod
    def from_settings(cls, settings: Settings, argument: str) -> Self:
        return cls(argument)

    def read(self, symbol: str, start: date | None, end: date | None) -> RawRows:
        """The file's rows from ``start`` to ``end`` (both included), in the file's order.

        Raises
        ------
        NoPrices
            No such file, or nothing in it.
        UnknownSymbol
            The file names its symbols and this one is not among them.
        SourceUnavailable
            The file is there and cannot be read: permissions, network.
        InvalidPrices
            The file is no table, has no column of closes or of dates, or a cell is neither a
            number nor empty; each offence inside the span is listed.
        """
        url = self.url.replace("{symbol}", symbol)
        subject = f"{symbol} from {without_secrets(url)}"
        columns = _only_rows_of(symbol, _parse(_load(url), subject), subject)
        close, basis = _close_column(symbol, columns, subject)
        dates = read_dates(_date_column(columns, subject).cells, subject)
        # Rows without a date stay: base.fetch refuses them by name.
        asked = np.ones(len(dates), dtype=bool)
        if start is not None:
            asked &= ~(dates < np.datetime64(start, "D"))
        if end is not None:
            asked &= ~(dates > np.datetime64(end, "D"))
        return RawRows(dates[asked], read_numbers(close.cells, dates, asked, subject), basis)


def _load(url: str) -> bytes:
    shown = without_secrets(url)
    try:
        with fsspec.open(url, "rb", compression="infer") as stream:
            data: bytes = stream.read()
    except FileNotFoundError as error:
        raise NoPrices(f"there is no file {shown}") from error
    except (ImportError, ValueError) as error:  # fsspec's answers to a scheme it cannot serve
        raise BadSetting(f"cannot open {shown}: {error}".replace(url, shown)) from error
    except Exception as error:  # each file system has exceptions of its own
        reason = f"{type(error).__name__}: {error}".replace(url, shown)
        raise SourceUnavailable(
            f"cannot read {shown} ({reason}); check its permissions, the network, and the "
            "credentials in the environment"
        ) from error
    if not data.strip():
        raise NoPrices(f"{shown} is empty")
    return data


def _parse(data: bytes, subject: str) -> list[_Column]:
    try:
        if data.startswith(b"PAR1"):
            return _parquet_columns(data)
        return list(_csv_columns(_decode(data)))
    except (ValueError, OSError, csv.Error) as error:
        raise InvalidPrices(
            subject,
            [
                PriceProblem(
                    "unreadable_table", f"neither CSV nor Parquet can be made of it ({error})"
                )
            ],
            "Export it again as CSV (one line per day, columns Date and Close) or as Parquet.",
        ) from error


def _decode(data: bytes) -> str:
    if b"\0" in data:
        raise ValueError("it is binary")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # Excel in much of the world; labels may have accents


def _parquet_columns(data: bytes) -> list[_Column]:
    frame = pd.read_parquet(io.BytesIO(data))
    levels = [] if isinstance(frame.index, pd.RangeIndex) else range(frame.index.nlevels)
    columns = [
        _Column(
            _labels([frame.index.names[level]]),
            frame.index.get_level_values(level).to_series(index=range(len(frame))),
        )
        for level in levels
    ]
    for i, label in enumerate(frame.columns):
        parts = label if isinstance(label, tuple) else (label,)
        columns.append(_Column(_labels(parts), frame.iloc[:, i].reset_index(drop=True)))
    return columns


def _csv_columns(text: str) -> Iterator[_Column]:
    first_line = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        width = len(rows[0]) if rows else len(row)
        if len(row) < width or any(cell.strip() for cell in row[width:]):
            # A decimal comma in a file separated by commas would otherwise lose its decimals.
            raise ValueError(
                f"line {reader.line_num} has {len(row)} cells where the first line has {width}"
            )
        rows.append([cell.strip() for cell in row[:width]])
    header = _header_lines(rows)
    cells = pd.DataFrame(rows[header:], columns=range(len(rows[0])), dtype=object)
    for i in range(len(rows[0])):
        yield _Column(_labels(row[i] for row in rows[:header]), cells[i])


def _header_lines(rows: Sequence[Sequence[str]]) -> int:
    """Number of header lines: yfinance writes ``Price``, ``Ticker`` and often ``Date``."""
    first = [_plain(row[0]) for row in rows[:3]]
    levels = set(first[:2])
    if len(first) == 3 and first[2] in _DATE_NAMES and not any(rows[2][1:]):
        return 3 if levels <= {"", *_LEVEL_NAMES} else 1
    return 2 if levels == _LEVEL_NAMES else 1


def _labels(parts: Any) -> tuple[str, ...]:
    return tuple(str(part) for part in parts if part is not None and str(part).strip())


def _date_column(columns: Sequence[_Column], subject: str) -> _Column:
    named = [column for column in columns if column.named(_DATE_NAMES)]
    if len(named) == 1:
        return named[0]
    # The index of a frame often has no name of its own; in a CSV it is always the first column.
    if not named and {_plain(label) for label in columns[0].labels} in (set(), _LEVEL_NAMES):
        return columns[0]
    raise _no_such_column("date", "'Date'", named, columns, subject)


def _close_column(symbol: str, columns: Sequence[_Column], subject: str) -> tuple[_Column, Basis]:
    """The column to read, and what is known about its basis."""
    two_lines = [
        c for c in columns if len(c.labels) > 1 and c.named(_ADJUSTED_NAMES | _CLOSE_NAMES)
    ]
    own = [column for column in columns if column.belongs_to(symbol)]
    if two_lines:  # one header line names the field, the other one the ticker
        if not own:
            labels = {label for column in two_lines for label in column.labels}
            tickers = (x for x in labels if _plain(x) not in _ADJUSTED_NAMES | _CLOSE_NAMES)
            raise _unknown_symbol(symbol, tickers, subject)
        columns = own
    adjusted = [column for column in columns if column.named(_ADJUSTED_NAMES)]
    # A plain Close is ambiguous: yfinance adjusts it for splits and dividends by default,
    # Yahoo's page for splits only, others not at all.
    unclear = [column for column in columns if column.named(_CLOSE_NAMES)]
    # Without either: one column per symbol, as `download(...)["Close"].to_csv()` writes them.
    found = adjusted or unclear or own
    if len(found) != 1:
        wanted = f"'Close', 'Adj Close' or {symbol!r}"
        raise _no_such_column("close", wanted, found, columns, subject)
    return found[0], "adjusted" if adjusted else "unknown"


def _only_rows_of(symbol: str, columns: list[_Column], subject: str) -> list[_Column]:
    """The rows of one symbol, where a column says which symbol each row is about."""
    naming = [c for c in columns if len(c.labels) == 1 and c.named(_SYMBOL_NAMES)]
    if not naming:
        return columns
    names = naming[0].cells.astype(str)
    there = {name for name in names.unique() if _same_symbol(name, symbol)}
    if not there:
        raise _unknown_symbol(symbol, names.unique(), subject)
    rows = names.isin(there).to_numpy()
    return [_Column(c.labels, c.cells[rows]) for c in columns]


def _no_such_column(
    kind: str, wanted: str, found: Sequence[_Column], columns: Sequence[_Column], subject: str
) -> InvalidPrices:
    there = ", ".join(repr(str(column)) for column in found or columns)
    if found:
        problem = PriceProblem(f"ambiguous_{kind}_column", f"more than one {kind} column: {there}")
    else:
        problem = PriceProblem(f"no_{kind}_column", f"no {kind} column; columns found: {there}")
    return InvalidPrices(subject, [problem], f"Name exactly one column {wanted}.")


def _unknown_symbol(symbol: str, there: Any, subject: str) -> UnknownSymbol:
    return UnknownSymbol(f"{subject}: no {symbol} in it; it has {', '.join(sorted(set(there)))}")


def _same_symbol(text: str, symbol: str) -> bool:
    try:
        return canonical(text) == symbol
    except InvalidSymbol:
        return False


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


def without_secrets(url: str) -> str:
    """The URL without user, password, query and fragment (where signatures are)."""
    if "://" not in url:
        return url
    return re.sub(r"(://).*@", r"\1", re.split(r"[?#]", url)[0])
