"""All steps in a row: what ``make serve``, ``closecast train`` and ``POST /train`` run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict

from closecast.forecasters import (
    Parameters,
    Runtime,
    Watch,
    make_parameters,
)
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.collecting import collect
from closecast.pipeline.evaluating import Published, evaluate_candidate
from closecast.pipeline.preprocessing import preprocess
from closecast.pipeline.training import train_candidate
from closecast.pipeline.workspace import Workspace
from closecast.registry import Registry
from closecast.settings import Settings


class TrainRequest(BaseModel):
    """What to train, in JSON types; ``hyperparameters`` are complete and checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    source: str
    start: date | None = None
    end: date | None = None
    forecaster: str = "lstm"
    hyperparameters: dict[str, Any] = {}
    fine_tune: bool = False


def run_training(
    settings: Settings,
    request: TrainRequest,
    *,
    runtime: Runtime | None = None,
    watch: Watch = ignore_progress,
) -> Published:
    """Collect, preprocess, train, evaluate, publish, promote.

    A symbol without any model gets the ``ewma`` forecaster first, so that something answers
    while the network trains.

    Raises
    ------
    ClosecastError
        Whatever a step raises; nothing half done becomes visible.
    """
    if runtime is None:
        runtime = Runtime(settings.accelerator, settings.training_threads)
    parameters = make_parameters(request.forecaster, request.hyperparameters)
    workspace = Workspace(settings, request.symbol)

    def tell(stage: str, progress: Mapping[str, Any] | None = None) -> None:
        watch({"stage": stage, **(progress or {})})

    with workspace.alone():
        tell("collect")
        collect(settings, workspace.symbol, request.source, request.start, request.end)
        tell("preprocess")
        preprocess(settings, workspace.symbol, parameters)
        if request.forecaster != "ewma" and _has_no_model(settings, workspace.symbol):
            tell("first model (ewma)")
            shared = Parameters(seq_length=parameters.seq_length, horizon=parameters.horizon)
            train_candidate(settings, workspace.symbol, "ewma", shared)
            evaluate_candidate(settings, workspace.symbol)
        tell("train")
        train_candidate(
            settings,
            workspace.symbol,
            request.forecaster,
            parameters,
            fine_tune=request.fine_tune,
            runtime=runtime,
            watch=lambda progress: tell("train", progress),
        )
        tell("evaluate", {"percent": 100})
        return evaluate_candidate(settings, workspace.symbol, watch)


def _has_no_model(settings: Settings, symbol: str) -> bool:
    return Registry(settings.models_url).pointer(symbol) is None
