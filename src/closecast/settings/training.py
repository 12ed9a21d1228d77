"""Training: the worker, the gate, automatic trainings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, Field, field_serializer, field_validator
from pydantic_settings import NoDecode

Occasion = Literal["schedule", "regime"]
"""Triggers of automatic trainings."""


class TrainingSettings(BaseModel):
    """Training: the worker, the gate, automatic trainings."""

    worker_enabled: bool = Field(True, description="Start the worker from this process.")
    worker_idle_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Seconds an idle worker stays before it gives memory back.",
    )
    job_lease_s: float = Field(
        30.0,
        ge=2,
        le=3_600,
        description="Seconds without a sign of life until a job counts as dead.",
    )
    without_evidence: Literal["keep", "promote"] = Field(
        "keep",
        description="Decision on a new model that is neither shown to be better nor worse than "
        "the current one: keep the current one, or promote the new one.",
    )
    evidence_deadline_days: float = Field(
        30.0,
        ge=0,
        le=3_650,
        description="Days after which such a new model is promoted all the same, unless it is "
        "more than 1 % worse.",
    )
    retrain_on: Annotated[frozenset[Occasion], NoDecode] = Field(
        frozenset(),
        description="Triggers of automatic trainings: schedule, regime, or both, separated by a "
        "comma; empty for none.",
    )
    retrain_cron: str = Field(
        "0 22 * * 6",
        description="Schedule of automatic trainings: a cron expression of five fields, in UTC.",
    )
    retrain_min_interval_h: float = Field(
        168.0,
        ge=1,
        le=8_784,
        description="Least hours between two automatic trainings of one model.",
    )
    drift_fault_rate: float = Field(
        0.01,
        ge=0.001,
        le=0.2,
        description="Share of clean windows that drift may call a fault of the data; the next "
        "training makes its thresholds by it.",
    )
    drift_regime_rate: float = Field(
        0.01,
        ge=0.001,
        le=0.2,
        description="Share of clean windows that drift may call another regime of the market; "
        "likewise.",
    )
    auto_budget_s: float = Field(
        600.0,
        ge=1,
        le=86_400,
        description="Seconds in which the forecaster `auto` trains all that it chooses from.",
    )
    training_pause_p95_ms: float = Field(
        25.0,
        ge=0,
        le=60_000,
        description="A background training pauses while the slowest twentieth of recent "
        "predictions on its machine takes longer than this, in milliseconds; 0: never.",
    )
    training_pause_max_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Seconds after which a paused training goes on for a minute all the same.",
    )
    training_threads: int = Field(1, ge=1, le=256, description="Threads of a background training.")
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = Field(
        "auto", description="Lightning's accelerator for training."
    )

    @field_validator("retrain_on", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = {name.strip() for name in value.split(",")} - {""}
        valid = get_args(Occasion)
        if unknown := names.difference(valid):
            raise ValueError(
                f"unknown: {', '.join(sorted(unknown))}; valid: {', '.join(valid)}, or both with "
                "a comma between them"
            )
        return names

    @field_serializer("retrain_on")
    def _join(self, value: frozenset[Occasion]) -> str:
        """As text that the environment of another process can carry."""
        return ",".join(sorted(value))

    @field_validator("retrain_cron")
    @classmethod
    def _fires(cls, value: str) -> str:
        reason = f"it has {len(value.split())}"
        if len(value.split()) == 5:  # the library takes a sixth one, too: seconds
            try:
                next(CronSim(value, datetime(2000, 1, 1, tzinfo=UTC)))
                return value
            except CronSimError as error:
                reason = str(error)
            except StopIteration:
                reason = "it never fires"
        raise ValueError(
            f"{value!r} is no cron expression of five fields (minute, hour, day of month, month, "
            f"day of week; for example '0 22 * * 6'): {reason}"
        )
