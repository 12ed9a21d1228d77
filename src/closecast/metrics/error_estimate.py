"""Observed beside expected errors: misses, bias and error of the sessions under watch.

Needs numpy only; the process that serves imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.records import DriftDay
from closecast.metrics.live import ENOUGH, Estimate, ratio, share

SPANS = (60, 250, None)
"""Newest sessions that a report is over; ``None`` for all of them."""


@dataclass(frozen=True, slots=True)
class RealisedErrors:
    """Errors of the newest sessions.

    Attributes
    ----------
    span : int or None
        Number of sessions requested; ``None`` for all.
    sessions : int
        How many there were whose close could be compared with a forecast.
    first_session, last_session : str
        ISO dates.
    enough : bool
        Whether the sessions suffice for intervals; without that there are none.
    misses : Estimate
        Share of closes outside the 90 % interval; 0.10 is as promised.
    bias, bias_standard_error : float, float or None
        Mean of actual minus forecast log return.
    error : float
        Mean absolute error in log return.
    expected_error : float or None
        Its estimate, made from the width of each forecast before its close was known.
    error_ratio : Estimate
        Error that came over error that was expected; above 1 the model is too sure of itself.
    """

    span: int | None
    sessions: int
    first_session: str
    last_session: str
    enough: bool
    misses: Estimate
    bias: float
    bias_standard_error: float | None
    error: float
    expected_error: float | None
    error_ratio: Estimate


@dataclass(frozen=True, slots=True)
class PerformanceDrift:
    """Delayed truth of one symbol.

    Attributes
    ----------
    coming_error : float or None
        Absolute error, in log return, that is expected of the session to come.
    spans : tuple of RealisedErrors
        One per item of :data:`SPANS`; none before the first close.
    """

    coming_error: float | None
    spans: tuple[RealisedErrors, ...]


def expected_error(
    quantiles: Sequence[float] | FloatArray,
    probabilities: FloatArray,
    median: float | None = None,
) -> float:
    """Mean absolute error that a forecast expects of itself: no close is needed to know it.

    ``E|X - m|`` is the integral of ``|Q(p) - m|`` over p: by the trapezoidal rule between the
    quantiles, and constant beyond the outermost. At the 41 ``SCORED_PROBABILITIES`` the two errors
    cancel: 0.1 % above the truth of a normal law, 0.2 % below for Student's t with 4 degrees.

    Parameters
    ----------
    quantiles : array, shape (q,)
        Non-decreasing.
    probabilities : array, shape (q,)
        Increasing, inside (0, 1).
    median : float, optional
        What the error is counted from; by default the quantile that is nearest to one half.

    Examples
    --------
    >>> p = np.linspace(0.005, 0.995, 199)
    >>> round(expected_error(p - 0.5, p), 4)
    0.25
    """
    ends = np.asarray(quantiles, dtype=np.float64)
    if median is None:
        median = float(ends[np.abs(probabilities - 0.5).argmin()])
    distance = np.abs(ends - median)
    distance = np.concatenate([distance[:1], distance, distance[-1:]])
    edges = np.concatenate([[0.0], probabilities, [1.0]])
    return float((np.diff(edges) * (distance[1:] + distance[:-1]) / 2).sum())


def summarise(days: Iterable[DriftDay], coming_error: float | None = None) -> PerformanceDrift:
    """Figures of the sessions of one symbol, over the newest 60, 250 and all.

    Parameters
    ----------
    days : iterable of DriftDay
        In any order, of any versions. Of several about one session the one that was written down
        first counts: a later repetition may have known more.
    coming_error : float, optional
        :func:`expected_error` of the forecast in force.

    Notes
    -----
    Neighbouring errors are not independent where volatility clusters: intervals and standard
    errors are those of :func:`closecast.metrics.live.summarise`.
    """
    first: dict[date, DriftDay] = {}
    for day in sorted(days, key=lambda day: (day.at, day.version)):
        if day.error is not None:
            first.setdefault(day.session, day)
    known = [first[session] for session in sorted(first)]
    if not known:
        return PerformanceDrift(coming_error, ())
    return PerformanceDrift(
        coming_error,
        tuple(_realised(span, known if span is None else known[-span:]) for span in SPANS),
    )


def _realised(span: int | None, days: Sequence[DriftDay]) -> RealisedErrors:
    error = np.array([day.error for day in days], dtype=np.float64)
    missed = np.array([day.miss for day in days if day.miss is not None], dtype=np.float64)
    both = [(abs(d.error or 0.0), d.expected_error) for d in days if d.expected_error is not None]
    came, expected = np.array(both, dtype=np.float64).reshape(-1, 2).T
    enough = len(days) >= ENOUGH
    bias, standard_error, _ = ratio(error, np.ones(len(error)), 0)
    return RealisedErrors(
        span=span,
        sessions=len(days),
        first_session=str(days[0].session),
        last_session=str(days[-1].session),
        enough=enough,
        misses=(
            share(missed, np.ones(len(missed)), 0, len(missed) >= ENOUGH)
            if len(missed)
            else Estimate(None)
        ),
        bias=bias,
        bias_standard_error=standard_error if enough else None,
        error=float(np.abs(error).mean()),
        expected_error=float(expected.mean()) if len(expected) else None,
        error_ratio=_over(came, expected),
    )


def _over(came: FloatArray, expected: FloatArray) -> Estimate:
    """Ratio of two sums, with its interval where there is enough of them."""
    if not expected.any():
        return Estimate(None)
    value, standard_error, quantile = ratio(came, expected, 0)
    if len(came) < ENOUGH:
        return Estimate(value)
    half = quantile * standard_error
    return Estimate(value, max(0.0, value - half), value + half)
