"""Drift: each statistic alone, the baseline that travels, the verdict that comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from closecast.drift import Baseline, Context, DriftDetector
from closecast.drift.statistics import STATISTICS
from closecast.errors import DamagedBundle, TooFewCloses
from closecast.sources.sample import SampleSource
from tests.contracts.statistic import BASELINE, CLEAN, LENGTH, SCALE, TRAIN, StatisticContract
from tests.made_data import FloatArray, as_prices, from_returns, garch, random_walk

DETECTOR = DriftDetector(BASELINE)


def window(volatility: float = 0.015, seed: int = 0) -> FloatArray:
    """A window of a random walk."""
    return random_walk(LENGTH, seed, volatility).closes.copy()


def with_jump(factor: float, volatility: float = 0.015) -> FloatArray:
    """A window whose last ten closes stand at ``factor`` times their level."""
    closes = window(volatility)
    return np.append(closes[:-10], factor * closes[-10:])


class TestRepeatedCloses(StatisticContract):
    code, level = "frozen_feed", "fault"

    def odd_window(self) -> FloatArray:
        return np.append(window()[:-10], np.full(10, window()[-10]))


class TestLevelGap(StatisticContract):
    code, level = "level_gap", "fault"

    def odd_window(self) -> FloatArray:
        return 7 * CLEAN[0]

    def context(self, window: FloatArray) -> Context:
        return Context(known_close=float(window[-1]), gap_sessions=0.0)


class TestLargestShock(StatisticContract):
    code, level = "shock", "regime"

    def odd_window(self) -> FloatArray:
        return with_jump(0.5)


class TestHighVolatility(StatisticContract):
    code, level = "volatility_high", "regime"

    def odd_window(self) -> FloatArray:
        return window(volatility=0.06)


class TestLowVolatility(StatisticContract):
    code, level = "volatility_low", "regime"

    def odd_window(self) -> FloatArray:
        return window(volatility=0.001)


def test_every_statistic_has_its_contract() -> None:
    assert {cls.code for cls in StatisticContract.__subclasses__()} == set(STATISTICS)


# -- repeated closes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closes", "run"),
    [([1, 2, 3], 1), ([1, 1, 2, 3], 2), ([1, 2, 2, 2, 3, 3], 3), ([5, 5, 5], 3), ([1, 2, 2], 2)],
)
def test_a_run_is_counted_in_closes(closes: list[float], run: int) -> None:
    array = np.array(closes, dtype=float)
    statistic = STATISTICS["frozen_feed"]
    assert statistic.measure(np.diff(np.log(array)), array, None, None) == run  # type: ignore[arg-type]


def test_adjusted_closes_of_equal_raw_closes_count_as_equal() -> None:
    closes = window()
    closes[-8:] = closes[-8] * (1 + 1e-9 * np.arange(8))
    assert "frozen_feed" in {f.code for f in DETECTOR.check(closes).findings}


def test_four_equal_closes_happen_and_five_are_a_fault() -> None:
    closes = window()
    closes[-4:] = closes[-4]
    four = DETECTOR.check(closes)
    closes[-5:] = closes[-5]
    assert (four.level, DETECTOR.check(closes).level) == ("ok", "fault")


# -- shocks and volatility ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "level"),
    [
        (0.98, "ok"),
        (0.8, "regime"),
        (0.5, "regime"),
        (2.0, "regime"),
        (0.01, "fault"),
        (100, "fault"),
    ],
)
def test_a_crash_and_a_split_are_news_and_only_a_wrong_unit_is_a_fault(
    factor: float, level: str
) -> None:
    assert DETECTOR.check(with_jump(factor)).level == level


def test_a_shock_is_measured_against_the_sessions_before_it() -> None:
    """The same move, after calm and after wild weeks."""
    calm, wild = (
        STATISTICS["shock"].measure(np.diff(np.log(closes)), closes, SCALE, None)
        for closes in (with_jump(0.85, volatility=0.005), with_jump(0.85, volatility=0.03))
    )
    assert calm is not None
    assert wild is not None
    assert calm > 3 * wild


@pytest.mark.parametrize("times", [0.1, 0.25, 1.0, 3.0, 6.0])
def test_the_volatility_named_is_the_one_that_was_made(times: float) -> None:
    verdict = DETECTOR.check(window(times * BASELINE.volatility))
    values = {f.code: f.value for f in verdict.findings}
    high, low = values.get("volatility_high"), values.get("volatility_low")
    if times == 1.0:
        assert high is low is None
    elif times > 1:
        assert high == pytest.approx(times, rel=0.3)
        assert low is None
    else:
        assert low == pytest.approx(1 / times, rel=0.3)
        assert high is None


# -- what is known beside the window ------------------------------------------------------------


def gap(known: float, sessions: float = 0.0, named: bool = True) -> Any:
    closes = CLEAN[0]
    verdict = DETECTOR.check(closes, Context(known * closes[-1], sessions, named))
    return next((f for f in verdict.findings if f.code == "level_gap"), None)


def test_without_context_there_is_no_level_gap() -> None:
    assert "level_gap" not in {f.code for f in DETECTOR.check(1e6 * CLEAN[0]).findings}


@pytest.mark.parametrize("known", [1.0, 1.02, 0.97])
def test_a_close_near_the_known_one_is_fine(known: float) -> None:
    assert gap(known) is None


@pytest.mark.parametrize("known", [2.0, 0.5, 100, 0.19])
def test_another_unit_or_symbol_is_a_fault(known: float) -> None:
    assert gap(known).level == "fault"


def test_the_gap_that_is_allowed_widens_with_the_age_of_what_is_known() -> None:
    ages = (0.0, 3.0, 8.0, 20.0)
    values = [gap(3.0, age).value for age in ages]
    assert values == pytest.approx([values[0] / (age + 1) ** 0.5 for age in ages], abs=1e-3)
    assert gap(1.25, sessions=0) is not None
    assert gap(1.25, sessions=20) is None


@pytest.mark.parametrize(("sessions", "level"), [(0, "fault"), (21, "fault"), (22, "regime")])
def test_an_old_memory_accuses_nobody(sessions: float, level: str) -> None:
    assert gap(50.0, sessions).level == level


def test_it_is_no_fault_when_the_caller_named_no_symbol() -> None:
    assert gap(50.0, named=True).level == "fault"
    assert gap(50.0, named=False).level == "regime"


# -- the verdict --------------------------------------------------------------------------------


def test_faults_come_first() -> None:
    frozen_and_calm = np.full(LENGTH, 42.0)
    verdict = DETECTOR.check(frozen_and_calm, Context(1.0, 0.0))
    levels = [finding.level for finding in verdict.findings]
    assert levels == ["fault", "fault", "regime"]
    assert [f.code for f in verdict.findings] == ["frozen_feed", "level_gap", "volatility_low"]
    assert verdict.level == "fault"


def test_a_fault_comes_before_a_regime_whatever_the_order_of_the_statistics() -> None:
    far_away_and_in_cents = DETECTOR.check(with_jump(0.01), Context(1e6, 0.0, symbol_named=False))
    found = [(finding.code, finding.level) for finding in far_away_and_in_cents.findings]
    assert found[:2] == [("shock", "fault"), ("level_gap", "regime")]


def test_a_clean_window_is_ok() -> None:
    verdicts = [DETECTOR.check(closes) for closes in CLEAN]
    assert {verdict.level for verdict in verdicts} == {"ok"}


def test_the_window_is_not_changed() -> None:
    closes = with_jump(0.5)
    before = closes.copy()
    DETECTOR.check(closes)
    assert closes.tolist() == before.tolist()


def test_real_years_after_training_are_mostly_ok_and_2008_is_not() -> None:
    """Microsoft, trained on 2005 to 2007; windows of 2007 and of the crash."""
    prices = SampleSource().fetch("MSFT")
    detector = DriftDetector(Baseline.fit(prices.between("2005-01-01", "2006-12-31"), LENGTH))

    def share_with_findings(start: str, end: str) -> float:
        closes = prices.between(start, end).closes
        windows = np.lib.stride_tricks.sliding_window_view(closes, LENGTH)
        return float(np.mean([detector.check(w).warning for w in windows]))

    assert share_with_findings("2008-08-01", "2008-12-31") > 0.9
    assert share_with_findings("2007-01-01", "2007-06-30") < 0.35


# -- the baseline -------------------------------------------------------------------------------


def test_the_baseline_says_what_it_was_made_from() -> None:
    assert (BASELINE.symbol, BASELINE.basis, BASELINE.seq_length) == ("MADE", "adjusted", LENGTH)
    assert (BASELINE.first_session, BASELINE.last_session) == TRAIN.span
    assert BASELINE.data_hash == TRAIN.content_hash
    assert BASELINE.windows == len(TRAIN) - LENGTH


def test_price_levels_never_enter_it() -> None:
    dear = as_prices(1000 * TRAIN.closes)
    here, there = (json.loads(Baseline.fit(p, LENGTH).to_json()) for p in (TRAIN, dear))
    assert here.pop("data_hash") != there.pop("data_hash")
    assert here.pop("thresholds") == pytest.approx(there.pop("thresholds"), abs=2e-4)
    for name in ("mean_return", "sd_return", "volatility"):
        assert here.pop(name) == pytest.approx(there.pop(name))
    assert here == there


def test_one_split_in_training_hardly_moves_the_scale() -> None:
    """A baseline on standard deviations would find the next windows too calm for years."""
    returns = np.diff(np.log(TRAIN.closes))
    returns[700] -= np.log(2)
    with_split = Baseline.fit(from_returns(returns), LENGTH)
    assert with_split.volatility < 1.05 * BASELINE.volatility
    assert with_split.sd_return > 1.4 * BASELINE.sd_return


def test_a_training_part_without_a_window_is_refused() -> None:
    with pytest.raises(TooFewCloses):
        Baseline.fit(garch(LENGTH, seed=0), LENGTH)


def test_json_round_trip() -> None:
    again = Baseline.from_json(BASELINE.to_json())
    assert again == BASELINE
    odd = with_jump(0.5)
    assert DriftDetector(again).check(odd) == DETECTOR.check(odd)


def test_json_is_small() -> None:
    longest = Baseline.fit(garch(5000, seed=0), 60)
    assert len(longest.to_json()) <= 8 * 1024


GOOD: Mapping[str, Any] = json.loads(BASELINE.to_json())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\x80\x04",
        b"\xff",
        BASELINE.to_json()[:-3],
        *(
            json.dumps(changed).encode()
            for changed in (
                {},
                {k: v for k, v in GOOD.items() if k != "volatility"},
                {**GOOD, "unknown": 1},
                {**GOOD, "volatility": 0},
                {**GOOD, "volatility": -1.0},
                {**GOOD, "volatility": None},
                {**GOOD, "volatility": float("nan")},
                {**GOOD, "thresholds": None},
                {**GOOD, "thresholds": 5},
                {**GOOD, "thresholds": {}},
                {**GOOD, "thresholds": list(STATISTICS)},
                {**GOOD, "thresholds": dict.fromkeys(STATISTICS)},
                {**GOOD, "thresholds": dict.fromkeys(STATISTICS, "6")},
                {**GOOD, "thresholds": dict.fromkeys(STATISTICS, float("nan"))},
            )
        ),
    ],
    ids=lambda content: (content[-40:] or b"empty").decode(errors="replace"),
)
def test_damaged_json_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedBundle, match=r"baseline_stats\.json"):
        Baseline.from_json(content)


def test_a_baseline_without_a_new_statistics_threshold_is_refused() -> None:
    """A bundle from before the statistic was added cannot be judged by it."""
    for code in STATISTICS:
        rest = {k: v for k, v in BASELINE.thresholds.items() if k != code}
        with pytest.raises(DamagedBundle, match=code):
            Baseline.from_json(replace(BASELINE, thresholds=rest).to_json())
