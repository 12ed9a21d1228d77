"""A close compared with the forecast before it, on made series."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from closecast.calibration import AdaptiveState
from closecast.core.prices import Prices
from closecast.core.records import SCORED_PROBABILITIES
from closecast.drift import Monitor
from closecast.drift.monitor import BETS, evidence_of
from closecast.drift.monitored_symbol import MonitoredSymbol
from closecast.evaluation.rolling import calibrate
from closecast.metrics.error_estimate import expected_error
from closecast.metrics.outcomes import probability_integral_transform
from tests.support.calibration_members import LENGTH, history, member, predictor_of
from tests.support.synthetic_prices import garch

NOW = datetime(2026, 1, 2, 22, tzinfo=UTC)
PRICES = garch(420, seed=3)
STATES = dict(history(PRICES))
LATE = len(PRICES) - 1


def watched(prices: Prices = PRICES, monitor: Monitor = Monitor()) -> MonitoredSymbol:
    of = member(prices)
    return MonitoredSymbol(
        "v", of, of.forecast, calibrate(predictor_of(), [PRICES.rows(0, 300)]), monitor
    )


def returned(row: int) -> float:
    return float(np.log(PRICES.closes[row] / PRICES.closes[row - 1]))


def test_a_day_is_what_the_forecast_before_it_said() -> None:
    state, log_return = STATES[LATE - 1], returned(LATE)
    day = watched().observe(state, LATE, NOW)
    forecast = state.forecast(SCORED_PROBABILITIES)
    quantiles = forecast.quantiles[0]
    assert (day.version, day.symbol, day.at) == ("v", PRICES.symbol, NOW)
    assert day.session == PRICES.sessions[LATE].item()
    assert day.error == pytest.approx(log_return - forecast.location[0])
    assert day.pit == pytest.approx(probability_integral_transform(quantiles, log_return))
    assert day.expected_error == pytest.approx(
        expected_error(quantiles, SCORED_PROBABILITIES, forecast.location[0])
    )
    assert day.monitor == Monitor().after(day.miss, day.shock).values


def test_misses_and_pits_are_those_of_the_live_calibration() -> None:
    """The PIT is beyond 5 or 95 % exactly where the 90 % interval missed."""
    one, misses = watched(), 0
    for row in range(260, len(PRICES)):
        day = one.observe(STATES[row - 1], row, NOW)
        assert day.pit is not None
        assert day.miss is not None
        if abs(day.pit - 0.05) > 1e-6 < abs(day.pit - 0.95):
            assert day.miss is not (0.05 < day.pit < 0.95)
        misses += day.miss
    assert 4 <= misses <= 32  # 16 of 160 expected; a hundredth of them lies outside


def test_tails_of_closes_that_fit_are_spread_evenly() -> None:
    one = watched()
    tails = np.array([one.observe(STATES[r - 1], r, NOW).shock for r in range(260, len(PRICES))])
    assert 0.02 < tails.min() < 0.1 or tails.min() <= 0.02
    assert tails.mean() == pytest.approx(0.5, abs=0.12)


def test_evidence_goes_on_from_the_monitor_before() -> None:
    started = watched(monitor=Monitor((5.0, 6.0, 7.0, 8.0)))
    day = started.observe(STATES[LATE - 1], LATE, NOW)
    assert day.monitor == started.monitor.after(day.miss, day.shock).values
    assert started.after(day).monitor.evidence == day.evidence
    assert started.monitor.values == (5.0, 6.0, 7.0, 8.0)


@pytest.mark.parametrize(
    ("before", "after", "enters"),
    [(999.0, 1000.0, True), (999.0, 999.9, False), (1000.0, 1200.0, False), (1200.0, 10.0, False)],
)
def test_an_alarm_begins_where_the_evidence_crosses_its_line(
    before: float, after: float, enters: bool
) -> None:
    one = watched(monitor=Monitor((before / evidence_of(np.ones(BETS)),) * BETS))
    assert one.monitor.evidence == pytest.approx(before)
    day = replace(one.observe(STATES[LATE - 1], LATE, NOW), evidence=after)
    assert one.enters_alarm(day) is enters


def test_with_few_past_errors_the_miss_is_known_and_the_pit_is_not() -> None:
    row = LENGTH + 30
    day = watched().observe(STATES[row - 1], row, NOW)
    assert day.miss is not None
    assert day.shock is not None
    assert day.error is not None
    assert (day.pit, day.expected_error) == (None, None)
    assert day.width is not None
    assert day.width > 0


def test_a_close_that_was_taken_back_is_no_evidence() -> None:
    """The state's newest close is gone from the download: nothing can be held against it."""
    kept = np.arange(len(PRICES)) != LATE - 1
    gone = Prices(PRICES.symbol, PRICES.sessions[kept], PRICES.closes[kept], "made")
    before = Monitor((5.0, 6.0, 7.0, 8.0))
    day = watched(gone, before).observe(STATES[LATE - 1], LATE - 1, NOW)
    assert day.session == PRICES.sessions[LATE].item()
    assert {day.miss, day.pit, day.shock, day.error, day.expected_error} == {None}
    assert day.monitor == before.values


def test_without_a_forecast_before_the_close_the_tail_is_not_known() -> None:
    of = member(PRICES)
    newest = replace(of, forecast=of.forecast[-1:])
    day = replace(watched(), member=newest, frozen=newest.forecast).observe(
        STATES[LATE - 1], LATE, NOW
    )
    assert day.shock is None
    assert day.miss is not None
    assert day.monitor[2:] == (0.0, 0.0)


def test_what_comes_later_changes_nothing() -> None:
    row = 300
    cut = PRICES.rows(0, row + 1)
    state: AdaptiveState = STATES[row - 1]
    one = replace(watched(cut), calibration=watched().calibration)
    assert one.observe(state, row, NOW) == watched().observe(state, row, NOW)
