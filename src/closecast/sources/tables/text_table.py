"""Text as a table: its encoding, its delimiter, and the rows between its delimiters."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from closecast.sources.tables.date_texts import looks_like_date
from closecast.sources.tables.grid import MAX_CELLS, Row, Table, header_hits, table_of

_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}
_SEARCHED = 60  # lines that a delimiter is judged by
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SEP_LINE = re.compile(r"\s*\"?sep=(.)\"?\s*", re.IGNORECASE)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_OTHER_FORMATS = {
    b"%PDF": "it is a PDF document",
    b"\xd0\xcf\x11\xe0": "it is an Excel file of before 2007 (.xls); save it as .xlsx or as CSV",
    b"ARROW1": "it is an Arrow file; save it as Parquet",
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd; unpack it first",
}


def text_of(data: bytes) -> tuple[str, str]:
    """Decode a text, and name its encoding where it is not UTF-8.

    Raises
    ------
    ValueError
        If it is no text, or a page or document of another kind.
    """
    for head, sentence in _OTHER_FORMATS.items():
        if data.startswith(head):
            raise ValueError(sentence)
    text, encoding = _decoded(data)
    text = text.removesuffix("\x1a")  # the end of file of old systems
    if _CONTROL.search(text):
        raise ValueError("it is binary")
    if re.match(r"\s*<(!doctype|html|\?xml|table|head|script)\b", text, re.IGNORECASE):
        raise ValueError("it is a web page (HTML or XML), perhaps one that asks to log in")
    return text, encoding


def _decoded(data: bytes) -> tuple[str, str]:
    if data.startswith(_UTF_32):
        return data.decode("utf-32"), "UTF-32"
    if data.startswith(_UTF_16):
        return data.decode("utf-16"), "UTF-16"
    sample = data[:4096]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = sample[offset::2]
        if len(half) > 8 and half.count(0) > 0.9 * len(half):
            return data.decode(encoding), "UTF-16"
    if b"\0" in data:
        raise ValueError("it is binary")
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"  # Excel in much of the world


def table_of_text(text: str, made_of: tuple[str, ...]) -> Table:
    """Find the table in a text.

    Raises
    ------
    ValueError
        If no delimiter makes a table of it, or a line has other cells than the header.
    csv.Error
        If a quoted cell does not end, or is larger than 128 kB.
    """
    first = text.lstrip().partition("\n")[0]
    named = _SEP_LINE.fullmatch(first.rstrip("\r"))
    delimiter = named[1] if named else _delimiter(text)
    rows = [row for row in _rows(text, delimiter, strict=True) if any(row[1])]
    if delimiter in _NAMES:
        made_of = (*made_of, _NAMES[delimiter])
    if named:
        found = table_of(rows[1:], made_of=made_of, delimiter=delimiter)
        line = f"line 1 {first.strip()!r}"
        return replace(found, around=(line, *found.around))
    return table_of(rows, made_of=made_of, delimiter=delimiter)


def _rows(text: str, delimiter: str, *, strict: bool) -> Iterator[Row]:
    if "\n" not in text:
        text = text.replace("\r", "\n")
    reader = csv.reader(
        (match[0] for match in _LINE.finditer(text)),
        delimiter=delimiter,
        strict=strict,
        skipinitialspace=True,
    )
    count = 0
    for row in reader:
        count += len(row)
        if count > MAX_CELLS:
            raise ValueError(f"it has more than {MAX_CELLS:,} cells")
        yield reader.line_num, list(map(str.strip, row))


def _delimiter(text: str) -> str:
    """The delimiter under which most labels, dates and rows of one width are found."""
    sample = "".join(match[0] for match in islice(_LINE.finditer(text[: 1 << 16]), _SEARCHED))
    found = max(_DELIMITERS, key=lambda delimiter: _score(sample, delimiter))
    return found if _score(sample, found)[0] else " " if _score(sample, " ")[0] else ","


def _score(sample: str, delimiter: str) -> tuple[int, int, int, int]:
    try:
        rows = [row for row in _rows(sample, delimiter, strict=False) if any(row[1])]
    except csv.Error:
        return 0, 0, 0, 0
    widths = Counter(len(row) for _, row in rows if len(row) > 1)
    if not widths:
        return 0, 0, 0, 0
    count = max(widths.values())
    dates = sum(any(looks_like_date(cell) for cell in row[:3]) for _, row in rows)
    return 1, header_hits(rows), dates, count
