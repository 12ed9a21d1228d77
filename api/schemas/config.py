"""``/config``: the hyper-parameters of the next training of a symbol."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from api.schemas.base import Answer, Request
from api.schemas.hyperparameters import ForecasterName, HyperparameterChanges, Hyperparameters
from closecast.forecasters import DEFAULT_FORECASTER


class ConfigBody(Request):
    """Hyper-parameters to change; `null` goes back to the default."""

    hyperparameters: HyperparameterChanges = Field(
        default_factory=dict, description="Only the changed ones."
    )
    forecaster: ForecasterName = Field(
        None, description="Forecaster of the next training, where it changes."
    )
    preset: str | None = Field(
        None,
        max_length=40,
        description="Named hyper-parameters, which `hyperparameters` may override.",
        examples=["quick"],
    )


class ConfigAnswer(Answer):
    """Hyper-parameters of the next training of a symbol."""

    symbol: str
    revision: int = Field(ge=0, description="0: never changed. Also the ETag.")
    forecaster: str = Field(
        description="Forecaster of the next training.", examples=[DEFAULT_FORECASTER]
    )
    hyperparameters: Hyperparameters = Field(description="In effect, defaults included.")
    changed: dict[str, Any] = Field(description="Hyper-parameters that were configured.")
    presets: list[str] = Field(description="Names that `POST /train` takes as `preset`.")
