"""Models that are fuzzed: one bundle of two symbols, so small that it trains in seconds."""

from __future__ import annotations

import logging

from closecast.forecasters import preset
from closecast.pipeline import TrainRequest, run_training
from closecast.registry.registry import Registry
from closecast.settings import Settings


def train_into(settings: Settings) -> None:
    """Publish an ``mlp`` of MSFT and AAPL, upon the ``ewma`` that every first training makes."""
    logging.disable(logging.WARNING)
    try:
        published = run_training(
            settings,
            TrainRequest.model_validate(
                {
                    "symbols": ["MSFT", "AAPL"],
                    "source": "sample",
                    "start": "2016-01-04",
                    "forecaster": "mlp",
                    "hyperparameters": preset("mlp", "quick"),
                }
            ),
        )
    finally:
        logging.disable(logging.NOTSET)
    registry = Registry(settings.models_url)
    for symbol in set(published.decisions) - set(published.promoted):
        registry.promote(symbol, published.manifest.version, "to be fuzzed", by="fuzz")
