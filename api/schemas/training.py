"""``/train``: requests for a training, and the jobs that carry them out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from api.schemas.base import Answer, Request, SymbolText
from api.schemas.hyperparameters import ForecasterName, Hyperparameters
from closecast.database import Queue
from closecast.forecasters import DEFAULT_FORECASTER
from closecast.sources import source_names

_SOURCES = ", ".join(f"`{name}`" for name in source_names(with_urls=False))


class TrainBody(Request):
    """Settings of a training; each has a default."""

    symbol: SymbolText | None = Field(
        None, description="By default, without `symbols` too, all symbols of the current model."
    )
    symbols: Annotated[list[SymbolText], Field(min_length=1, max_length=500)] | None = Field(
        None, description="Symbols to learn from together; one model serves them all."
    )
    source: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        description=f"{_SOURCES}, or the source that the service is configured with.",
    )
    start: date | None = Field(None, description="First session to train on.")
    end: date | None = Field(None, description="Last session to train on.")
    forecaster: ForecasterName = Field(
        None,
        description="By default the first that has the hyper-parameters and the preset, of the "
        f"configured one, the default (`{DEFAULT_FORECASTER}`) and all others.",
    )
    preset: str | None = Field(
        None,
        max_length=40,
        description="Named hyper-parameters to start from, e.g. `quick`; `GET /config` lists them.",
    )
    hyperparameters: Hyperparameters = Field(
        default_factory=dict, description="Override preset and configuration."
    )
    fine_tune: bool = Field(False, description="Start from the current model's weights.")
    name: str | None = Field(
        None,
        min_length=1,
        max_length=60,
        pattern=r"^\w[\w .,&()+-]*$",
        description="Name of the panel, for jobs, MLflow and `GET /statistics`.",
        examples=["banks of Brazil"],
    )

    @model_validator(mode="after")
    def _in_order(self) -> TrainBody:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        if self.symbol is not None and self.symbols is not None:
            raise ValueError("symbol and symbols are both there: send one of them")
        return self


JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobAnswer(Answer):
    """A training: its request, its progress and its result."""

    id: str
    url: str = Field(examples=["/train/0123456789abcdef0123456789abcdef"])
    task: str = Field(description="`train`, or `update`: a collection of closes for a forecast.")
    queue: Queue = Field(
        description="Queue in which it waits: `fast` or `train`. Each has a worker process, so "
        "that an `update` never waits for a training."
    )
    symbol: str = Field(
        description="Or the name of a panel: the one that it was given, else its first symbol and "
        "the number of the others, such as `AAPL and 19 more`; `request` lists its symbols."
    )
    key: str = Field(
        description="The symbol, or the stable short name of a panel, with a hash of its symbols.",
        examples=["AAPL+19.e82efc"],
    )
    state: JobState
    cancel_requested: bool
    attempts: int = Field(
        description="Number of starts: a job whose worker process died is started once more."
    )
    request: dict[str, Any] = Field(description="The training as resolved when it was queued.")
    progress: dict[str, Any] = Field(
        description="While running: stage, percent of the whole training, stage_percent, epoch, "
        "epochs, train_loss, valid_loss; "
        "`paused` while it makes room for predictions that have become slow."
    )
    result: dict[str, Any] | None = Field(
        description="When succeeded: version, promoted, `note` (the reason where all prices of "
        "its forecasts are the same), gate, metrics beside naive (`as_trained`: "
        "before the point forecast was shrunk to naive's). The gate's `p_one_sided` is one-sided, "
        "`p_mae` and `p_crps` of the metrics are two-sided."
    )
    reason: str | None = Field(description="Reason of a failure or cancellation.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class QueuedJob(JobAnswer):
    """A training that was queued, or an equal one that is queued or running already."""

    message: str = Field(
        examples=["the training of MSFT is queued: GET /train/0123456789abcdef shows its progress"]
    )


class JobList(Answer):
    """Trainings and collections of closes, newest first."""

    jobs: list[JobAnswer]
    next: str | None = Field(
        description="Address of the older ones; `null` where there are none.",
        examples=["/train?limit=50&before_id=0123456789abcdef0123456789abcdef"],
    )
