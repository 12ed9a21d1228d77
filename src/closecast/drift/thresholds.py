"""Thresholds of statistics that keep a given rate of false alarms on a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Channel
from closecast.drift.statistics import STATISTICS

TAIL = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
"""Shares of clean windows, between which p-values are interpolated; the last is the smallest."""

FORMER_TAILS: tuple[tuple[float, ...], ...] = ()
"""Values that :data:`TAIL` had in earlier versions, each of another length. A threshold is stored
with one number per share: without the former shares here, bundles made with them are refused."""

CHANNELS: tuple[Channel, ...] = ("fault", "regime")

_DRAWS = 500
SURE: Mapping[Channel, tuple[float, float]] = {"fault": (0.5, 0.5), "regime": (0.95, 0.8)}
"""Quantile, over bootstrapped years, of the rate of alarms that must stay within the target: for
windows alone, and where the closes before are known. Wrong closes occur in all years. Crises do
not: a reference holds two or three, and a window alone can only be compared with years before."""
FEW_SYMBOLS: Mapping[Channel, tuple[float, float]] = {"fault": (0.9, 0.9), "regime": (0.95, 0.95)}
"""The same for a reference of few symbols that share most of their moves: a coin's."""

WILDER = 1.25
"""Times the largest thresholds of stocks: days of 8 deviations are more frequent for coins."""

_LOG_TAIL = np.log(TAIL)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Threshold of one statistic.

    Attributes
    ----------
    value : float
        Larger values are findings.
    rate : float
        Share of the reference's windows with larger values.
    tail : tuple of float
        Values reached by the shares :data:`TAIL` of the reference's windows.
    """

    value: float
    rate: float
    tail: tuple[float, ...]

    def p_value(self, value: float) -> float:
        """Interpolate the share of clean windows that reach a value, from 0.0005 to 1."""
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
        Target: the share of clean windows with any finding that the settings name.
    reached : float
        On the reference itself.
    lower, upper : float
        90 % interval of the rate in other years.
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
    least: Mapping[str, Threshold] | None = None,
) -> tuple[dict[str, Threshold], dict[Channel, FalseAlarmRate]]:
    """Compute thresholds at which a channel alarms on the target share of clean windows.

    Each statistic gets a share according to its weight. The shares are then scaled together until
    the *union* of the channel's findings has the target rate: less strict than Bonferroni's
    correction, since statistics of one window depend on each other. For regimes the rate is not
    that of the reference itself, whose years may have been calm, but a high quantile over other
    years. Those come from a bootstrap of whole quarters of the year, since windows overlap and all
    symbols share a crisis.

    A statistic may have a largest threshold. Windows beyond it are alarms whatever the shares are;
    the other thresholds make room for them.

    Parameters
    ----------
    values : mapping of key to array, shape (m,)
        Values of each key of :data:`closecast.drift.statistics.STATISTICS`.
    last_sessions : array of datetime64[D], shape (m,)
    wanted : mapping of channel to float
        Target rates, inside (0, 0.5].
    with_before : bool
        Whether the values are of windows whose closes before are known.
    least : mapping of key to Threshold, optional
        Of stocks, for symbols of another kind: no threshold is smaller, largest thresholds are
        larger by :data:`WILDER`, and the quantiles are those of :data:`FEW_SYMBOLS`.
    """
    found: dict[str, Threshold] = {}
    rates: dict[Channel, FalseAlarmRate] = {}
    years = _Years(last_sessions)
    sure, wilder = (SURE, 1.0) if least is None else (FEW_SYMBOLS, WILDER)
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
        most = {key: wilder * STATISTICS[key].most_threshold for key in weights}
        always = np.any([values[key] > most[key] for key in weights], axis=0)
        of_channel = sure[channel][with_before]
        scale = _largest_scale(smallest, always, years, wanted[channel], of_channel)
        alarms = np.zeros(len(last_sessions), dtype=bool)
        for key, weight in weights.items():
            found[key] = _threshold(key, ordered[key], scale * weight, most[key])
            if least is not None:
                found[key] = _larger(found[key], least[key], STATISTICS[key].least_elsewhere)
            alarms |= values[key] > found[key].value
        drawn = years.rates(alarms)
        lower, upper = np.quantile(drawn, (0.05, 0.95))
        reached = (round(float(x), 5) for x in (alarms.mean(), lower, upper))
        rates[channel] = FalseAlarmRate(wanted[channel], *reached)
    return found, rates


def _larger(one: Threshold, other: Threshold, least: float) -> Threshold:
    """The larger threshold, and the larger values of the tails."""
    return Threshold(
        max(one.value, other.value, least),
        min(one.rate, other.rate),
        tuple(map(max, one.tail, other.tail)),
    )


class _Years:
    """Bootstrapped years: quarters of the reference, drawn with replacement."""

    def __init__(self, last_sessions: NDArray[np.datetime64]) -> None:
        quarters = last_sessions.astype("datetime64[M]").astype(int) // 3
        blocks, self._block = np.unique(quarters, return_inverse=True)
        self._n = len(blocks)
        drawn = np.random.default_rng(0).integers(0, self._n, (_DRAWS, self._n))
        self._times = np.stack([np.bincount(row, minlength=self._n) for row in drawn])
        self._windows = self._times @ np.bincount(self._block, minlength=self._n)

    def rates(self, alarms: NDArray[np.bool_]) -> FloatArray:
        """Compute the share of alarms in each draw."""
        counts = np.bincount(self._block, alarms, self._n)
        return np.asarray(self._times @ counts / self._windows)


def _largest_scale(
    smallest: FloatArray, always: NDArray[np.bool_], years: _Years, wanted: float, sure: float
) -> float:
    """Find the largest scale of the shares whose union stays within the target rate."""
    for share in np.linspace(1.0, 0.3, 29):
        scale = float(np.quantile(smallest, share * wanted, method="lower"))
        alarms = (smallest <= scale) | always
        if max(float(np.quantile(years.rates(alarms), sure)), alarms.mean()) <= wanted:
            break
    return scale


def _shares(ordered: FloatArray, values: FloatArray) -> FloatArray:
    """Compute the share of the ordered values that reach each value."""
    return np.asarray(1 - np.searchsorted(ordered, values, side="left") / len(ordered))


def _threshold(key: str, ordered: FloatArray, rate: float, most: float) -> Threshold:
    n = len(ordered)
    allowed = int(np.floor(rate * n + 1e-9))  # number of values that may lie beyond
    value = max(float(ordered[n - 1 - min(allowed, n - 1)]), STATISTICS[key].least_threshold)
    value = min(float(np.ceil(value * 1e4) / 1e4), most)
    beyond = n - int(np.searchsorted(ordered, value, side="right"))
    tail = np.quantile(ordered, 1 - np.array(TAIL))
    return Threshold(
        value, round(max(beyond, 1) / n, 6), tuple(float(x) for x in np.round(tail, 4))
    )
