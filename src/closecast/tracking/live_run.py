"""A run of MLflow that is open while its training goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from closecast.settings import Settings
from closecast.tracking.experiments import ExperimentName
from closecast.tracking.export import renew_experiments
from closecast.tracking.mlflow import OpenRun, open_run

log = logging.getLogger(__name__)

_EVERY_S = 2.0
"""Seconds between two batches of losses."""

_TOUCH_S = 60.0
_PATIENCE_S = 120.0
"""Seconds that the end of a training waits for MLflow at most."""

_LOSSES = ("train_loss", "valid_loss")
_MAIN_NETWORK = "history"

Losses = dict[str, dict[int, float]]


class LiveRun:
    """A run that a thread of its own writes: a slow or absent MLflow costs a training nothing.

    Losses wait in memory until the thread writes them, a batch every two seconds. The first
    failure ends the tracking of this run, with one warning.

    Parameters
    ----------
    parameters, tags : mapping
        Written as soon as the run is open.
    """

    def __init__(
        self,
        settings: Settings,
        experiment: ExperimentName,
        run_name: str,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._begin = (experiment, run_name, parameters, tags)
        self._waiting: Losses = {}
        self._written: Losses = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._end: Callable[[OpenRun], str] | None = None
        self._run_id: str | None = None
        self._thread = threading.Thread(target=self._work, name="mlflow-run", daemon=True)

    def start(self) -> None:
        """Open the run; returns at once."""
        if self._settings.mlflow_tracking_uri:
            self._thread.start()

    def watch(self, progress: Mapping[str, Any]) -> None:
        """Take the losses of an epoch out of a training's progress; returns at once.

        Of several networks the first ones' curves have the network's name before theirs.
        """
        if any(loss not in progress for loss in _LOSSES):
            return
        network = progress.get("network", _MAIN_NETWORK)
        prefix = "" if network == _MAIN_NETWORK else f"{network}_"
        epoch = int(progress["epoch"])
        with self._lock:
            for loss in _LOSSES:
                name = prefix + loss
                if epoch not in self._written.get(name, {}):
                    self._waiting.setdefault(name, {})[epoch] = float(progress[loss])

    def finish(
        self,
        run_name: str,
        *,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        curves: Mapping[str, Mapping[int, float]],
        tags: Mapping[str, str],
        artifacts: Mapping[str, Path],
    ) -> str | None:
        """Write the rest and close the run; its identifier, or ``None`` if it was not written.

        Waits for MLflow two minutes at most.
        """

        def end(run: OpenRun) -> str:
            run.client.update_run(run.run_id, name=run_name)
            missing = {
                name: {e: v for e, v in values.items() if self._written.get(name, {}).get(e) != v}
                for name, values in curves.items()
            }
            run.log(parameters=parameters, tags=tags, metrics=metrics, curves=missing)
            for folder, local in artifacts.items():
                run.client.log_artifacts(run.run_id, str(local), artifact_path=folder)
            return "FINISHED"

        return self._close(end)

    def abandon(self, status: str, reason: str) -> None:
        """Close the run of a training that has failed (``FAILED``) or was stopped (``KILLED``)."""

        def end(run: OpenRun) -> str:
            run.log(tags={"reason": reason})
            return status

        self._close(end)

    def _close(self, end: Callable[[OpenRun], str]) -> str | None:
        if not self._thread.ident:
            return None
        self._end = end
        self._wake.set()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            log.warning("MLflow is slow: the run is not written yet", extra={"run": self._run_id})
        return self._run_id

    def _opened(self) -> OpenRun:
        experiment, run_name, parameters, tags = self._begin
        run = open_run(self._settings, experiment, run_name)
        self._run_id = run.run_id
        run.log(parameters=parameters, tags=tags)
        return run

    def _work(self) -> None:
        try:
            run = self._opened()
            renew_experiments(self._settings)
            self._write_until_end(run)
        except Exception as error:  # MLflow raises errors of half a dozen libraries
            self._run_id = None
            log.warning("MLflow could not record the run", extra={"reason": repr(error)})

    def _write_until_end(self, run: OpenRun) -> None:
        touched_s = 0.0
        status = "FAILED"
        try:
            while self._end is None:
                self._wake.wait(_EVERY_S)
                touched_s += _EVERY_S
                if touched_s >= _TOUCH_S:
                    run.note.touch()
                    touched_s = 0.0
                self._write(run)
            self._write(run)
            status = self._end(run)
        finally:
            run.close(status)

    def _write(self, run: OpenRun) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, {}
            # Before they are: an epoch that is reported again meanwhile would be written twice.
            for name, values in batch.items():
                self._written.setdefault(name, {}).update(values)
        if batch:
            run.log(curves=batch)
