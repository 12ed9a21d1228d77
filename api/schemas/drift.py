"""``/drift``: verdicts of windows, and what drift knows of a symbol over time."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import FailFast, Field, FiniteFloat

from api.schemas.base import EXAMPLE_VERSION, Answer, Request
from api.schemas.findings import LEVEL_MEANS, DriftAnswer
from api.schemas.performance import EstimateAnswer
from api.schemas.predictions import Window
from closecast.core.verdict import Level

MOST_WINDOWS = 256


class DriftRequest(Request):
    """Windows of closes, of any symbols that have a model."""

    windows: Annotated[
        list[Window],
        FailFast(),  # to tell what is wrong with each of many windows takes seconds
        Field(min_length=1, max_length=MOST_WINDOWS, description="One or many."),
    ]


class WindowVerdict(DriftAnswer):
    """What to think of one window, as `POST /predict` says it."""

    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(
        description="Whose training data it was compared with.", examples=[EXAMPLE_VERSION]
    )
    level: Level = Field(description=LEVEL_MEANS)


class VerdictList(Answer):
    """One verdict per window, in the order of the windows."""

    verdicts: list[WindowVerdict]


class RateAnswer(Answer):
    """False alarms of one channel."""

    wanted: FiniteFloat = Field(description="Share of clean windows with a finding, as it was set.")
    reached: FiniteFloat = Field(description="On the reference itself.")
    lower: FiniteFloat = Field(description="Of what other years would show: 90 % interval.")
    upper: FiniteFloat


class ChannelRates(Answer):
    """Of both channels."""

    fault: RateAnswer
    regime: RateAnswer


class RatesAnswer(Answer):
    """By what was known beside the window."""

    alone: ChannelRates = Field(description="Of a window alone.")
    with_before: ChannelRates = Field(description="Where the closes before it are known.")


class TrainingFault(Answer):
    """Something wrong in the training data; its day was left out of the baseline."""

    code: str = Field(examples=["suspected_split"])
    date: str | None
    message: str


class ReferenceAnswer(Answer):
    """The clean windows that thresholds come from."""

    symbols: int = Field(description="How many, each in units of its own volatility.")
    first_session: date = Field(description="On which the first window ends.")
    last_session: date
    windows: int
    step: int = Field(description="Sessions from one window to the next.")
    data_hash: str
    method: str


class BaselineAnswer(Answer):
    """What windows of a symbol are compared with. It came with the model."""

    basis: str = Field(description="Price basis of the training data.")
    first_session: date = Field(description="Of the training data.")
    last_session: date
    data_hash: str
    volatility: FiniteFloat = Field(description="Long-run, of one session's log return.")
    rates: RatesAnswer
    reference: ReferenceAnswer
    faults: list[TrainingFault] = Field(description="In the training data; the first five.")


class DriftEvidence(Answer):
    """Evidence, added up session by session, that the model no longer fits its market."""

    evidence: FiniteFloat = Field(
        description="In sessions: while the model fits, it is expected to be no more than the "
        "sessions that were seen."
    )
    threshold: FiniteFloat = Field(
        description="From which on it is in alarm. Also the sessions between two false alarms, at "
        "least, on average (ARL0)."
    )
    in_alarm: bool
    sessions: int = Field(description="Seen under this model.")
    first_session: date | None = Field(description="`null` before the first.")
    last_session: date | None


class DriftDayAnswer(Answer):
    """One session under watch: what was said of it one session ahead, and what came."""

    session: date
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    evidence: FiniteFloat = Field(description="After the session.")
    alarm: bool
    miss: bool | None = Field(description="Whether the 90 % interval missed the close.")
    shock: FiniteFloat | None = Field(
        description="Two-sided tail probability of the return under the model as it was trained."
    )
    error: FiniteFloat | None = Field(description="Actual minus forecast log return.")
    expected_error: FiniteFloat | None = Field(
        description="Size of the error that the width of the forecast let one expect."
    )


class RealisedAnswer(Answer):
    """What came in some newest sessions, beside what was expected. Log returns."""

    span: int | None = Field(description="Sessions that were asked for; `null`: all.")
    sessions: int = Field(description="How many there were.")
    first_session: date
    last_session: date
    enough: bool = Field(description="Whether there are sessions enough for confidence intervals.")
    misses: EstimateAnswer = Field(
        description="Share of closes outside the 90 % interval; .10 is as promised."
    )
    bias: FiniteFloat = Field(description="Mean of actual minus forecast.")
    bias_standard_error: FiniteFloat | None
    error: FiniteFloat = Field(description="Mean absolute error.")
    expected_error: FiniteFloat | None = Field(
        description="Its estimate, made before the closes were known, without them."
    )
    error_ratio: EstimateAnswer = Field(
        description="Error that came over error that was expected; above 1 the model is too sure."
    )


class PerformanceDriftAnswer(Answer):
    """Delayed truth: how far off the forecasts of one session ahead were."""

    coming_error: FiniteFloat | None = Field(
        description="Absolute error that is expected of the session to come; `null` where the "
        "calibration has not yet seen the newest close, or too few."
    )
    spans: list[RealisedAnswer] = Field(description="The newest 60 sessions, 250, and all.")


class DriftReport(Answer):
    """What drift knows of a symbol."""

    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    baseline: BaselineAnswer
    newest: WindowVerdict | None = Field(
        description="Of the newest closes that were collected; `null` where there are too few."
    )
    monitor: DriftEvidence
    days: list[DriftDayAnswer] = Field(
        description="Newest first; also of the models before this one."
    )
    realised: PerformanceDriftAnswer


class WatchedSymbol(Answer):
    """A symbol under watch and what its monitor says."""

    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    evidence: FiniteFloat
    alarm: bool = Field(description="By itself: whether the evidence is at the threshold.")
    discovery: bool = Field(description="Also in view of how many symbols are watched.")


class WatchList(Answer):
    """All symbols under watch, the most evidence first."""

    symbols: list[WatchedSymbol]
    discoveries: list[str] = Field(description="Those whose model no longer fits, by e-d-BH.")
    threshold: FiniteFloat = Field(description="ARL0 of one symbol.")
