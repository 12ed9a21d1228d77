"""``/model``: the served model, versions, and moves of a symbol's pointer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from api.schemas.base import EXAMPLE_VERSION, Answer, Request, SymbolText


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank; say it in a few words: the history keeps it")
    return text


# The pattern is for whoever reads the document; the validator says it in words.
_WORDS = {"pattern": r"\S"}
ReasonText = Annotated[
    str,
    AfterValidator(_not_blank),
    Field(
        min_length=1,
        max_length=500,
        description="Why; kept in the pointer's history.",
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
        description="Who asks; `api:` and the caller's address without it. The gate's own name, "
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
        description="The pointer's generation that this was decided against, 0 for none: a 409 "
        "if it has moved since. Not compared without it.",
    ),
]


class PointerStep(Answer):
    """One step of a symbol's pointer: what became current, who asked for it, and why."""

    version: str = Field(examples=[EXAMPLE_VERSION])
    generation: int = Field(
        description="Counts the steps; after a damaged pointer it goes on from the time, in "
        "microseconds since 1970.",
        examples=[3],
    )
    at: datetime
    by: str = Field(description="`closecast` is the gate itself.", examples=["ana"])
    kind: Literal["promotion", "rollback"]
    reason: str
    rolled_back: str | None = Field(description="The version that a rollback left.")


class WorkerState(Answer):
    """One API process, and what it serves for a symbol."""

    process: str = Field(
        description="Its name: no two processes ever have the same.",
        examples=["web-1/0b1c2d3e-4026531836:4711:123456"],
    )
    host: str
    answering: bool = Field(description="Whether it is the one that answers here.")
    symbol: str
    version: str | None = Field(
        description="null: nobody has asked it for the symbol, or it could load none.",
        examples=[EXAMPLE_VERSION],
    )
    generation: int | None
    since: datetime | None = Field(description="Serves this since; null: not reported yet.")
    started_at: datetime
    seen_at: datetime = Field(description="Its last sign of life.")
    failure: str | None = Field(
        description="Why it does not serve what the pointer leads to, and keeps what it had."
    )


class WorkersAnswer(Answer):
    """Every process that serves."""

    workers: list[WorkerState]
    workers_unknown: str | None = Field(
        None, description="Why only the answering process is listed: what is wrong with the ledger."
    )


class ModelAnswer(WorkersAnswer):
    """What is served for a symbol, and what it was measured to be."""

    symbol: str
    version: str = Field(examples=[EXAMPLE_VERSION])
    generation: int = Field(description="Counts promotions and rollbacks of the symbol.")
    published_version: str | None = Field(description="Where the pointer leads now.")
    history: list[PointerStep] = Field(
        description="The newest 20 steps of the pointer, newest first; none where it is damaged."
    )
    loaded_at: datetime
    created_at: datetime
    forecaster: str
    seq_length: int
    horizon: int
    data: list[dict[str, Any]] = Field(description="Closes it was made from: span, basis, hash.")
    hyperparameters: dict[str, Any]
    training: dict[str, Any]
    location: dict[str, Any] = Field(
        description="Per step the share of the predicted location that is used (0: the naive "
        "one), and why."
    )
    chosen_from: dict[str, Any] = Field(
        description="Of `auto`: p-values of the model confidence set, and who was left out."
    )
    symbols: list[str] = Field(description="All that this model was trained for.")
    left_out: dict[str, str] = Field(description="Symbols that were not learned from, and why.")
    evaluation: dict[str, Any] = Field(
        description="Of this symbol: every forecaster, from windows alone and with history, per "
        "step, naive beside every score. `p_mae` and `p_crps` are two-sided Diebold-Mariano "
        "p-values."
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
    current: bool = Field(description="Whether a pointer leads to it.")
    relative_mae: float | None = Field(
        description="Ours over naive's, whole horizon, with history, mean over symbols; "
        "below 1 is better."
    )
    crps_ratio: float | None = Field(description="The same of the CRPS.")


class VersionList(Answer):
    """Bundles, newest first."""

    versions: list[VersionSummary]


class SymbolBody(Request):
    """Which symbol; the default one without it."""

    symbol: SymbolText | None = None


class PointerMoveBody(SymbolBody):
    """A move of a symbol's pointer: the reason, the caller, and the state it was decided on."""

    reason: ReasonText
    by: WhoText | None = None
    expected_generation: ExpectedGeneration = None


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
    """What a look at one pointer led to."""

    symbol: str
    outcome: Literal["unchanged", "swapped", "failed"]
    serving_version: str | None
    published_version: str | None
    reason: str | None


class ReloadAnswer(WorkersAnswer):
    """What this process serves after the look, and what all others do."""

    process_id: int = Field(description="Of the process that answers, on its machine.")
    followed: bool = Field(
        description="Whether every process has followed the pointers by now, and none has failed."
    )
    reloads: list[ReloadOutcome] = Field(description="Of the process that answers.")


class PointerMoveAnswer(ReloadAnswer):
    """The step that the pointer of each symbol took, and what this process serves after it."""

    steps: dict[str, PointerStep]
