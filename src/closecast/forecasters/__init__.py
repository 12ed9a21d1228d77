"""Forecasters: one file or folder, one line in ``FORECASTERS``, one contract test each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from closecast.errors import InvalidHyperparameters, UnknownName
from closecast.forecasters.base import (
    Forecaster,
    LocationScale,
    LocationScalePredictor,
    Predictor,
    Runtime,
    Steps,
    TrainingData,
    TrainingReport,
    Watch,
)
from closecast.forecasters.entry import ForecasterEntry
from closecast.forecasters.parameters import Parameters
from closecast.forecasters.rows import TrainingRows, View
from closecast.forecasters.shrunk import load_shrunk
from closecast.nearest import nearest

FORECASTERS = {
    "naive": ForecasterEntry(".naive:Naive", is_baseline=True, with_history=False),
    "random_walk_drift": ForecasterEntry(
        ".naive:RandomWalkDrift", is_baseline=True, with_history=False
    ),
    "ewma": ForecasterEntry(".ewma:Ewma", is_baseline=True, bootstrap=True),
    "mlp": ForecasterEntry(".mlp:Mlp"),
    "lstm": ForecasterEntry(".lstm:Lstm"),
}
"""The simplest first: of equals ``auto`` takes the first."""

_FORMER_NAMES = {"drift": "random_walk_drift"}
"""Names that bundles, configurations and requests of earlier versions hold."""

REFERENCE = "naive"
"""The forecaster that every table and test compares with: "tomorrow = today"."""

BASELINES = tuple(name for name, entry in FORECASTERS.items() if entry.is_baseline)
BOOTSTRAP = next(name for name, entry in FORECASTERS.items() if entry.bootstrap)
"""The forecaster that is published before any training has ended."""

AUTO = "auto"
"""In place of a name: train all of them and choose; takes the parameters that all share."""

DEFAULT_FORECASTER = "mlp"
"""By measurement: see ``docs/decisions/0007``."""


def canonical_name(name: str) -> str:
    """Answer the present name of a forecaster that may be given by a former one.

    A name that is no forecaster's is answered unchanged.

    >>> canonical_name("drift"), canonical_name("lstm")
    ('random_walk_drift', 'lstm')
    """
    return _FORMER_NAMES.get(name, name)


def is_baseline(name: str) -> bool:
    """Answer True if ``name``, present or former, is a baseline's."""
    return canonical_name(name) in BASELINES


def make_forecaster(
    name: str, parameters: Parameters | None = None, runtime: Runtime = Runtime()
) -> Forecaster:
    """The recipe called ``name``."""
    return _entry(name).forecaster()(parameters, runtime)


def load_predictor(name: str, files: Mapping[str, bytes]) -> Predictor:
    """The trained model called ``name`` from its files, without its training code."""
    return load_shrunk(_entry(name).predictor().from_files(files), files)


def parameters_type(name: str) -> type[Parameters]:
    """The hyper-parameters that the forecaster called ``name`` takes."""
    if name == AUTO:
        return Parameters
    return _entry(name).parameters()


def presets_of(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Named hyper-parameters of the forecaster called ``name``."""
    if name == AUTO:
        return {}
    return _entry(name).presets()


def preset_names() -> list[str]:
    """Names of all presets, of any forecaster.

    >>> {"default", "quick", "vale3-20-10"} <= set(preset_names())
    True
    """
    return sorted({"default"}.union(*(presets_of(name) for name in FORECASTERS)))


def preset(forecaster: str, name: str) -> dict[str, Any]:
    """The named hyper-parameters; ``default`` exists for every forecaster and changes nothing.

    Raises
    ------
    UnknownName
        If the forecaster has no such preset.
    """
    known = {"default": {}, **presets_of(forecaster)}
    if name not in known:
        everywhere = preset_names()
        if name not in everywhere:
            raise UnknownName("preset", name, everywhere)
        raise UnknownName(f"preset of {forecaster}", name, known)
    return dict(known[name])


def forecaster_for(
    hyperparameters: Iterable[str], preset: str | None = None, preferred: Sequence[str] = ()
) -> str:
    """The first forecaster that knows all of these hyper-parameters and this preset.

    Looked for among the preferred ones, then the default, then all others in the order of
    ``FORECASTERS``. Where none knows them all, it is the first of these.

    >>> forecaster_for(["num_layers"]), forecaster_for(["seed"])
    ('lstm', 'mlp')
    >>> forecaster_for(["seed"], preferred=["ewma"])
    'ewma'
    """
    names = set(hyperparameters)
    candidates = [*preferred, DEFAULT_FORECASTER, *FORECASTERS]
    for name in candidates:
        known = parameters_type(name).model_fields
        if names <= set(known) and preset in {None, "default", *presets_of(name)}:
            return name
    return candidates[0]


def make_parameters(name: str, values: Mapping[str, Any]) -> Parameters:
    """Checked hyper-parameters; what is not named keeps its default.

    Raises
    ------
    InvalidHyperparameters
        With every unknown name and every value out of bounds.
    """
    kind = parameters_type(name)
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_input=False):
            field = ".".join(str(part) for part in item["loc"]) or "hyperparameters"
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = unknown_parameter(field, kind.model_fields)
            problems.append((field, message))
        raise InvalidHyperparameters(problems) from error


def unknown_parameter(name: str, valid: Iterable[str], to: str = "") -> str:
    """Sentence on a hyper-parameter that a forecaster does not have, with the nearest that it has.

    >>> unknown_parameter("epochs", ["num_epochs", "seed"], "mlp")
    "unknown to mlp; valid: num_epochs, seed; did you mean 'num_epochs'?"
    """
    known = sorted(valid)
    near = nearest(name, known)
    meant = f"; did you mean {near!r}?" if near else ""
    return f"unknown{f' to {to}' if to else ''}; valid: {', '.join(known)}{meant}"


def _entry(name: str) -> ForecasterEntry:
    entry = FORECASTERS.get(canonical_name(name))
    if entry is None:
        raise UnknownName("forecaster", name, [*FORECASTERS, AUTO])
    return entry


__all__ = [
    "AUTO",
    "BASELINES",
    "BOOTSTRAP",
    "DEFAULT_FORECASTER",
    "FORECASTERS",
    "REFERENCE",
    "Forecaster",
    "ForecasterEntry",
    "LocationScale",
    "LocationScalePredictor",
    "Parameters",
    "Predictor",
    "Runtime",
    "Steps",
    "TrainingData",
    "TrainingReport",
    "TrainingRows",
    "View",
    "Watch",
    "canonical_name",
    "forecaster_for",
    "is_baseline",
    "load_predictor",
    "make_forecaster",
    "make_parameters",
    "parameters_type",
    "preset",
    "preset_names",
    "presets_of",
    "unknown_parameter",
]
