"""``/model``: the served model, versions, and moves of a symbol's pointer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from api.schemas.base import EXAMPLE_VERSION, Answer, Request, SymbolText


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank; write a few words: the history keeps them")
    return text


# The pattern is for readers of the document; the validator explains it in words.
_WORDS = {"pattern": r"\S"}
ReasonText = Annotated[
    str,
    AfterValidator(_not_blank),
    Field(
        min_length=1,
        max_length=500,
        description="Reason, kept in the pointer's history.",
        examples=["intervals far too narrow since Monday"],
        json_schema_extra=_WORDS,
    ),
]
WhoText = Annotated[
    str,
    AfterValidator(_not_blank),
    Field(
        min_length=1,
        max_length=100,
        description="Name of the caller; by default `api:` and its address. The gate's own name, "
        "`closecast`, is held to the gate's rules: it promotes nothing that was rolled back.",
        examples=["ana"],
        json_schema_extra=_WORDS,
    ),
]


ExpectedGeneration = Annotated[
    int | None,
    Field(
        ge=0,
        le=2**53,
        description="Generation of the pointer on which the decision was based, 0 for none; 409 "
        "if the pointer has moved since. By default not compared.",
    ),
]


class PointerStep(Answer):
    """One step of a symbol's pointer: the new current version, the caller and the reason."""

    version: str = Field(examples=[EXAMPLE_VERSION])
    generation: int = Field(
        description="Number of the step; after a damaged pointer it continues from the time in "
        "microseconds since 1970.",
        examples=[3],
    )
    at: datetime
    by: str = Field(description="`closecast` is the gate itself.", examples=["ana"])
    kind: Literal["promotion", "rollback"]
    reason: str
    rolled_back: str | None = Field(description="The version that a rollback left.")


class WorkerState(Answer):
    """One API process and the version that it serves for a symbol."""

    process: str = Field(
        description="Name of the process, unique over time.",
        examples=["web-1/0b1c2d3e-4026531836:4711:123456"],
    )
    host: str
    answering: bool = Field(description="Whether it is the one that answers here.")
    symbol: str
    version: str | None = Field(
        description="`null`: no request for the symbol yet, or no bundle could be loaded.",
        examples=[EXAMPLE_VERSION],
    )
    generation: int | None
    since: datetime | None = Field(
        description="Start of serving this version; `null`: not reported yet."
    )
    started_at: datetime
    seen_at: datetime = Field(description="Time of its last report.")
    failure: str | None = Field(
        description="Reason why it still serves an older version than the published one."
    )


class WorkersAnswer(Answer):
    """Every process that serves."""

    workers: list[WorkerState]
    workers_unknown: str | None = Field(
        None, description="Error of the ledger, where only the answering process can be listed."
    )


class ModelAnswer(WorkersAnswer):
    """The served model of a symbol, with its training and its evaluation."""

    symbol: str
    version: str = Field(examples=[EXAMPLE_VERSION])
    generation: int = Field(description="Counts promotions and rollbacks of the symbol.")
    published_version: str | None = Field(description="Version that the pointer names now.")
    history: list[PointerStep] = Field(
        description="The newest 20 steps of the pointer, newest first; none where it is damaged."
    )
    loaded_at: datetime
    created_at: datetime
    forecaster: str
    seq_length: int
    horizon: int
    data: list[dict[str, Any]] = Field(
        description="Training data of each symbol: span, basis, hash."
    )
    hyperparameters: dict[str, Any]
    training: dict[str, Any]
    location: dict[str, Any] = Field(
        description="Per step the share of the predicted location that is used (0: naive), and "
        "the reason."
    )
    note: str | None = Field(
        description="Reason where all prices of its forecasts are the same, or some; else `null`.",
        examples=[
            "its point forecast was no better than today's close, so it was set to that: all ten "
            "prices are the same"
        ],
    )
    chosen_from: dict[str, Any] = Field(
        description="For `auto`: p-values of the model confidence set, and forecasters left out."
    )
    symbols: list[str] = Field(description="All symbols that this model was trained for.")
    name: str = Field(
        description="Name of the panel: the one that it was given, else its first symbol and the "
        "number of the others; of one symbol, itself.",
        examples=["AAPL and 19 more"],
    )
    left_out: dict[str, str] = Field(description="Symbols without usable data, with the reason.")
    evaluation: dict[str, Any] = Field(
        description="Scores of this symbol: every forecaster, from windows alone and with history, "
        "per step, naive beside every score. The row `as trained`, where there is one, is of the "
        "point forecast before it was shrunk to naive's, as a published recipe would state it. "
        "`p_mae` and `p_crps` are two-sided Diebold-Mariano p-values."
    )
    gate: dict[str, Any] = Field(
        description="Outcome, reason, comparisons and the model confidence set. The gate decides "
        "by `p_one_sided` of a comparison: the Diebold-Mariano p-value in the direction of "
        "`ratio`. Models of earlier versions have a two-sided `p` in its place, twice as much."
    )
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
    current: bool = Field(description="Whether it is current for a symbol.")
    relative_mae: float | None = Field(
        description="The model's over naive's, whole horizon, with history, mean over symbols; "
        "below 1 is better."
    )
    crps_ratio: float | None = Field(description="The same ratio for the CRPS.")


class VersionList(Answer):
    """Bundles, newest first."""

    versions: list[VersionSummary]


class SymbolBody(Request):
    """A symbol; the default symbol if omitted."""

    symbol: SymbolText | None = None


class PointerMoveBody(SymbolBody):
    """A move of a symbol's pointer: the reason, the caller, and the state it was decided on."""

    reason: ReasonText
    by: WhoText | None = None
    expected_generation: ExpectedGeneration = None
    only: bool = Field(
        False,
        description="Move this symbol alone. By default all symbols that its current version "
        "serves move together, or none of them does.",
    )


class PromoteBody(PointerMoveBody):
    """The version that becomes current, also one that the gate rejected."""

    version: str = Field(
        max_length=60,
        description="A whole bundle of the symbol: GET /model/versions lists them.",
        examples=[EXAMPLE_VERSION],
    )


class RollbackBody(PointerMoveBody):
    """The version to go back to, by default the one before."""

    version: str | None = Field(
        None,
        max_length=60,
        description="A version that was current before. Without it: the version that was current "
        "before the present one first became so. Repeated rollbacks go further and further back.",
    )


class ReloadOutcome(Answer):
    """Outcome of following one symbol's pointer."""

    symbol: str
    outcome: Literal["unchanged", "swapped", "failed"]
    serving_version: str | None
    published_version: str | None
    reason: str | None


class ReloadAnswer(WorkersAnswer):
    """Versions that this process and all others serve after following the pointers."""

    process_id: int = Field(description="Number of the answering process on its machine.")
    followed: bool = Field(
        description="Whether every process has followed the pointers without a failure."
    )
    reloads: list[ReloadOutcome] = Field(description="Outcomes in the answering process.")


class PointerMoveAnswer(ReloadAnswer):
    """The step of each symbol's pointer, and the versions served after it."""

    steps: dict[str, PointerStep] = Field(
        description="Every symbol that was moved, the named one first."
    )
