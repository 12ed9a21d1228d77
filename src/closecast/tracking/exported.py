"""The file that :mod:`closecast.tracking.export` writes, readable without MLflow."""

from __future__ import annotations

from pathlib import Path

from closecast.errors import NothingRecorded, StorageFailed
from closecast.settings import Settings


def experiments_path(settings: Settings) -> Path:
    """Path of the file."""
    return settings.results_dir / "statistics.json"


def read_experiments(settings: Settings) -> bytes:
    """The file as it was written last.

    Raises
    ------
    NothingRecorded
        If nothing was written yet.
    StorageFailed
        If it cannot be read.
    """
    path = experiments_path(settings)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NothingRecorded(
            "no statistics yet: the worker writes them after each training; "
            "`closecast statistics` does it now"
        ) from None
    except OSError as error:
        raise StorageFailed(f"{path.name} cannot be read: {error.strerror}") from error
