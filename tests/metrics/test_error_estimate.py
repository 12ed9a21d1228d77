"""Delayed truth: what came beside what was expected."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from statistics import NormalDist

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.core.records import SCORED_PROBABILITIES, DriftDay
from closecast.metrics.error_estimate import SPANS, expected_error, summarise
from closecast.metrics.live import ENOUGH, Estimate

FIRST = date(2024, 1, 1)
AT = datetime(2024, 1, 1, 22, tzinfo=UTC)
NORMAL = np.array([NormalDist().inv_cdf(p) for p in SCORED_PROBABILITIES])


def made_days(
    errors: FloatArray, expected: float = 0.01, misses: FloatArray | None = None
) -> list[DriftDay]:
    """One day per error."""
    missed = np.zeros(len(errors)) if misses is None else misses
    return [
        DriftDay(
            version="one",
            symbol="MSFT",
            session=FIRST + timedelta(days=i),
            monitor=(0.0,) * 4,
            evidence=0.0,
            miss=bool(missed[i]),
            pit=0.5,
            shock=0.5,
            error=float(error),
            expected_error=expected,
            width=0.03,
            at=AT + timedelta(days=i),
        )
        for i, error in enumerate(errors)
    ]


# -- the estimate that needs no close -----------------------------------------------------------


@pytest.mark.parametrize("scale", [0.004, 0.02, 3.0])
@pytest.mark.parametrize("median", [0.0, 0.001])
def test_of_a_normal_law_it_is_the_mean_absolute_deviation(scale: float, median: float) -> None:
    found = expected_error(median + scale * NORMAL, SCORED_PROBABILITIES)
    assert found == pytest.approx(scale * np.sqrt(2 / np.pi), rel=0.005)


def test_of_a_law_with_heavy_tails_as_well() -> None:
    draws = np.sort(np.random.default_rng(0).standard_t(4, 400_000))
    quantiles = np.quantile(draws, SCORED_PROBABILITIES)
    assert expected_error(quantiles, SCORED_PROBABILITIES) == pytest.approx(
        float(np.abs(draws).mean()), rel=0.01
    )


def test_it_counts_from_the_forecast_and_grows_with_its_distance_from_the_middle() -> None:
    middle = expected_error(NORMAL, SCORED_PROBABILITIES)
    assert expected_error(NORMAL, SCORED_PROBABILITIES, 0.0) == pytest.approx(middle)
    assert expected_error(NORMAL, SCORED_PROBABILITIES, 1.0) > middle
    assert expected_error([0.0] * len(NORMAL), SCORED_PROBABILITIES) == 0.0


# -- the report ---------------------------------------------------------------------------------


def test_without_a_close_there_is_no_span() -> None:
    assert summarise([]).spans == ()
    assert summarise([], 0.02).coming_error == 0.02
    unknown = [replace(day, error=None) for day in made_days(np.ones(3))]
    assert summarise(unknown).spans == ()


def test_figures_by_hand() -> None:
    days = made_days(np.array([0.01, -0.03, 0.02, 0.0]), 0.02, np.array([0, 1, 0, 0]))
    report = summarise(reversed(days), 0.013)
    assert report.coming_error == 0.013
    assert [s.span for s in report.spans] == list(SPANS)
    for span in report.spans:
        assert (span.sessions, span.enough) == (4, False)
        assert (span.first_session, span.last_session) == ("2024-01-01", "2024-01-04")
        assert span.misses == Estimate(0.25)
        assert span.bias == pytest.approx(0.0)
        assert span.bias_standard_error is None
        assert span.error == pytest.approx(0.015)
        assert span.expected_error == pytest.approx(0.02)
        assert span.error_ratio.value == pytest.approx(0.75)
        assert span.error_ratio.lower is None


def test_spans_are_of_the_newest_sessions() -> None:
    errors = np.concatenate([np.full(300, 0.01), np.full(60, 0.05)])
    short, year, whole = summarise(made_days(errors)).spans
    assert (short.sessions, year.sessions, whole.sessions) == (60, 250, 360)
    assert short.error == pytest.approx(0.05)
    assert year.error == pytest.approx((190 * 0.01 + 60 * 0.05) / 250)
    assert whole.first_session == str(FIRST)
    assert short.first_session == str(FIRST + timedelta(days=300))
    assert short.last_session == year.last_session == whole.last_session


def test_a_session_counts_once_as_it_was_said_first() -> None:
    days = made_days(np.full(ENOUGH, 0.01))
    later = [replace(d, version="a", error=0.09, at=d.at + timedelta(days=90)) for d in days]
    for order in ([*days, *later], [*later, *days]):
        report = summarise(order)
        assert report == summarise(days)
        assert report.spans[-1].sessions == ENOUGH


def test_what_was_not_expected_is_left_out_of_the_ratio_alone() -> None:
    days = made_days(np.array([0.01, 0.03]), 0.02)
    days[1] = replace(days[1], expected_error=None, miss=None)
    whole = summarise(days).spans[-1]
    assert whole.sessions == 2
    assert whole.error == pytest.approx(0.02)
    assert whole.error_ratio.value == pytest.approx(0.5)
    assert whole.misses == Estimate(0.0)
    nothing = [replace(day, expected_error=None, miss=None) for day in days]
    whole = summarise(nothing).spans[-1]
    assert (whole.expected_error, whole.error_ratio, whole.misses) == (
        None,
        Estimate(None),
        Estimate(None),
    )


def test_where_nothing_was_expected_there_is_no_ratio() -> None:
    assert summarise(made_days(np.full(40, 0.01), 0.0)).spans[-1].error_ratio == Estimate(None)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng, scale, hold = np.random.default_rng(3), 0.012, {"misses": 0, "ratio": 0, "bias": 0}
    expected = expected_error(scale * NORMAL, SCORED_PROBABILITIES)
    for _ in range(200):
        errors = scale * rng.normal(size=250)
        missed = np.abs(errors) > 1.6449 * scale
        year = summarise(made_days(errors, expected, missed)).spans[1]
        assert year.enough
        assert year.misses.lower is not None
        assert year.misses.upper is not None
        assert year.error_ratio.lower is not None
        assert year.error_ratio.upper is not None
        assert year.bias_standard_error is not None
        hold["misses"] += year.misses.lower <= 0.1 <= year.misses.upper
        hold["ratio"] += year.error_ratio.lower <= 1 <= year.error_ratio.upper
        hold["bias"] += abs(year.bias) <= 2.2 * year.bias_standard_error
    # 95 % promised; three standard errors of 200 draws are .046
    assert all(count >= 0.90 * 200 for count in hold.values()), hold


def test_a_model_that_is_too_sure_of_itself_shows() -> None:
    errors = 0.02 * np.random.default_rng(1).normal(size=250)
    narrow = expected_error(0.01 * NORMAL, SCORED_PROBABILITIES)
    year = summarise(made_days(errors, narrow, np.abs(errors) > 0.0165)).spans[1]
    assert year.error_ratio.lower is not None
    assert year.error_ratio.lower > 1.5
    assert year.misses.lower is not None
    assert year.misses.lower > 0.1
