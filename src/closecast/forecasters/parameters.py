"""Hyper-parameters that all forecasters share."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_BEFORE_TEST = 0.95
"""Largest share of rows before the test part, where the validation part has a share of its own."""


class Parameters(BaseModel):
    """Hyper-parameters that every forecaster has. Bounds are part of the contract."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    seq_length: int = Field(60, ge=10, le=512, description="Closes in a window.")
    horizon: int = Field(10, ge=1, le=30, description="Sessions ahead, all predicted at once.")
    train_size: float = Field(
        0.7, ge=0.3, le=0.9, description="Share of rows to train on; the rest is halved."
    )
    valid_size: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of rows after those to choose and calibrate by; the rest judges. "
        "0: half of what training leaves.",
    )
    seed: int = Field(42, ge=0, le=2**31 - 1, description="Seed of everything random.")

    @model_validator(mode="after")
    def _leaves_rows_to_judge(self) -> Self:
        if self.train_size + self.valid_size > MOST_BEFORE_TEST:
            raise ValueError(
                f"train_size {self.train_size:g} and valid_size {self.valid_size:g} leave fewer "
                f"than {1 - MOST_BEFORE_TEST:.0%} of the rows to judge by"
            )
        return self
