"""``/health``: the state of one process and its machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.base import Answer
from api.schemas.forecasts import HeldClosesAnswer
from closecast.database import Queue
from closecast.infra.trouble import TroubleCode


class ReasonAnswer(Answer):
    """One reason for which the service is degraded."""

    code: TroubleCode = Field(description="Stable, for machines.")
    message: str = Field(description="A sentence that names the place and the reason.")
    remedy: str = Field(description="The next step.")


class ServedAnswer(Answer):
    """A symbol in memory."""

    symbol: str
    serving_version: str
    published_version: str | None


class Artefacts(Answer):
    """Parts of the default symbol's bundle that are present."""

    model: bool
    intervals: bool
    drift_baseline: bool
    collected_prices: bool


class QueueAnswer(Answer):
    """Jobs of one queue, each of which a worker process of its own runs."""

    queued: int = Field(description="Jobs that wait.")
    running: int
    waiting_s: float = Field(description="Seconds for which one has waited at most.")


class HealthAnswer(Answer):
    """The state of this process and its machine."""

    status: Literal["ok", "degraded", "no_model"]
    reasons: list[ReasonAnswer] = Field(
        description="Reasons for a status that is not `ok`, each with the next step."
    )
    version: str
    uptime_s: float
    cpu_percent: float | None = Field(
        description="CPU use of the machine over the last second; `null` in the first 0.1 s."
    )
    memory_percent: float = Field(description="Memory use of the machine.")
    process_memory_mb: float = Field(description="Resident memory of this process.")
    disk_free_gb: float | None = Field(
        description="Free space on the disk of the data folder; `null` while it does not answer."
    )
    default_symbol: str
    artefacts: Artefacts
    models: list[ServedAnswer]
    failures: dict[str, str] = Field(
        description="Symbols whose newest bundle was refused, and why."
    )
    held: dict[str, HeldClosesAnswer] = Field(
        description="Symbols of which closes are held back, each with the fault."
    )
    ledger: str = Field(description="`ok`, or the error of the ledger.")
    queues: dict[Queue, QueueAnswer] = Field(
        description="Jobs by queue: `fast` (collections of closes) and `train`; empty where the "
        "ledger cannot be read."
    )
    can_train: bool


class Alive(Answer):
    """A sign of life."""

    status: Literal["alive", "ready"]
