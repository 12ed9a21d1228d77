"""Outcomes of dated forecasts: realised returns, and the scores of one forecast."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.core.records import (
    SCORED_LEVELS,
    DatedForecast,
    DatedStep,
    Outcome,
    probabilities_of,
)
from closecast.metrics.scores import crps_from_quantiles

_PATIENCE = 5
"""Later sessions without it after which a session is given up: sources fill a gap belatedly."""


def realised_log_return(prices: Prices, origin: date, session: date) -> float | None:
    """Log return from one session's close to another's, both out of the same download.

    One download has one basis, so that a dividend or a split after the forecast was made, which
    rescales all earlier closes alike, leaves the return as it was.

    Returns
    -------
    float or None
        ``None`` while one of the closes is missing; :func:`will_never_come` says whether it
        is worth waiting.
    """
    first, last = _row(prices, origin), _row(prices, session)
    if first is None or last is None:
        return None
    return float(np.log(prices.closes[last] / prices.closes[first]))


def will_never_come(prices: Prices, origin: date, session: date, patience: int = _PATIENCE) -> bool:
    """Answer True if a close of origin or session is missing for good: the step is to be voided.

    The calendar announced a session that did not take place (a day of mourning, a storm), or the
    source took a close back. That is believed once ``patience`` later sessions have closed.
    A day before the first close of the download may lie in the next one.
    """
    for day in (origin, session):
        wanted = np.datetime64(day, "D")
        later = int((prices.sessions > wanted).sum())
        if _row(prices, day) is None and prices.sessions[0] < wanted and later >= patience:
            return True
    return False


def score_step(
    forecast: DatedForecast, step: DatedStep, log_return: float, now: datetime
) -> Outcome:
    """The scores of one step.

    Parameters
    ----------
    log_return : float
        From the origin's close to the step's, as :func:`realised_log_return` answers it.
    now : datetime
        Aware; when the score was made.

    Notes
    -----
    The CRPS is taken over the 39 inner probabilities only, as everywhere in closecast, so that
    live scores compare with those of an evaluation.
    """
    quantiles, probabilities = np.asarray(step.quantiles), probabilities_of(step.quantiles)
    inner = np.searchsorted(probabilities, PROBABILITIES - 1e-9)
    return Outcome(
        actual=float(forecast.origin_close * np.exp(log_return)),
        log_return=log_return,
        error=log_return - float(np.log(step.price / forecast.origin_close)),
        naive_error=log_return,
        hits=tuple(_holds(quantiles, probabilities, level, log_return) for level in SCORED_LEVELS),
        crps=float(
            crps_from_quantiles(np.asarray(log_return), quantiles[inner], PROBABILITIES).item()
        ),
        pit=probability_integral_transform(step.quantiles, log_return),
        scored_at=now,
    )


def probability_integral_transform(quantiles: Sequence[float], log_return: float) -> float:
    """Probability that a forecast gave to returns below the one that came.

    Linear between the quantiles at ``probabilities_of`` them. Beyond the outermost the forecast
    states no more than the mass of the tail: half of it. Where several quantiles are equal to
    the return (a law with a jump), the middle of the jump.

    >>> from closecast.core.records import SCORED_PROBABILITIES
    >>> flat = [p - 0.5 for p in SCORED_PROBABILITIES]
    >>> [round(probability_integral_transform(flat, r), 4) for r in (-9, -0.25, 0.1, 9)]
    [0.0025, 0.25, 0.6, 0.9975]
    """
    ends, probabilities = np.asarray(quantiles), probabilities_of(quantiles)
    first, last = ends[0], ends[-1]
    if log_return < first:
        return float(probabilities[0] / 2)
    if log_return > last:
        return float((1 + probabilities[-1]) / 2)
    equal = probabilities[ends == log_return]
    if len(equal):
        return float((equal[0] + equal[-1]) / 2)
    return float(np.interp(log_return, ends, probabilities))


def _row(prices: Prices, day: date) -> int | None:
    wanted = np.datetime64(day, "D")
    row = int(np.searchsorted(prices.sessions, wanted))
    return row if row < len(prices) and prices.sessions[row] == wanted else None


def _holds(
    quantiles: FloatArray, probabilities: FloatArray, level: float, log_return: float
) -> bool | None:
    if (1 - level) / 2 < probabilities[0] - 1e-9:
        return None
    lower, upper = (
        quantiles[int(np.argmin(np.abs(probabilities - p)))]
        for p in ((1 - level) / 2, (1 + level) / 2)
    )
    return bool(lower <= log_return <= upper)
