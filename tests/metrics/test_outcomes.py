"""Scores of dated steps: by hand, against known laws, and unmoved by restated history."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from closecast.core.prices import Prices
from closecast.core.records import SCORED_LEVELS, SCORED_PROBABILITIES, DatedForecast, DatedStep
from closecast.metrics.outcomes import (
    probability_integral_transform,
    realised_log_return,
    score_step,
    will_never_come,
)
from tests.support.synthetic_prices import as_prices, patiently, random_walk

NOW = datetime(2026, 1, 9, 22, tzinfo=UTC)
NORMAL = stats.norm.ppf(SCORED_PROBABILITIES)


def said(
    quantiles: np.ndarray = 0.02 * NORMAL, price: float = 100.0
) -> tuple[DatedForecast, DatedStep]:
    step = DatedStep(1, date(2026, 1, 5), price, tuple(quantiles.tolist()))
    forecast = DatedForecast(
        kind="live",
        symbol="MSFT",
        version="v1",
        revision=3,
        forecaster="ewma",
        origin=date(2026, 1, 2),
        origin_close=100.0,
        basis="adjusted",
        source="made",
        issued_at=NOW - timedelta(days=4),
        steps=(step,),
    )
    return forecast, step


# -- realised returns ---------------------------------------------------------------------------


def day(prices: Prices, row: int) -> date:
    found: date = prices.sessions[row].item()
    return found


def without(prices: Prices, *rows: int) -> Prices:
    kept = np.setdiff1d(np.arange(len(prices)), [row % len(prices) for row in rows])
    return Prices(
        prices.symbol, prices.sessions[kept], prices.closes[kept], prices.source, prices.basis
    )


def test_a_return_is_between_two_closes_of_one_download() -> None:
    prices = as_prices(np.array([100.0, 110.0, 121.0]))
    assert realised_log_return(prices, day(prices, 0), day(prices, 2)) == pytest.approx(
        2 * np.log(1.1)
    )


@patiently
@given(st.floats(1e-3, 1e3), st.integers(0, 48), st.integers(1, 49))
def test_a_restated_history_changes_no_return(factor: float, origin: int, ahead: int) -> None:
    prices = random_walk(50, seed=1)
    to = min(origin + ahead, 49)
    restated = as_prices(factor * prices.closes)
    assert realised_log_return(restated, day(prices, origin), day(prices, to)) == pytest.approx(
        realised_log_return(prices, day(prices, origin), day(prices, to)), abs=1e-12
    )


@pytest.mark.parametrize("gone", [10, 12], ids=["origin", "session"])
def test_without_one_of_the_closes_there_is_no_return(gone: int) -> None:
    prices = random_walk(30, seed=1)
    holed = without(prices, gone)
    assert realised_log_return(holed, day(prices, 10), day(prices, 12)) is None
    assert realised_log_return(prices, day(prices, 10), day(prices, 12)) is not None


def test_a_session_to_come_has_no_return_and_is_waited_for() -> None:
    prices = random_walk(30, seed=1)
    to_come = day(prices, -1) + timedelta(days=1)
    assert realised_log_return(prices, day(prices, -2), to_come) is None
    assert not will_never_come(prices, day(prices, -2), to_come)


@pytest.mark.parametrize(("later", "never"), [(0, False), (1, False), (4, False), (5, True)])
def test_a_session_is_given_up_after_five_others(later: int, never: bool) -> None:
    prices = random_walk(30, seed=1)
    missing = len(prices) - 1 - later
    holed = without(prices, missing)
    origin, session = day(prices, missing - 3), day(prices, missing)
    assert will_never_come(holed, origin, session) is never
    assert will_never_come(holed, origin, session, patience=1) is (later >= 1)


def test_an_origin_that_the_source_took_back_is_given_up_too() -> None:
    prices = random_walk(30, seed=1)
    assert will_never_come(without(prices, 10), day(prices, 10), day(prices, 12))


def test_what_came_is_not_given_up() -> None:
    prices = random_walk(30, seed=1)
    assert not will_never_come(prices, day(prices, 10), day(prices, 12))


def test_days_before_a_download_begins_may_be_in_the_next() -> None:
    prices = random_walk(30, seed=1)
    assert not will_never_come(prices.rows(15, None), day(prices, 10), day(prices, 12))


# -- scores -------------------------------------------------------------------------------------


def test_errors_by_hand() -> None:
    forecast, step = said(price=102.0)
    outcome = score_step(forecast, step, 0.05, NOW)
    assert outcome.log_return == outcome.naive_error == 0.05
    assert outcome.error == pytest.approx(0.05 - np.log(1.02))
    assert outcome.actual == pytest.approx(100 * np.exp(0.05))
    assert outcome.scored_at == NOW


def test_saying_that_tomorrow_is_today_ties_exactly() -> None:
    outcome = score_step(*said(price=100.0), 0.0123456789, NOW)
    assert outcome.error == outcome.naive_error


@pytest.mark.parametrize(
    ("z", "hits"),
    [
        (0.0, (True, True, True, True, True)),
        (0.7, (False, True, True, True, True)),
        (-1.5, (False, False, True, True, True)),
        (1.9, (False, False, False, True, True)),
        (-2.3, (False, False, False, False, True)),
        (2.6, (False, False, False, False, False)),
    ],
)
def test_each_level_is_hit_where_its_interval_holds_the_close(
    z: float, hits: tuple[bool, ...]
) -> None:
    assert score_step(*said(), 0.02 * z, NOW).hits == hits


@pytest.mark.parametrize("level", SCORED_LEVELS)
def test_the_ends_of_an_interval_belong_to_it(level: float) -> None:
    forecast, step = said()
    i = int(np.argmin(np.abs(SCORED_PROBABILITIES - (1 - level) / 2)))
    which = SCORED_LEVELS.index(level)
    for end in (step.quantiles[i], step.quantiles[len(step.quantiles) - 1 - i]):
        assert score_step(forecast, step, end, NOW).hits[which]
        assert not score_step(forecast, step, end + np.copysign(1e-9, end), NOW).hits[which]


@pytest.mark.parametrize("z", [-1.0, 0.0, 0.5])
def test_the_crps_is_near_the_closed_form_of_the_normal_law(z: float) -> None:
    """39 quantiles leave the tails out; Gneiting and Raftery (2007), eq. 21, has them."""
    exact = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    assert score_step(*said(NORMAL), z, NOW).crps == pytest.approx(exact, rel=0.03)


def test_the_outermost_quantiles_do_not_enter_the_crps() -> None:
    wild = 0.02 * NORMAL
    wild[[0, -1]] = -9.0, 9.0
    assert score_step(*said(wild), 0.01, NOW).crps == score_step(*said(), 0.01, NOW).crps


# -- probability integral transform -------------------------------------------------------------


@patiently
@given(st.floats(-2.5, 2.5))
def test_the_pit_is_the_distribution_function(z: float) -> None:
    assert probability_integral_transform(NORMAL.tolist(), z) == pytest.approx(
        stats.norm.cdf(z), abs=0.005
    )


@pytest.mark.parametrize(
    ("z", "pit"), [(-99.0, 0.0025), (99.0, 0.9975), (NORMAL[0], 0.005), (NORMAL[-1], 0.995)]
)
def test_beyond_the_outermost_quantile_half_of_the_tail(z: float, pit: float) -> None:
    assert probability_integral_transform(NORMAL.tolist(), z) == pytest.approx(pit)


def test_the_middle_of_a_jump() -> None:
    jump = NORMAL.copy()
    jump[10:31] = 0.0
    expected = (SCORED_PROBABILITIES[10] + SCORED_PROBABILITIES[30]) / 2
    assert probability_integral_transform(np.sort(jump).tolist(), 0.0) == pytest.approx(expected)
    assert probability_integral_transform([0.0] * 41, 0.0) == pytest.approx(0.5)


def test_the_pit_of_a_true_law_is_uniform() -> None:
    draws = np.random.default_rng(3).normal(size=2000)
    pits = [probability_integral_transform(NORMAL.tolist(), z) for z in draws]
    assert stats.kstest(pits, "uniform").statistic < 1.63 / np.sqrt(2000)  # the 1 % point
    wide = [probability_integral_transform((1.3 * NORMAL).tolist(), z) for z in draws]
    assert stats.kstest(wide, "uniform").statistic > 1.63 / np.sqrt(2000)
