"""Files inside files: zip, gzip, bzip2 and xz, by what they hold and never by their name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

from closecast.core.symbols import canonical
from closecast.errors import InvalidSymbol
from closecast.sources.tables.fixed_width import CotahistRows, is_cotahist, rows_of_paper

MAX_BYTES = 1 << 28
"""Bytes of a table after it was unpacked: 256 MiB, ten times the largest long file of daily closes
met so far. More would exhaust the memory of the machine that collects."""

_MAX_DEPTH = 3  # a gzip in a zip is met; more is a mistake or meant to do harm
_MAX_DICTIONARY = 1 << 28  # bytes of memory; xz -9 needs a quarter of it
_CHUNK = 1 << 20
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)


@dataclass(frozen=True, slots=True)
class Content:
    """Content of a file once it is unpacked.

    Attributes
    ----------
    data : bytes or CotahistRows
        The bytes, or the rows of one paper of B3's large files.
    inside : tuple of str
        The containers that were opened, outermost first.
    """

    data: bytes | CotahistRows
    inside: tuple[str, ...] = ()


def unpack(stream: IO[bytes], symbol: str | None, depth: int = 0) -> Content:
    """Read a stream to its end, and what is compressed or archived in it.

    Parameters
    ----------
    stream : binary file
        Read once, from where it stands.
    symbol : str, optional
        Canonical symbol. Chooses the member of an archive of several files, and the rows of a
        file of B3 that holds every paper.

    Raises
    ------
    ValueError
        If it is damaged, larger than :data:`MAX_BYTES`, nested too deep, or an archive in which
        no single file is meant.
    """
    head = _read(stream, 16)
    if is_cotahist(head):
        return Content(rows_of_paper(_chunks(head, stream), symbol))
    data = head + _read(stream, MAX_BYTES + 1 - len(head))
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    kind = _compression(data)
    if kind is None:
        return Content(data)
    if depth == _MAX_DEPTH:
        raise ValueError(f"archives are nested more than {_MAX_DEPTH} deep in it")
    try:
        if kind == "zip":
            return _from_zip(data, symbol, depth)
        with _decompressor(kind, data) as inner:
            found = unpack(inner, symbol, depth + 1)
    except _UNREADABLE as error:
        raise ValueError(f"the {kind} file is damaged or cannot be opened: {error}") from error
    return Content(found.data, (kind, *found.inside))


def is_workbook(data: bytes) -> bool:
    """True for Excel's .xlsx, which is a zip file of its own kind."""
    if not data.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "[Content_Types].xml" in archive.namelist()
    except _UNREADABLE:
        return False


def _compression(data: bytes) -> str | None:
    if data.startswith(b"\x1f\x8b"):
        return "gzip"
    if data.startswith(b"BZh"):
        return "bzip2"
    if data.startswith((b"\xfd7zXZ\0", b"]\0\0")):
        return "xz"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not is_workbook(data):
        return "zip"
    return None


def _decompressor(kind: str, data: bytes) -> IO[bytes]:
    stream = io.BytesIO(data)
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if kind == "bzip2":
        return bz2.BZ2File(stream)
    # xz keeps a dictionary as large as the file asks for: up to 4 GiB without a limit.
    whole = lzma.LZMADecompressor(memlimit=_MAX_DICTIONARY).decompress(data, MAX_BYTES + 1)
    return io.BytesIO(whole)


def _from_zip(data: bytes, symbol: str | None, depth: int) -> Content:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if "mimetype" in archive.namelist():
            raise ValueError("it is an OpenDocument file; save it as .xlsx or as CSV")
        members = [m for m in archive.infolist() if not m.is_dir() and not _is_side_file(m)]
        member = _member(members, symbol)
        with archive.open(member) as inner:
            found = unpack(inner, symbol, depth + 1)
    return Content(found.data, (f"zip, file {member.filename!r}", *found.inside))


def _is_side_file(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    return "__MACOSX" in path.parts or path.name.startswith(".")


def _member(members: Sequence[zipfile.ZipInfo], symbol: str | None) -> zipfile.ZipInfo:
    if len(members) == 1:
        return members[0]
    named = [m for m in members if symbol and _stem_is(m.filename, symbol)]
    if len(named) == 1:
        return named[0]
    if not members:
        raise ValueError("the zip file is empty")
    names = ", ".join(repr(m.filename) for m in members[:10])
    more = f" and {len(members) - 10} more" if len(members) > 10 else ""
    wanted = f"and not one of them is named {symbol}" if symbol else "name the symbol"
    raise ValueError(f"the zip file holds {len(members)} files, {wanted}: {names}{more}")


def _stem_is(filename: str, symbol: str) -> bool:
    name = PurePosixPath(filename).name
    stems = {name.rsplit(".", cut)[0] for cut in range(1, 4)} | {name}
    for stem in stems:
        try:
            if canonical(stem) == symbol:
                return True
        except InvalidSymbol:
            continue
    return False


def _read(stream: IO[bytes], count: int) -> bytes:
    """Up to ``count`` bytes; a decompressing stream may give them in pieces."""
    pieces = []
    while count > 0 and (piece := stream.read(min(count, _CHUNK))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _chunks(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head
    while piece := stream.read(_CHUNK):
        yield piece
