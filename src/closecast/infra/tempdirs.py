"""Temporary files of a process that may be killed: a folder of its own, which the next removes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closecast.infra.files import storage
from closecast.infra.leftovers import WEEK_S, name_of_owner, remove_abandoned


@contextmanager
def own_scratch(parent: Path) -> Iterator[Path]:
    """Let ``tempfile`` put everything into one folder, and remove those of dead processes.

    A killed process removes nothing, and a folder of the whole machine (``/tmp``) would keep the
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
    folder = parent / name_of_owner()
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(parent.iterdir(), WEEK_S)
    before, tempfile.tempdir = tempfile.tempdir, str(folder.resolve())
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
