"""Atomic writes: a file is there whole or not at all, even if the writer is killed."""

from __future__ import annotations

import glob
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closecast.errors import StorageFailed
from closecast.infra.leftovers import remove_old

TICK_NS = 50_000_000
"""Of any file system's clock, nanoseconds: two writes within one may have the same stamp."""


@contextmanager
def storage(place: object) -> Iterator[None]:
    """Turn ``OSError`` (no space, not writable, …) into :class:`StorageFailed` naming the place."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise StorageFailed(
            f"cannot write {place}: {reason}; nothing was changed. "
            "Check free space and permissions, then try again"
        ) from error


def write_atomically(
    path: Path, content: bytes, mode: int = 0o666, owner: tuple[int, int] | None = None
) -> None:
    """Replace ``path`` by ``content``, durably.

    Parameters
    ----------
    mode : int
        Permissions of the new file, less those that the umask takes.
    owner : tuple of int, optional
        User and group that it shall belong to; only root may give files away.

    Raises
    ------
    StorageFailed
        If that is impossible; what was there before stays.
    """
    scratch = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Scratch files of writers of the same file that were killed.
        remove_old(path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 32}"))
        try:
            # Unlike mkstemp's, this file can be read by other users if the umask allows it.
            with open(scratch, "xb", opener=lambda name, how: os.open(name, how, mode)) as file:
                if owner:
                    os.fchown(file.fileno(), *owner)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise StorageFailed(
            f"{path} was replaced, yet a power failure may undo that: {error}. "
            "Check the disk, then repeat the change"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
