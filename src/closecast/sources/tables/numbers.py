"""A column of closes as numbers, in the one convention in which the whole file writes them.

Where a column leaves it open (``1,234`` or ``100.719`` in every cell), the file's other columns
decide, then the size of neighbouring closes, then the exporter; else the file is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from closecast.core.prices import UNIT_RATIO
from closecast.sources.tables.faults import Fault
from closecast.sources.tables.missing import is_missing

Mark = Literal[".", ","]

_CURRENCY = r"(?:R\$|US\$|[ACHNS]\$|HK\$|\$|€|£|¥|₹|Rs\.?)"
_MONEY = re.compile(rf"^([-+]?)\s*{_CURRENCY}\s*|\s*(?:R\$|[$€£¥₹])$")
_APART = re.compile(r"(?<=\d)[ '’`\u00a0\u202f\u2009](?=\d{3}(?!\d))")
_POINT = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})*,\d{3}|\d+)(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"
    r"|[-+]?inf(?:inity)?",
    re.ASCII | re.IGNORECASE,
)
_COMMA = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?|,\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE
)
_MARKED = re.compile(r"[-+]?([\d.,]+)(?:e[-+]?\d+)?\s*[%KMBT]?", re.ASCII | re.IGNORECASE)
_GROUPS = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*|\d{1,2}(?:,\d{2})+,\d{3}", re.ASCII)
_ADVICE = "Write closes with a decimal point and without thousands separators."
_PLAIN = re.compile(r"[0-9.,]{1,30}", re.ASCII)
_DIGITS_AND_POINTS = re.compile(r"[0-9.\n]*", re.ASCII)
_ENOUGH_WHOLE = 3  # closes without a mark; fewer may be rows in another unit
_NO_NUMBER = "?"
_LONGEST = 60  # characters of a cell that may be a number


@dataclass(frozen=True, slots=True)
class Convention:
    """Number format of a file, and where it was found if the closes alone leave it open."""

    decimal: Mark
    found_in: str = ""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Closes of the rows that are wanted.

    Attributes
    ----------
    values : array of float64, shape (n,)
        NaN where a cell is empty.
    remarks : tuple of str
        How they were read, where that was not plain.
    """

    values: NDArray[np.float64]
    remarks: tuple[str, ...] = ()


def read_numbers(
    column: pd.Series | Sequence[Any],
    wanted: NDArray[np.bool_],
    dates: NDArray[np.datetime64],
    *,
    others: Iterable[Sequence[Any]] = (),
    usual: Mark | None = None,
) -> Numbers:
    """Read the wanted cells of a column of closes.

    Parameters
    ----------
    column : sequence of length n
        Closes of all rows.
    wanted : array of bool, shape (n,)
        Rows to read; a cell elsewhere need not be a number.
    dates : array of datetime64[D], shape (n,)
        Date of each row, for the message.
    others : iterable of sequences
        The file's other columns, for its convention.
    usual : {".", ","}, optional
        Decimal mark of the exporter, where nothing else decides.

    Raises
    ------
    Fault
        If a cell is no number, or the numbers may be read in two ways.
    """
    if isinstance(column, pd.Series):
        if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "b":
            values = column.to_numpy(np.float64, na_value=np.nan)
            return Numbers(np.asarray(values)[wanted])
        column = column.tolist()
    rows = np.flatnonzero(wanted)
    if (plain := _plain_numbers(column, rows)) is not None:
        return Numbers(plain)
    cells = [_cell(cell) for cell in column]
    texts = [cell if isinstance(cell, str) else "" for cell in cells]
    convention = _convention(texts, rows, others, usual)
    values = np.array([_number(cells[i], convention.decimal) for i in rows], dtype=np.float64)
    empty = np.array([isinstance(c := cells[i], float) and np.isnan(c) for i in rows], dtype=bool)
    bad = rows[np.isnan(values) & ~empty]
    if len(bad):
        day = None if np.isnat(dates[bad[0]]) else str(dates[bad[0]])
        shown = _shown(column[bad[0]])
        message = f"close {shown} is not a number"
        if len(bad) > 1:
            message = f"{len(bad)} closes are not numbers, the first {shown}"
        raise Fault(
            "not_a_number",
            message,
            day,
            advice="Correct these rows, or choose a span without them.",
        )
    return Numbers(values, _remarks(convention, texts))


def _plain_numbers(column: Sequence[Any], rows: NDArray[np.intp]) -> NDArray[np.float64] | None:
    """The usual case in one step: decimal points alone, and a number that proves them."""
    if not all(type(cell) is str for cell in column):
        return None
    if not _DIGITS_AND_POINTS.fullmatch("\n".join(column)):
        return None
    if next((found for text in column if (found := _evidence(text))[:1] in (".", ",")), "") != ".":
        return None
    try:
        return np.array([float(column[i]) for i in rows], dtype=np.float64)
    except ValueError:
        return None


def _remarks(convention: Convention, texts: Sequence[str]) -> tuple[str, ...]:
    name = {".": "decimal point", ",": "decimal comma"}[convention.decimal]
    if convention.found_in:
        return (f"{name}, as {convention.found_in}",)
    if convention.decimal == ",":
        return (name,)
    return (f"{name} and commas for thousands",) if any("," in text for text in texts) else ()


def _shown(cell: Any) -> str:
    return repr(cell.strip()[:40] if isinstance(cell, str) else cell)[:60]


def _cell(cell: Any) -> str | float:
    """A cell as a number, NaN where it is empty; or its text, which may still be a number."""
    if type(cell) is str:
        return _bare(cell) if not is_missing(cell) else np.nan
    if is_missing(cell):
        return np.nan
    if isinstance(cell, bytes):
        return _cell(cell.decode("latin-1"))
    if isinstance(cell, int | float | np.number | Decimal) and not isinstance(cell, bool):
        try:
            return float(cell)
        except (OverflowError, ValueError, TypeError):
            return np.inf
    return _NO_NUMBER


def _bare(text: str) -> str:
    """A text without its currency and without marks that can only be those of thousands."""
    if _PLAIN.fullmatch(text):
        return text
    if len(text) > _LONGEST:
        return _NO_NUMBER
    return _APART.sub("", _MONEY.sub(r"\1", text.strip()))


def _number(cell: str | float, decimal: Mark) -> float:
    """The number of a cell, NaN where it is none."""
    if isinstance(cell, float):
        return cell
    if decimal == "," and _COMMA.fullmatch(cell):
        return float(cell.replace(".", "").replace(",", "."))
    if decimal == "." and _POINT.fullmatch(cell):
        return float(cell.replace(",", ""))
    return np.nan


def _evidence(text: str) -> str:
    """The decimal mark that a text proves, ``?`` and the mark where it leaves it open, or nothing.

    >>> [_evidence(text) for text in ("1.234,50", "12,5", "1,23,456", "1,234", "7", "0,123")]
    [',', ',', '.', '?,', '', ',']
    """
    if "." not in text and "," not in text:
        return ""
    match = _MARKED.fullmatch(text)
    if match is None:
        return ""
    digits = match[1]
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        return "," if digits.rindex(",") > digits.rindex(".") else "."
    mark, other = (".", ",") if points else (",", ".")
    if points + commas > 1:
        return other if _GROUPS.fullmatch(digits) else ""
    if not _GROUPS.fullmatch(digits) or digits[0] == "0" or "e" in text.lower():
        return mark
    return f"?{mark}"


def _convention(
    texts: Sequence[str],
    rows: NDArray[np.intp],
    others: Iterable[Sequence[Any]],
    usual: Mark | None,
) -> Convention:
    found = Counter(_evidence(text) for text in texts)
    if found["."] or found[","]:
        return Convention("," if found[","] > found["."] else ".")
    open_marks = [mark for mark in found if mark.startswith("?")]
    if not open_marks:
        return Convention(".")
    if proof := _file_wide(others):
        return Convention(proof, "in the file's other columns")
    if proof := _by_size([texts[i] for i in rows]):
        return Convention(proof, "the sizes of neighbouring closes leave no other")
    if usual:
        return Convention(usual, "this exporter writes it")
    example = next(text for text in texts if _evidence(text) in open_marks)
    raise Fault(
        "ambiguous_number",
        f"close {example!r} may be in thousands or have three decimals",
        advice=_ADVICE,
    )


def _file_wide(others: Iterable[Sequence[Any]]) -> Mark | None:
    """The decimal mark of the other columns, if all that prove one prove the same."""
    found: set[str] = set()
    for cells in others:
        found |= {_evidence(text) for text in _texts_of(cells)} & {".", ","}
        if len(found) > 1:
            return None
    return "." if found == {"."} else "," if found == {","} else None


def _texts_of(cells: Sequence[Any]) -> Iterator[str]:
    for cell in set(cells) if all(type(cell) is str for cell in cells) else ():
        yield _bare(cell)


def _by_size(texts: Sequence[str]) -> Mark | None:
    """The decimal mark under which no close is far off its neighbour, if only one is so."""
    if sum(bool(text) and not _evidence(text) for text in texts) < _ENOUGH_WHOLE:
        return None
    believable: list[Mark] = []
    for mark in (".", ","):
        values = np.array([_number(text, mark) for text in texts if text])
        values = values[np.isfinite(values) & (values > 0)]
        if len(values) > 1 and np.abs(np.diff(np.log(values))).max() < np.log(UNIT_RATIO):
            believable.append(mark)
    return believable[0] if len(believable) == 1 else None
