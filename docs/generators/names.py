"""Names in the code that the documentation shows; the one place to change after a move."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SETTINGS = "closecast.settings:Settings"
ERRORS = "closecast.errors"
EXCHANGES = "closecast.core.exchanges"
PAIRS = "closecast.core.pairs"
PRICE_RULES = "closecast.core.price_rules:PRICE_RULES"
STATUS_OF_ERROR = "api.problems.statuses:status_of"
COMMAND_PARSER = "closecast.cli.main:_parser"

PYTHON_API = {
    "Data": [
        "closecast.core.prices.Prices",
        "closecast.sources.make_source",
        "closecast.sources.base.PriceSource",
        "closecast.core.dataset.split_by_share",
    ],
    "Forecasting": [
        "closecast.core.forecast.Forecast",
        "closecast.forecasters.make_forecaster",
        "closecast.forecasters.base.Forecaster",
        "closecast.forecasters.base.Predictor",
    ],
    "Evaluation": [
        "closecast.evaluation.rolling.calibrate",
        "closecast.evaluation.scores.evaluate",
        "closecast.evaluation.tables.as_table",
    ],
    "Drift": [
        "closecast.drift.baseline.Baseline",
        "closecast.drift.detector.DriftDetector",
        "closecast.core.verdict.Verdict",
        "closecast.core.verdict.Finding",
    ],
    "Training and models": [
        "closecast.pipeline.run.TrainRequest",
        "closecast.pipeline.run.run_training",
        "closecast.registry.registry.Registry",
    ],
}
"""Section of the Python reference to the full names that it shows."""


def resolve(name: str) -> Any:
    """The module called ``package.module``, or the attribute ``package.module:attribute``."""
    module, _, attribute = name.partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found
