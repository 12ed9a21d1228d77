"""Files and folders that killed processes left behind: recognise and remove them.

A leftover is recognised by its age, by the owner in its name, or by a lock that is free.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

from filelock import FileLock, Timeout

from closecast.infra.processes import is_alive, owner_name, process_id_of

HOUR_S = 3600.0
"""Seconds; longer than any single write takes."""

WEEK_S = 7 * 86_400.0
"""Seconds; longer than any process of another machine works on its temporary files."""


def is_old(path: Path, age_s: float = HOUR_S) -> bool:
    """Check that a path was changed longer ago than ``age_s`` seconds; false if it is gone.

    A time in the future counts as well: clocks may have been set back.
    """
    try:
        return abs(time.time() - path.stat().st_mtime) > age_s
    except FileNotFoundError:
        return False


def remove_old(paths: Iterable[Path], age_s: float = HOUR_S) -> None:
    """Remove the files and folders that are older than ``age_s`` seconds.

    Raises
    ------
    OSError
        If a file cannot be removed; folders are removed as far as possible.
    """
    for path in paths:
        if is_old(path, age_s):
            _remove(path)


def name_of_owner(suffix: str = "") -> str:
    """A file name that names this process, and a suffix that makes it unique among its files."""
    return quote(owner_name(), safe="") + (f"+{suffix}" if suffix else "")


def owner_in(path: Path) -> str:
    """The owner that a name of :func:`name_of_owner` holds."""
    return unquote(path.name.partition("+")[0])


def is_abandoned(path: Path, age_s: float) -> bool:
    """Check that the process that a path is named after (:func:`name_of_owner`) has ended.

    Processes of another machine, and of this one before it was started again, cannot be looked
    up: their paths are abandoned once they are older than ``age_s`` seconds. False for a name
    that holds no owner.
    """
    owner = owner_in(path)
    try:
        process_id_of(owner)
        alive = is_alive(owner)
    except (ValueError, IndexError):
        return False
    return is_old(path, age_s) if alive is None else not alive


def remove_abandoned(paths: Iterable[Path], age_s: float) -> None:
    """Remove the files and folders that are named after processes that have ended."""
    for path in paths:
        if is_abandoned(path, age_s):
            _remove(path)


def remove_unlocked(folders: Iterable[Path], lock_name: str) -> None:
    """Remove the folders whose lock file exists and is held by no process."""
    for folder in folders:
        if not (folder / lock_name).exists():
            continue
        with suppress(Timeout), FileLock(folder / lock_name, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
