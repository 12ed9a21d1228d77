"""Forecasts: default symbol, collected closes, drift, logs of answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ForecastSettings(BaseModel):
    """Forecasts: default symbol, collected closes, drift, logs of answers."""

    default_symbol: str = Field("MSFT", description="Symbol of requests that name none.")
    forecast_wait_s: float = Field(
        10.0,
        ge=0,
        le=300,
        description="Seconds a dated forecast waits for closes that are being collected for it.",
    )
    refresh_after_s: float = Field(
        900.0,
        ge=0,
        le=86_400,
        description="Seconds between two attempts to collect a symbol's closes for a forecast.",
    )
    predictions_kept: int = Field(
        100_000,
        ge=100,
        le=100_000_000,
        description="Answers of POST /predict and windows of POST /predict/batch that the ledger "
        "keeps, the newest ones.",
    )
    recent_requests: int = Field(
        200,
        ge=0,
        le=10_000,
        description="Finished requests that each API process remembers one by one.",
    )
    drift_on_fault: Literal["warn", "refuse", "fallback"] = Field(
        "warn",
        description="Response to closes that are probably wrong: a forecast with a warning, "
        "a refusal (409 data_fault), or the last close with a wide interval.",
    )
    drift_on_regime: Literal["warn", "fallback"] = Field(
        "warn",
        description="Response to a window of another regime: a forecast with a warning, or "
        "the last close with a wide interval.",
    )
