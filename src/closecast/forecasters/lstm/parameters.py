"""Hyper-parameters of the LSTM, their bounds, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from closecast.forecasters.parameters import Parameters

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


# Published recipes, by the ticker that each was published for; closes in and closes out. Every
# parameter is named, so that no configuration changes a recipe; a value that its source does not
# state is the default. The patience of a recipe without early stopping is all of its epochs.
_CMIG4 = {
    **LstmParameters().model_dump(),
    "seq_length": 60,
    "horizon": 1,
    "num_layers": 2,
    "hidden_size": 64,
    "loss": "mse",
}
_VALE3 = {
    **LstmParameters().model_dump(),
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
}
# It trains on 80 % of the rows and holds a tenth of those back to choose by.
_ITUB4 = {
    **LstmParameters().model_dump(),
    "seq_length": 60,
    "horizon": 1,
    "num_layers": 2,
    "hidden_size": 50,
    "dropout": 0.2,
    "batch_size": 32,
    "num_epochs": 50,
    "patience": 50,
    "train_size": 0.72,
    "valid_size": 0.08,
    "loss": "mse",
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # For trying things out: seconds instead of a minute.
    "quick": {"num_layers": 1, "hidden_size": 16, "num_epochs": 3, "batch_size": 256},
    "cmig4-60-1": _CMIG4,
    "vale3-20-10": _VALE3,
    "itub4-60-1": _ITUB4,
    "b3-ten-day": _VALE3,  # the former name
}
