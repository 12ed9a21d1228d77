"""Answers as CSV (RFC 4180): rows of models, their nested members in columns of their own.

The header has the names of the members; those of a nested one are joined by underscores
(``outcome_actual``), and one of a list with levels by its level (``intervals_0.8_lower``). Dates
are ISO 8601, prices are rounded, and no cell is a formula.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, get_args, get_origin

from fastapi import Response
from pydantic import BaseModel

from api.schemas.base import PRICE
from closecast.core.shown_prices import rounded_price

CSV_CONTENT: dict[str, Any] = {"text/csv": {"schema": {"type": "string"}}}
"""Media type of an answer in the OpenAPI document."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_SAFE = re.compile(r"[^A-Za-z0-9.-]+")

Cells = dict[str, object]


def row_of(row: BaseModel, about: BaseModel | None = None, names: Sequence[str] = ()) -> Cells:
    """Cells of a row by their column.

    Parameters
    ----------
    about : BaseModel, optional
        Answer that the row is a part of.
    names : sequence of str
        Members of it that every row repeats, before its own.
    """
    repeated: Cells = {}
    if about is not None:
        for name in names:
            repeated.update(_member(type(about), name, getattr(about, name), ""))
    return {**repeated, **dict(_cells(type(row), row))}


def columns_of(
    model: type[BaseModel], about: type[BaseModel] | None = None, names: Sequence[str] = ()
) -> list[str]:
    """Columns of :func:`row_of`, of models without a value: those of mappings are not known."""
    repeated = [cell for name in names if about for cell in _member(about, name, None, "")]
    return [column for column, _ in (*repeated, *_cells(model, None))]


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Lines of some rows, without the header; a column that a row lacks is empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(
        [row.get(column, "") for column in columns] for row in rows
    )
    return text.getvalue()


def header_line(columns: Sequence[str]) -> str:
    """The first line of a table."""
    return csv_text(columns, [dict(zip(columns, columns, strict=True))])


def csv_headers(*names: str) -> dict[str, str]:
    """Headers that make a browser store the table as a file, named after its subject.

    >>> csv_headers("prices", "^BVSP")
    {'Content-Disposition': 'attachment; filename="prices-BVSP.csv"'}
    """
    safe = (_SAFE.sub("-", name).strip("-.") for name in names)
    return {"Content-Disposition": f'attachment; filename="{"-".join(filter(None, safe))}.csv"'}


def csv_answer(
    response: Response, rows: Sequence[Cells], *names: str, columns: Iterable[str] = ()
) -> Response:
    """Make the answer with a table.

    Parameters
    ----------
    response : Response
        FastAPI's, with the headers that dependencies have set.
    names : str
        Subject, for the name of the file.
    columns : iterable of str
        The header where there is no row.
    """
    columns = [*dict.fromkeys(column for row in rows for column in row)] or [*columns]
    headers = {**dict(response.headers), **csv_headers(*names)}
    return Response(header_line(columns) + csv_text(columns, rows), 200, headers, "text/csv")


def _cells(
    model: type[BaseModel], row: BaseModel | None, prefix: str = ""
) -> Iterator[tuple[str, object]]:
    for name in model.model_fields:
        yield from _member(model, name, getattr(row, name, None), prefix)


def _member(
    model: type[BaseModel], name: str, value: Any, prefix: str
) -> Iterator[tuple[str, object]]:
    field, column = model.model_fields[name], f"{prefix}{name}"
    nested = _model_in(field.annotation)
    if _is(dict, field.annotation):
        yield from ((f"{column}_{key}", _cell(part)) for key, part in (value or {}).items())
    elif nested is None:
        is_price = PRICE in field.metadata and value is not None
        yield column, _cell(rounded_price(value) if is_price else value)
    elif _is(list, field.annotation):
        for item in value or ():
            level = f"{column}_{item.level:g}_"
            yield from (one for one in _cells(nested, item, level) if one[0] != f"{level}level")
    else:
        yield from _cells(nested, value, f"{column}_")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Model that a member is, holds or may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _is(kind: type, annotation: Any) -> bool:
    """Test if a member is a list or a mapping, or may be."""
    return get_origin(annotation) is kind or any(_is(kind, part) for part in get_args(annotation))


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
