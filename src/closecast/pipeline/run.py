"""All steps of a training, as ``make serve``, ``closecast train`` and ``POST /train`` run them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from closecast.core.records import Trigger
from closecast.core.short_history import SHORT_HISTORY
from closecast.core.symbols import canonical_list
from closecast.errors import ClosecastError, InvalidHyperparameters
from closecast.forecasters import (
    AUTO,
    BOOTSTRAP,
    DEFAULT_FORECASTER,
    Parameters,
    Runtime,
    Watch,
    canonical_name,
    make_parameters,
)
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.bootstrap import publish_first
from closecast.pipeline.collect import collect_many
from closecast.pipeline.evaluate import PublishedBundle, evaluate_candidate
from closecast.pipeline.model_selection import train_and_choose
from closecast.pipeline.preprocess import preprocess
from closecast.pipeline.progress import OverallProgress
from closecast.pipeline.reports import live_run
from closecast.pipeline.train import train_candidate
from closecast.pipeline.workspace import Candidate, Prepared, Workspace, sizes_of
from closecast.registry.places import require_places
from closecast.settings import Settings
from closecast.tracking.live_run import LiveRun

log = logging.getLogger(__name__)


class TrainRequest(BaseModel):
    """A requested training, in JSON types; ``hyperparameters`` are complete and checked.

    A training with another ``trigger`` than ``request`` is watched by no person: it refuses closes
    with a fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbols: tuple[str, ...] = Field(min_length=1)
    source: str
    start: date | None = None
    end: date | None = None
    forecaster: str = DEFAULT_FORECASTER
    hyperparameters: dict[str, Any] = {}
    fine_tune: bool = False
    name: str | None = Field(None, max_length=60)
    trigger: Trigger = "request"

    _present_name = field_validator("forecaster")(canonical_name)


def run_training(
    settings: Settings,
    request: TrainRequest,
    *,
    runtime: Runtime | None = None,
    watch: Watch = ignore_progress,
) -> PublishedBundle:
    """Collect, preprocess, train, evaluate, publish, promote.

    If a symbol has no model at all, the bootstrap forecaster is published first, so that
    something answers while the network trains.

    Raises
    ------
    ClosecastError
        Any error of a step; nothing incomplete becomes visible. Of several symbols one that
        cannot be collected is left out, unless none can.
    """
    if runtime is None:
        runtime = Runtime(settings.accelerator, settings.training_threads)
    parameters = make_parameters(request.forecaster, request.hyperparameters)

    if request.fine_tune and request.forecaster == AUTO:
        raise InvalidHyperparameters([("fine_tune", "auto trains from scratch: name a forecaster")])

    require_places(settings)
    report = OverallProgress(watch)

    def tell(stage: str, progress: Mapping[str, Any] | None = None) -> None:
        report({"stage": stage, **(progress or {})})

    log.info("training", extra={"symbols": request.symbols, "trigger": request.trigger})
    with Workspace(settings, request.symbols).alone():
        tell("collect")
        symbols, uncollected = _collect(settings, request)
        tell("preprocess")
        automatic = request.trigger != "request"
        prepared = preprocess(
            settings,
            symbols,
            parameters,
            uncollected,
            automatic=automatic,
            shorten=not request.fine_tune,
        )
        is_short = prepared.sizes != sizes_of(parameters)
        used = Parameters(**prepared.sizes, seed=parameters.seed) if is_short else parameters
        auto = request.forecaster == AUTO and not is_short
        of_run = live_run(
            settings,
            prepared.symbols,
            name=request.name,
            forecaster=BOOTSTRAP if is_short else request.forecaster,
            parameters={} if auto else used.model_dump(),
            tags={"source": request.source.partition(":")[0], "trigger": request.trigger},
        )
        with of_run as run:
            if is_short:
                tell("train")
                train_short_history(settings, symbols, prepared, request, parameters)
                tell("evaluate")
                return evaluate_candidate(
                    settings, symbols, report, request.source, name=request.name, run=run
                )
            return _trained(settings, request, symbols, parameters, runtime, report, run)


def _trained(
    settings: Settings,
    request: TrainRequest,
    symbols: tuple[str, ...],
    parameters: Parameters,
    runtime: Runtime,
    report: OverallProgress,
    run: LiveRun,
) -> PublishedBundle:
    """Train and publish on prepared data."""

    def tell(stage: str, progress: Mapping[str, Any] | None = None) -> None:
        report({"stage": stage, **(progress or {})})

    def tell_and_track(progress: Mapping[str, Any]) -> None:
        if request.forecaster != AUTO:  # whose curves would be of several forecasters
            run.watch(progress)
        tell("train", progress)

    if request.forecaster != BOOTSTRAP:
        tell("first model")
        publish_first(
            settings,
            symbols,
            request.source,
            # The other half of the stage publishes it; MLflow's first start takes long.
            watch=lambda progress: tell("first model", {"percent": progress["percent"] / 2}),
        )
    tell("train")
    if request.forecaster == AUTO:
        train_and_choose(
            settings,
            symbols,
            parameters,
            runtime=runtime,
            watch=tell_and_track,
        )
    else:
        train_candidate(
            settings,
            symbols,
            request.forecaster,
            parameters,
            fine_tune=request.fine_tune,
            runtime=runtime,
            watch=tell_and_track,
        )
    tell("evaluate")
    return evaluate_candidate(settings, symbols, report, request.source, name=request.name, run=run)


def train_short_history(
    settings: Settings,
    symbols: Sequence[str],
    prepared: Prepared,
    request: TrainRequest,
    asked: Parameters,
) -> None:
    """Train the bootstrap forecaster with the sizes that a few closes allow.

    The note in the training's report says what was asked for, and what it became.
    """
    longest = max(len(one.prices) for one in prepared.series)
    note = (
        f"a short history of {longest} closes: {BOOTSTRAP} with seq_length {prepared.seq_length} "
        f"and horizon {prepared.horizon}, not {request.forecaster} with {asked.seq_length} and "
        f"{asked.horizon}"
    )
    log.warning("short history", extra={"symbols": prepared.symbols, "reason": note})
    parameters = Parameters(**prepared.sizes, seed=asked.seed)
    candidate = train_candidate(settings, symbols, BOOTSTRAP, parameters)
    training = candidate.about["training"]
    training = {**training, "notes": {**training["notes"], SHORT_HISTORY: note}}
    about = {**candidate.about, "training": training}
    Workspace(settings, symbols).put_candidate(Candidate(candidate.files, about))


def _collect(settings: Settings, request: TrainRequest) -> tuple[tuple[str, ...], dict[str, str]]:
    """Collect closes; the symbols that have them now, and the reasons of the others."""
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
