"""Quantiles of past errors: exact where they can be, refused where they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.calibration import LEAST_SCORES, half_quantiles, needed_scores
from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES
from closecast.errors import TooFewCloses
from tests.support.synthetic_prices import patiently, score_tables


def test_quantiles_by_hand() -> None:
    """Of the scores 1 .. 39: the mean of a symmetric quantile and of a signed one.

    For 2.5 % and 97.5 % the symmetric one is +-38, rank ceil(40 * .95) of the absolute scores;
    the signed ones stand at the places 40 * .025 and 40 * .975. The symmetric median is 0.
    """
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 40.0))[None]
    ends = half_quantiles(scores, np.array([0.025, 0.5, 0.975]))[0]
    assert ends.tolist() == [(-38 + 1) / 2, (0 + 20) / 2, (38 + 39) / 2]
    ends = half_quantiles(scores, np.array([0.1, 0.9]))[0]
    assert ends.tolist() == [(-32 + 4) / 2, (32 + 36) / 2]


@pytest.mark.parametrize("n", [0, 1, 19, 38])
def test_too_few_past_errors_are_refused_with_the_number_needed(n: int) -> None:
    with pytest.raises(TooFewCloses, match=rf"^{n} past errors .* 95% interval; 39 are needed"):
        half_quantiles(np.zeros((3, n)), PROBABILITIES)


def test_the_number_needed_is_enough() -> None:
    assert half_quantiles(np.zeros((3, 39)), PROBABILITIES).shape == (3, 39)


@pytest.mark.parametrize(("level", "needed"), [(0.5, 3), (0.8, 9), (0.9, 19), (0.95, 39)])
def test_narrower_intervals_need_fewer(level: float, needed: int) -> None:
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    half_quantiles(np.zeros((1, needed)), ends)
    with pytest.raises(TooFewCloses, match=f"{needed} are needed"):
        half_quantiles(np.zeros((1, needed - 1)), ends)


@patiently
@given(score_tables)
def test_quantiles_never_cross(scores: FloatArray) -> None:
    assert (np.diff(half_quantiles(scores, PROBABILITIES)) >= 0).all()


@patiently
@given(score_tables)
def test_mirrored_errors_make_mirrored_quantiles(scores: FloatArray) -> None:
    there = half_quantiles(scores, PROBABILITIES)
    back = -half_quantiles(-scores, PROBABILITIES)[:, ::-1]
    assert back == pytest.approx(there, abs=1e-9)


@patiently
@given(score_tables, st.floats(0.01, 100))
def test_larger_errors_make_wider_intervals_in_proportion(
    scores: FloatArray, factor: float
) -> None:
    here, there = (half_quantiles(s, PROBABILITIES) for s in (scores, factor * scores))
    assert there == pytest.approx(factor * here, rel=1e-9, abs=1e-12)


def test_the_number_needed_is_that_of_the_outermost_probability() -> None:
    assert needed_scores(0.95) == LEAST_SCORES
    assert [needed_scores(level) for level in (0.5, 0.8, 0.9, 0.99)] == [3, 19 // 2, 19, 199]


@patiently
@given(score_tables, st.randoms(use_true_random=False))
def test_the_order_of_errors_does_not_matter(scores: FloatArray, random: object) -> None:
    shuffled = np.random.default_rng(random.getrandbits(32)).permutation(scores, axis=-1)  # type: ignore[attr-defined]
    assert np.array_equal(
        half_quantiles(shuffled, PROBABILITIES), half_quantiles(scores, PROBABILITIES)
    )


@pytest.mark.parametrize("n", [39, 79, 199])
def test_quantiles_stay_within_what_was_seen(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=(2, n))
    assert np.abs(half_quantiles(scores, PROBABILITIES)).max() <= np.abs(scores).max()
