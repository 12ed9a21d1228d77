"""What a dated forecast says. Plain numbers, no arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from closecast.core.records import Kind
from closecast.core.verdict import Finding, Verdict


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
        Whether it had rung when this was answered.
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
class DatedAnswer:
    """What a dated forecast says. Plain numbers, no arrays.

    Attributes
    ----------
    generation : int
        Of the pointer that led to the model.
    origin : date
        Session of the newest close it starts from.
    age : int
        Sessions completed since then; 0 is fresh.
    unfinished_session : date or None
        Session whose last bar was not over when closes were collected, and was left out.
    verdict : Verdict or None
        What to think of the newest window of closes; ``None`` where it is not known.
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
    path: tuple[DatedRow, ...]

    @property
    def drift_warning(self) -> bool:
        """Whether the newest window looks unlike what the model learned from."""
        return self.verdict is not None and self.verdict.warning

    @property
    def drift_details(self) -> list[str]:
        """Why, in sentences."""
        return [finding.sentence for finding in self.drift_findings]

    @property
    def drift_findings(self) -> tuple[Finding, ...]:
        """Why, for programs."""
        return () if self.verdict is None else self.verdict.findings

    @property
    def stale(self) -> bool:
        """Whether a newer close is final than the one it starts from."""
        return self.age > 0


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the newest known close of a symbol is, in completed sessions.

    ``closed_at`` is the bell of its session, UTC.
    """

    session: date
    age: int
    closed_at: datetime
