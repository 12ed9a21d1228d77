"""Files that are there whole or not at all, whatever is killed in between."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from closecast.errors import StorageFailed


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


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, durably.

    Raises
    ------
    StorageFailed
        If that is impossible; what was there before stays.
    """
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
