"""Each drift statistic: its contract, and what is its own."""

from __future__ import annotations

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.drift import DriftDetector
from closecast.drift.statistics import STATISTICS
from tests.contracts.statistic import (
    BASELINE,
    BEFORE,
    CLEAN,
    LENGTH,
    StatisticContract,
    following,
    reading_of,
)
from tests.support.synthetic_prices import random_walk

DETECTOR = DriftDetector(BASELINE)


def window(volatility: float = BASELINE.volatility, seed: int = 0) -> FloatArray:
    """A window of a random walk."""
    return following(random_walk(LENGTH, seed, volatility).closes)


def with_jump(factor: float, row: int = 40, volatility: float = BASELINE.volatility) -> FloatArray:
    """A window whose closes from a row on stand at ``factor`` times their level."""
    closes = window(volatility).copy()
    closes[row:] *= factor
    return closes


def with_wrong_close(factor: float, row: int = 40) -> FloatArray:
    """A window with one close at ``factor`` times its level."""
    closes = window().copy()
    closes[row] *= factor
    return closes


def frozen(rows: int, closes: FloatArray | None = None) -> FloatArray:
    """A window that stands still at its end; so many closes are equal."""
    closes = window().copy() if closes is None else closes.copy()
    closes[-rows:] = closes[-rows]
    return closes


def filled(*rows: int) -> FloatArray:
    """A window with days that repeat the close before."""
    closes = window().copy()
    for row in rows:
        closes[row:] *= closes[row - 1] / closes[row]
    return closes


def leaning(sessions: int, per_day: float) -> FloatArray:
    """A window whose last sessions lean by so many volatilities a day."""
    closes = window().copy()
    steps = np.arange(1, sessions + 1) * per_day * BASELINE.volatility
    closes[-sessions:] *= np.exp(steps)
    return closes


class TestJump(StatisticContract):
    key, code = "jump", "split"

    def odd_window(self) -> FloatArray:
        return with_jump(0.5)


class TestFrozenFeed(StatisticContract):
    key, code = "frozen_feed", "frozen_feed"

    def odd_window(self) -> FloatArray:
        return frozen(8)


class TestFilledDays(StatisticContract):
    key, code = "filled_days", "filled_days"

    def odd_window(self) -> FloatArray:
        return filled(7, 19, 30, 44, 45, 58)


class TestSpike(StatisticContract):
    key, code = "spike", "spike"

    def odd_window(self) -> FloatArray:
        return with_wrong_close(1.2)


class TestLevelGap(StatisticContract):
    key, code = "level_gap", "wrong_symbol"

    def odd_window(self) -> FloatArray:
        return 1.7 * CLEAN[0]


class TestWild(StatisticContract):
    key, code = "volatility_high", "volatility_high"

    def odd_window(self) -> FloatArray:
        return window(12 * BASELINE.volatility)


class TestWilderThanBefore(StatisticContract):
    key, code = "volatility_high_before", "volatility_high"

    def odd_window(self) -> FloatArray:
        return window(5 * BASELINE.volatility)


class TestWildWeek(StatisticContract):
    key, code = "volatility_high_week", "volatility_high"

    def odd_window(self) -> FloatArray:
        closes = window().copy()
        steps = np.array([6, -5, 6, -7, 6]) * BASELINE.volatility
        closes[-5:] = closes[-6] * np.exp(np.cumsum(steps))
        return closes


class TestCalm(StatisticContract):
    key, code = "volatility_low", "volatility_low"

    def odd_window(self) -> FloatArray:
        return window(0.1 * BASELINE.volatility)


class TestCalmerThanBefore(StatisticContract):
    key, code = "volatility_low_before", "volatility_low"

    def odd_window(self) -> FloatArray:
        return window(0.1 * BASELINE.volatility)


class TestTrendWeek(StatisticContract):
    key, code = "trend_week", "trend"

    def odd_window(self) -> FloatArray:
        return leaning(5, -3)


class TestTrendMonth(StatisticContract):
    key, code = "trend_month", "trend"

    def odd_window(self) -> FloatArray:
        return leaning(30, 1.5)


class TestShock(StatisticContract):
    key, code = "shock_lately", "shock"

    def odd_window(self) -> FloatArray:
        return with_jump(0.75, volatility=0.005)


class TestLargeMove(StatisticContract):
    key, code = "large_move", "split"

    def odd_window(self) -> FloatArray:
        return with_jump(2 / 3, volatility=0.008)


def test_every_statistic_has_its_contract() -> None:
    assert {cls.key for cls in StatisticContract.__subclasses__()} == set(STATISTICS)


def codes(closes: FloatArray) -> list[str]:
    return [finding.code for finding in DETECTOR.check(closes).findings]


# -- jumps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "code", "level"),
    [
        (0.5, "split", "fault"),
        (2.0, "split", "fault"),
        (1 / 3, "split", "fault"),
        (2 / 3, "split", "regime"),
        (0.1, "split", "fault"),
        (0.05, "split", "fault"),
        (100.0, "unit_error", "fault"),
        (0.01, "unit_error", "fault"),
        (1000.0, "unit_error", "fault"),
        (17.5, "unit_error", "fault"),
        (0.6, "shock", "regime"),
        (0.8, "shock", "regime"),
        (1.3, "shock", "regime"),
    ],
)
def test_a_jump_is_a_split_a_unit_or_news(factor: float, code: str, level: str) -> None:
    calm = with_jump(factor, volatility=0.008)
    first = DETECTOR.check(calm).findings[0]
    assert (first.code, first.level, first.row) == (code, level, 40)


@pytest.mark.parametrize(("factor", "ratio"), [(0.5, "2:1"), (0.1, "10:1"), (5.0, "1:5")])
def test_a_split_says_its_ratio_and_that_closes_alone_cannot_tell(
    factor: float, ratio: str
) -> None:
    finding = DETECTOR.check(with_jump(factor)).findings[0]
    assert finding.facts["ratio"] == ratio
    assert finding.alternatives == ("shock",)
    assert ratio in finding.sentence
    assert "looks the same" in finding.sentence


@pytest.mark.parametrize("row", [1, 2, 30, 58, 59])
def test_a_split_is_found_wherever_it_is(row: int) -> None:
    finding = DETECTOR.check(with_jump(0.5, row)).findings[0]
    assert (finding.code, finding.row) == ("split", row)


@pytest.mark.parametrize("row", [30, 57, 59])
def test_a_close_in_cents_is_another_unit(row: int) -> None:
    finding = DETECTOR.check(with_wrong_close(100, row)).findings[0]
    assert (finding.code, finding.facts["factor"], finding.row) == ("unit_error", "100", row)


def test_rows_in_another_unit_that_come_back() -> None:
    closes = window().copy()
    closes[20:24] *= 10
    finding = DETECTOR.check(closes).findings[0]
    assert (finding.code, finding.row) == ("unit_error", 20)


def test_twice_the_price_for_one_day_is_a_wrong_close_and_no_split() -> None:
    finding = DETECTOR.check(with_wrong_close(2.0)).findings[0]
    assert (finding.code, finding.row) == ("spike", 40)


# -- wrong closes -------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1.2, 0.8])
@pytest.mark.parametrize("row", [1, 30, 58])
def test_a_wrong_close_is_named_with_its_row(factor: float, row: int) -> None:
    finding = DETECTOR.check(with_wrong_close(factor, row)).findings[0]
    assert (finding.code, finding.level, finding.row) == ("spike", "fault", row)


def test_on_the_last_close_a_wrong_one_is_no_different_from_news() -> None:
    assert "spike" not in codes(with_wrong_close(1.2, LENGTH - 1))


def test_a_wild_market_has_moves_that_cancel() -> None:
    """The same pair of moves: a wrong close in a calm window, a usual day in a wild one."""
    calm, wild = window(0.008).copy(), window(0.06).copy()
    for closes in (calm, wild):
        closes[40] *= 1.1
    assert "spike" in codes(calm)
    assert "spike" not in codes(wild)


# -- repeated closes ----------------------------------------------------------------------------


def test_four_equal_closes_are_frozen_and_three_may_happen() -> None:
    assert "frozen_feed" not in codes(frozen(3))
    found = DETECTOR.check(frozen(4)).findings[0]
    assert (found.code, found.facts["rows"], found.row) == ("frozen_feed", 4, LENGTH - 3)


def test_adjusted_closes_of_equal_raw_closes_count_as_equal() -> None:
    closes = frozen(8)
    closes[-8:] *= 1 + 1e-9 * np.arange(8)
    assert "frozen_feed" in codes(closes)


def test_a_frozen_stretch_is_not_also_filled_days() -> None:
    assert codes(frozen(12)) == ["frozen_feed"]


def test_a_symbol_whose_closes_often_stand_still_may_do_so() -> None:
    reading = reading_of(frozen(4)[None])
    often = reading_of(frozen(4)[None])
    object.__setattr__(often, "still_share", np.array([0.3]))
    statistic = STATISTICS["frozen_feed"]
    assert float(statistic.measure(often)[0]) < 1 < float(statistic.measure(reading)[0])


# -- regimes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [0.05, 1.0, 8.0])
def test_the_volatility_named_is_the_one_that_was_made(times: float) -> None:
    named = {f.code: f.facts["times"] for f in DETECTOR.check(window(times * 0.015)).findings}
    high, low = named.get("volatility_high"), named.get("volatility_low")
    ratio = times * 0.015 / BASELINE.volatility
    if times == 1.0:
        assert high is low is None
    else:
        got, other = (high, low) if times > 1 else (low, high)
        assert got == pytest.approx(ratio, rel=0.3)
        assert other is None


def test_a_shock_is_measured_against_the_sessions_before_it() -> None:
    """The same move, after calm and after wild weeks."""
    calm, wild = (
        float(STATISTICS["shock_lately"].measure(reading_of(with_jump(0.85, 40, v)[None]))[0])
        for v in (0.005, 0.03)
    )
    assert calm > 3 * wild


def test_a_level_gap_widens_with_the_sessions_between() -> None:
    assert BEFORE.closes[-1] == pytest.approx(CLEAN[0][0])
    measured = STATISTICS["level_gap"].measure(reading_of(np.stack([CLEAN[0], 1.7 * CLEAN[0]])))
    assert measured == pytest.approx([0, np.log(1.7) / BASELINE.volatility], abs=1e-9)
