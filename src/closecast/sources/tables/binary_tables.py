"""Tables of formats with types of their own: Parquet and Excel's .xlsx."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import pandas as pd

from closecast.core.symbols import canonical
from closecast.errors import InvalidSymbol
from closecast.sources.tables.containers import MAX_BYTES
from closecast.sources.tables.grid import MAX_CELLS, Column, Row, Table, header_hits, table_of
from closecast.sources.tables.layouts import exporter_of

_MAX_CELLS = 50_000_000  # of a Parquet file, which may repeat one value at no cost in bytes


def table_of_parquet(data: bytes, made_of: tuple[str, ...]) -> Table:
    """The columns of a Parquet file, its index among them.

    Raises
    ------
    ValueError
        If it is damaged, or larger than memory should hold.
    """
    import pyarrow.parquet

    try:
        about = pyarrow.parquet.ParquetFile(io.BytesIO(data)).metadata
        if about.num_rows * max(1, about.num_columns) > _MAX_CELLS:
            raise ValueError(f"it has more than {_MAX_CELLS} cells")
        frame = pd.read_parquet(io.BytesIO(data))
        return _of_frame(frame, (*made_of, "Parquet"))
    except ValueError:
        raise
    except Exception as error:  # pyarrow raises errors of a dozen kinds for damaged files
        raise ValueError(f"the Parquet file is damaged: {type(error).__name__}") from error


def _of_frame(frame: pd.DataFrame, made_of: tuple[str, ...]) -> Table:
    levels = [] if isinstance(frame.index, pd.RangeIndex) else range(frame.index.nlevels)
    columns = [
        Column(
            _labels([frame.index.names[level]]),
            frame.index.get_level_values(level).to_series(index=range(len(frame))),
        )
        for level in levels
    ]
    for i, label in enumerate(frame.columns):
        parts = label if isinstance(label, tuple) else (label,)
        columns.append(Column(_labels(parts), frame.iloc[:, i].reset_index(drop=True)))
    labels = [label for column in columns for label in column.labels]
    return Table(columns, made_of, exporter_of(labels))


def table_of_workbook(data: bytes, made_of: tuple[str, ...], symbol: str | None) -> Table:
    """The table of a workbook: of its only sheet that holds one, or of the symbol's sheet.

    Raises
    ------
    ValueError
        If it is damaged, too large, or more than one sheet may be meant.
    """
    import openpyxl

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions that are not read here
            # Rows are read as they come: a lone cell in the last corner costs no memory.
            book = openpyxl.load_workbook(
                io.BytesIO(data), read_only=True, data_only=True, keep_links=False
            )
            sheets = {sheet.title: _rows(sheet) for sheet in book.worksheets}
    except ValueError:
        raise
    except Exception as error:  # openpyxl raises errors of many kinds for damaged files
        raise ValueError(f"the workbook is damaged: {type(error).__name__}") from error
    name = _sheet(sheets, symbol)
    found = (*made_of, "Excel") if len(sheets) == 1 else (*made_of, f"Excel, sheet {name!r}")
    return table_of(sheets[name], made_of=found, padded=True)


def _rows(sheet: Any) -> list[Row]:
    sheet.reset_dimensions()  # what the file claims about its size is often wrong
    rows: list[Row] = []
    count = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        count += len(row)
        if count > MAX_CELLS:
            raise ValueError(f"it has more than {MAX_CELLS:,} cells")
        cells = [cell.strip() if isinstance(cell, str) else cell for cell in row]
        while cells and cells[-1] in (None, ""):
            cells.pop()
        if any(cell not in (None, "") for cell in cells):
            rows.append((number, cells))
    return rows


def _sheet(sheets: dict[str, list[Row]], symbol: str | None) -> str:
    filled = [name for name, rows in sheets.items() if rows]
    own = [name for name in filled if symbol and _is(name, symbol)]
    tables = own or [name for name in filled if header_hits(sheets[name][:40]) > 1] or filled
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise ValueError("the workbook is empty")
    names = ", ".join(repr(name) for name in tables[:10])
    raise ValueError(f"the workbook has {len(tables)} sheets with a table: {names}")


def _is(name: str, symbol: str) -> bool:
    try:
        return canonical(name) == symbol
    except InvalidSymbol:
        return False


def _labels(parts: Any) -> tuple[str, ...]:
    return tuple(str(part) for part in parts if part is not None and str(part).strip())
