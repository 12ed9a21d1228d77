"""Scores against values computed by hand and against laws they are known to obey."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from closecast.forecast import PROBABILITIES
from closecast.metrics import (
    coverage,
    crps_from_quantiles,
    diebold_mariano,
    interval_score,
    mase,
    point_scores,
)
from tests.made_data import FloatArray, patiently, random_walk

SEEDS = st.integers(0, 2**32 - 1)


def draws(seed: int, *shape: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape)


# -- points -------------------------------------------------------------------------------------


def test_point_scores_by_hand() -> None:
    scores = point_scores(np.array([100.0, 200.0]), np.array([110.0, 190.0]))
    # Errors 10 and 10: 10 % and 5 %; squares 200 in all, 5000 around the mean.
    assert scores == pytest.approx({"mape": 7.5, "mae": 10, "rmse": 10, "r2": 0.96})


def test_a_perfect_forecast() -> None:
    actual = random_walk(50, seed=0).closes
    assert point_scores(actual, actual) == {"mape": 0, "mae": 0, "rmse": 0, "r2": 1}


def test_one_large_error_weighs_more_in_rmse_than_in_mae() -> None:
    actual = np.full(4, 100.0)
    scores = point_scores(actual, actual + np.array([0, 0, 0, 8]))
    assert (scores["mae"], scores["rmse"]) == (2, 4)


@patiently
@given(SEEDS, st.floats(1e-3, 1e3))
def test_only_mae_and_rmse_depend_on_the_currency(seed: int, rate: float) -> None:
    actual, predicted = np.exp(draws(seed, 2, 30))
    here, there = point_scores(actual, predicted), point_scores(rate * actual, rate * predicted)
    for name, factor in (("mape", 1), ("r2", 1), ("mae", rate), ("rmse", rate)):
        assert there[name] == pytest.approx(factor * here[name], rel=1e-9)


def test_r2_on_levels_flatters_yesterdays_close() -> None:
    """Why it is never shown without the naive forecast's beside it."""
    closes = random_walk(1000, seed=0).closes
    assert point_scores(closes[1:], closes[:-1])["r2"] > 0.98


# -- distributions ------------------------------------------------------------------------------


def gaussian_crps(z: FloatArray) -> FloatArray:
    """Gneiting and Raftery (2007), eq. 21."""
    return z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)


@pytest.mark.parametrize("z", [-3.0, -1.0, 0.0, 0.5, 2.0])
def test_crps_tends_to_the_closed_form_of_the_normal_law(z: float) -> None:
    fine = (np.arange(4000) + 0.5) / 4000
    crps = crps_from_quantiles(np.array(z), stats.norm.ppf(fine), fine)
    assert crps == pytest.approx(gaussian_crps(np.array(z)), rel=1e-3)


def test_crps_at_our_39_probabilities_is_close_to_it() -> None:
    z = np.linspace(-2, 2, 41)
    crps = crps_from_quantiles(z, np.tile(stats.norm.ppf(PROBABILITIES), (41, 1)), PROBABILITIES)
    assert crps == pytest.approx(gaussian_crps(z), rel=0.03)


def test_crps_of_a_point_mass_is_the_absolute_error() -> None:
    quantiles = np.full((3, 39), 2.0)
    crps = crps_from_quantiles(np.array([1.0, 2.0, 5.0]), quantiles, PROBABILITIES)
    assert crps == pytest.approx([1, 0, 3])


@pytest.mark.parametrize(
    ("shift", "stretch"), [(0.3, 1), (-0.3, 1), (0, 0.7), (0, 1.4), (0.2, 1.2)]
)
def test_crps_is_least_for_the_law_that_is_true(shift: float, stretch: float) -> None:
    actual, true = draws(0, 20_000), stats.norm.ppf(PROBABILITIES)
    honest, wrong = (
        crps_from_quantiles(actual, np.broadcast_to(q, (20_000, 39)), PROBABILITIES).mean()
        for q in (true, shift + stretch * true)
    )
    assert honest < wrong


@patiently
@given(SEEDS, st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_crps_scales_and_shifts_with_its_unit(seed: int, scale: float, shift: float) -> None:
    actual, quantiles = draws(seed, 5), np.sort(draws(seed + 1, 5, 39))
    here = crps_from_quantiles(actual, quantiles, PROBABILITIES)
    there = crps_from_quantiles(scale * actual + shift, scale * quantiles + shift, PROBABILITIES)
    assert there == pytest.approx(scale * here, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [(5.0, 4.0), (3.0, 4.0), (7.0, 4.0), (8.0, 4 + 10 * 1), (1.0, 4 + 10 * 2)],
)
def test_interval_score_by_hand(actual: float, expected: float) -> None:
    score = interval_score(np.array(actual), np.array(3.0), np.array(7.0), level=0.8)
    assert score == pytest.approx(expected)


@pytest.mark.parametrize("stretch", [0.6, 0.8, 1.25, 1.6])
def test_interval_score_is_least_for_the_interval_that_is_true(stretch: float) -> None:
    actual, end = draws(0, 20_000), stats.norm.ppf(0.9)
    honest, wrong = (
        interval_score(actual, np.array(-e), np.array(e), 0.8).mean() for e in (end, stretch * end)
    )
    assert honest < wrong


def test_coverage_counts_the_ends_as_inside() -> None:
    actual = np.array([0.9, 1.0, 1.5, 2.0, 2.1])
    assert coverage(actual, np.full(5, 1.0), np.full(5, 2.0)) == 0.6


def test_mase_by_hand() -> None:
    assert mase(np.array([[0.02, -0.04]]), np.array([0.01, -0.02, 0.03])) == pytest.approx(1.5)


def test_mase_of_the_naive_forecast_in_sample_is_one() -> None:
    returns = draws(0, 100)
    assert mase(returns, returns) == 1


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
