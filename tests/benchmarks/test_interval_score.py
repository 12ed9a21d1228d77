"""Winkler's score of the table of intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.forecast.interval_table import interval_score


@pytest.mark.parametrize(
    ("actual", "expected"),
    [(5.0, 4.0), (3.0, 4.0), (7.0, 4.0), (8.0, 4 + 10 * 1), (1.0, 4 + 10 * 2)],
)
def test_interval_score_by_hand(actual: float, expected: float) -> None:
    score = interval_score(np.array(actual), np.array(3.0), np.array(7.0), level=0.8)
    assert score == pytest.approx(expected)


@pytest.mark.parametrize("stretch", [0.6, 0.8, 1.25, 1.6])
def test_interval_score_is_least_for_the_interval_that_is_true(stretch: float) -> None:
    actual, end = np.random.default_rng(0).normal(size=20_000), stats.norm.ppf(0.9)
    honest, wrong = (
        interval_score(actual, np.array(-e), np.array(e), 0.8).mean() for e in (end, stretch * end)
    )
    assert honest < wrong
