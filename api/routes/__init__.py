"""Routes, one file per subject. They translate; they do not decide."""

from api.routes import (
    config,
    drift,
    forecast,
    health,
    index,
    model,
    monitoring,
    performance,
    predict,
    predict_batch,
    prediction_log,
    prices,
    statistics,
    train,
)

ROUTERS = tuple(
    module.router
    for module in (
        *(predict, predict_batch, forecast, prices, performance, drift, train, config, model),
        *(health, monitoring, prediction_log, statistics, index),
    )
)
"""Routers of the application, in the order of the OpenAPI document."""
