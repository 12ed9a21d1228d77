"""Live performance of forecasts: scored steps of the ledger, with honest intervals.

Needs numpy only; the process that serves imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.records import SCORED_LEVELS, ScoredStep

ENOUGH = 30
"""Origins from which on an interval is stated; with fewer the estimate of its width is noise."""

PIT_BINS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % confidence interval; without one where there is too little data."""

    value: float | None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Share of closes inside the central intervals of one level.

    ``promised`` is the share of the evaluation that came with the model, where it has one.
    """

    level: float
    observed: Estimate
    promised: float | None


@dataclass(frozen=True, slots=True)
class StepPerformance:
    """Scored forecasts of one step, or of all steps together.

    Attributes
    ----------
    step : int or None
        Sessions ahead; ``None`` in the row over all steps.
    n, origins : int
        Scored forecasts, and the different origins they were made at.
    first_session, last_session : str
        ISO dates of the closes they were scored by.
    enough : bool
        Whether ``origins`` suffice for the intervals; without that there are none.
    relative_mae : Estimate
        Sum of our absolute errors (log returns) over that of "tomorrow = today" on the same rows:
        below 1 is better. The value is ``None`` where naive made no error at all and we did.
    promised_relative_mae : float or None
        Of the evaluation that came with the model.
    bias, bias_standard_error : float, float or None
        Mean of actual minus forecast log return.
    crps : float
        Mean, in log return.
    coverage : tuple of Coverage
        One per level.
    pit : tuple of int
        Forecasts per tenth of the probability integral transform; equal where calibrated.
    """

    step: int | None
    n: int
    origins: int
    first_session: str
    last_session: str
    enough: bool
    relative_mae: Estimate
    promised_relative_mae: float | None
    bias: float
    bias_standard_error: float | None
    crps: float
    coverage: tuple[Coverage, ...]
    pit: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Performance:
    """Of every step that was scored, and over all of them (``None`` if nothing was).

    ``corrected`` counts the forecasts whose outcome is not the first one: a close was corrected.
    """

    overall: StepPerformance | None
    steps: tuple[StepPerformance, ...]
    corrected: int = 0


def summarise(rows: Sequence[ScoredStep], promise: Mapping[str, Any] | None = None) -> Performance:
    """Figures of scored steps, beside what the evaluation promised.

    Parameters
    ----------
    rows : sequence of ScoredStep
        Of one symbol and one kind, in any order.
    promise : mapping, optional
        A row of ``Evaluation.to_dict()["rows"]``: ``relative_mae``, ``coverage_80`` and
        ``coverage_95`` in ``overall`` and in each of ``steps``.

    Notes
    -----
    Forecasts h sessions ahead that were made on following days share h - 1 sessions, and wild
    times come in clusters: neither errors nor hits are independent. Every figure is a ratio of
    two sums over origins; its variance is that of the linearised ratio (delta method) with the
    long-run variance of Newey and West (1987, Econometrica 55, 703-708). Their kernel is cut off
    at 1.3 sqrt(n) lags (Lazarus, Lewis, Stock and Watson 2018, JBES 36, 541-559, eq. 4), never
    below 2 (h - 1); the quantile is that of the fixed-b law of Kiefer and Vogelsang (2005,
    Econometric Theory 21, 1130-1164, table 1), which knows that this variance is an estimate.
    A normal quantile would call too much a difference. Measured on forecasts of independent
    returns, 1500 draws: of the intervals of relative MAE 93 to 94 % hold the truth with 250 origins
    and 91 % in the worst case, ten sessions ahead with 120; those of coverage 95 % and more.

    Intervals of coverage are Wilson's, with the sample size divided by the design effect (Franco,
    Little, Louis and Slud 2019, JSSAM 7, 334-364): they never leave [0, 1], and do not collapse
    where every close was a hit.
    """
    steps = sorted({row.step for row in rows})
    promised: Mapping[str, Any] = promise or {}
    by_step = list(promised.get("steps", ()))
    return Performance(
        _figures(None, rows, promised.get("overall", {})) if rows else None,
        tuple(
            _figures(
                step,
                [row for row in rows if row.step == step],
                by_step[step - 1] if step <= len(by_step) else {},
            )
            for step in steps
        ),
        sum(row.corrections > 0 for row in rows),
    )


def _figures(
    step: int | None, rows: Sequence[ScoredStep], promise: Mapping[str, Any]
) -> StepPerformance:
    outcomes = [row.outcome for row in rows]
    origins, group = np.unique([row.origin.toordinal() for row in rows], return_inverse=True)
    overlap = max(row.step for row in rows) - 1
    error = np.array([outcome.error for outcome in outcomes])
    naive_error = np.array([outcome.naive_error for outcome in outcomes])
    hits = np.array([outcome.hits for outcome in outcomes], dtype=float)

    def per_origin(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(group, values, len(origins)), dtype=float)

    enough = len(origins) >= ENOUGH
    counts = per_origin(np.ones(len(rows)))
    bias, bias_error, _ = ratio(per_origin(error), counts, overlap)
    sessions = [row.session for row in rows]
    return StepPerformance(
        step=step,
        n=len(rows),
        origins=len(origins),
        first_session=str(min(sessions)),
        last_session=str(max(sessions)),
        enough=enough,
        relative_mae=_relative(
            per_origin(np.abs(error)), per_origin(np.abs(naive_error)), overlap, enough
        ),
        promised_relative_mae=_promised(promise, "relative_mae"),
        bias=bias,
        bias_standard_error=bias_error if enough else None,
        crps=float(np.mean([outcome.crps for outcome in outcomes])),
        coverage=tuple(
            Coverage(
                level,
                _observed(hits[:, i], group, overlap, enough),
                _promised(promise, f"coverage_{100 * level:.0f}"),
            )
            for i, level in enumerate(SCORED_LEVELS)
        ),
        pit=_histogram([outcome.pit for outcome in outcomes]),
    )


def _observed(hits: FloatArray, group: NDArray[np.int64], overlap: int, enough: bool) -> Estimate:
    """Coverage of one level, of the forecasts that stated it; ``hits`` is NaN for the others."""
    stated = np.isfinite(hits)
    if not stated.any():
        return Estimate(None)
    _, origins = np.unique(group[stated], return_inverse=True)
    counts = np.bincount(origins).astype(float)
    within = np.bincount(origins, hits[stated]).astype(float)
    return share(within, counts, overlap, enough and len(counts) >= ENOUGH)


def ratio(
    numerator: FloatArray, denominator: FloatArray, overlap: int
) -> tuple[float, float, float]:
    """Ratio of two sums over a series, with the standard error that its memory allows.

    Parameters
    ----------
    numerator, denominator : arrays, shape (n,)
        Per origin, in order of time; the denominators' sum is positive.
    overlap : int
        Sessions that neighbouring forecasts share.

    Returns
    -------
    value, standard_error, quantile : float
        The 95 % interval is the value plus and minus ``quantile`` standard errors.
    """
    n = len(numerator)
    value = float(numerator.sum() / denominator.sum())
    influence = (numerator - value * denominator) / denominator.mean()
    lags = min(n - 1, max(2 * overlap, int(np.ceil(1.3 * np.sqrt(n)))))
    long_run = influence @ influence / n
    for lag in range(1, lags + 1):
        weight = 1 - lag / (lags + 1)
        long_run += 2 * weight * (influence[lag:] @ influence[:-lag]) / n
    standard_error = float(np.sqrt(max(long_run, 0.0) / n))
    b = (lags + 1) / n
    quantile = 1.9600 + 2.9694 * b + 0.4160 * b**2 - 0.5324 * b**3
    return value, standard_error, quantile


def share(hits: FloatArray, counts: FloatArray, overlap: int, enough: bool = True) -> Estimate:
    """Share of hits with Wilson's interval at the sample size that the hits' memory leaves.

    Parameters
    ----------
    hits, counts : arrays, shape (n,)
        Hits and forecasts per origin, in order of time.
    overlap : int
        Sessions that neighbouring forecasts share.
    enough : bool
        Whether to state an interval.
    """
    p, standard_error, z = ratio(hits, counts, overlap)
    if not enough:
        return Estimate(p)
    n = counts.sum()
    if 0 < p < 1:
        # A handful of misses shows too little of its memory: at least half the overlap's.
        effect = max(1 + overlap / 2, standard_error**2 / (p * (1 - p) / n))
    else:  # hits without exception say nothing of their memory: assume that of the overlap
        effect = (overlap + 1) * n / len(counts)
    n /= effect
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # At p of 0 or 1 the end is p itself, but for rounding.
    return Estimate(
        p, float(min(max(0.0, middle - half), p)), float(max(min(1.0, middle + half), p))
    )


def _relative(ours: FloatArray, naive: FloatArray, overlap: int, enough: bool) -> Estimate:
    if not naive.any():
        tied = not ours.any()
        return Estimate(*([1.0] * 3 if tied and enough else [1.0 if tied else None]))
    value, standard_error, quantile = ratio(ours, naive, overlap)
    if not enough:
        return Estimate(value)
    half = quantile * standard_error
    return Estimate(value, max(0.0, value - half), value + half)


def _promised(promise: Mapping[str, Any], name: str) -> float | None:
    value = promise.get(name)
    return None if value is None else float(value)


def _histogram(pits: Sequence[float]) -> tuple[int, ...]:
    counts, _ = np.histogram(pits, bins=PIT_BINS, range=(0, 1))
    return tuple(int(count) for count in counts)
