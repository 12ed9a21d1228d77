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
    """Collect new closes of a model, absorb them, score forecasts."""
    from closecast.ledger import Ledger
    from closecast.pipeline import update_version

    ledger = Ledger(settings.ledger_url)
    try:
        return asdict(update_version(settings, str(arguments["version"]), ledger, watch=tell))
    finally:
        ledger.close()


TASKS: dict[str, Callable[[Settings, Mapping[str, Any], Tell], dict[str, Any]]] = {
    "train": train,
    "update": update,
}
