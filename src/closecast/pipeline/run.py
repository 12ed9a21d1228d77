"""All steps in a row: what ``make serve``, ``closecast train`` and ``POST /train`` run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from closecast.errors import ClosecastError
from closecast.forecasters import (
    DEFAULT_FORECASTER,
    Parameters,
    Runtime,
    Watch,
    make_parameters,
)
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.collecting import collect_many
from closecast.pipeline.evaluating import Published, evaluate_candidate
from closecast.pipeline.preprocessing import preprocess
from closecast.pipeline.training import train_candidate
from closecast.pipeline.workspace import Workspace
from closecast.registry import Registry
from closecast.settings import Settings
from closecast.symbols import canonical_list


class TrainRequest(BaseModel):
    """What to train, in JSON types; ``hyperparameters`` are complete and checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbols: tuple[str, ...] = Field(min_length=1)
    source: str
    start: date | None = None
    end: date | None = None
    forecaster: str = DEFAULT_FORECASTER
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

    If a symbol has no model at all, the ``ewma`` forecaster is published first, so that
    something answers while the network trains.

    Raises
    ------
    ClosecastError
        Whatever a step raises; nothing half done becomes visible. Of several symbols one that
        cannot be collected is left out, unless none can.
    """
    if runtime is None:
        runtime = Runtime(settings.accelerator, settings.training_threads)
    parameters = make_parameters(request.forecaster, request.hyperparameters)

    def tell(stage: str, progress: Mapping[str, Any] | None = None) -> None:
        watch({"stage": stage, **(progress or {})})

    with Workspace(settings, request.symbols).alone():
        tell("collect")
        symbols, uncollected = _collect(settings, request)
        tell("preprocess")
        prepared = preprocess(settings, symbols, parameters, uncollected)
        if request.forecaster != "ewma" and _without_model(settings, prepared.symbols):
            tell("first model (ewma)")
            shared = Parameters(seq_length=parameters.seq_length, horizon=parameters.horizon)
            train_candidate(settings, symbols, "ewma", shared)
            evaluate_candidate(settings, symbols)
        tell("train")
        train_candidate(
            settings,
            symbols,
            request.forecaster,
            parameters,
            fine_tune=request.fine_tune,
            runtime=runtime,
            watch=lambda progress: tell("train", progress),
        )
        tell("evaluate", {"percent": 100})
        return evaluate_candidate(settings, symbols, watch)


def _collect(settings: Settings, request: TrainRequest) -> tuple[tuple[str, ...], dict[str, str]]:
    """Symbols whose closes are there now, and why others' are not."""
    symbols = canonical_list(request.symbols)
    found = collect_many(settings, symbols, request.source, request.start, request.end)
    errors = {
        symbol: one
        for symbol, one in zip(symbols, found, strict=True)
        if isinstance(one, ClosecastError)
    }
    if len(errors) == len(symbols):
        raise errors[symbols[0]]
    collected = tuple(symbol for symbol in symbols if symbol not in errors)
    return collected, {symbol: str(error) for symbol, error in errors.items()}


def _without_model(settings: Settings, symbols: Sequence[str]) -> bool:
    registry = Registry(settings.models_url)
    return any(registry.pointer(symbol) is None for symbol in symbols)
