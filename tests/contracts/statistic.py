"""Contract of drift statistics: subclass it and make a window unusual in its way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.drift import Baseline, Context, DriftDetector
from closecast.drift.features import WindowFeatures, WindowReturns, features_of
from closecast.drift.statistics import STATISTICS, Statistic
from tests.support.synthetic_prices import as_prices, garch, random_walk

TRAIN = garch(1500, seed=1)
LENGTH = 60
BASELINE = Baseline.fit(TRAIN, LENGTH)
BEFORE = as_prices(random_walk(300, 99, BASELINE.volatility).closes)
"""Closes that lead up to a window."""


def following(closes: FloatArray) -> FloatArray:
    """A window moved to the level of the closes before it."""
    return np.asarray(closes * (BEFORE.closes[-1] / closes[0]))


CLEAN = [following(random_walk(LENGTH, seed, BASELINE.volatility).closes) for seed in range(30)]
"""Windows as wild as training was on average. A statistic that fires on them fires on anything."""

FEW = 2
"""Of the thirty. At 1 % in all, one statistic of a channel fires more often with p < 0.001."""


def reading_of(windows: FloatArray, *, known: bool = True, factor: float = 1.0) -> WindowFeatures:
    """Windows, shape (m, n), read with the baseline's levels."""
    m = len(windows)
    levels = np.full(m, BASELINE.volatility), np.full(m, BASELINE.still_share)
    if not known:
        return features_of(WindowReturns.of(factor * windows), *levels)
    gap = np.log(windows[:, 0] / BEFORE.closes[-1]) / BASELINE.volatility
    scale = np.full(m, BASELINE.volatility)
    return features_of(
        WindowReturns.of(factor * windows), *levels, np.full(m, BASELINE.volatility), gap, scale
    )


class StatisticContract(ABC):
    """The checks."""

    key: ClassVar[str]
    code: ClassVar[str]
    """Of the finding about ``odd_window``."""

    @abstractmethod
    def odd_window(self) -> FloatArray:
        """A window that the statistic must find, of ``LENGTH`` closes."""

    @property
    def statistic(self) -> Statistic:
        return STATISTICS[self.key]

    def measure(self, window: FloatArray, factor: float = 1.0) -> float:
        return float(self.statistic.measure(reading_of(window[None], factor=factor))[0])

    def context(self, window: FloatArray) -> Context:
        """The closes before the window, and a date that puts it right after them."""
        n = len(window)
        days = BEFORE.sessions[-1] + np.arange(1, n + 1)
        return Context(known=BEFORE, sessions=days)

    def test_is_registered_under_its_key(self) -> None:
        assert self.statistic.key == self.key
        alone, known = self.statistic.weights
        assert (self.key in BASELINE.alone) is (alone > 0)
        assert (self.key in BASELINE.with_before) is (known > 0)

    def test_finds_what_it_is_for(self) -> None:
        window = self.odd_window()
        value = self.measure(window)
        threshold = BASELINE.with_before[self.key].value
        assert value > threshold
        verdict = DriftDetector(BASELINE).check(window, self.context(window))
        finding = {f.code: f for f in verdict.findings}[self.code]
        assert finding.level == self.statistic.channel
        assert finding.value > finding.threshold
        assert finding.p_value is not None
        assert finding.p_value <= 0.01
        assert finding.false_alarm_rate is not None
        assert 0 < finding.false_alarm_rate <= 0.01
        assert len(finding.sentence) > 20

    def test_is_silent_on_windows_like_those_of_training(self) -> None:
        threshold = BASELINE.with_before[self.key].value
        values = [self.measure(window) for window in CLEAN]
        assert sum(value > threshold for value in values) <= FEW

    def test_is_a_finite_number(self) -> None:
        odd = [np.full(LENGTH, 42.0), np.geomspace(1e-9, 1e12, LENGTH), self.odd_window()]
        values = np.array([self.measure(window) for window in [*CLEAN, *odd]])
        assert np.isfinite(values).all()

    def test_many_windows_at_once_are_each_measured_alone(self) -> None:
        windows = np.stack([*CLEAN, self.odd_window()])
        together = self.statistic.measure(reading_of(windows))
        alone = [self.measure(window) for window in windows]
        assert together == pytest.approx(alone, rel=1e-9, abs=1e-12)

    @pytest.mark.parametrize("factor", [5.3, 0.01, 1e6])
    def test_another_currency_is_no_drift(self, factor: float) -> None:
        for window in (*CLEAN[:5], self.odd_window()):
            assert self.measure(window, factor) == pytest.approx(self.measure(window), rel=1e-6)

    def test_the_threshold_keeps_its_least_value(self) -> None:
        assert BASELINE.with_before[self.key].value >= self.statistic.least_threshold

    @pytest.mark.parametrize("length", [10, 11, 12, 512])
    def test_every_window_length_that_may_be_trained_can_be_judged(self, length: int) -> None:
        windows = np.stack([random_walk(length, seed, 0.015).closes for seed in range(5)])
        level = np.full(5, 0.015)
        gap = np.zeros(5)
        reading = features_of(WindowReturns.of(windows), level, np.full(5, 0.01), level, gap, level)
        values = self.statistic.measure(reading)
        assert values.shape == (5,)
        assert np.isfinite(values).all()
        for i in range(5):
            if values[i] > 0:
                row = self.statistic.cause(reading, i, float(values[i])).row
                assert row is None or 0 <= row < length

    def test_the_cause_names_a_row_of_the_window(self) -> None:
        window = self.odd_window()
        cause = self.statistic.cause(reading_of(window[None]), 0, self.measure(window))
        assert cause.code == self.code
        assert cause.row is None or 0 <= cause.row < len(window)
