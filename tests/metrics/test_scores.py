"""Scores against values computed by hand and against laws they are known to obey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES
from closecast.metrics.scores import (
    coverage,
    crps_from_quantiles,
    mase,
    point_scores,
)
from tests.support.synthetic_prices import patiently, random_walk

SEEDS = st.integers(0, 2**32 - 1)


def draws(seed: int, *shape: int) -> FloatArray:
    return np.random.default_rng(seed).normal(size=shape)


# -- points -------------------------------------------------------------------------------------


def test_point_scores_by_hand() -> None:
    scores = point_scores(np.array([100.0, 200.0]), np.array([110.0, 190.0]))
    # Errors 10 and 10: 10 % and 5 %; squares 200 in all, 5000 around the mean.
    assert scores == pytest.approx({"mape": 7.5, "mae": 10, "mse": 100, "rmse": 10, "r2": 0.96})


def test_a_perfect_forecast() -> None:
    actual = random_walk(50, seed=0).closes
    assert point_scores(actual, actual) == {"mape": 0, "mae": 0, "mse": 0, "rmse": 0, "r2": 1}


def test_one_large_error_weighs_more_in_rmse_than_in_mae() -> None:
    actual = np.full(4, 100.0)
    scores = point_scores(actual, actual + np.array([0, 0, 0, 8]))
    assert (scores["mae"], scores["rmse"]) == (2, 4)


@patiently
@given(SEEDS, st.floats(1e-3, 1e3))
def test_only_mae_mse_and_rmse_depend_on_the_currency(seed: int, rate: float) -> None:
    actual, predicted = np.exp(draws(seed, 2, 30))
    here, there = point_scores(actual, predicted), point_scores(rate * actual, rate * predicted)
    for name, factor in (("mape", 1), ("r2", 1), ("mae", rate), ("mse", rate**2), ("rmse", rate)):
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


def test_coverage_counts_the_ends_as_inside() -> None:
    actual = np.array([0.9, 1.0, 1.5, 2.0, 2.1])
    assert coverage(actual, np.full(5, 1.0), np.full(5, 2.0)) == 0.6


def test_mase_by_hand() -> None:
    assert mase(np.array([[0.02, -0.04]]), np.array([0.01, -0.02, 0.03])) == pytest.approx(1.5)


def test_mase_of_the_naive_forecast_in_sample_is_one() -> None:
    returns = draws(0, 100)
    assert mase(returns, returns) == 1
