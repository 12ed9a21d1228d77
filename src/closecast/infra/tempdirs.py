"""Temporary files of a process that may be killed: a folder of its own, which the next removes."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from closecast.infra.files import storage
from closecast.infra.processes import is_alive, owner_name

_ABANDONED_S = 7 * 86_400.0  # of another place, whose processes cannot be looked up from here


@contextmanager
def own_scratch(parent: Path) -> Iterator[Path]:
    """Let ``tempfile`` put everything into one folder, and remove those of dead processes.

    Whoever is killed removes nothing, and a folder of the whole machine (``/tmp``) would keep the
    checkpoints of every training that was.

    Parameters
    ----------
    parent : Path
        Holds one folder per living process.

    Raises
    ------
    StorageFailed
        If no folder can be made.
    """
    folder = parent / quote(owner_name(), safe="")
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for other in parent.iterdir():
            if _is_abandoned(other):
                shutil.rmtree(other, ignore_errors=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder.resolve())
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    try:
        alive = is_alive(unquote(folder.name))
        old = abs(time.time() - folder.stat().st_mtime) > _ABANDONED_S
    except (ValueError, IndexError, FileNotFoundError):  # no folder of ours, or gone meanwhile
        return False
    return old if alive is None else not alive
