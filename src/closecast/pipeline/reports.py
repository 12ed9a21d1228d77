"""Reports of a training: results on disk, a run in MLflow, commit and library versions."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess  # fixed commands, no shell  # nosec B404
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from closecast.core.symbols import panel_label, panel_name
from closecast.errors import JobCancelled
from closecast.evaluation import Evaluation
from closecast.forecasters import TrainingReport
from closecast.infra.files import write_atomically
from closecast.infra.redaction import redacted
from closecast.registry.documents import TABLE_FILE, Manifest
from closecast.settings import Settings
from closecast.tracking.experiments import PREFIX, ExperimentName
from closecast.tracking.export import renew_experiments
from closecast.tracking.live_run import LiveRun
from closecast.tracking.mlflow import by_epoch, record_run
from closecast.validation.gate import Decision

_LONGEST_TAG = 4_000
"""MLflow's databases hold 5000 characters."""


def write_results(
    folder: Path,
    manifest: Manifest,
    every_row: Mapping[str, Any],
    table: str,
    report: TrainingReport,
) -> None:
    """Scores as JSON and as a table, and the training log."""
    scores = {
        "version": manifest.version,
        "best_valid_loss": report.best_valid_loss,
        "training_seconds": report.seconds,
        "gate": manifest.info.gate,
        "symbols": every_row,
    }
    write_atomically(folder / "evaluation.json", json.dumps(scores, indent=1).encode())
    write_atomically(folder / TABLE_FILE, f"{table}\n".encode())
    if report.epochs:
        log = io.StringIO()
        writer = csv.DictWriter(log, list(report.epochs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.epochs)
        write_atomically(folder / "training_log.csv", log.getvalue().encode())


def track(
    settings: Settings,
    manifest: Manifest,
    files: Mapping[str, bytes],
    evaluations: Mapping[str, Evaluation],
    decisions: Mapping[str, Decision],
    report: TrainingReport,
    results: Path,
    run: LiveRun | None = None,
) -> str | None:
    """Record a bundle, its scores and results as one MLflow run, and return its id.

    Parameters
    ----------
    run : LiveRun, optional
        Open since the training began; without it a new run is written.

    Notes
    -----
    Metrics are means over symbols; those with history begin with ``history_``, those of the
    forecast before its location was shrunk with ``raw_``.
    """
    info, data = manifest.info, manifest.info.data[0]
    metrics: dict[str, float] = {"training_seconds": report.seconds}
    if report.best_valid_loss is not None:
        metrics["best_valid_loss"] = report.best_valid_loss
    name = info.forecaster
    of_mode = {
        "": [e.row(name) for e in evaluations.values()],
        "history_": [e.row(name, "with history") for e in evaluations.values()],
        "raw_": [e.as_trained(name) for e in evaluations.values()],
    }
    for prefix, rows in of_mode.items():
        metrics |= _means(f"{prefix}overall_{{}}", [asdict(row.overall) for row in rows])
        for step in range(1, info.horizon + 1):
            scores = [asdict(row.steps[step - 1]) for row in rows]
            metrics |= _means(f"{prefix}{{}}_step_{step:02}", scores)
    outcomes = sorted({decision.outcome for decision in decisions.values()})
    with tempfile.TemporaryDirectory(prefix="closecast-bundle-") as scratch:
        bundle = Path(scratch)
        for name, content in files.items():
            (bundle / name).write_bytes(content)
        (bundle / "manifest.json").write_text(manifest.model_dump_json(indent=1))
        record = (
            partial(record_run, settings, experiment=experiment_of(info.symbols, info.name))
            if run is None
            else run.finish
        )
        run_id = record(
            run_name=manifest.version,
            parameters={**info.hyperparameters, "forecaster": info.forecaster},
            metrics=metrics,
            curves={
                key: by_epoch([epoch[key] for epoch in report.epochs])
                for key in ("train_loss", "valid_loss")
                if report.epochs
            },
            tags=_bounded(
                {
                    "symbol": ",".join(info.symbols),
                    "version": manifest.version,
                    "source": data.source,
                    "basis": data.basis,
                    "span": f"{data.first_session} to {data.last_session}",
                    "data_hash": ",".join(span.content_hash[:12] for span in info.data),
                    "git_commit": info.git_commit or "unknown",
                    "gate": ", ".join(outcomes),
                    **{
                        f"gate_{outcome}": ",".join(
                            symbol for symbol, d in decisions.items() if d.outcome == outcome
                        )
                        for outcome in outcomes
                    },
                    "gate_reason": " | ".join(dict.fromkeys(d.reason for d in decisions.values())),
                }
            ),
            artifacts={"bundle": bundle, "results": results},
        )
    renew_experiments(settings)
    return run_id


@contextmanager
def live_run(
    settings: Settings,
    symbols: Sequence[str],
    *,
    name: str | None,
    forecaster: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str],
) -> Iterator[LiveRun]:
    """An MLflow run that is open while a training goes on.

    Where the training fails, or a person cancels it, the run ends as ``FAILED`` or ``KILLED``,
    with the reason as a tag.

    Parameters
    ----------
    parameters : mapping
        Hyper-parameters; none for ``auto``, which has yet to choose.
    """
    run = LiveRun(
        settings,
        experiment_of(symbols, name),
        f"{forecaster}, training",
        {**parameters, "forecaster": forecaster} if parameters else {},
        _bounded({"symbol": ",".join(symbols), "asked_forecaster": forecaster, **tags}),
    )
    run.start()
    try:
        yield run
    except BaseException as error:
        stopped = isinstance(error, JobCancelled) or not isinstance(error, Exception)
        reason = redacted(str(error)) or type(error).__name__
        run.abandon("KILLED" if stopped else "FAILED", reason[:_LONGEST_TAG])
        renew_experiments(settings)
        raise


def experiment_of(symbols: Sequence[str], name: str | None) -> ExperimentName:
    """The experiment of a symbol, or of a panel that may have a name of its own."""
    if len(symbols) == 1:
        return ExperimentName(f"{PREFIX}{symbols[0]}")
    label = name or panel_label(symbols)
    return ExperimentName(f"{PREFIX}{label}", panel_name(symbols), tuple(symbols))


def _bounded(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value[:_LONGEST_TAG] for key, value in tags.items()}


def _means(name: str, scores: list[dict[str, float]]) -> dict[str, float]:
    return {name.format(key): float(np.mean([s[key] for s in scores])) for key in scores[0]}


def git_commit() -> str | None:
    """Commit of the running code, if it is known."""
    given = os.environ.get("CLOSECAST_GIT_COMMIT")
    if given:
        return given
    try:
        answer = subprocess.run(  # nosec B603 B607
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def libraries() -> dict[str, str]:
    """Versions of the libraries that decide a training's numbers."""
    found = {}
    for name in ("closecast", "numpy", "onnxruntime", "pytorch-lightning", "scikit-learn", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
