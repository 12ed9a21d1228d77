"""The columns to read: those of dates, of closes and of symbols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closecast.core.market_names import calendar_named
from closecast.core.prices import Basis
from closecast.core.symbols import canonical
from closecast.errors import InvalidSymbol
from closecast.sources.tables.faults import Fault
from closecast.sources.tables.grid import Column, Table
from closecast.sources.tables.labels import Meaning, meaning, plain
from closecast.sources.tables.layouts import Headerless
from closecast.sources.tables.missing import is_missing

_FILLED_SHARE = 0.9
"""Of the plain closes: with fewer adjusted ones the two cannot be told to be of the same days."""

_FLAGS = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


class NotInFile(Exception):
    """The file names its symbols, and the wanted one is not among them."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = tuple(sorted(set(symbols)))
        super().__init__(listed(self.symbols))


@dataclass(frozen=True, slots=True)
class Closes:
    """The column of closes and what is known about its basis."""

    column: Column
    basis: Basis
    remarks: tuple[str, ...] = ()


def same_symbol(text: str, symbol: str) -> bool:
    """True if a text of a file is a spelling of a canonical symbol."""
    try:
        return canonical(text) == symbol
    except InvalidSymbol:
        return False


def listed(names: Collection[str], most: int = 20) -> str:
    """Names in one line, the first of them where there are many."""
    shown = ", ".join(list(names)[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def role_of(column: Column) -> Meaning | None:
    """The role of a column by its labels; a date's before a close's, as yfinance names levels."""
    found = [each for label in column.labels if (each := meaning(label))]
    dated = [each for each in found if each.role == "date"]
    return next(iter(dated or found), None)


def named_columns(table: Table, symbol: str | None) -> list[Column]:
    """Columns of the table, with labels for those of a layout that has none.

    Labels such as ``MSFT.Close`` or ``('Close', 'MSFT')`` become two.

    Raises
    ------
    Fault
        If there are no labels and no layout fits.
    """
    if table.headerless is not None:
        return _labelled(table, table.headerless)
    if symbol is None:
        return table.columns
    return [_split(column, symbol) for column in table.columns]


def date_columns(table: Table, columns: Sequence[Column]) -> list[Column]:
    """Columns that may hold the dates: the file's first choice of labels, at least one.

    Raises
    ------
    Fault
        If there is none.
    """
    found = [(each, c) for c in columns if (each := role_of(c)) and each.role == "date"]
    best = min((each.rank for each, _ in found), default=0)
    dated = [c for each, c in found if each.rank == best]
    if table.exporter and table.exporter.date:
        dated = [c for c in columns if table.exporter.date in _plain_labels(c)]
    # The index of a frame often has no name of its own; in a CSV it is always the first column.
    if not dated and columns and _plain_labels(columns[0]) in (set(), {"price", "ticker"}):
        dated = [columns[0]]
    if not dated:
        raise no_column("date", "'Date'", [], columns)
    return dated


def closes_column(
    table: Table, columns: Sequence[Column], dates: Column, symbol: str | None
) -> Closes:
    """The column of closes; adjusted ones are preferred.

    Raises
    ------
    Fault
        If there is none or more than one.
    NotInFile
        If the columns name their symbols, and the wanted one is not among them.
    """
    columns = [c for c in columns if c is not dates]
    two_lines = [c for c in columns if len(c.labels) > 1 and _has_role(c, "close", "adjusted")]
    own = [c for c in columns if symbol and _belongs_to(c, symbol)]
    if two_lines:  # one header line names the field, the other one the ticker
        if not own:
            labels = {label for c in two_lines for label in c.labels}
            raise NotInFile(x for x in labels if not _is_close(x))
        columns = own
    adjusted = [c for c in columns if _has_role(c, "adjusted") and not _is_flag(c)]
    adjusted = _filled(adjusted, _first_rank(columns))
    if table.exporter and table.exporter.close and not adjusted:
        wanted = table.exporter.close
        found = [c for c in columns if wanted == "*" or wanted in _plain_labels(c)]
    else:
        # A plain Close is ambiguous: yfinance adjusts it for splits and dividends by default,
        # Yahoo's page for splits only, others not at all.
        # Without any: one column per symbol, as `download(...)["Close"].to_csv()` writes them.
        found = adjusted or _first_rank(columns) or own
    if len(found) != 1:
        also = f" or {symbol!r}" if symbol else ""
        there = [dates, *columns] if not found else columns
        raise no_column("close", f"'Close', 'Adj Close'{also}", found, there)
    if adjusted:
        return Closes(found[0], "adjusted")
    return _flagged(found[0], columns)


def _filled(adjusted: list[Column], plain: list[Column]) -> list[Column]:
    """The adjusted column where it is filled; none where it is empty beside a plain one."""
    if len(adjusted) != 1 or len(plain) != 1:
        return adjusted
    here, beside = (sum(not is_missing(c) for c in one.cells) for one in (adjusted[0], plain[0]))
    if here >= _FILLED_SHARE * beside:
        return adjusted
    if not here:
        return []
    message = f"{str(adjusted[0])!r} has {here} closes where {str(plain[0])!r} has {beside}"
    raise Fault("partly_adjusted", message, advice="Fill that column, or leave it out.")


def rows_of_symbol(
    table: Table, columns: Sequence[Column], symbol: str | None
) -> tuple[NDArray[np.bool_] | None, int, tuple[str, ...]]:
    """Rows of the symbol, the number that name none, and the symbols of the file.

    ``None`` for the rows where no column names symbols. Without a symbol the rows are those of
    the first one in the file.

    Raises
    ------
    NotInFile
        If the file names its symbols, and the wanted one is not among them.
    """
    column = _symbol_column(table, columns, symbol)
    if column is None:
        return None, 0, ()
    names = [_name(cell) for cell in column.cells]
    there = Counter(name for name in names if name)
    if not there:
        return None, 0, ()
    wanted = symbol or next(name for name in names if name)
    own = {name for name in there if name == wanted or same_symbol(name, wanted)}
    if not own:
        raise NotInFile(there)
    rows = np.array([name in own for name in names], dtype=bool)
    return rows, names.count(""), tuple(sorted(there))


def named_market(columns: Sequence[Column]) -> str | None:
    """The exchange that a column names, where it is one for all rows."""
    for column in columns:
        if len(column.labels) == 1 and _has_role(column, "market"):
            names = {name for cell in pd.unique(pd.Series(column.cells)) if (name := _name(cell))}
            calendars = {calendar_named(name) or name for name in names}
            if len(calendars) == 1:
                return min(names)
    return None


def no_column(kind: str, wanted: str, found: Sequence[Column], columns: Sequence[Column]) -> Fault:
    """The fault that a table has no such column, or more than one."""
    there = listed([repr(str(column)) for column in found or columns])
    advice = f"Name exactly one column {wanted}."
    if found:
        message = f"more than one {kind} column: {there}"
        return Fault(f"ambiguous_{kind}_column", message, advice=advice)
    return Fault(f"no_{kind}_column", f"no {kind} column; columns found: {there}", advice=advice)


def _labelled(table: Table, layouts: Sequence[Headerless]) -> list[Column]:
    fitting = [layout for layout in layouts if _is_bar(layout.columns, table.columns)]
    if not fitting:
        raise Fault(
            "no_header",
            f"no line of labels, and no known layout of {len(table.columns)} columns fits",
            advice="Add a first line with the labels Date and Close.",
        )
    names = fitting[0].columns  # of two that fit every row, the closes are the same
    return [replace(c, labels=(name,)) for c, name in zip(table.columns, names, strict=True)]


def _is_bar(names: Sequence[str], columns: Sequence[Column]) -> bool:
    """True if the high is the highest and the low the lowest in every row."""
    if "high" not in names:
        return True
    open_, high, low, close = (
        _floats(columns[names.index(name)].cells) for name in ("open", "high", "low", "close")
    )
    rows = ~np.isnan(open_ + high + low + close)
    fits = (high >= np.maximum(open_, close)) & (low <= np.minimum(open_, close))
    return bool(rows.any() and fits[rows].all())


def _floats(cells: Iterable[Any]) -> NDArray[np.float64]:
    def number(cell: Any) -> float:
        try:
            return float(str(cell).replace(",", "."))
        except ValueError:
            return np.nan

    return np.array([number(cell) for cell in cells])


def _split(column: Column, symbol: str) -> Column:
    """The column with two labels where its one label holds the field and the symbol."""
    if len(column.labels) != 1 or meaning(column.labels[0]):
        return column
    label = column.labels[0].strip()
    if label.startswith("(") and label.endswith(")"):
        parts = [part.strip(" '\"") for part in label[1:-1].split(",")]
        pairs = [tuple(parts)] if len(parts) == 2 else []
    else:
        pairs = [(label[:i], label[i + 1 :]) for i, mark in enumerate(label) if mark in "._:| "]
    for pair in pairs:
        for field, name in (pair, pair[::-1]):
            role = meaning(field)
            if role and role.role in ("close", "adjusted") and same_symbol(name, symbol):
                return replace(column, labels=(field, name))
    return column


def _symbol_column(table: Table, columns: Sequence[Column], symbol: str | None) -> Column | None:
    ignored = table.exporter.ignored if table.exporter else frozenset()
    found = [
        (each.rank, c)
        for c in columns
        if len(c.labels) == 1
        and (each := role_of(c))
        and each.role == "symbol"
        and not _plain_labels(c) & ignored
    ]
    for rank, column in sorted(found, key=lambda pair: pair[0]):
        if rank == 1:
            return column
        names = {name for cell in column.cells if (name := _name(cell))}
        # Names of companies are no symbols; several of them mean that rows are to be told apart.
        if len(names) > 1 or any(same_symbol(n, symbol or "") or _is_symbol(n) for n in names):
            return column
    return None


def _is_symbol(name: str) -> bool:
    try:
        return bool(canonical(name))
    except InvalidSymbol:
        return False


def _name(cell: Any) -> str:
    if is_missing(cell):
        return ""
    if isinstance(cell, bytes):
        cell = cell.decode("latin-1")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()[:60]


def _first_rank(columns: Sequence[Column]) -> list[Column]:
    found = [(each.rank, c) for c in columns if (each := role_of(c)) and each.role == "close"]
    best = min((rank for rank, _ in found), default=0)
    return [c for rank, c in found if rank == best]


def _is_close(label: str) -> bool:
    found = meaning(label)
    return found is not None and found.role in ("close", "adjusted")


def _has_role(column: Column, *roles: str) -> bool:
    return any((each := meaning(label)) and each.role in roles for label in column.labels)


def _belongs_to(column: Column, symbol: str) -> bool:
    return any(same_symbol(label, symbol) for label in column.labels)


def _plain_labels(column: Column) -> set[str]:
    return {plain(label) for label in column.labels}


def _is_flag(column: Column) -> bool:
    return bool(_flags(column))


def _flags(column: Column) -> set[bool]:
    """Values of a column of true and false; empty for a column of closes."""
    found: set[bool] = set()
    for cell in column.cells:
        if is_missing(cell):
            continue
        says = _FLAGS.get(str(cell).strip().lower())
        if says is None:
            return set()
        found.add(says)
    return found


def _flagged(column: Column, columns: Sequence[Column]) -> Closes:
    """The closes with the basis that a column of true and false gives them."""
    for flag in columns:
        says = _flags(flag) if _has_role(flag, "adjusted") else set()
        if not says:
            continue
        if len(says) > 1:
            raise Fault(
                "two_bases",
                f"column {str(flag)!r} calls some rows adjusted and others not",
                advice="Keep the rows of one kind.",
            )
        basis: Basis = "adjusted" if True in says else "raw"
        return Closes(column, basis, (f"basis by column {str(flag)!r}",))
    return Closes(column, "unknown")
