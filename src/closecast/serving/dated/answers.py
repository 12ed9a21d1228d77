"""Answers with dated forecasts, in plain numbers without arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from closecast.core.records import HeldCloses, Kind
from closecast.core.verdict import Finding, Verdict
from closecast.database import JobState


@dataclass(frozen=True, slots=True)
class Interval:
    """Central interval of a future close, in price units."""

    level: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class DatedRow:
    """One session ahead; prices in the origin's basis.

    Attributes
    ----------
    closes_at : datetime
        The closing bell, UTC.
    elapsed : bool
        Whether the session had closed when the answer was made.
    path_band : Interval
        This session's part of the band that holds the whole path at its level.
    """

    step: int
    session: date
    closes_at: datetime
    elapsed: bool
    price: float
    naive_price: float
    intervals: tuple[Interval, ...]
    path_band: Interval


@dataclass(frozen=True, slots=True)
class UpdateAttempt:
    """The newest attempt to get newer closes of a symbol.

    Attributes
    ----------
    at : datetime
        Aware; end of the attempt, or the time at which it was queued.
    reason : str or None
        Reason why it brought no newer close; ``None`` while it waits or runs.
    """

    job_id: str
    state: JobState
    at: datetime
    reason: str | None


@dataclass(frozen=True, slots=True)
class DatedAnswer:
    """A forecast of the next sessions of one symbol, in plain numbers without arrays.

    Attributes
    ----------
    generation : int
        Generation of the pointer that named the model.
    origin : date
        Session of the newest close it starts from.
    age : int
        Sessions completed since then; 0 is fresh.
    unfinished_session : date or None
        Session whose last bar was not over when closes were collected, and was left out.
    verdict : Verdict or None
        Drift findings on the newest window of closes, after that of held closes; ``None`` where
        the closes are not known.
    held : HeldCloses or None
        The fault for which closes after the origin are held back.
    last_update : UpdateAttempt or None
        ``None`` while the forecast is fresh, or where no worker collects closes.
    note : str or None
        Reason where prices are the last close because the point forecast was no better.
    """

    forecast_id: str
    kind: Kind
    symbol: str
    exchange: str
    model_version: str
    generation: int
    calibration_revision: int
    origin: date
    last_close: float
    basis: str
    age: int
    unfinished_session: date | None
    verdict: Verdict | None
    held: HeldCloses | None
    last_update: UpdateAttempt | None
    path: tuple[DatedRow, ...]
    note: str | None = None

    @property
    def drift_warning(self) -> bool:
        """True if the newest window is unlike the training data, or closes are held back."""
        return self.verdict is not None and self.verdict.warning

    @property
    def drift_details(self) -> list[str]:
        """Sentences of the drift findings."""
        return [finding.sentence for finding in self.drift_findings]

    @property
    def drift_findings(self) -> tuple[Finding, ...]:
        """Drift findings, for programs."""
        return () if self.verdict is None else self.verdict.findings

    @property
    def stale(self) -> bool:
        """True if a session has completed since the close that the forecast starts from."""
        return self.age > 0


@dataclass(frozen=True, slots=True)
class Freshness:
    """Age of the newest known close of a symbol, in completed sessions.

    ``closed_at`` is the bell of its session, UTC.
    """

    session: date
    age: int
    closed_at: datetime
