"""``GET /statistics``: trainings recorded in MLflow, as the worker read them last."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, Field

from api.schemas.base import Answer


class StepScores(Answer):
    """Scores of one session ahead: means over the symbols of the model."""

    step: int = Field(ge=1, examples=[1])
    mape: float | None = Field(description="Per cent.")
    mae: float | None = Field(None, description="In price; `null` in files of earlier versions.")
    mse: float | None = Field(None, description="In price squared.")
    rmse: float | None = Field(description="In price.")
    r2: float | None = Field(None, description="Near 1 for any forecast that repeats the close.")


class RunStatistics(Answer):
    """One run: data, parameters, times and scores of a training."""

    run_id: str
    name: str = Field(description="The version of the bundle, once there is one.")
    status: str = Field(
        description="`RUNNING` while the training goes on, with its curves so far; `FINISHED`, "
        "`FAILED`, or `KILLED` where it was cancelled or its process died.",
        examples=["FINISHED"],
    )
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None = Field(
        description="Duration of the MLflow run, which is open from the beginning of a training."
    )
    training_seconds: float | None = Field(description="Duration of the training itself.")
    best_valid_loss: float | None
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, float | None] = Field(
        description="The last value of every metric that has no curve. `overall_rmse` is served, "
        "`overall_naive_rmse` naive's, `raw_overall_rmse` that of the point forecast as trained."
    )
    steps: list[StepScores] = Field(description="Per session ahead, windows alone.")
    steps_with_history: list[StepScores]
    steps_as_trained: list[StepScores] = Field(
        default_factory=list,
        description="Of the point forecast as trained, before it was shrunk to naive's; its other "
        "scores are the metrics that begin with `raw_`. None for runs of earlier versions.",
    )
    curves: dict[str, list[tuple[int, float | None]]] = Field(
        description="Metrics of several epochs as pairs of epoch and value, thinned to 200."
    )


class ExperimentStatistics(Answer):
    """One experiment: the trainings of one set of symbols."""

    experiment_id: str
    name: str = Field(examples=["closecast/MSFT", "closecast/AAPL and 19 more"])
    key: str = Field("", description="Symbol, or stable short name of the panel.")
    symbols: list[str] = Field(
        default_factory=list, description="Symbols that are trained together."
    )
    runs: list[RunStatistics] = Field(description="The last started first.")
    has_more: bool = Field(description="Whether there are older runs.")


class RecordedStatistics(Answer):
    """Experiments as stored in the worker's file."""

    written_at: AwareDatetime = Field(description="When the worker read them from MLflow.")
    experiments: list[ExperimentStatistics]


class StatisticsAnswer(RecordedStatistics):
    """Experiments with their runs."""

    age_s: float
