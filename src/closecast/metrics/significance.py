"""Significance tests of forecast losses that overlap in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from closecast.core.arrays import FloatArray

_LEAST_ROWS = 10
_RESAMPLES = 1000


def diebold_mariano(
    loss: FloatArray, reference_loss: FloatArray, horizon: int
) -> tuple[float, float]:
    """Test of equal accuracy of two forecasts of the same rows.

    Diebold and Mariano (1995): the ``horizon - 1`` lags by which ``horizon``-step errors
    overlap count in full, with the small-sample correction and Student-t law of Harvey,
    Leybourne and Newbold (1997). Where such a variance is not positive, the lags are weighted
    by Bartlett's kernel. (Weighted always, they made 12 % instead of 5 % of equal ten-step
    forecasts over 500 rows "different"; counted in full 6 %.)

    Parameters
    ----------
    loss, reference_loss : arrays, shape (n,)
        Losses in order of time.
    horizon : int
        Steps ahead of these forecasts.

    Returns
    -------
    statistic, p : float
        Negative statistic: the first has the smaller loss. ``p`` is two-sided; it is 1
        where the losses are equal throughout or fewer than 10 rows exist.
    """
    difference = loss - reference_loss
    n = len(difference)
    if n < max(_LEAST_ROWS, 2 * horizon) or np.allclose(difference, 0, atol=1e-15):
        return 0.0, 1.0
    variance = float(_long_run_covariance(difference[:, None], horizon)[0, 0])
    if variance <= 0:  # one is better by the same amount in every row
        return float(np.copysign(np.inf, difference.mean())), 0.0
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = float(np.sqrt(max(correction, 0.0)) * difference.mean() / np.sqrt(variance / n))
    return statistic, float(2 * stats.t.sf(abs(statistic), df=n - 1))


@dataclass(frozen=True, slots=True)
class ConditionalTest:
    """Outcome of a test of equal *conditional* accuracy.

    Attributes
    ----------
    p : float
        Small: which of the two will have the smaller loss can be predicted.
    next_difference : float
        Loss minus reference loss that is expected of the next forecast; negative: the first is
        expected to do better now.
    """

    p: float
    next_difference: float


def giacomini_white(loss: FloatArray, reference_loss: FloatArray, horizon: int) -> ConditionalTest:
    """Test whether the better of two forecasts can be predicted from earlier losses.

    Giacomini and White (2006), section 3: known before a forecast are a constant and the
    newest loss difference that has been realised by then, ``horizon`` rows earlier. Two
    forecasts equal on average may differ in this: one good in calm, the other in wild times.

    Parameters
    ----------
    loss, reference_loss : arrays, shape (n,)
        Losses in order of time, of forecasts ``horizon`` steps ahead.

    Returns
    -------
    ConditionalTest
        With ``p`` 1 and the mean difference where rows are too few or the losses are equal.
    """
    difference = loss - reference_loss
    n = len(difference) - horizon
    size = float(difference.std())
    if n < max(_LEAST_ROWS, 2 * horizon) or size <= 1e-15:
        return ConditionalTest(1.0, float(difference.mean()) if len(difference) else 0.0)
    known = np.column_stack([np.ones(n), difference[:-horizon] / size])
    coming = difference[horizon:]
    moments = known * coming[:, None]
    mean = moments.mean(axis=0)
    covariance = _long_run_covariance(moments, horizon, centred=False)
    statistic = float(n * mean @ np.linalg.pinv(covariance) @ mean)
    slope = np.linalg.lstsq(known, coming, rcond=None)[0]
    expected = float(slope @ [1.0, difference[-1] / size])
    return ConditionalTest(float(stats.chi2.sf(statistic, df=2)), expected)


def model_confidence_set(
    losses: Mapping[str, FloatArray], horizon: int, level: float = 0.95, seed: int = 0
) -> dict[str, float]:
    """The models that do not differ significantly from the best one, with their p-values.

    Hansen, Lunde and Nason (2011), elimination by the largest t-statistic against the mean of
    those left, its law from a circular block bootstrap.

    Parameters
    ----------
    losses : mapping of name to array, shape (n,)
        Of all that stand, on the same rows in order of time.
    horizon : int
        Steps ahead; blocks are twice as long, so that they hold the overlap.
    level : float
        Probability with which the best model is in the set.

    Returns
    -------
    dict of name to p
        Of every model, in the order given; those with ``p > 1 - level`` are the set. The last
        one left has p 1.
    """
    names = list(losses)
    table = np.column_stack([losses[name] for name in names])
    p_values = dict.fromkeys(names, 1.0)
    if len(table) < max(_LEAST_ROWS, 2 * horizon):
        return p_values
    means = _resampled_means(table, 2 * horizon, seed)
    left, worst_so_far = list(range(len(names))), 0.0
    while len(left) > 1:
        mean, drawn = table[:, left].mean(axis=0), means[:, left]
        gap = mean - mean.mean()
        drawn_gap = drawn - drawn.mean(axis=1, keepdims=True) - gap
        deviation = np.sqrt(np.square(drawn_gap).mean(axis=0))
        if np.allclose(gap, 0, rtol=0, atol=1e-15 * max(1.0, float(np.abs(mean).max()))):
            break  # what is left does not differ
        deviation = np.maximum(deviation, 1e-300)
        statistics = gap / deviation
        largest = float(statistics.max())
        p = float(((drawn_gap / deviation).max(axis=1) >= largest).mean())
        worst_so_far = max(worst_so_far, p)
        p_values[names[left.pop(int(statistics.argmax()))]] = worst_so_far
    return p_values


def _long_run_covariance(rows: FloatArray, horizon: int, *, centred: bool = True) -> FloatArray:
    """Covariance of rows, shape (n, k), that overlap with ``horizon - 1`` before them.

    Lags in full; by Bartlett's kernel where that is not positive definite.
    """
    n = len(rows)
    values = rows - rows.mean(axis=0) if centred else rows
    own = values.T @ values / n
    shared = [values[lag:].T @ values[:-lag] / n for lag in range(1, horizon)]
    full = own + sum((s + s.T for s in shared), np.zeros_like(own))
    if np.linalg.eigvalsh(full)[0] > 0:
        return np.asarray(full)
    weights = [1 - lag / horizon for lag in range(1, horizon)]
    return np.asarray(
        own + sum((w * (s + s.T) for w, s in zip(weights, shared, strict=True)), 0 * own)
    )


def _resampled_means(table: FloatArray, block: int, seed: int) -> FloatArray:
    """Means of circular block resamples of the rows, shape (1000, columns)."""
    n = len(table)
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, size=(_RESAMPLES, -(-n // block)))
    # Sums over blocks come from running sums, so that no resample is ever written out.
    running = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(np.tile(table, (2, 1)), 0)])
    whole = running[starts[:, :-1] + block] - running[starts[:, :-1]]
    rest = n - block * (starts.shape[1] - 1)
    last = running[starts[:, -1] + rest] - running[starts[:, -1]]
    return np.asarray((whole.sum(axis=1) + last) / n)
