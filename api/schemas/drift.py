"""``/drift``: verdicts on windows, and the drift of a symbol over time."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import FailFast, Field, FiniteFloat

from api.schemas.base import EXAMPLE_VERSION, Answer, Request
from api.schemas.findings import LEVEL_MEANS, DriftAnswer
from api.schemas.forecasts import HeldClosesAnswer
from api.schemas.performance import EstimateAnswer
from api.schemas.predictions import CLOSES_USED_MEANS, EXAMPLE_NOTES, NOTES_MEAN, Window
from closecast.core.verdict import Level
from closecast.drift import Baseline

MOST_WINDOWS = 256


class DriftRequest(Request):
    """Windows of closes, of any symbols."""

    windows: Annotated[
        list[Window],
        FailFast(),  # to list the faults of each of many windows takes seconds
        Field(min_length=1, max_length=MOST_WINDOWS, description="One or many."),
    ]


class WindowVerdict(DriftAnswer):
    """Verdict on one window, the same as in `POST /predict`."""

    symbol: str | None = Field(
        description="Of the closes, as the caller named it; `null` where it named none.",
        examples=["MSFT"],
    )
    model_symbol: str = Field(
        description="Symbol whose model judged: the same, or the default symbol. Closes of a "
        "symbol without a model are measured by their own volatility.",
        examples=["MSFT"],
    )
    closes_used: int = Field(description=CLOSES_USED_MEANS, examples=[60])
    notes: list[str] = Field(description=NOTES_MEAN, examples=[EXAMPLE_NOTES])
    model_version: str = Field(
        description="Model with whose training data the window was compared.",
        examples=[EXAMPLE_VERSION],
    )
    level: Level = Field(description=LEVEL_MEANS)


class VerdictList(Answer):
    """One verdict per window, in the order of the windows."""

    verdicts: list[WindowVerdict]


class RateAnswer(Answer):
    """Rate of false alarms of one channel on clean windows."""

    wanted: FiniteFloat = Field(
        description="Share of clean windows with a finding, as set for the training."
    )
    reached: FiniteFloat = Field(description="Share on the reference windows themselves.")
    lower: FiniteFloat = Field(description="Lower end of a 90 % interval for other years.")
    upper: FiniteFloat


class ChannelRates(Answer):
    """Rates of both channels."""

    fault: RateAnswer
    regime: RateAnswer


class RatesAnswer(Answer):
    """Rates by the knowledge available beside the window."""

    alone: ChannelRates = Field(description="Rates for a window alone.")
    with_before: ChannelRates = Field(
        description="Rates where the closes before the window are known."
    )


class TrainingFault(Answer):
    """Fault in the training data; its day was left out of the baseline."""

    code: str = Field(examples=["suspected_split"])
    date: str | None
    message: str


class ReferenceAnswer(Answer):
    """Clean windows from which the thresholds were computed."""

    kind: str = Field(
        default="stock", description="Kind of market of its symbols.", examples=["stock", "coin"]
    )
    symbols: int = Field(description="Number of symbols, each scaled by its own volatility.")
    first_session: date = Field(description="Session on which the first window ends.")
    last_session: date
    windows: int
    step: int = Field(description="Sessions from one window to the next.")
    data_hash: str
    method: str


class BaselineAnswer(Answer):
    """Reference that windows of a symbol are compared with; part of the model's bundle."""

    basis: str = Field(description="Price basis of the training data.")
    first_session: date = Field(description="First session of the training data.")
    last_session: date
    data_hash: str
    volatility: FiniteFloat = Field(
        description="Long-run standard deviation of one session's log return."
    )
    rates: RatesAnswer | None = Field(
        description="Rates of false alarms on clean windows of the symbol's kind of market; `null` "
        "where none is known, for the reason in `unrated`."
    )
    unrated: str | None = Field(
        description="Reason for which no rate is known; `null` where one is.",
        examples=[None],
    )
    reference: ReferenceAnswer
    faults: list[TrainingFault] = Field(description="Faults in the training data, five at most.")

    @classmethod
    def of(cls, baseline: Baseline) -> Self:
        """Answer of a baseline; without rates where none is known."""
        answer = cls.model_validate(baseline)
        return answer if answer.unrated is None else answer.model_copy(update={"rates": None})


class DriftEvidence(Answer):
    """Evidence, added up session by session, that the model no longer fits its market."""

    evidence: FiniteFloat = Field(
        description="In sessions: while the model fits, its expectation is at most the number of "
        "sessions seen."
    )
    threshold: FiniteFloat = Field(
        description="Evidence that raises the alarm. Also the least mean number of sessions "
        "between two false alarms (ARL0)."
    )
    in_alarm: bool
    sessions: int = Field(description="Sessions seen under this model.")
    first_session: date | None = Field(description="`null` before the first.")
    last_session: date | None


class DriftDayAnswer(Answer):
    """One session under watch: the forecast made one session ahead beside the outcome."""

    session: date
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    evidence: FiniteFloat = Field(description="Evidence after the session.")
    alarm: bool
    miss: bool | None = Field(description="Whether the 90 % interval missed the close.")
    shock: FiniteFloat | None = Field(
        description="Two-sided tail probability of the return under the model as it was trained."
    )
    error: FiniteFloat | None = Field(description="Actual minus forecast log return.")
    expected_error: FiniteFloat | None = Field(
        description="Absolute error expected from the width of the forecast."
    )


class RealisedAnswer(Answer):
    """Errors in the newest sessions beside the expected errors, as log returns."""

    span: int | None = Field(description="Number of newest sessions considered; `null`: all.")
    sessions: int = Field(description="Number of sessions available.")
    first_session: date
    last_session: date
    enough: bool = Field(description="Whether the sessions suffice for confidence intervals.")
    misses: EstimateAnswer = Field(
        description="Share of closes outside the 90 % interval; 0.10 is nominal."
    )
    bias: FiniteFloat = Field(description="Mean of actual minus forecast.")
    bias_standard_error: FiniteFloat | None
    error: FiniteFloat = Field(description="Mean absolute error.")
    expected_error: FiniteFloat | None = Field(
        description="Estimate of the error, made before the closes were known."
    )
    error_ratio: EstimateAnswer = Field(
        description="Actual over expected error; above 1 the model is overconfident."
    )


class PerformanceDriftAnswer(Answer):
    """Errors of the forecasts of one session ahead, once their closes are known."""

    coming_error: FiniteFloat | None = Field(
        description="Absolute error expected for the coming session; `null` where the calibration "
        "has not absorbed the newest close, or has absorbed too few closes."
    )
    spans: list[RealisedAnswer] = Field(description="The newest 60 sessions, 250, and all.")


class DriftReport(Answer):
    """Drift report of a symbol: baseline, newest verdict, monitor and realised errors."""

    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    baseline: BaselineAnswer
    newest: WindowVerdict | None = Field(
        description="Verdict on the newest collected closes; `null` where there are too few."
    )
    held: HeldClosesAnswer | None = Field(
        description="Fault for which closes are held back: until it ends, monitor, days and "
        "realised errors stay as they are. `null`: none are."
    )
    monitor: DriftEvidence
    days: list[DriftDayAnswer] = Field(description="Newest first; earlier models included.")
    realised: PerformanceDriftAnswer


class WatchedSymbol(Answer):
    """A symbol under watch, with the evidence of its monitor."""

    symbol: str = Field(examples=["MSFT"])
    model_version: str = Field(examples=[EXAMPLE_VERSION])
    evidence: FiniteFloat
    alarm: bool = Field(
        description="Whether the evidence has reached the threshold, for this symbol alone."
    )
    discovery: bool = Field(
        description="Whether the alarm also holds in view of the number of symbols watched."
    )


class WatchList(Answer):
    """All symbols under watch, the most evidence first."""

    symbols: list[WatchedSymbol]
    discoveries: list[str] = Field(description="Those whose model no longer fits, by e-d-BH.")
    threshold: FiniteFloat = Field(description="ARL0 of one symbol.")
