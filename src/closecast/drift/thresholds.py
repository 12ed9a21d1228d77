"""From the statistics of a reference to thresholds that keep a rate of false alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Channel
from closecast.drift.statistics import STATISTICS

TAIL = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
"""Shares of clean windows; a value's p-value is read between them, and never below the last."""

FORMER_TAILS: tuple[tuple[float, ...], ...] = ()
"""Values that :data:`TAIL` had in earlier versions, each of another length. A threshold is stored
with one number per share: without the former shares here, bundles made with them are refused."""

CHANNELS: tuple[Channel, ...] = ("fault", "regime")

_DRAWS = 500
_SURE: Mapping[Channel, tuple[float, float]] = {"fault": (0.5, 0.5), "regime": (0.95, 0.8)}
"""Quantile of what other years would show that keeps the wanted rate, for windows alone and where
the closes before are known. Wrong closes come in all years; crises do not, a reference holds two or
three, and a window alone can only be compared with a level of years before."""
_LOG_TAIL = np.log(TAIL)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Of one statistic.

    Attributes
    ----------
    value : float
        Beyond it is odd.
    rate : float
        Share of the reference's windows beyond it.
    tail : tuple of float
        Values that the shares :data:`TAIL` of them reach.
    """

    value: float
    rate: float
    tail: tuple[float, ...]

    def p_value(self, value: float) -> float:
        """Share of clean windows that reach a value, between 0.0005 and 1."""
        if value >= self.tail[-1]:
            return TAIL[-1]
        if value <= self.tail[0]:
            return 1.0 if value <= 0 else TAIL[0]
        return float(np.exp(np.interp(value, self.tail, _LOG_TAIL)))


@dataclass(frozen=True, slots=True)
class FalseAlarmRate:
    """False alarms of a whole channel.

    Attributes
    ----------
    wanted : float
        Share of clean windows with any finding that was asked for.
    reached : float
        On the reference itself.
    lower, upper : float
        90 % interval of what other years would show.
    """

    wanted: float
    reached: float
    lower: float
    upper: float


def thresholds_for(
    values: Mapping[str, FloatArray],
    last_sessions: NDArray[np.datetime64],
    wanted: Mapping[Channel, float],
    *,
    with_before: bool,
) -> tuple[dict[str, Threshold], dict[Channel, FalseAlarmRate]]:
    """Thresholds under which a channel alarms on the wanted share of clean windows.

    Each statistic gets its weight's share. The shares are then scaled together until the *union*
    of the channel's findings has the wanted rate: sharper than Bonferroni's correction, for
    statistics of one window depend on each other. For regimes not on the reference itself, whose
    years may have been calm, but at a high quantile of what other years would show: a bootstrap of
    whole quarters of the year, for windows overlap, and all symbols live through one crisis.

    Parameters
    ----------
    values : mapping of key to array, shape (m,)
        Of :data:`closecast.drift.statistics.STATISTICS`.
    last_sessions : array of datetime64[D], shape (m,)
    wanted : mapping of channel to float
        Inside (0, 0.5].
    with_before : bool
        Whether the values are of windows whose closes before are known.
    """
    found: dict[str, Threshold] = {}
    rates: dict[Channel, FalseAlarmRate] = {}
    years = _Years(last_sessions)
    for channel in CHANNELS:
        weights = {
            key: STATISTICS[key].weights[with_before]
            for key in values
            if STATISTICS[key].channel == channel
        }
        if not weights:  # a channel that is newer than the statistics to be measured
            continue
        ordered = {key: np.sort(values[key]) for key in weights}
        smallest = np.min(
            [_shares(ordered[key], values[key]) / weight for key, weight in weights.items()], axis=0
        )
        scale = _largest_scale(smallest, years, wanted[channel], _SURE[channel][with_before])
        alarms = np.zeros(len(last_sessions), dtype=bool)
        for key, weight in weights.items():
            found[key] = _threshold(key, ordered[key], scale * weight)
            alarms |= values[key] > found[key].value
        drawn = years.rates(alarms)
        lower, upper = np.quantile(drawn, (0.05, 0.95))
        reached = (round(float(x), 5) for x in (alarms.mean(), lower, upper))
        rates[channel] = FalseAlarmRate(wanted[channel], *reached)
    return found, rates


class _Years:
    """Other years than those of the reference: its quarters, drawn with replacement."""

    def __init__(self, last_sessions: NDArray[np.datetime64]) -> None:
        quarters = last_sessions.astype("datetime64[M]").astype(int) // 3
        blocks, self._block = np.unique(quarters, return_inverse=True)
        self._n = len(blocks)
        drawn = np.random.default_rng(0).integers(0, self._n, (_DRAWS, self._n))
        self._times = np.stack([np.bincount(row, minlength=self._n) for row in drawn])
        self._windows = self._times @ np.bincount(self._block, minlength=self._n)

    def rates(self, alarms: NDArray[np.bool_]) -> FloatArray:
        """Share of alarms in each draw."""
        counts = np.bincount(self._block, alarms, self._n)
        return np.asarray(self._times @ counts / self._windows)


def _largest_scale(smallest: FloatArray, years: _Years, wanted: float, sure: float) -> float:
    """The largest scale of the shares whose union stays within the wanted rate."""
    for share in np.linspace(1.0, 0.3, 29):
        scale = float(np.quantile(smallest, share * wanted, method="lower"))
        if float(np.quantile(years.rates(smallest <= scale), sure)) <= wanted:
            break
    return scale


def _shares(ordered: FloatArray, values: FloatArray) -> FloatArray:
    """Share of the ordered values that reach each value."""
    return np.asarray(1 - np.searchsorted(ordered, values, side="left") / len(ordered))


def _threshold(key: str, ordered: FloatArray, rate: float) -> Threshold:
    n = len(ordered)
    allowed = int(np.floor(rate * n + 1e-9))  # so many may lie beyond
    value = max(float(ordered[n - 1 - min(allowed, n - 1)]), STATISTICS[key].least_threshold)
    value = float(np.ceil(value * 1e4) / 1e4)
    beyond = n - int(np.searchsorted(ordered, value, side="right"))
    tail = np.quantile(ordered, 1 - np.array(TAIL))
    return Threshold(
        value, round(max(beyond, 1) / n, 6), tuple(float(x) for x in np.round(tail, 4))
    )
