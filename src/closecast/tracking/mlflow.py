"""MLflow: the only module that knows it.

Runs are written through ``MlflowClient``; the fluent API keeps its state in globals and is
not safe with threads. Tracking that fails never fails a training: it is logged and left.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from closecast.infra.leftovers import HOUR_S, is_abandoned, name_of_owner, owner_in
from closecast.infra.processes import owner_name
from closecast.settings import Settings
from closecast.tracking.artifact_folder import follow_folder, keep_in_folder
from closecast.tracking.experiments import ExperimentName, find_or_create

if TYPE_CHECKING:  # it takes seconds to import
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_OWNER = "closecast.owner"


def record_run(
    settings: Settings,
    *,
    experiment: ExperimentName | str,
    run_name: str,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    curves: Mapping[str, Sequence[float] | Mapping[int, float]],
    tags: Mapping[str, str],
    artifacts: Mapping[str, Path],
) -> str | None:
    """One finished run with everything that belongs to it.

    Parameters
    ----------
    experiment : ExperimentName or str
        Created if missing; one per symbol or panel.
    curves : mapping
        Metric name to its values per epoch, in order or by epoch from 1.
    artifacts : mapping
        Folder inside the run's artefacts to a local folder whose files go there.

    Returns
    -------
    str or None
        The run's identifier; ``None`` if MLflow is turned off or could not be written.
    """
    if not settings.mlflow_tracking_uri:
        return None
    try:
        name = ExperimentName(experiment) if isinstance(experiment, str) else experiment
        run = open_run(settings, name, run_name)
        status = "FAILED"
        try:
            run.log(
                parameters=parameters,
                tags=tags,
                metrics=metrics,
                curves={
                    key: values if isinstance(values, Mapping) else by_epoch(values)
                    for key, values in curves.items()
                },
            )
            for folder, local in artifacts.items():
                run.client.log_artifacts(run.run_id, str(local), artifact_path=folder)
            status = "FINISHED"
        finally:
            run.close(status)
        return run.run_id
    except Exception as error:  # MLflow raises errors of half a dozen libraries
        log.warning("MLflow could not record the run", extra={"reason": repr(error)})
        return None


def by_epoch(values: Sequence[float]) -> dict[int, float]:
    """Values of epochs by their number, from 1."""
    return dict(enumerate(values, start=1))


@contextmanager
def connected(settings: Settings) -> Iterator[MlflowClient]:
    """A client whose database is ready; of all processes here, one at a time makes it so."""
    folder = settings.mlflow_artifact_dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    uri = settings.mlflow_tracking_uri
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    # Processes that create the database at once break each other's migrations.
    with FileLock(folder.parent / ".mlflow.lock", timeout=120):
        client = _client(settings)
        try:
            follow_folder(client, folder)
        except Exception as error:  # as of a database that is read-only: it can be read as it is
            log.warning("places of artefacts not corrected", extra={"reason": repr(error)})
        yield client


def _client(settings: Settings) -> MlflowClient:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A worker has more to do than to wait a quarter of an hour for a server that is away.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # migrations are no news to a user
    return MlflowClient(tracking_uri=settings.mlflow_tracking_uri)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is written, from :func:`open_run` until it is closed."""

    client: MlflowClient
    run_id: str
    started_ms: int
    note: Path

    def log(
        self,
        *,
        parameters: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Mapping[int, float]] | None = None,
    ) -> None:
        """Write parameters, tags, metrics, and points of curves by their epoch.

        Parameters
        ----------
        curves : mapping
            Metric name to values by epoch, from 1.
        """
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self.client.log_batch(
            self.run_id,
            params=[Param(key, str(value)) for key, value in (parameters or {}).items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )
        points = [Metric(key, float(value), now, 0) for key, value in (metrics or {}).items()]
        for key, values in (curves or {}).items():
            points += [Metric(key, float(value), now, step) for step, value in values.items()]
        for start in range(0, len(points), 900):  # the server takes 1000 at once
            self.client.log_batch(self.run_id, metrics=points[start : start + 900])

    def close(self, status: str) -> None:
        """Close the run: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self.client.set_terminated(self.run_id, status)
        self.note.unlink(missing_ok=True)


def open_run(settings: Settings, experiment: ExperimentName, run_name: str) -> OpenRun:
    """Open a run; a note on the disk names its process until it is closed."""
    with connected(settings) as client:
        folder = settings.mlflow_artifact_dir.resolve()
        # A tracking server keeps artefacts where it is configured to; a database has no place.
        place = None if settings.mlflow_tracking_uri.startswith("http") else folder.as_uri()
        experiment_id = find_or_create(client, experiment, place)
    # One note per run: those of runs that could not be closed stay beside the next.
    note = _notes(settings) / name_of_owner(uuid.uuid4().hex)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    run = client.create_run(experiment_id, run_name=run_name, tags={_OWNER: owner_name()})
    opened = OpenRun(client, str(run.info.run_id), int(run.info.start_time), note)
    try:
        keep_in_folder(client, run, folder)
    except BaseException:
        opened.close("FAILED")
        raise
    return opened


def has_abandoned_runs(settings: Settings) -> bool:
    """Check that :func:`close_abandoned_runs` has work to do, without loading MLflow."""
    return bool(_abandoned_notes(settings))


def close_abandoned_runs(settings: Settings) -> list[str]:
    """Close the runs of processes that were killed while they recorded; answers their ids.

    A recording process keeps a note until its run is closed. Without a note of a dead process
    MLflow, which takes seconds to load, is not loaded.
    """
    dead = _abandoned_notes(settings)
    if not dead:
        return []
    closed = []
    try:
        for note in dead:
            closed += _close_runs_of(settings, owner_in(note))
            note.unlink(missing_ok=True)
    except Exception as error:  # as above; the next worker tries again
        log.warning("MLflow could not close abandoned runs", extra={"reason": repr(error)})
    if closed:
        log.warning("closed runs of processes that are gone", extra={"runs": closed})
    return closed


def _close_runs_of(settings: Settings, owner: str) -> list[str]:
    client = _client(settings)
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(
        experiments, f"attributes.status = 'RUNNING' and tags.`{_OWNER}` = '{owner}'"
    )
    for run in runs:
        client.set_terminated(run.info.run_id, "KILLED")
    return [str(run.info.run_id) for run in runs]


def _notes(settings: Settings) -> Path:
    return settings.mlflow_artifact_dir.resolve().parent / ".recording"


def _abandoned_notes(settings: Settings) -> list[Path]:
    notes = _notes(settings)
    if not settings.mlflow_tracking_uri or not notes.is_dir():
        return []
    # A process that lives touches its note every minute.
    return [note for note in notes.glob("*") if is_abandoned(note, HOUR_S)]
