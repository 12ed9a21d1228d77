"""Models. A new one: one file (or folder), one line in ``FORECASTERS``, one contract test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from closecast.errors import InvalidHyperparameters, UnknownName
from closecast.forecasters.base import (
    Forecaster,
    LocationScale,
    Parameters,
    Predictor,
    Runtime,
    Steps,
    TrainingReport,
    Watch,
)
from closecast.forecasters.shrunk import load_shrunk


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where the three sides of a forecaster live; each is imported when it is asked for."""

    forecaster: str
    predictor: str
    parameters: str = "closecast.forecasters.base:Parameters"
    presets: str | None = None


FORECASTERS = {
    "naive": _Entry(
        "closecast.forecasters.naive:NaiveForecaster", "closecast.forecasters.naive:NaivePredictor"
    ),
    "drift": _Entry(
        "closecast.forecasters.naive:DriftForecaster", "closecast.forecasters.naive:DriftPredictor"
    ),
    "ewma": _Entry(
        "closecast.forecasters.ewma:EwmaForecaster", "closecast.forecasters.ewma:EwmaPredictor"
    ),
    "mlp": _Entry(
        "closecast.forecasters.mlp.fit:MlpForecaster",
        "closecast.forecasters.mlp.predict:MlpPredictor",
        "closecast.forecasters.mlp.parameters:MlpParameters",
        "closecast.forecasters.mlp.parameters:PRESETS",
    ),
    "lstm": _Entry(
        "closecast.forecasters.lstm.fit:LstmForecaster",
        "closecast.forecasters.lstm.predict:LstmPredictor",
        "closecast.forecasters.lstm.parameters:LstmParameters",
        "closecast.forecasters.lstm.parameters:PRESETS",
    ),
}
"""The simplest first: of equals ``auto`` takes the first."""

BASELINES = ("naive", "drift", "ewma")
AUTO = "auto"
"""In place of a name: train all of them and choose; takes the parameters that all share."""

DEFAULT_FORECASTER = "mlp"
"""By measurement: see ``docs/decisions/0007``."""


def make_forecaster(
    name: str, parameters: Parameters | None = None, runtime: Runtime = Runtime()
) -> Forecaster:
    """The recipe called ``name``."""
    forecaster: Forecaster = _resolve(_entry(name).forecaster)(parameters, runtime)
    return forecaster


def load_predictor(name: str, files: Mapping[str, bytes]) -> Predictor:
    """The trained model called ``name`` from its files, without its training code."""
    predictor: Predictor = _resolve(_entry(name).predictor).from_files(files)
    return load_shrunk(predictor, files)


def parameters_type(name: str) -> type[Parameters]:
    """The hyper-parameters that the forecaster called ``name`` takes."""
    if name == AUTO:
        return Parameters
    kind: type[Parameters] = _resolve(_entry(name).parameters)
    return kind


def presets_of(name: str) -> Mapping[str, Mapping[str, Any]]:
    """Named hyper-parameters of the forecaster called ``name``."""
    if name == AUTO:
        return {}
    entry = _entry(name)
    presets: Mapping[str, Mapping[str, Any]] = _resolve(entry.presets) if entry.presets else {}
    return presets


def preset(forecaster: str, name: str) -> dict[str, Any]:
    """The named hyper-parameters; ``default`` exists for every forecaster and changes nothing.

    Raises
    ------
    UnknownName
        If the forecaster has no such preset.
    """
    known = {"default": {}, **presets_of(forecaster)}
    if name not in known:
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
            message = item["msg"]
            if item["type"] == "extra_forbidden":
                message = f"unknown; valid: {', '.join(sorted(kind.model_fields))}"
            problems.append((field, message))
        raise InvalidHyperparameters(problems) from error


def _entry(name: str) -> _Entry:
    if name not in FORECASTERS:
        raise UnknownName("forecaster", name, [*FORECASTERS, AUTO])
    return FORECASTERS[name]


def _resolve(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(import_module(module), attribute)


__all__ = [
    "AUTO",
    "BASELINES",
    "DEFAULT_FORECASTER",
    "FORECASTERS",
    "Forecaster",
    "LocationScale",
    "Parameters",
    "Predictor",
    "Runtime",
    "Steps",
    "TrainingReport",
    "Watch",
    "forecaster_for",
    "load_predictor",
    "make_forecaster",
    "make_parameters",
    "parameters_type",
    "preset",
    "presets_of",
]
