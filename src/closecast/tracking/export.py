"""Export of MLflow's experiments by the worker, for serving processes without MLflow."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from closecast.errors import BadSetting, NothingRecorded, StorageFailed
from closecast.infra.files import write_atomically
from closecast.settings import Settings
from closecast.tracking.experiments import KEY_TAG, PREFIX, SYMBOLS_TAG
from closecast.tracking.exported import experiments_path, read_experiments
from closecast.tracking.mlflow import connected

log = logging.getLogger(__name__)

RUNS_KEPT = 100
"""Of each experiment, the last started ones."""

_MOST_EXPERIMENTS = 200
_MOST_CURVES = 20
_MOST_POINTS = 200
_Curves = dict[str, list[tuple[int, float | None]]]
_STEP_SCORES = ("mape", "mae", "mse", "rmse", "r2")
_STEP = re.compile(rf"(history_|raw_)?({'|'.join(_STEP_SCORES)})_step_(\d{{2}})")


def write_experiments(settings: Settings) -> Path:
    """Read every experiment from MLflow, and replace the file.

    Raises
    ------
    BadSetting
        If MLflow is turned off.
    StorageFailed
        If MLflow cannot be read, or the file not be written.
    """
    if not settings.mlflow_tracking_uri:
        raise BadSetting("MLflow is turned off (CLOSECAST_MLFLOW_TRACKING_URI=off)")
    try:
        experiments = _experiments(settings)
    except Exception as error:  # MLflow raises errors of half a dozen libraries
        raise StorageFailed(f"MLflow cannot be read: {type(error).__name__}") from error
    content = {"written_at": _time(datetime.now(UTC)), "experiments": experiments}
    path = experiments_path(settings)
    write_atomically(path, json.dumps(content, allow_nan=False).encode())
    return path


def renew_experiments(settings: Settings, *, if_missing: bool = False) -> None:
    """:func:`write_experiments`, where a failure is logged and no more.

    Parameters
    ----------
    if_missing : bool
        Only if there is no file yet.
    """
    if not settings.mlflow_tracking_uri or (if_missing and experiments_path(settings).exists()):
        return
    try:
        write_experiments(settings)
    except StorageFailed as error:
        log.warning("no new statistics", extra={"reason": str(error), "cause": error.__cause__})


def _experiments(settings: Settings) -> list[dict[str, Any]]:
    uri = settings.mlflow_tracking_uri
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return []  # MLflow would make an empty database
    with connected(settings) as client:
        found = client.search_experiments(max_results=_MOST_EXPERIMENTS)
    known = _curves_known(settings)
    experiments = []
    for experiment in found:
        runs = client.search_runs(
            [experiment.experiment_id],
            max_results=RUNS_KEPT + 1,
            order_by=["attributes.start_time DESC"],
        )
        experiments.append(
            {
                "experiment_id": str(experiment.experiment_id),
                "name": experiment.name,
                **_panel_of(experiment, runs),
                "runs": [_run(client, run, known) for run in runs[:RUNS_KEPT]],
                "has_more": len(runs) > RUNS_KEPT,
            }
        )
    return experiments


def _panel_of(experiment: Any, runs: Sequence[Any]) -> dict[str, Any]:
    """Key and symbols of an experiment; of one of an earlier version from its newest run."""
    key = experiment.tags.get(KEY_TAG)
    listed = experiment.tags.get(SYMBOLS_TAG) or next(
        (run.data.tags["symbol"] for run in runs if run.data.tags.get("symbol")), ""
    )
    symbols = [symbol for symbol in listed.split(",") if symbol]
    return {"key": key or experiment.name.removeprefix(PREFIX), "symbols": symbols}


def _curves_known(settings: Settings) -> dict[str, _Curves]:
    """Of runs that had ended when the file was written before: a query less for each curve."""
    try:
        before = json.loads(read_experiments(settings))
        runs = [run for experiment in before["experiments"] for run in experiment["runs"]]
        return {run["run_id"]: run["curves"] for run in runs if run["ended_at"]}
    except (NothingRecorded, StorageFailed, ValueError, LookupError, TypeError):
        return {}


def _run(client: Any, run: Any, known: Mapping[str, _Curves]) -> dict[str, Any]:
    info = run.info
    started, ended = _moment(info.start_time), _moment(info.end_time)
    single: dict[str, float | None] = {}
    curves: _Curves = {}
    before = known.get(info.run_id, {})
    for metric in run.data.to_proto().metrics:
        if metric.step > 0 and len(curves) < _MOST_CURVES:
            curves[metric.key] = before.get(metric.key) or _curve(client, info.run_id, metric.key)
        else:
            single[metric.key] = _finite(metric.value)
    return {
        "run_id": info.run_id,
        "name": info.run_name or "",
        "status": info.status,
        "started_at": _time(started) if started else None,
        "ended_at": _time(ended) if ended else None,
        "duration_s": (ended - started).total_seconds() if started and ended else None,
        "training_seconds": single.get("training_seconds"),
        "best_valid_loss": single.get("best_valid_loss"),
        "params": dict(run.data.params),
        # MLflow's own tags name the user and the script's path; ours, the process.
        "tags": {
            name: value
            for name, value in run.data.tags.items()
            if not name.startswith(("mlflow.", "closecast."))
        },
        "metrics": single,
        "steps": _steps(single, ""),
        "steps_with_history": _steps(single, "history_"),
        "steps_as_trained": _steps(single, "raw_"),
        "curves": curves,
    }


def _curve(client: Any, run_id: str, name: str) -> list[tuple[int, float | None]]:
    points = client.get_metric_history(run_id, name)
    pairs = sorted((point.step, point.value) for point in points)
    return [(step, _finite(value)) for step, value in _thinned(pairs)]


def _steps(metrics: Mapping[str, float | None], prefix: str) -> list[dict[str, float | None]]:
    """Scores per session ahead, out of the names that the pipeline gives them."""
    rows: dict[int, dict[str, float | None]] = {}
    for name, value in metrics.items():
        found = _STEP.fullmatch(name)
        if found and (found[1] or "") == prefix:
            step = int(found[3])
            row = rows.setdefault(step, {"step": step, **dict.fromkeys(_STEP_SCORES)})
            row[found[2]] = value
    return [rows[step] for step in sorted(rows)]


def _thinned(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most 200 points, evenly chosen; the first and the last are among them.

    >>> [step for step, _ in _thinned([(i, 0.0) for i in range(1000)])][:3]
    [0, 5, 10]
    """
    n = len(points)
    if n <= _MOST_POINTS:
        return list(points)
    return [points[round(i * (n - 1) / (_MOST_POINTS - 1))] for i in range(_MOST_POINTS)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _moment(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
