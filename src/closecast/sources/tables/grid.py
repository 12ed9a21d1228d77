"""Rows of cells as a table: its header, its columns, and the lines around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from closecast.sources.tables.date_texts import looks_like_date
from closecast.sources.tables.labels import meaning, plain
from closecast.sources.tables.layouts import HEADERLESS, Exporter, Headerless, exporter_of

Row = tuple[int, list[Any]]
"""Number of the line where the row ends, and its cells."""

_SEARCHED = 40  # rows in which the header is looked for
_LEVEL_NAMES = frozenset({"price", "ticker"})  # the levels that yfinance writes above the dates
_WORD = re.compile(r"[^\W\d_]{3,}")
_EVENT = re.compile(r"dividend|split|dividendo", re.IGNORECASE)
_MOST_REPORTED = 5

MAX_CELLS = 10_000_000
"""Cells of a text or a sheet: about 1 GB of memory, and twice the largest long file of daily closes
met so far."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its label on each header line (blanks left out) and its cells."""

    labels: tuple[str, ...]
    cells: pd.Series | list[Any]

    def __str__(self) -> str:
        return " ".join(self.labels) or "(no name)"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of any file.

    Attributes
    ----------
    columns : list of Column
        All of one length.
    made_of : tuple of str
        Container, encoding and delimiter, as far as they are out of the ordinary.
    exporter : Exporter or None
        The exporter whose labels these are.
    headerless : tuple of Headerless or None
        Layouts that fit a table without labels; ``None`` where it has labels.
    around : tuple of str
        Lines that are no rows, each with its number.
    delimiter : str
        Empty where cells are kept apart by the format itself.
    """

    columns: list[Column]
    made_of: tuple[str, ...] = ()
    exporter: Exporter | None = None
    headerless: tuple[Headerless, ...] | None = None
    around: tuple[str, ...] = ()
    delimiter: str = ""


@dataclass(slots=True)
class _Lines:
    """Lines that are no rows of the table."""

    shown: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, row: Row) -> None:
        if len(self.shown) == _MOST_REPORTED:
            self.more += 1
            return
        text = " ".join(str(cell) for cell in row[1] if not _blank(cell))
        self.shown.append(f"line {row[0]} {text[:80]!r}")

    def all(self) -> tuple[str, ...]:
        return (*self.shown, f"{self.more} more") if self.more else tuple(self.shown)


def table_of(
    rows: Sequence[Row], *, made_of: tuple[str, ...], delimiter: str = "", padded: bool = False
) -> Table:
    """Find the header and the rows of data among the rows of a text or a sheet.

    Parameters
    ----------
    rows : sequence of Row
        Rows that are not blank.
    padded : bool
        Whether a row may be shorter than the header, as sheets leave empty cells out.

    Raises
    ------
    ValueError
        If a row has other cells than the header.
    """
    around = _Lines()
    start, height = _header(rows)
    for row in rows[:start]:
        around.add(row)
    header = [row for _, row in rows[start : start + height]]
    body = rows[start + height :]
    width = _width(header, body)
    first = rows[start][0] if rows else 0
    rule = _RowRule(width, header, first, padded)
    data: list[list[Any]] = []
    last = _last_row_of_data(body, width)
    for i, row in enumerate(body):
        if i <= last and rule.is_full(row[1]):
            data.append(row[1])
        elif i > last or rule.is_around(row):
            around.add(row)
        else:
            data.append(rule.cells(row))
    cells = [list(column) for column in zip(*data, strict=True)] or [[] for _ in range(width)]
    labels = [_labels(row[i] for row in header if i < len(row)) for i in range(width)]
    columns = [Column(*pair) for pair in zip(labels, cells, strict=True)]
    return Table(
        columns,
        made_of,
        exporter_of(label for part in labels for label in part),
        None if height else fitting_layouts(columns),
        around.all(),
        delimiter,
    )


def header_hits(rows: Sequence[Row]) -> int:
    """Number of labels in the table of labels on the row that has most of them."""
    return max((sum(meaning(str(c)) is not None for c in row) for _, row in rows), default=0)


def fitting_layouts(columns: Sequence[Column]) -> tuple[Headerless, ...]:
    """Layouts without labels that have as many columns, and an epoch where this table has one."""
    firsts = [str(c.cells[0]) if len(c.cells) else "" for c in columns]
    return tuple(
        layout
        for layout in HEADERLESS
        if len(layout.columns) == len(columns)
        and looks_like_date(date := firsts[_date_of(layout)])
        and layout.epoch == bool(re.fullmatch(r"\d{9,19}(\.\d*)?", date))
    )


def _date_of(layout: Headerless) -> int:
    return next(i for i, name in enumerate(layout.columns) if name in ("date", "open time"))


def _header(rows: Sequence[Row]) -> tuple[int, int]:
    """Index of the first line of the header, and the number of its lines."""
    searched = rows[:_SEARCHED]
    for i in range(len(searched)):
        if (height := _header_height(rows[i : i + 3])) > 1:
            return i, height
        if any(looks_like_date(cell) for cell in rows[i][1]):
            break
    for wanted in ("date", "close"):
        for i, (_, row) in enumerate(searched):
            cells = [str(cell) for cell in row if not _blank(cell)]
            if any(looks_like_date(cell) for cell in cells):
                continue
            roles = {found.role for cell in cells if (found := meaning(cell))}
            if wanted in roles and len(row) > 1:
                return i, 1
    if searched and any(looks_like_date(cell) for cell in searched[0][1][:2]):
        return 0, 0
    return 0, 1


def _header_height(rows: Sequence[Row]) -> int:
    """Number of header lines: yfinance writes ``Price``, ``Ticker`` and often ``Date``."""
    first = [plain(str(row[0])) if row else "" for _, row in rows]
    levels = set(first[:2])
    if len(first) == 3 and not any(not _blank(cell) for cell in rows[2][1][1:]):
        found = meaning(str(rows[2][1][0]))
        if found and found.role == "date":
            return 3 if levels <= {"", *_LEVEL_NAMES} else 1
    return 2 if levels == _LEVEL_NAMES else 1


def _width(header: Sequence[Sequence[Any]], body: Sequence[Row]) -> int:
    if not header:
        return len(body[0][1]) if body else 0
    width = max(len(row) for row in header)
    while width > 1 and all(_blank(row[width - 1]) for row in header if len(row) >= width):
        if any(len(row) >= width and not _blank(row[width - 1]) for _, row in body):
            break
        width -= 1
    return width


def _last_row_of_data(body: Sequence[Row], width: int) -> int:
    """Index of the last row that is not one of the words below a table."""
    last = len(body) - 1
    while last >= 0 and _is_words(body[last][1], width):
        last -= 1
    return last


def _is_words(row: Sequence[Any], width: int) -> bool:
    filled = [str(cell) for cell in row if not _blank(cell)]
    if not filled or any(looks_like_date(cell) for cell in filled):
        return False
    if len(filled) == 1 and width > 2:  # a checksum or a number of rows, if not a sentence
        return True
    alone = len(filled) == 1 and width > 1
    return (alone or len(row) != width) and any(_WORD.search(cell) for cell in filled)


@dataclass(frozen=True, slots=True)
class _RowRule:
    """Select the rows of data, their cells cut to the width of the table."""

    width: int
    header: Sequence[Sequence[Any]]
    first_line: int
    padded: bool

    def is_full(self, cells: list[Any]) -> bool:
        """True for nearly all rows: cells that need no second look."""
        if len(cells) != self.width or not all(cells[:3]) or self.width == 1:
            return False
        return str(cells[0])[0] not in "#/" and not (self.header and cells == self.header[-1])

    def is_around(self, row: Row) -> bool:
        cells = row[1]
        filled = [cell for cell in cells if not _blank(cell)]
        if str(filled[0]).startswith(("#", "//")) or (self.header and cells == self.header[-1]):
            return True
        if len(filled) == 1 and self.width > 1 and not looks_like_date(filled[0]):
            return bool(_WORD.search(str(filled[0]))) and not _blank(cells[0])
        return len(filled) == 2 and self.width > 2 and bool(_EVENT.search(str(filled[1])))

    def cells(self, row: Row) -> list[Any]:
        number, cells = row
        if self.padded:
            cells = [*cells, *[None] * (self.width - len(cells))]
        if len(cells) < self.width or any(not _blank(cell) for cell in cells[self.width :]):
            # A decimal comma in a file separated by commas would otherwise lose its decimals.
            where = "the first line" if self.first_line == 1 else f"line {self.first_line}"
            raise ValueError(f"line {number} has {len(cells)} cells where {where} has {self.width}")
        return cells[: self.width]


def _labels(parts: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(part) for part in parts if not _blank(part))


def _blank(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())
