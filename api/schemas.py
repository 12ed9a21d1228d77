"""Requests and answers, with their bounds and examples. No logic."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from closecast.forecasters import FORECASTERS, parameters_type
from closecast.prices import MAX_PRICE, MIN_PRICE

EXAMPLE_CLOSES: list[Any] = [round(240 + 0.35 * i - 6 * ((i * 7) % 11) / 11, 2) for i in range(60)]
EXAMPLE_VERSION = "20260102T030405Z-0a1b2c3d"
_MAX_WINDOW = 512  # the largest seq_length any bundle can have

SymbolText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=32,
        description="Ticker symbol in any spelling: `VALE3` and `VALE3.SA` are the same.",
        examples=["MSFT"],
    ),
]
# Strict: "5" and true are no prices. Integers are.
Close = Annotated[float, Field(strict=True, ge=MIN_PRICE, le=MAX_PRICE, allow_inf_nan=False)]


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


class Request(BaseModel):
    """Base of requests: unknown members are refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(from_attributes=True)


class Problem(BaseModel):
    """An error, after RFC 9457. `code` is stable; `detail` says what to do next."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:closecast:error:wrong_window_length"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["got 3 closes, the model needs exactly 60"])
    code: str = Field(examples=["wrong_window_length"])
    errors: list[ProblemItem] = Field(default_factory=list)
    request_id: str | None = None


class ProblemItem(BaseModel):
    """One offence and where it is (RFC 6901 JSON pointer into the body, or a parameter)."""

    pointer: str = Field(examples=["/prices/3"])
    detail: str
    code: str


# -- predictions ------------------------------------------------------------------------------


class PredictRequest(Request):
    """The last closes of a symbol, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"prices": EXAMPLE_CLOSES, "symbol": "MSFT", "as_of": "2022-12-28"}]
        }
    )

    prices: Annotated[
        list[Close],
        Field(
            min_length=1,
            max_length=_MAX_WINDOW,
            description="Closes, oldest first; as many as the model's window has (60 by default).",
        ),
    ]
    symbol: SymbolText | None = Field(None, description="The default symbol answers without it.")
    as_of: date | None = Field(
        None, description="Date of the last close; lets its level be compared with known closes."
    )


class Interval(Answer):
    """A central interval of the close."""

    level: float = Field(examples=[0.8])
    lower: float
    upper: float


class Step(Answer):
    """One session ahead."""

    step: int = Field(ge=1)
    price: float
    intervals: list[Interval]


class PredictAnswer(Answer):
    """Forecast of the next closes, how sure it is, and what to think of the input."""

    model_config = ConfigDict(protected_namespaces=())

    predicted_price: float = Field(
        description="Point forecast of the next close; often the last close."
    )
    naive_price: float = Field(description='"Tomorrow = today": the last close.')
    intervals: list[Interval] = Field(description="Of the next close.")
    drift_warning: bool = Field(description="Whether the input looks unlike the training data.")
    drift_details: list[str] = Field(
        examples=[["High volatility detected (3.1x the training level)."]]
    )
    drift_findings: list[Finding] = Field(description="The same, for programs.")
    path: list[Step] = Field(description="Every step of the horizon.")
    symbol: str
    model_version: str = Field(examples=[EXAMPLE_VERSION])


class Finding(Answer):
    """One statistic of the window beyond its threshold."""

    code: str = Field(examples=["volatility_high"])
    level: Literal["regime", "fault"] = Field(
        description="`regime`: the market changed. `fault`: the data is probably wrong."
    )
    statistic: str
    value: float
    threshold: float
    sentence: str


# -- training ---------------------------------------------------------------------------------


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


# -- configuration ----------------------------------------------------------------------------


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


# -- models -----------------------------------------------------------------------------------


class ModelAnswer(Answer):
    """What is served for a symbol, and what it was measured to be."""

    symbol: str
    version: str = Field(examples=[EXAMPLE_VERSION])
    generation: int = Field(description="Counts promotions and rollbacks of the symbol.")
    published_version: str | None = Field(description="Where the pointer leads now.")
    loaded_at: datetime
    created_at: datetime
    forecaster: str
    seq_length: int
    horizon: int
    data: list[dict[str, Any]] = Field(description="Closes it was made from: span, basis, hash.")
    hyperparameters: dict[str, Any]
    training: dict[str, Any]
    evaluation: dict[str, Any] = Field(description="Per step, naive beside every score.")
    gate: dict[str, Any]
    leak_check: dict[str, Any]
    fine_tuned_from: str | None
    libraries: dict[str, str]
    git_commit: str | None


class VersionSummary(Answer):
    """One bundle."""

    version: str = Field(examples=[EXAMPLE_VERSION])
    created_at: datetime
    symbols: list[str]
    forecaster: str
    gate: str
    current: bool = Field(description="Whether a pointer leads to it.")
    relative_mae: float | None = Field(
        description="Ours over naive's, whole horizon; below 1 is better."
    )
    crps_ratio: float | None


class VersionList(Answer):
    """Bundles, newest first."""

    versions: list[VersionSummary]


class SymbolBody(Request):
    """Which symbol; the default one without it."""

    symbol: SymbolText | None = None


class RollbackBody(SymbolBody):
    """Where to go back to, and why."""

    version: str | None = Field(
        None, max_length=60, description="One that was current before; the one before without it."
    )
    reason: str = Field("asked for by API", min_length=1, max_length=500)


class ReloadOutcome(Answer):
    """What a look at one pointer led to."""

    symbol: str
    outcome: Literal["unchanged", "swapped", "failed"]
    serving_version: str | None
    published_version: str | None
    reason: str | None


class ReloadAnswer(Answer):
    """What this process serves after the look."""

    process_id: int
    reloads: list[ReloadOutcome]


# -- health -----------------------------------------------------------------------------------


class Served(Answer):
    """A symbol in memory."""

    symbol: str
    serving_version: str
    published_version: str | None


class Artefacts(Answer):
    """Which parts of the default symbol's bundle are there."""

    model: bool
    intervals: bool
    drift_baseline: bool
    collected_prices: bool


class HealthAnswer(Answer):
    """The state of this process and its machine."""

    status: Literal["ok", "degraded", "no_model"]
    version: str
    uptime_s: float
    cpu_percent: float
    memory_percent: float = Field(description="Of the machine.")
    process_memory_mb: float = Field(description="Resident memory of this process.")
    disk_free_gb: float
    default_symbol: str
    artefacts: Artefacts
    models: list[Served]
    failures: dict[str, str] = Field(
        description="Symbols whose newest bundle was refused, and why."
    )
    ledger: str = Field(description="`ok`, or what is wrong with it.")
    can_train: bool


class Alive(Answer):
    """A sign of life."""

    status: Literal["alive", "ready"]
