"""Hyper-parameters of the scale model, their bounds, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from closecast.forecasters.parameters import Parameters


class MlpParameters(Parameters):
    """Defaults train on 20 symbols in well under two minutes on two cores."""

    hidden_size: int = Field(24, ge=4, le=512, description="Units in each of two hidden layers.")
    members: int = Field(5, ge=1, le=20, description="Networks whose answers are averaged.")
    batch_size: int = Field(512, ge=8, le=8192, description="Rows per gradient step.")
    learning_rate: float = Field(2e-3, ge=1e-6, le=0.1, description="Adam's learning rate.")
    weight_decay: float = Field(1e-4, ge=0, le=0.1, description="Adam's weight decay.")
    num_epochs: int = Field(15, ge=1, le=1000, description="Most epochs to train.")
    patience: int = Field(4, ge=1, le=1000, description="Epochs without gain before stopping.")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "quick": {"hidden_size": 8, "members": 1, "num_epochs": 2},
}
