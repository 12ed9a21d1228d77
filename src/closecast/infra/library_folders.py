"""Folders of other libraries' caches, where the user of a process has no home to write to.

A service user often has none (``HOME=/nonexistent``), and a container may write to its volumes
alone. matplotlib then fails or prints forty lines, yfinance and others warn.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_IN_HOME = {"MPLCONFIGDIR": ".config/matplotlib", "XDG_CACHE_HOME": ".cache"}
"""Variables that move a folder of libraries, and its usual place below the home."""


def use_writable_folders(parent: Path) -> None:
    """Move caches of libraries below a folder, as far as their usual places cannot be written.

    Variables that are set stay; so does everything where there is a home. Call it before the
    libraries are imported. Folders are made by the libraries, at their first use.

    Parameters
    ----------
    parent : Path
        A folder that this process can write, such as the data folder.
    """
    home = _home()
    for variable, usual in _IN_HOME.items():
        place = _usual_place(home, variable, usual)
        if not os.environ.get(variable) and (place is None or not _can_be_made(place)):
            os.environ[variable] = str(parent.absolute() / "cache" / variable.lower())
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # not one of the usual places can be written
        scratch = parent.absolute() / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor an entry of the user, as of an arbitrary number
        return None


def _usual_place(home: Path | None, variable: str, usual: str) -> Path | None:
    """Place of a folder without its variable; matplotlib's follows that of all settings."""
    if variable == "MPLCONFIGDIR" and (config := os.environ.get("XDG_CONFIG_HOME")):
        return Path(config) / "matplotlib"
    return None if home is None else home / usual


def _can_be_made(folder: Path) -> bool:
    """Check that a folder can be written, or made below its nearest existing parent."""
    for place in (folder, *folder.parents):
        if place.exists():
            return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    return False
