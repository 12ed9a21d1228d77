"""Editions of sources: what shows, without reading a source, that no other closes can come."""

from __future__ import annotations

import os
from hashlib import sha256

from closecast import __version__


def of_sample(argument: str, symbol: str) -> str | None:
    """The version of closecast that the sample ships with: its closes end on one day for good."""
    return f"closecast {__version__}"


def of_file(argument: str, symbol: str) -> str | None:
    """Place, time, size and number of a file on this machine; ``None`` behind any other URL.

    Parameters
    ----------
    argument : str
        The URL, with ``{symbol}`` where the symbol stands.
    """
    url = argument.strip().replace("{symbol}", symbol)
    path = url.removeprefix("file://")
    if not path or "://" in path or "::" in path:
        return None
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    place = sha256(url.encode()).hexdigest()[:12]
    return f"{place} {status.st_mtime_ns} {status.st_size} {status.st_ino}"
