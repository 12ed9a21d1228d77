"""JSON as a table: lists of candles such as freqtrade writes, or lists of objects."""

from __future__ import annotations

import json
from typing import Any

from closecast.sources.tables.date_texts import looks_like_date
from closecast.sources.tables.grid import Column, Table, fitting_layouts, table_of
from closecast.sources.tables.layouts import exporter_of

_MAX_LENGTH = 1 << 26  # characters: 64 MiB; empty lists need 20 times as much memory
_MOST_WRAPPERS = 3  # objects around the list, as in {"data": {"prices": [...]}}


def looks_like_json(text: str) -> bool:
    """True if a text begins like a list or an object of JSON."""
    return text.lstrip()[:1] in ("[", "{") and text.lstrip()[:2] not in ("[]", "{}")


def table_of_json(text: str, made_of: tuple[str, ...]) -> Table:
    """Find the one list of rows in a JSON text.

    Raises
    ------
    ValueError
        If it is no JSON, or has no list of rows, or more than one.
    """
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"its JSON is longer than {_MAX_LENGTH >> 20} MiB")
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error
    except ValueError:
        found = _lines(text)
    rows = _by_date(found) or _list_of_rows(found)
    made_of = (*made_of, "JSON")
    if all(isinstance(row, dict) for row in rows):
        return _of_objects(rows, made_of)
    if not all(isinstance(row, list) for row in rows):
        raise ValueError("its list of rows mixes objects, lists and single values")
    if any(isinstance(cell, str) and not _is_number(cell) for cell in rows[0]):
        return table_of([(i, row) for i, row in enumerate(rows, 1) if row], made_of=made_of)
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        raise ValueError(f"not all of its rows have {width} values like the first one")
    columns = [Column((), list(cells)) for cells in zip(*rows, strict=True)]
    return Table(columns, made_of, None, fitting_layouts(columns))


def _by_date(found: Any) -> list[Any]:
    """Rows of an object whose members are named by their dates, as Alpha Vantage writes them."""
    for _ in range(_MOST_WRAPPERS):
        if not isinstance(found, dict):
            break
        objects = [name for name, value in found.items() if isinstance(value, dict)]
        if objects and all(looks_like_date(name) for name in objects):
            return [{"date": name, **found[name]} for name in objects]
        if "Meta Data" in objects:
            objects.remove("Meta Data")
        if len(objects) != 1:
            break
        found = found[objects[0]]
    return []


def _lines(text: str) -> list[Any]:
    """One JSON value a line."""
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its JSON is damaged: {error}") from error


def _list_of_rows(found: Any) -> list[Any]:
    for _ in range(_MOST_WRAPPERS):
        if isinstance(found, list) and found:
            return found
        if not isinstance(found, dict):
            break
        lists = {
            name: value
            for name, value in found.items()
            if (isinstance(value, list) and value and isinstance(value[0], list | dict))
            or isinstance(value, dict)
        }
        if "prices" in lists:  # CoinGecko adds lists of volumes and capitalisations
            lists = {"prices": lists["prices"]}
        if len(lists) != 1:
            break
        found = next(iter(lists.values()))
    if isinstance(found, list) and found:
        return found
    raise ValueError("its JSON holds no list of rows, or more than one")


def _of_objects(rows: list[dict[str, Any]], made_of: tuple[str, ...]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [
        Column((name,) if name.strip() else (), [row.get(name) for row in rows]) for name in names
    ]
    return Table(columns, made_of, exporter_of(names))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
