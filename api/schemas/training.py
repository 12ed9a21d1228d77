"""``/train`` and ``/config``: jobs and the hyper-parameters of the next one."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from api.schemas.base import Answer, Request, SymbolText
from closecast.forecasters import FORECASTERS, parameters_type


def _hyperparameters_schema() -> dict[str, Any]:
    schema = parameters_type("lstm").model_json_schema()
    for field in schema["properties"].values():
        field.pop("title", None)
    return {
        "type": "object",
        "properties": schema["properties"],
        "additionalProperties": False,
        "examples": [{"num_epochs": 10, "learning_rate": 0.005}],
    }


Hyperparameters = Annotated[dict[str, Any], WithJsonSchema(_hyperparameters_schema())]


class TrainBody(Request):
    """What to train. Everything has a default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"hyperparameters": {"num_epochs": 10, "learning_rate": 0.005}}]
        }
    )

    symbol: SymbolText | None = Field(None, description="The default symbol without it.")
    source: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        description="`sample`, `yahoo`, or the source that the service is configured with.",
    )
    start: date | None = Field(None, description="First session to train on.")
    end: date | None = Field(None, description="Last session to train on.")
    forecaster: Annotated[
        str, WithJsonSchema({"type": "string", "enum": sorted(FORECASTERS), "default": "lstm"})
    ] = "lstm"
    preset: str | None = Field(
        None, max_length=40, description="Named hyper-parameters to start from, e.g. `quick`."
    )
    hyperparameters: Hyperparameters = Field(
        default_factory=dict, description="Override preset and configuration."
    )
    fine_tune: bool = Field(False, description="Start from the current model's weights.")

    @model_validator(mode="after")
    def _in_order(self) -> TrainBody:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobAnswer(Answer):
    """A training: what was asked, how far it is, how it ended."""

    id: str
    url: str = Field(examples=["/train/0123456789abcdef0123456789abcdef"])
    task: str = Field(description="`train`, or `update`: closes that a forecast asked for.")
    symbol: str
    state: JobState
    cancel_requested: bool
    request: dict[str, Any] = Field(description="The training as resolved when it was queued.")
    progress: dict[str, Any] = Field(
        description="While running: stage, percent, epoch, epochs, train_loss, valid_loss."
    )
    result: dict[str, Any] | None = Field(
        description="When succeeded: version, promoted, gate, metrics beside naive."
    )
    reason: str | None = Field(description="Why it failed or was cancelled.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobList(Answer):
    """Trainings, newest first."""

    jobs: list[JobAnswer]


class ConfigBody(Request):
    """Hyper-parameters to change; `null` goes back to the default."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"hyperparameters": {"hidden_size": 32, "dropout": None}}]}
    )

    hyperparameters: dict[str, Any] = Field(description="Only what is to change.")


class ConfigAnswer(Answer):
    """Hyper-parameters of the next training of a symbol."""

    symbol: str
    revision: int = Field(ge=0, description="0: nothing was ever changed. Also the ETag.")
    hyperparameters: Hyperparameters = Field(description="In effect, defaults included.")
    changed: dict[str, Any] = Field(description="What differs from the defaults by configuration.")
    presets: list[str] = Field(description="Names that `POST /train` takes as `preset`.")
