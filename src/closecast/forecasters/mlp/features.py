"""Features of the scale model: ratios of a close's recent past to its own volatility.

Every feature is a function of exponentially weighted means of the past, of the last five
returns, and (with a history) of the other symbols of the panel up to the same day. None
changes with the price level. The set is the "magnitudes + signed returns + panel" of the
measurements in ``docs/decisions/0007``; calendar features brought nothing there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.dataset import EWMA_DECAYS, FLOOR_SHARE
from closecast.core.prices import Prices

LARGEST_LOG = 3.0
"""Bound of the log of the factor that the anchor is multiplied by."""

LARGEST_INPUT = 5.0
"""Bound of a standardised feature, in standard deviations."""

_SIZE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.985, 0.993, 0.9975)
_SQUARE = (0.85, 0.94, 0.98, 0.995)
_SIGNED = (0.6, 0.85, 0.95, 0.985)
_DOWN = (0.6, 0.85, 0.95, 0.985)
_PANEL_SIZE = (0.0, 0.6, 0.8, 0.9, 0.97)
_PANEL_SIGNED = (0.0, 0.6, 0.9)
_LAGS = 5
_SIGNED_LAGS = 3

# Which mean each channel holds: (transform, decay). Decay 1 is the plain mean of all the past.
_CHANNELS = (
    *(("size", k) for k in (*_SIZE, 1.0)),
    *(("square", k) for k in (*_SQUARE, *EWMA_DECAYS)),
    *(("signed", k) for k in _SIGNED),
    *(("down", k) for k in _DOWN),
)
_DECAYS = np.array([decay for _, decay in _CHANNELS])
_TRANSFORMS = ("size", "square", "signed", "down")
_TRANSFORM_OF = np.array([_TRANSFORMS.index(name) for name, _ in _CHANNELS])
_AT = {channel: i for i, channel in enumerate(_CHANNELS)}

_NORMAL = float(np.sqrt(np.pi / 2))  # mean absolute value to standard deviation, normal law
_LARGEST_SURPRISE = 6.0
_USUAL_SURPRISE = 0.8  # mean |z| of a normal law: stands for an empty panel

OWN = len(_SIZE) + len(_SQUARE) + len(_SIGNED) + len(_DOWN) + _LAGS + _SIGNED_LAGS + 1
PANEL = len(_PANEL_SIZE) + len(_PANEL_SIGNED) + 3


@dataclass(frozen=True, eq=False)
class Features:
    """Features and the volatility that outputs are in units of.

    Attributes
    ----------
    values : array, shape (n, OWN) or (n, OWN + PANEL)
    anchor : array, shape (n,)
        Mean of three EWMA volatilities, floored: units of one session's log return.
    """

    values: FloatArray
    anchor: FloatArray


def of_windows(windows: FloatArray, long_run: float) -> Features:
    """From windows alone, one row each; ``windows`` has shape (n, length >= 6)."""
    returns = np.diff(np.log(windows), axis=1)
    age = np.arange(returns.shape[1])[::-1]
    transformed = _transform(returns)
    means = np.empty((len(windows), len(_CHANNELS)))
    for i, (name, decay) in enumerate(_CHANNELS):
        weights = decay**age
        means[:, i] = (transformed[_TRANSFORMS.index(name)] * (weights / weights.sum())).sum(axis=1)
    newest = returns[:, : -_LAGS - 1 : -1]
    return _own(means, newest, long_run)


def of_panel(series: Sequence[Prices], long_run: float) -> list[Features]:
    """From the whole past of series that are known together, one row per close but the first.

    Row ``i`` belongs to close ``i + 1`` and sees closes of the same day and earlier, of all
    series: they must be of one exchange, whose closes are known at the same moment.
    """
    days = np.unique(np.concatenate([prices.sessions for prices in series]))
    rows = [np.searchsorted(days, prices.sessions[1:]) for prices in series]
    own_returns = [np.diff(np.log(prices.closes)) for prices in series]
    grid = np.zeros((len(days), len(series)))
    present = np.zeros(grid.shape, dtype=bool)
    for i, (at, returns) in enumerate(zip(rows, own_returns, strict=True)):
        grid[at, i], present[at, i] = returns, True
    transformed = np.stack(_transform(grid), axis=1)[:, _TRANSFORM_OF]
    means = _scan(transformed, _DECAYS, present)
    found = []
    for i, (at, returns) in enumerate(zip(rows, own_returns, strict=True)):
        lagged = np.stack([_shift(returns, lag) for lag in range(_LAGS)], axis=1)
        found.append(_own(means[at, :, i], lagged, long_run))
    panel = _others(found, own_returns, rows, present)
    return [
        Features(np.concatenate([own.values, others], axis=1), own.anchor)
        for own, others in zip(found, panel, strict=True)
    ]


def network_inputs(features: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """Standardise and clip features, shape (n, features)."""
    return np.clip((features - mean) / deviation, -LARGEST_INPUT, LARGEST_INPUT)


def _transform(returns: FloatArray) -> tuple[FloatArray, ...]:
    down = np.minimum(returns, 0.0)
    return np.abs(returns), returns * returns, returns, 2 * down * down


def _scan(values: FloatArray, decays: FloatArray, present: NDArray[np.bool_]) -> FloatArray:
    """Exponentially weighted means of all the past, weights adding up to one.

    Parameters
    ----------
    values : array, shape (t, channels, n)
    decays : array, shape (channels,)
    present : array of bool, shape (t, n)
        Where a series has no value, its means stay as they are.

    Returns
    -------
    array, shape (t, channels, n)
    """
    decay = decays[:, None]
    total = np.zeros(values.shape[1:])
    weight = np.zeros(values.shape[1:])
    means = np.empty_like(values)
    complete = np.asarray(present.all(axis=1))
    for t in range(len(values)):
        new_total, new_weight = decay * total + values[t], decay * weight + 1.0
        if complete[t]:
            total, weight = new_total, new_weight
        else:
            total = np.where(present[t], new_total, total)
            weight = np.where(present[t], new_weight, weight)
        means[t] = total / np.maximum(weight, 1e-300)
    return means


def _own(means: FloatArray, newest: FloatArray, long_run: float) -> Features:
    """From the means, shape (n, channels), and the last returns, newest first, (n, 5)."""

    def mean(name: str, decay: float) -> FloatArray:
        return means[:, _AT[name, decay]]

    long = np.maximum(_NORMAL * mean("size", 1.0), FLOOR_SHARE * long_run)
    roots = [np.sqrt(mean("square", decay)) for decay in EWMA_DECAYS]
    anchor = np.maximum((roots[0] + roots[1] + roots[2]) / 3, FLOOR_SHARE * long)
    columns = [np.log(np.maximum(_NORMAL * mean("size", k), 0.02 * long) / anchor) for k in _SIZE]
    columns += [
        np.log(np.maximum(np.sqrt(mean("square", k)), 0.02 * long) / anchor) for k in _SQUARE
    ]
    columns += [mean("signed", k) / anchor * np.sqrt((1 + k) / (1 - k)) / 2 for k in _SIGNED]
    columns += [np.log(np.maximum(np.sqrt(mean("down", k)), 0.05 * long) / anchor) for k in _DOWN]
    scaled = newest / anchor[:, None]
    columns += [np.log(0.1 + np.abs(scaled[:, lag])) for lag in range(_LAGS)]
    columns += [np.clip(scaled[:, lag], -4, 4) / 2 for lag in range(_SIGNED_LAGS)]
    columns.append(np.log(long / anchor))
    return Features(np.stack(columns, axis=1), anchor)


def _others(
    found: Sequence[Features],
    returns: Sequence[FloatArray],
    rows: Sequence[NDArray[np.int64]],
    present: NDArray[np.bool_],
) -> list[FloatArray]:
    """Features of the other symbols up to each day, per symbol, shape (n, PANEL)."""
    size, signed, ratio, fast, fastest = (np.zeros(present.shape) for _ in range(5))
    for i, (own, r, at) in enumerate(zip(found, returns, rows, strict=True)):
        before = np.maximum(_shift(own.anchor, 1, first=own.anchor[0]), 1e-12)
        surprise = np.clip(r / before, -_LARGEST_SURPRISE, _LARGEST_SURPRISE)
        size[at, i], signed[at, i] = np.abs(surprise), surprise
        ratio[at, i] = -own.values[:, -1]
        fast[at, i] = own.values[:, _SIZE.index(0.8)]
        fastest[at, i] = own.values[:, _SIZE.index(0.5)]
    counts = present.sum(axis=1, keepdims=True) - present
    means = [
        _mean_of_others(values, counts, usual)
        for values, usual in ((size, _USUAL_SURPRISE), (signed, 0.0))
    ]
    decays = np.array([*_PANEL_SIZE, *_PANEL_SIGNED])
    stacked = np.stack([means[0]] * len(_PANEL_SIZE) + [means[1]] * len(_PANEL_SIGNED), axis=1)
    smooth = _scan(stacked, decays, present)
    smooth[:, : len(_PANEL_SIZE)] = np.log(0.1 + smooth[:, : len(_PANEL_SIZE)])
    signed_part = slice(len(_PANEL_SIZE), None)
    spread = np.sqrt((1 + decays[signed_part]) / (1 - decays[signed_part])) / 2
    smooth[:, signed_part] *= spread[:, None]
    states = np.stack([_mean_of_others(v, counts, 0.0) for v in (ratio, fast, fastest)], axis=1)
    every = np.concatenate([smooth, states], axis=1)
    return [np.ascontiguousarray(every[at, :, i]) for i, at in enumerate(rows)]


def _mean_of_others(values: FloatArray, counts: FloatArray, usual: float) -> FloatArray:
    """Mean over the other columns, added up one by one; absent ones hold 0."""
    total = np.zeros(len(values))
    for column in values.T:
        total = total + column
    others = (total[:, None] - values) / np.maximum(counts, 1)
    return np.where(counts > 0, others, usual)


def _shift(values: FloatArray, by: int, first: float = 0.0) -> FloatArray:
    """Values ``by`` rows earlier."""
    if by == 0:
        return values
    return np.concatenate([np.full(min(by, len(values)), first), values[:-by]])
