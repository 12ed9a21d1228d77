"""The folder of MLflow's artefacts, which may have moved since a database stored its runs.

MLflow's databases hold absolute places. Copied to another machine, mounted elsewhere in a
container, or renamed, they lead to a folder that is gone, and new runs make it again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:  # it takes seconds to import
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

_IN_A_RUN = "artifacts"
"""Folder below a run's own, as MLflow names it."""


def follow_folder(client: MlflowClient, folder: Path) -> int:
    """Correct the places of all runs whose artefacts lie in a folder now; return their number.

    Their experiments' are corrected, too. A place on an object store, or of a run that has
    nothing here, stays; so do all places where a tracking server keeps the database.

    Parameters
    ----------
    folder : Path
        Absolute; holds one folder per run.
    """
    store = _database_of(client)
    if store is None:
        return 0
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

    here = folder.as_uri()
    with store.ManagedSessionMaker(read_only=False) as session:
        place: Any = SqlRun.artifact_uri
        elsewhere = ~place.startswith(f"{here}/", autoescape=True)
        columns = (SqlRun.run_uuid, SqlRun.experiment_id, SqlRun.artifact_uri)
        moved = [
            row
            for row in session.query(*columns).filter(elsewhere)
            if _is_local(row.artifact_uri) and (folder / row.run_uuid / _IN_A_RUN).is_dir()
        ]
        for row in moved:
            session.query(SqlRun).filter(SqlRun.run_uuid == row.run_uuid).update(
                {"artifact_uri": f"{here}/{row.run_uuid}/{_IN_A_RUN}"}
            )
        for experiment_id in {row.experiment_id for row in moved}:
            experiment = session.get(SqlExperiment, experiment_id)
            if experiment is not None and _is_local(experiment.artifact_location):
                experiment.artifact_location = here
    if moved:
        log.info(
            "artefacts of MLflow are in another folder than before: their places are corrected",
            extra={"runs": len(moved), "before": moved[0].artifact_uri, "folder": here},
        )
    return len(moved)


def keep_in_folder(client: MlflowClient, run: Run, folder: Path) -> None:
    """Correct the place of a run that was just created, before anything is written to it.

    Its experiment may be older than the folder, or another process, which sees the folder at
    another path, may have stored it last.
    """
    store, place = _database_of(client), f"{folder.as_uri()}/{run.info.run_id}/{_IN_A_RUN}"
    if store is None or run.info.artifact_uri == place or not _is_local(run.info.artifact_uri):
        return
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

    with store.ManagedSessionMaker(read_only=False) as session:
        session.query(SqlRun).filter(SqlRun.run_uuid == run.info.run_id).update(
            {"artifact_uri": place}
        )
        session.query(SqlExperiment).filter(
            SqlExperiment.experiment_id == int(run.info.experiment_id)
        ).update({"artifact_location": folder.as_uri()})
    log.info(
        "an experiment of MLflow had another folder for artefacts: it was corrected",
        extra={"before": run.info.artifact_uri, "folder": folder.as_uri()},
    )


def _database_of(client: MlflowClient) -> Any | None:
    """The store of a client that writes to a database itself; ``None`` of a tracking server's."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = client._tracking_client.store
    return store if isinstance(store, SqlAlchemyStore) else None


def _is_local(uri: str) -> bool:
    """Check that a place is a folder of a machine, as ``file:///a/b`` and ``/a/b`` are."""
    parts = urlsplit(uri)
    return parts.scheme in ("", "file") and parts.hostname in (None, "localhost")
