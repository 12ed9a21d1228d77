"""What a worker can do: task names and the pipeline functions behind them.

A new task: one function here, one line in ``TASKS``. Arguments and results are JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from closecast.settings import Settings

Tell = Callable[[Mapping[str, Any]], None]


def train(settings: Settings, arguments: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Collect, train, evaluate, publish; see :func:`closecast.pipeline.run_training`."""
    from closecast.pipeline import TrainRequest, run_training

    published = run_training(settings, TrainRequest.model_validate(arguments), watch=tell)
    name = published.manifest.info.forecaster
    return {
        "version": published.manifest.version,
        "promoted": list(published.promoted),
        "left_out": dict(published.left_out),
        "gate": {symbol: asdict(decision) for symbol, decision in published.decisions.items()},
        "metrics": {
            symbol: {
                "overall": asdict(evaluation.row(name).overall),
                "step_1": asdict(evaluation.row(name).steps[0]),
                "with_history": asdict(evaluation.row(name, "with history").overall),
                "origins": evaluation.origins,
            }
            for symbol, evaluation in published.evaluations.items()
        },
        "mlflow_run": published.mlflow_run,
    }


def update(settings: Settings, arguments: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Collect new closes of a model, absorb them, score forecasts, see whether it still fits.

    Of the result, ``regime`` says whether the market changed since the model was made (``None``:
    nobody looked), ``retraining`` is the job that was queued for that.
    """
    from closecast.database import Database
    from closecast.jobs.retraining_triggers import ask_for_regime
    from closecast.pipeline import update_version

    version = str(arguments["version"])
    database = Database(settings.ledger_url)
    try:
        updated = update_version(settings, version, database, watch=tell)
        changed, job = ask_for_regime(settings, version, database)
    finally:
        database.close()
    return {**asdict(updated), "regime": changed, "retraining": job.id if job else None}


TASKS: dict[str, Callable[[Settings, Mapping[str, Any], Tell], dict[str, Any]]] = {
    "train": train,
    "update": update,
}
