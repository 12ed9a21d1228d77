"""Tasks of the worker: their names, and the pipeline functions behind them.

A new task: one function here, one line in ``TASKS``. Arguments and results are JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from closecast.core.point_forecasts import flat_path_note
from closecast.database import Database
from closecast.settings import Settings

ReportProgress = Callable[[Mapping[str, Any]], None]
"""Takes the progress of a job; raises ``JobCancelled`` where the job is to stop."""


_MOST_RUNS = 3
"""Runs of one update, if closes are accepted meanwhile: a person decides more slowly."""


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The surroundings of a task: settings, the worker's database, and its progress report."""

    settings: Settings
    database: Database
    report: ReportProgress


def train(context: TaskContext, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Collect, train, evaluate, publish: :func:`closecast.pipeline.run_training`."""
    from closecast.pipeline import TrainRequest, run_training

    request = TrainRequest.model_validate(arguments)
    published = run_training(context.settings, request, watch=context.report)
    info = published.manifest.info
    name = info.forecaster
    return {
        "version": published.manifest.version,
        "note": flat_path_note(info.location),
        "promoted": list(published.promoted),
        "left_out": dict(published.left_out),
        "gate": {symbol: asdict(decision) for symbol, decision in published.decisions.items()},
        "metrics": {
            symbol: {
                "overall": asdict(evaluation.row(name).overall),
                "step_1": asdict(evaluation.row(name).steps[0]),
                "with_history": asdict(evaluation.row(name, "with history").overall),
                "as_trained": asdict(evaluation.as_trained(name).overall),
                "origins": evaluation.origins,
            }
            for symbol, evaluation in published.evaluations.items()
        },
        "mlflow_run": published.mlflow_run,
    }


def update(context: TaskContext, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Collect new closes of a model, absorb them, score forecasts, check its market regime.

    Once more where a held close was accepted in the meantime: until this job has ended, no other
    update of its symbols can be queued.

    In the result, ``regime`` is true if the market changed since the model was made (``None``
    if that was not checked), and ``retraining`` is the identifier of the job queued for that.
    """
    from closecast.jobs.retraining_triggers import queue_after_regime_change
    from closecast.pipeline import update_version

    version = str(arguments["version"])
    decisions, done = context.database.close_decisions, None
    for _ in range(_MOST_RUNS):
        before = decisions.all_accepted()
        updated = update_version(context.settings, version, context.database, watch=context.report)
        done = updated if done is None else done.followed_by(updated)
        held = decisions.all_held()
        members = {*updated.collected, *updated.failed}
        late = [one.symbol for one in decisions.all_accepted() if one not in before]
        if not members.intersection(held, late):
            break
    assert done is not None
    changed, job = queue_after_regime_change(context.settings, version, context.database)
    return {**asdict(done), "regime": changed, "retraining": job.id if job else None}


TASKS: dict[str, Callable[[TaskContext, Mapping[str, Any]], dict[str, Any]]] = {
    "train": train,
    "update": update,
}
