"""Step 3: fit a forecaster, calibrate its intervals. Nothing is judged or published here."""

from __future__ import annotations

from dataclasses import asdict

from closecast.errors import InvalidHyperparameters, MissingStep, UnknownVersion
from closecast.evaluation import calibrate
from closecast.forecasters import (
    Parameters,
    Predictor,
    Runtime,
    Watch,
    load_predictor,
    make_forecaster,
)
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.workspace import Candidate, Workspace
from closecast.registry import Registry
from closecast.serving import BASELINE_FILE, INTERVALS_FILE
from closecast.settings import Settings


def train_candidate(
    settings: Settings,
    symbol: str,
    forecaster: str,
    parameters: Parameters,
    *,
    fine_tune: bool = False,
    runtime: Runtime = Runtime(),
    watch: Watch = ignore_progress,
) -> Candidate:
    """Train on the prepared data of a symbol.

    Parameters
    ----------
    fine_tune : bool
        Start from the weights of the symbol's current bundle.

    Raises
    ------
    MissingStep
        If preprocessing was not run, or was run for other window lengths.
    InvalidHyperparameters
        If fine-tuning is asked for and the current bundle does not fit.
    """
    workspace = Workspace(settings, symbol)
    prepared = workspace.prepared()
    if (prepared.seq_length, prepared.horizon) != (parameters.seq_length, parameters.horizon):
        raise MissingStep(
            f"data processed for seq_length {parameters.seq_length} and horizon "
            f"{parameters.horizon}",
            f"python -m scripts.02_preprocess --symbol {workspace.symbol} "
            f"--set seq_length={parameters.seq_length} --set horizon={parameters.horizon}",
        )
    start_from, parent = None, None
    if fine_tune:
        parent, start_from = current_predictor(settings, workspace.symbol)
    split = prepared.split
    predictor = make_forecaster(forecaster, parameters, runtime).fit(
        [split.train], [split.valid], start_from=start_from, watch=watch
    )
    candidate = Candidate(
        files={
            **predictor.to_files(),
            INTERVALS_FILE: calibrate(predictor, [split.valid]).to_json(),
            BASELINE_FILE: prepared.baseline,
        },
        about={
            "forecaster": forecaster,
            "hyperparameters": parameters.model_dump(),
            "training": asdict(predictor.training),
            "data_hash": prepared.prices.content_hash,
            "fine_tuned_from": parent,
        },
    )
    workspace.put_candidate(candidate)
    return candidate


def current_predictor(settings: Settings, symbol: str) -> tuple[str, Predictor]:
    """Version and trained model of a symbol's current bundle, for fine-tuning.

    Raises
    ------
    InvalidHyperparameters
        If there is none.
    """
    registry = Registry(settings.models_url)
    pointer = registry.pointer(symbol)
    if pointer is None:
        raise InvalidHyperparameters(
            [("fine_tune", f"{symbol} has no model to start from: train without it first")]
        )
    try:
        bundle = registry.load(pointer.version)
    except UnknownVersion as error:
        raise InvalidHyperparameters([("fine_tune", str(error))]) from error
    return pointer.version, load_predictor(bundle.manifest.info.forecaster, bundle.files)
