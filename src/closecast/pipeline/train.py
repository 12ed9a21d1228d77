"""Step 3: fit a forecaster and calibrate its intervals; the result is a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from closecast.errors import InvalidHyperparameters, MissingStep
from closecast.evaluation import calibrate
from closecast.forecasters import (
    Parameters,
    Predictor,
    Runtime,
    Watch,
    canonical_name,
    load_predictor,
    make_forecaster,
)
from closecast.forecasters.base import ignore_progress
from closecast.forecasters.location import learn_shrinkage, shrink
from closecast.forecasters.shrunk import without_shrinkage
from closecast.pipeline.workspace import Candidate, Prepared, Workspace
from closecast.registry.documents import BASELINE_FILE, INTERVALS_FILE, dump_by_symbol
from closecast.registry.registry import Registry
from closecast.settings import Settings


def train_candidate(
    settings: Settings,
    symbols: Sequence[str],
    forecaster: str,
    parameters: Parameters,
    *,
    fine_tune: bool = False,
    runtime: Runtime = Runtime(),
    watch: Watch = ignore_progress,
) -> Candidate:
    """Train one model on the prepared data of symbols.

    Parameters
    ----------
    fine_tune : bool
        Start from the weights of the first symbol's current bundle.

    Raises
    ------
    MissingStep
        If preprocessing was not run, or was run for other window lengths.
    InvalidHyperparameters
        If fine-tuning is requested and the current bundle does not fit.
    """
    workspace = Workspace(settings, symbols)
    prepared = workspace.prepared()
    names = ("seq_length", "horizon", "train_size", "valid_size")
    sizes = {key: getattr(parameters, key) for key in names}
    if any(getattr(prepared, key) != value for key, value in sizes.items()):
        shown = ", ".join(f"{key} {value}" for key, value in sizes.items())
        options = " ".join(f"--set {key}={value}" for key, value in sizes.items())
        raise MissingStep(
            f"data processed with {shown}",
            f"python -m scripts.02_preprocess {workspace.option} {options}",
        )
    parent, start_from = _parent_of(settings, prepared) if fine_tune else (None, None)
    candidate = fit_candidate(prepared, forecaster, parameters, parent, start_from, runtime, watch)
    workspace.put_candidate(candidate)
    return candidate


def fit_candidate(
    prepared: Prepared,
    forecaster: str,
    parameters: Parameters,
    parent: str | None = None,
    start_from: Predictor | None = None,
    runtime: Runtime = Runtime(),
    watch: Watch = ignore_progress,
) -> Candidate:
    """Fit and calibrate on prepared data; nothing is stored.

    Parameters
    ----------
    parent, start_from : str and Predictor, optional
        The version whose weights to continue from, and its model.
    """
    splits = prepared.splits
    fitted = make_forecaster(forecaster, parameters, runtime).fit(
        [split.train for split in splits],
        [split.valid for split in splits],
        start_from=start_from,
        watch=watch,
    )
    shrinkage = learn_shrinkage(fitted, [split.valid for split in splits])
    predictor = shrink(fitted, shrinkage)
    return Candidate(
        files={
            **predictor.to_files(),
            INTERVALS_FILE: dump_by_symbol(
                {s.valid.symbol: calibrate(predictor, [s.valid]).to_json() for s in splits}
            ),
            BASELINE_FILE: prepared.baseline,
        },
        about={
            "forecaster": canonical_name(forecaster),
            "hyperparameters": parameters.model_dump(),
            "location": shrinkage.to_dict(),
            "training": asdict(predictor.training),
            "prepared": prepared.identity,
            "fine_tuned_from": parent,
        },
    )


def _parent_of(settings: Settings, prepared: Prepared) -> tuple[str, Predictor]:
    """Version and trained model of the first symbol's current bundle, to continue from.

    Raises
    ------
    InvalidHyperparameters
        If there is none, or if it has learned from rows that the new model is to be judged by.
    """
    registry = Registry(settings.models_url)
    symbol = prepared.symbols[0]
    pointer = registry.pointer(symbol)
    if pointer is None:
        raise InvalidHyperparameters(
            [("fine_tune", f"{symbol} has no model to start from: train without it first")]
        )
    bundle = registry.load(pointer.version)
    seen_until = max(data.test_start for data in bundle.manifest.info.data)
    _, test_start = prepared.series[0].split.boundaries
    if test_start < seen_until:
        raise InvalidHyperparameters(
            [
                (
                    "fine_tune",
                    f"the current model has learned from closes up to {seen_until}, the test part "
                    f"would begin on {test_start}: train on as much data, or without fine_tune",
                )
            ]
        )
    predictor = load_predictor(bundle.manifest.info.forecaster, bundle.files)
    return pointer.version, without_shrinkage(predictor)
