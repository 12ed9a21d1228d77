"""Folder of metrics that the API processes of one ``closecast serve`` share."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from closecast.infra.files import storage
from closecast.infra.leftovers import remove_unlocked

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""``prometheus_client`` reads it when it is imported, and never again."""

_LOCK = ".serve.lock"


@contextmanager
def shared_metrics(parent: Path, processes: int) -> Iterator[None]:
    """Let processes that are started meanwhile count into one fresh folder.

    The folder's lock is held as long as it is used; the kernel frees it when this
    process ends, so leftover folders of killed services are recognised and removed. A single
    process needs no folder, and a folder that the environment names stays as it is.

    Parameters
    ----------
    parent : Path
        Holds one folder per service that runs.
    processes : int
        API processes.

    Raises
    ------
    StorageFailed
        If no folder can be made.
    """
    if processes == 1 or os.environ.get(VARIABLE):
        yield
        return
    folder = parent / uuid.uuid4().hex
    with storage(folder):
        folder.mkdir(parents=True)
        remove_unlocked((other for other in parent.iterdir() if other != folder), _LOCK)
        lock = FileLock(folder / _LOCK)
        lock.acquire()
    os.environ[VARIABLE] = str(folder.resolve())
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
