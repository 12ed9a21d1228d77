"""Words for what was found in a file: its layout, its columns, the lines that are left out."""

from __future__ import annotations

from collections.abc import Sequence

from closecast.errors import PriceProblem
from closecast.sources.tables.columns import Closes, listed, role_of
from closecast.sources.tables.grid import Column, Table
from closecast.sources.tables.layouts import Exporter


def layout_name(table: Table, columns: Sequence[Column], date: Column, closes: Closes) -> str:
    """The exporter, or the columns that were read and the language of their labels."""
    if table.headerless:
        names = tuple(str(column) for column in columns)
        fits = next(layout for layout in table.headerless if layout.columns == names)
        return f"{fits.name}, without labels"
    if table.exporter:
        return _exporter_name(table.exporter)
    languages = {found.language for c in (date, closes.column) if (found := role_of(c))}
    spoken = ", ".join(sorted(languages - {"English"}))
    return f"columns {str(date)!r} and {str(closes.column)!r}" + (f", {spoken}" if spoken else "")


def _exporter_name(exporter: Exporter) -> str:
    return f"{exporter.name}, {exporter.language}" if exporter.language else exporter.name


def notes_on(table: Table, nameless: int) -> tuple[PriceProblem, ...]:
    """Notes on lines around the table and on rows that name no symbol."""
    notes = []
    if table.around:
        lines = "; ".join(table.around)
        notes.append(PriceProblem("lines_around", f"not part of the table, left out: {lines}"))
    if nameless:
        rows = "1 row names" if nameless == 1 else f"{nameless} rows name"
        notes.append(PriceProblem("no_symbol", f"{rows} no symbol; left out"))
    return tuple(notes)


def seen_of(table: Table) -> tuple[tuple[str, str], ...]:
    """Properties found in a table that is refused."""
    found = {
        "layout": _exporter_name(table.exporter) if table.exporter else "",
        "read with": ", ".join(table.made_of),
        "columns": listed([repr(str(column)) for column in table.columns]),
        "left out": "; ".join(table.around),
    }
    return tuple((key, value) for key, value in found.items() if value)
