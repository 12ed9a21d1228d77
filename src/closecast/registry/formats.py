"""Format numbers of bundles and pointers, and errors that tell another version from damage.

A file that another version of closecast wrote is whole: its hash is the manifest's. It is never
called damaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from closecast.errors import DamagedBundle, OtherFormat, UnknownName
from closecast.registry.documents import FORMAT, POINTER_FORMAT, Manifest

_MOST_NAMED = 5
"""Symbols that the advised command names; of a larger pool, only the one that was asked for."""


@contextmanager
def judged_by_format(manifest: Manifest, symbol: str | None = None) -> Iterator[None]:
    """Name the format of a bundle of older code where the block cannot read its files.

    Every file has been checked against its hash before, so nothing of it can be damaged.

    Parameters
    ----------
    symbol : str, optional
        The one to be served; any of the bundle's by default.

    Raises
    ------
    OtherFormat
        In place of :class:`DamagedBundle` and :class:`UnknownName` (a forecaster that is gone), if
        the bundle has an older format than this version makes.
    """
    try:
        yield
    except OtherFormat:
        raise
    except (DamagedBundle, UnknownName) as error:
        if manifest.schema_version >= FORMAT:
            raise
        symbols = manifest.info.symbols
        named = symbols if len(symbols) <= _MOST_NAMED else (symbol or symbols[0],)
        raise OtherFormat(
            f"bundle {manifest.version} was made by an older closecast (format "
            f"{manifest.schema_version}; this one makes {FORMAT}) and lacks what is needed now: "
            f"{error}. `closecast train --symbols {','.join(named)}` makes a new one"
        ) from error


def refuse_newer_bundle(version: str, manifest: bytes) -> None:
    """Raise :class:`OtherFormat` for a manifest of a format that came after this version."""
    _refuse_newer(f"bundle {version}", manifest, FORMAT)


def refuse_newer_pointer(symbol: str, pointer: bytes) -> None:
    """Raise :class:`OtherFormat` for a pointer of a format that came after this version."""
    _refuse_newer(f"the pointer of {symbol}", pointer, POINTER_FORMAT)


def _refuse_newer(what: str, content: bytes, newest: int) -> None:
    try:
        found = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError):
        return  # no document at all: its reader says so
    if type(found) is int and found > newest:
        raise OtherFormat(
            f"{what} was made by a newer closecast (format {found}; this one reads 1 to {newest}): "
            "update closecast here, or go back to a model that it made (POST /model/rollback)"
        )
