"""COTAHIST: B3's history of quotations, in lines of 245 columns without labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from closecast.core.symbols import canonical
from closecast.errors import InvalidSymbol

MAX_BYTES = 1 << 31
"""Bytes of an unpacked file: 2 GiB, three years' worth. Lines of other papers are dropped as they
pass, so that the memory needed does not depend on it."""

_WIDTH = 245
# First and last column of each field, counted from 1 as in B3's description.
_FIELDS = {
    "type": (1, 2),
    "date": (3, 10),
    "paper": (13, 24),
    "market": (25, 27),
    "close": (109, 121),
    "quoted": (211, 217),
}
_SLICES = {name: slice(first - 1, last) for name, (first, last) in _FIELDS.items()}
_CASH_MARKETS = (b"010", b"020")  # round lots, fractional lots; each paper trades in one of them


@dataclass(frozen=True, slots=True)
class CotahistRows:
    """Rows of one paper, in the order of the file.

    Attributes
    ----------
    dates : list of str
        ``YYYYMMDD``.
    closes : list of float
        Prices of one share: cents in the file, there for ``quoted`` shares.
    papers : tuple of str
        Papers of the file, in alphabetical order.
    per_many : int
        Number of rows whose price was that of several shares.
    """

    dates: list[str]
    closes: list[float]
    papers: tuple[str, ...]
    per_many: int


def is_cotahist(head: bytes) -> bool:
    """True if a file begins like one of B3's history of quotations."""
    return head.startswith(b"00COTAHIST")


def rows_of_paper(chunks: Iterable[bytes], symbol: str | None) -> CotahistRows:
    """Read the rows of one paper, or of the first paper where no symbol is named.

    Parameters
    ----------
    chunks : iterable of bytes
        The unpacked file.
    symbol : str, optional
        Canonical symbol.

    Raises
    ------
    ValueError
        If a line of a quotation is too short, holds no number, or the file is too large.
    """
    names: dict[bytes, bool] = {}
    lines: list[bytes] = []
    for line in _lines(chunks):
        if line[:2] != b"01":
            continue
        paper = line[_SLICES["paper"]]
        if paper not in names:
            names[paper] = not names if symbol is None else _is(paper, symbol)
        if names[paper]:
            lines.append(line)
    # A paper that is auctioned or exercised on a day has a row of that market, too.
    cash = [line for line in lines if line[_SLICES["market"]] in _CASH_MARKETS] or lines
    dates, closes, per_many = [], [], 0
    for line in cash:
        if len(line.rstrip(b"\r\n ")) < _FIELDS["close"][1]:
            raise ValueError(f"a line of {_text(line[:24])!r} ends before its price (COTAHIST)")
        dates.append(_text(line[_SLICES["date"]]))
        quoted = _number(line, "quoted") or 1
        per_many += quoted > 1
        closes.append(_number(line, "close") / 100 / quoted)
    papers = tuple(sorted(_text(paper).strip() for paper in names))
    return CotahistRows(dates, closes, papers, per_many)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest, seen = b"", 0
    for chunk in chunks:
        seen += len(chunk)
        if seen > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 30} GiB")
        *complete, rest = (rest + chunk).split(b"\n")
        if len(rest) > 4 * _WIDTH:
            raise ValueError("it begins like COTAHIST and its lines are not of 245 columns")
        yield from complete
    if rest:
        yield rest


def _is(paper: bytes, symbol: str) -> bool:
    try:
        return canonical(_text(paper).strip()) == symbol
    except InvalidSymbol:
        return False


def _number(line: bytes, field: str) -> int:
    digits = line[_SLICES[field]].strip()
    if not digits.isdigit():
        if not digits and field == "quoted":
            return 1
        raise ValueError(f"a line of {_text(line[:24])!r} has {_text(digits)!r} for a number")
    return int(digits)


def _text(field: bytes) -> str:
    return field.decode("latin-1")
