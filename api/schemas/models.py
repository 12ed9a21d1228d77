"""``/model`` and ``/health``: what is served, and how it does."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import EXAMPLE_VERSION, Answer, Request, SymbolText


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
    symbols: list[str] = Field(description="All that this model was trained for.")
    left_out: dict[str, str] = Field(description="Symbols that were not learned from, and why.")
    evaluation: dict[str, Any] = Field(
        description="Of this symbol: every forecaster, from windows alone and with history, per "
        "step, naive beside every score."
    )
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
