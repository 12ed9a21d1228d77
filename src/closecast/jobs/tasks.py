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
    row = published.evaluation.row(published.manifest.info.forecaster)
    return {
        "version": published.manifest.version,
        "promoted": published.promoted,
        "gate": asdict(published.decision),
        "metrics": {
            "overall": asdict(row.overall),
            "step_1": asdict(row.steps[0]),
            "origins": published.evaluation.origins,
        },
        "mlflow_run": published.mlflow_run,
    }


TASKS: dict[str, Callable[[Settings, Mapping[str, Any], Tell], dict[str, Any]]] = {"train": train}
