"""Tests of equal accuracy against values by hand, and against laws that they must obey."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from closecast.core.arrays import FloatArray
from closecast.metrics.significance import diebold_mariano, giacomini_white, model_confidence_set
from tests.support.synthetic_prices import patiently

SEEDS = st.integers(0, 2**32 - 1)


def draws(seed: int, *shape: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape)


# -- Diebold-Mariano ----------------------------------------------------------------------------


@patiently
@given(SEEDS, st.integers(10, 200))
def test_one_step_ahead_it_is_the_paired_t_test(seed: int, n: int) -> None:
    ours, theirs = np.abs(draws(seed, 2, n))
    statistic, p = diebold_mariano(ours, theirs, 1)
    known = stats.ttest_rel(ours, theirs)
    assert statistic == pytest.approx(known.statistic, rel=1e-9)
    assert p == pytest.approx(known.pvalue, rel=1e-6)


def test_two_steps_ahead_by_hand() -> None:
    difference = np.array([3.0, 4, 2, 2, 1, 0, 0, 1, -1, -2])
    n, h, d = 10, 2, difference - 1.0  # their mean is 1
    variance = (d @ d) / n + 2 * (d[1:] @ d[:-1]) / n
    correction = ((n + 1 - 2 * h + h * (h - 1) / n) / n) ** 0.5
    statistic, p = diebold_mariano(difference, np.zeros(10), h)
    assert statistic == pytest.approx(correction * 1.0 / (variance / n) ** 0.5)
    assert p == pytest.approx(2 * stats.t.sf(statistic, 9))


@patiently
@given(SEEDS, st.integers(20, 100), st.integers(1, 10))
def test_swapping_the_forecasts_swaps_the_sign(seed: int, n: int, horizon: int) -> None:
    ours, theirs = np.abs(draws(seed, 2, n))
    statistic, p = diebold_mariano(ours, theirs, horizon)
    swapped, p_swapped = diebold_mariano(theirs, ours, horizon)
    assert (swapped, p_swapped) == pytest.approx((-statistic, p))
    assert 0 <= p <= 1


def test_a_variance_that_lags_make_negative_falls_back_to_bartletts_weights() -> None:
    difference = np.tile([1.0, -1.0], 10) + 0.5  # its first autocorrelation is -.95
    n, h, d = 20, 2, difference - 0.5
    assert d @ d + 2 * (d[1:] @ d[:-1]) < 0
    variance = (d @ d) / n + 2 * 0.5 * (d[1:] @ d[:-1]) / n
    correction = ((n + 1 - 2 * h + h * (h - 1) / n) / n) ** 0.5
    statistic, _ = diebold_mariano(difference, np.zeros(20), h)
    assert statistic == pytest.approx(correction * 0.5 / (variance / n) ** 0.5)


def test_the_smaller_loss_has_the_negative_statistic() -> None:
    losses = np.abs(draws(0, 2, 100))
    assert diebold_mariano(losses[0], losses[1] + 1, 1)[0] < 0


def test_equal_losses_are_no_evidence() -> None:
    losses = np.abs(draws(0, 100))
    assert diebold_mariano(losses, losses.copy(), 5) == (0.0, 1.0)


def test_a_loss_that_is_smaller_in_every_row_alike_is_certain() -> None:
    assert diebold_mariano(np.full(50, 1.0), np.full(50, 2.0), 1) == (-np.inf, 0.0)


@pytest.mark.parametrize(("n", "horizon"), [(9, 1), (19, 10), (0, 1)])
def test_too_few_rows_are_no_evidence(n: int, horizon: int) -> None:
    assert diebold_mariano(np.zeros(n), np.ones(n), horizon) == (0.0, 1.0)


REPEATS = 1000
# Rejections of a true hypothesis at 5 % are binomial: standard error .0069, four of them .028.
TOLERANCE = 4 * (0.05 * 0.95 / REPEATS) ** 0.5


def rejections(made: Callable[[np.random.Generator], FloatArray], horizon: int) -> float:
    """How often a difference of losses made this way is called significant at 5 %."""
    rng = np.random.default_rng(12)
    pairs = (made(rng) for _ in range(REPEATS))
    return float(np.mean([diebold_mariano(d, np.zeros(len(d)), horizon)[1] < 0.05 for d in pairs]))


def overlapping(rng: np.random.Generator, steps: int = 5, n: int = 500) -> FloatArray:
    """Differences of the losses of two equally good ``steps``-step forecasts, every session."""
    shocks = rng.normal(size=n + steps - 1)
    return np.convolve(shocks, np.ones(steps), "valid")


def test_equal_forecasts_are_told_apart_as_often_as_stated() -> None:
    assert rejections(lambda rng: rng.normal(size=150), 1) == pytest.approx(0.05, abs=TOLERANCE)


def test_fat_tails_do_not_change_that() -> None:
    share = rejections(lambda rng: rng.standard_t(4, size=150), 1)
    assert share == pytest.approx(0.05, abs=TOLERANCE)


def test_overlapping_errors_need_the_lags_of_their_horizon() -> None:
    # Taken as independent, five-step errors are called significant eight times too often.
    assert rejections(overlapping, horizon=1) > 0.3
    assert rejections(overlapping, horizon=5) == pytest.approx(0.05, abs=TOLERANCE)


def test_a_better_forecast_is_found() -> None:
    # A gain of .3 standard deviations over 150 rows: power .95 for a t-test.
    assert rejections(lambda rng: rng.normal(-0.3, 1, size=150), 1) > 0.9


# -- Giacomini-White ----------------------------------------------------------------------------


def by_regime(seed: int, n: int = 600, lean: float = 0.3) -> tuple[FloatArray, FloatArray]:
    """Equal on average; the first is better in half of the time, in long stretches."""
    rng = np.random.default_rng(seed)
    regime = np.repeat(np.tile([-1.0, 1.0], n // 100), 50)
    return 1 + lean * regime + 0.3 * rng.normal(size=n), np.ones(n)


def test_who_is_better_now_is_told_where_the_average_tells_nothing() -> None:
    ours, theirs = by_regime(0)
    assert diebold_mariano(ours, theirs, 1)[1] > 0.05
    conditional = giacomini_white(ours, theirs, 1)
    assert conditional.p < 1e-6
    assert conditional.next_difference > 0.1, "the last stretch is a bad one"
    turned = giacomini_white(ours[:550], theirs[:550], 1)
    assert turned.next_difference < -0.1


def test_one_step_ahead_it_is_the_wald_test_by_hand() -> None:
    ours, theirs = draws(1, 80), draws(2, 80)
    difference = ours - theirs
    known = np.column_stack([np.ones(79), difference[:-1]])
    moments = known * difference[1:, None]
    statistic = moments.sum(0) @ np.linalg.inv(moments.T @ moments) @ moments.sum(0)
    found = giacomini_white(ours, theirs, 1)
    assert found.p == pytest.approx(stats.chi2.sf(statistic, 2))
    slope = np.linalg.lstsq(known, difference[1:], rcond=None)[0]
    assert found.next_difference == pytest.approx(slope @ [1, difference[-1]])


@patiently
@given(SEEDS, st.floats(1e-3, 1e3))
def test_the_unit_of_the_loss_does_not_matter(seed: int, unit: float) -> None:
    ours, theirs = draws(seed, 60), draws(seed + 1, 60)
    here = giacomini_white(ours, theirs, 3)
    there = giacomini_white(unit * ours, unit * theirs, 3)
    assert there.p == pytest.approx(here.p, rel=1e-6, abs=1e-12)
    assert there.next_difference == pytest.approx(unit * here.next_difference, rel=1e-6)


@pytest.mark.parametrize(("n", "horizon"), [(5, 1), (20, 8), (60, 3)])
def test_equal_losses_or_few_rows_say_nothing_of_now(n: int, horizon: int) -> None:
    assert giacomini_white(np.ones(n), np.ones(n), horizon).p == 1.0
    if n < 60:
        assert giacomini_white(draws(0, n), np.ones(n), horizon).p == 1.0


@pytest.mark.parametrize("horizon", [1, 10])
def test_equal_conditional_accuracy_is_rejected_as_often_as_stated(horizon: int) -> None:
    """Of 500 pairs of overlapping, equally good forecasts: 5 %, with twice 1 % to spare."""
    rejected = 0
    for seed in range(500):
        noise = draws(seed, 2, 400 + horizon)
        sums = [np.convolve(row, np.ones(horizon), "valid")[:400] for row in noise]
        rejected += giacomini_white(sums[0], sums[1], horizon).p < 0.05
    assert rejected / 500 < 0.07


# -- model confidence set -----------------------------------------------------------------------


def test_the_worst_leaves_the_set_first() -> None:
    base = draws(0, 500)
    losses = {
        "good": base + 0.1 * draws(1, 500),
        "as good": base + 0.1 * draws(2, 500),
        "bad": base + 0.1 * draws(3, 500) + 0.1,
        "worse": base + 0.1 * draws(4, 500) + 0.3,
    }
    p = model_confidence_set(losses, 1)
    assert list(p) == list(losses)
    assert p["worse"] <= p["bad"] < 0.05
    assert max(p["good"], p["as good"]) == 1.0
    assert min(p["good"], p["as good"]) > 0.05


def test_one_model_alone_is_the_set() -> None:
    assert model_confidence_set({"only": draws(0, 100)}, 5) == {"only": 1.0}


def test_equal_losses_and_few_rows_leave_everybody_in() -> None:
    assert model_confidence_set({"a": np.ones(100), "b": np.ones(100)}, 1) == {"a": 1, "b": 1}
    few = {"a": np.zeros(12), "b": np.ones(12)}
    assert model_confidence_set(few, 10) == {"a": 1, "b": 1}


def test_better_by_the_same_amount_in_every_row_is_certain() -> None:
    p = model_confidence_set({"a": np.zeros(100), "b": np.full(100, 0.1)}, 1)
    assert p == {"a": 1.0, "b": 0.0}


def test_the_order_in_which_they_are_named_does_not_matter() -> None:
    losses = {name: draws(i, 200) + 0.05 * i for i, name in enumerate("abc")}
    turned = {name: losses[name] for name in reversed(losses)}
    assert model_confidence_set(losses, 3) == pytest.approx(model_confidence_set(turned, 3))


@pytest.mark.parametrize("horizon", [1, 10])
def test_the_best_is_in_the_set_as_often_as_stated(horizon: int) -> None:
    """Three equally good, overlapping: one given of them is lost in at most 5 %, and noise."""
    lost = 0
    for seed in range(300):
        noise = draws(seed, 3, 400 + horizon)
        sums = [np.convolve(row, np.ones(horizon), "valid")[:400] for row in noise]
        p = model_confidence_set(dict(zip("abc", sums, strict=True)), horizon)
        lost += p["a"] <= 0.05
    assert lost / 300 < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
