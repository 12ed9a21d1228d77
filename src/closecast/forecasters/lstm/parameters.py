"""Hyper-parameters of the LSTM, their bounds, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from closecast.forecasters.base import Parameters

Loss = Literal["student_t", "normal", "pinball", "mse"]


class LstmParameters(Parameters):
    """Defaults train in well under two minutes on two cores."""

    num_layers: int = Field(2, ge=1, le=4, description="Stacked LSTM layers.")
    hidden_size: int = Field(64, ge=4, le=512, description="Units per layer.")
    dropout: float = Field(0.1, ge=0, le=0.9, description="Dropout after each layer.")
    batch_size: int = Field(64, ge=8, le=4096, description="Windows per gradient step.")
    learning_rate: float = Field(1e-3, ge=1e-6, le=0.1, description="Adam's learning rate.")
    weight_decay: float = Field(1e-5, ge=0, le=0.1, description="Adam's weight decay.")
    num_epochs: int = Field(30, ge=1, le=1000, description="Most epochs to train.")
    patience: int = Field(6, ge=1, le=1000, description="Epochs without gain before stopping.")
    loss: Loss = Field(
        "student_t",
        description="Likelihood or quantile loss of the distribution, or mse (location only).",
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # For trying things out: seconds instead of a minute.
    "quick": {"num_layers": 1, "hidden_size": 16, "num_epochs": 3, "batch_size": 256},
    # The published ten-day recipe for B3 tickers: 20 closes in, 10 out, all at once.
    "b3-ten-day": {
        "seq_length": 20,
        "horizon": 10,
        "num_layers": 2,
        "hidden_size": 40,
        "dropout": 0.1,
        "batch_size": 32,
        "learning_rate": 5e-4,
        "weight_decay": 1e-5,
        "num_epochs": 150,
        "patience": 150,
        "train_size": 0.7,
        "seed": 6544,
        "loss": "mse",
    },
}
