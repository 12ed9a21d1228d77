"""Places that a training writes to, tried before it begins: it may take an hour until then."""

from __future__ import annotations

import logging
from pathlib import Path

from closecast.infra.trouble import Trouble
from closecast.infra.write_probe import probe_folder, require_writable
from closecast.registry.registry import Registry
from closecast.settings import Settings

log = logging.getLogger(__name__)

DATA, RESULTS, MLFLOW = (
    "CLOSECAST_DATA_DIR",
    "CLOSECAST_RESULTS_DIR",
    "CLOSECAST_MLFLOW_ARTIFACT_DIR",
)


def require_places(settings: Settings) -> None:
    """Check that models, data and results can be written and have room.

    Costs milliseconds on disks, and two requests on an object store. MLflow's folder is looked
    at, too; a training goes on without it, and a line in the log says that.

    Raises
    ------
    StorageFailed
        If one of them cannot be written; the message names its setting.
    """
    data = settings.data_dir
    names = ("prices", "collected", "processed", "calendars", "scratch")
    folders = [*((data / name, DATA) for name in names), (settings.results_dir, RESULTS)]
    reserve = reserve_bytes(settings)
    Registry(settings.models_url).require_writable(reserve)
    require_writable(folders, reserve)
    if (trouble := mlflow_trouble(settings)) is not None:
        log.warning("MLflow will not record this training", extra={"reason": str(trouble)})


def mlflow_trouble(settings: Settings) -> Trouble | None:
    """Reason for which artefacts of MLflow cannot be written here; ``None`` if they can."""
    if not settings.mlflow_tracking_uri or settings.mlflow_tracking_uri.startswith("http"):
        return None
    folder: Path = settings.mlflow_artifact_dir
    return probe_folder(folder, MLFLOW, reserve_bytes(settings), may_be_missing=True)


def reserve_bytes(settings: Settings) -> int:
    """Free bytes below which a disk counts as nearly full."""
    return settings.disk_reserve_mb * 1_000_000
