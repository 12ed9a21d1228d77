"""What every drift statistic must do. Subclass it and make windows that are odd in its way."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest

from closecast.dataset import log_returns, long_run_volatility
from closecast.drift import Baseline, Context, DriftDetector
from closecast.drift.statistics import STATISTICS, Statistic
from closecast.drift.statistics.base import Scale
from tests.made_data import FloatArray, as_prices, garch, random_walk

TRAIN = garch(1500, seed=1)
LENGTH = 60
BASELINE = Baseline.fit(TRAIN, LENGTH)
SCALE = Scale(long_run_volatility(log_returns(TRAIN.closes)))
CLEAN = [random_walk(LENGTH, seed, SCALE.volatility).closes for seed in range(30)]
"""Windows as wild as training was on average. What fires on them fires on anything."""


class StatisticContract(ABC):
    """The checks."""

    code: ClassVar[str]
    level: ClassVar[str]
    """Of the finding about ``odd_window``."""

    @abstractmethod
    def odd_window(self) -> FloatArray:
        """What the statistic is there to find; ``LENGTH`` closes."""

    def context(self, window: FloatArray) -> Context | None:
        """What is known beside a clean window; ``None`` where the statistic needs nothing."""
        return None

    @property
    def statistic(self) -> Statistic:
        return STATISTICS[self.code]

    def measure(self, window: FloatArray, context: Context | None = None) -> float | None:
        return self.statistic.measure(log_returns(window), window, SCALE, context)

    def test_is_registered_under_its_code(self) -> None:
        assert self.statistic.code == self.code
        assert self.code in BASELINE.thresholds

    def test_finds_what_it_is_for(self) -> None:
        window = self.odd_window()
        verdict = DriftDetector(BASELINE).check(window, self.context(CLEAN[0]))
        finding = {f.code: f for f in verdict.findings}[self.code]
        assert finding.level == self.level
        assert finding.statistic == self.statistic.name
        assert finding.threshold == BASELINE.thresholds[self.code]
        assert finding.value > finding.threshold
        assert len(finding.sentence) > 20

    @pytest.mark.parametrize("window", CLEAN, ids=range(len(CLEAN)))
    def test_is_silent_on_windows_like_those_of_training(self, window: FloatArray) -> None:
        verdict = DriftDetector(BASELINE).check(window, self.context(window))
        assert self.code not in {finding.code for finding in verdict.findings}

    def test_is_a_finite_number(self) -> None:
        odd = [np.full(LENGTH, 42.0), np.geomspace(1e-9, 1e12, LENGTH), self.odd_window()]
        for window in [*CLEAN, *odd]:
            value = self.measure(window, self.context(CLEAN[0]))
            assert value is not None
            assert math.isfinite(value)
            assert value >= 0

    def test_same_window_same_value(self) -> None:
        for window in (*CLEAN[:3], self.odd_window()):
            context = self.context(CLEAN[0])
            assert self.measure(window, context) == self.measure(window.copy(), context)

    @pytest.mark.parametrize("factor", [5.3, 0.01, 1e6])
    def test_another_currency_is_no_drift(self, factor: float) -> None:
        """Also in what is known beside the window: it is quoted in the same currency."""
        for window in (*CLEAN[:5], self.odd_window()):
            here = self.context(CLEAN[0])
            there = here and Context(
                factor * here.known_close, here.gap_sessions, here.symbol_named
            )
            assert self.measure(factor * window, there) == pytest.approx(
                self.measure(window, here), rel=1e-6
            )

    def test_training_in_another_currency_makes_the_same_threshold(self) -> None:
        there = Baseline.fit(as_prices(1000 * TRAIN.closes), LENGTH).thresholds[self.code]
        assert there == pytest.approx(BASELINE.thresholds[self.code], abs=2e-4)

    def test_the_threshold_keeps_its_least_value_however_quiet_training_was(self) -> None:
        assert BASELINE.thresholds[self.code] >= self.statistic.least_threshold

    @pytest.mark.parametrize("length", [10, 11, 12, 512])
    def test_every_window_length_that_may_be_trained_can_be_judged(self, length: int) -> None:
        train = garch(length + 200, seed=2)
        detector = DriftDetector(Baseline.fit(train, length))
        window = train.closes[-length:]
        codes = {f.code for f in detector.check(window, self.context(window)).findings}
        assert self.code not in codes
