"""Records of the ledger as data: dated forecasts, outcomes, sessions, decisions on closes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Literal

from closecast.core.arrays import FloatArray, read_only
from closecast.core.forecast import PROBABILITIES

Trigger = Literal["request", "schedule", "regime"]
"""Cause of a training: a person, the calendar, or a change of the market."""

Kind = Literal["live", "replay"]
"""``live``: issued before the session closed. ``replay``: made afterwards with a set clock."""

SCORED_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Central intervals whose hits are scored."""

SCORED_PROBABILITIES = read_only([0.005, *PROBABILITIES, 0.995])
"""Probabilities of a dated forecast's quantiles: the ends of all ``SCORED_LEVELS``."""


def probabilities_of(quantiles: Sequence[float]) -> FloatArray:
    """Probabilities that the quantiles of a dated step are stated at.

    ``SCORED_PROBABILITIES``, or without their ends, where past errors were too few for 99 %.
    """
    return SCORED_PROBABILITIES if len(quantiles) == len(SCORED_PROBABILITIES) else PROBABILITIES


@dataclass(frozen=True, slots=True)
class DatedStep:
    """One session ahead.

    ``quantiles`` are log returns from the origin's close, at :func:`probabilities_of` them.
    """

    step: int
    session: date
    price: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class DatedForecast:
    """A forecast of named sessions, recorded before they closed.

    Prices are in the basis that the origin's close had when the forecast was made; a later
    restatement of history (a dividend) changes nothing in here.
    """

    kind: Kind
    symbol: str
    version: str
    revision: int
    forecaster: str
    origin: date
    origin_close: float
    basis: str
    source: str
    issued_at: datetime
    steps: tuple[DatedStep, ...]

    @property
    def forecast_id(self) -> str:
        """The same for the same statement, on every request: 32 hex digits."""
        said = asdict(self)
        del said["issued_at"]
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()[
            :32
        ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one step.

    Attributes
    ----------
    actual : float
        The close in the forecast's own basis: its origin close grown by ``log_return``.
    log_return : float
        From the origin's close to the session's, both from one download.
    error, naive_error : float
        Actual minus forecast log return; of ours and of "tomorrow = today".
    hits : tuple of (bool or None)
        Whether the central interval of each of ``SCORED_LEVELS`` held the close; ``None`` where
        the forecast did not state it.
    crps : float
        In log return.
    pit : float
        Probability that the forecast gave to closes below the one that came, in [0, 1].
    """

    actual: float
    log_return: float
    error: float
    naive_error: float
    hits: tuple[bool | None, ...]
    crps: float
    pit: float
    scored_at: datetime


@dataclass(frozen=True, slots=True)
class SettledStep:
    """One step that is scored or voided, with what decides whether it still stands.

    ``log_return`` is that of its outcome; ``None`` where it was voided.
    """

    forecast_id: str
    step: int
    origin: date
    origin_close: float
    session: date
    basis: str
    issued_at: datetime
    log_return: float | None


@dataclass(frozen=True, slots=True)
class ScoredStep:
    """One step of a forecast with its newest outcome: performance is computed from these.

    ``corrections`` counts its earlier outcomes, which closes that were corrected since changed.
    """

    forecast_id: str
    version: str
    revision: int
    forecaster: str
    origin: date
    session: date
    step: int
    price: float
    origin_close: float
    outcome: Outcome
    corrections: int = 0


@dataclass(frozen=True, slots=True)
class DriftDay:
    """One session of one symbol under one model: its forecast and its outcome.

    Figures are of one session ahead, in log return; ``None`` where unknown.

    Attributes
    ----------
    monitor : tuple of float
        ``values`` of the :class:`closecast.drift.Monitor` after the session.
    evidence : float
        Of that monitor, in sessions.
    miss : bool
        Whether the 90 % interval of the live calibration missed the close.
    pit : float
        Probability that the live forecast gave to closes below the one that came.
    shock : float
        Two-sided tail probability of the return under the model as it was trained.
    error : float
        Actual minus forecast (median) log return.
    expected_error : float
        The size of it that the width of the forecast let one expect.
    width : float
        Of the 90 % interval.
    at : datetime
        Aware; when it was written down.
    """

    version: str
    symbol: str
    session: date
    monitor: tuple[float, ...]
    evidence: float
    miss: bool | None
    pit: float | None
    shock: float | None
    error: float | None
    expected_error: float | None
    width: float | None
    at: datetime


@dataclass(frozen=True, slots=True)
class AcceptedClose:
    """A close that looks faulty and is right: the decision of a person.

    Attributes
    ----------
    by : str
        Name of the person or API key that decided.
    at : datetime
        Aware; when it was decided.
    """

    symbol: str
    session: date
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HeldCloses:
    """Collected closes of a symbol that are held back: nothing learns from them or is scored.

    Attributes
    ----------
    since : date
        First session of the fault; its close and all later ones are held back as they were
        collected last. Closes that were learned before stay in use.
    code : str
        Name of the fault, for programs.
    reason : str
        The fault in a sentence.
    ends : str
        A sentence on what ends it.
    noticed_at : datetime
        Aware; when the fault was first seen.
    """

    since: date
    code: str
    reason: str
    ends: str
    noticed_at: datetime
