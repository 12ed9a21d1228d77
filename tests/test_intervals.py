"""Calibrated intervals hold what they promise, whatever the law of the errors."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.errors import DamagedBundle, TooFewCloses
from closecast.forecast import PROBABILITIES, Forecast
from closecast.intervals import MEMORY, Calibration
from tests.made_data import FloatArray, patiently

Law = Callable[[np.random.Generator, tuple[int, ...]], FloatArray]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.normal(size=shape)


def student_t5(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.standard_t(5, size=shape)


def scale_mixture(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Calm and wild sessions that the forecast's scale knows nothing of."""
    return rng.normal(size=shape) * rng.choice([0.5, 1.0, 3.0], p=[0.3, 0.6, 0.1], size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    return rng.exponential(size=shape) - 1


LAWS = [normal, student_t5, scale_mixture]
LEVELS = [0.5, 0.8, 0.95]


def forecasts(rng: np.random.Generator, n: int, horizon: int = 2) -> Forecast:
    """A batch with locations and scales of every size, and quantiles that mean nothing."""
    location = rng.normal(0, 0.01, (n, horizon))
    scale = np.exp(rng.normal(-4, 0.5, (n, horizon)))
    quantiles = np.broadcast_to(location[..., None], (n, horizon, 39))
    return Forecast(rng.uniform(1, 1000, n), location, scale, PROBABILITIES, quantiles)


def coverages(law: Law, n: int, level: float, repeats: int) -> FloatArray:
    """Share of new returns inside the interval, once per set of ``n`` past errors."""
    rng = np.random.default_rng(7)
    new, shares = 200, []
    column = round((1 - level) / 2 * 40) - 1
    for _ in range(repeats):
        past = forecasts(rng, n)
        came = past.location + past.scale * law(rng, past.location.shape)
        calibration = Calibration.from_forecasts(past, came)
        ahead = calibration.apply(forecasts(rng, new))
        returns = ahead.location + ahead.scale * law(rng, ahead.location.shape)
        lower, upper = ahead.quantiles[..., column], ahead.quantiles[..., -1 - column]
        shares.append(((lower <= returns) & (returns <= upper)).mean())
    return np.array(shares)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("level", LEVELS)
def test_coverage_is_the_level(law: Law, level: float) -> None:
    n, repeats = 300, 150
    mean = coverages(law, n, level, repeats).mean()
    # Per repeat and step: the level realised by n errors, then 200 draws of it; two steps.
    standard_error = (level * (1 - level) * (1 / n + 1 / 200) / (2 * repeats)) ** 0.5
    assert mean == pytest.approx(level, abs=4 * standard_error + 1 / (n + 1))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("n", [39, 60, 120])
def test_few_past_errors_widen_the_interval_instead_of_breaking_the_promise(
    law: Law, n: int
) -> None:
    repeats = 200
    mean = coverages(law, n, 0.95, repeats).mean()
    standard_error = (0.95 * 0.05 * (1 / n + 1 / 200) / (2 * repeats)) ** 0.5
    assert mean > 0.95 - 3 * standard_error
    assert mean < 0.95 + 1 / (n + 1) + 4 * standard_error


def test_skewed_errors_make_skewed_intervals() -> None:
    scores = skewed(np.random.default_rng(0), (1, 500))
    lower, *_, upper = Calibration(scores).quantiles(PROBABILITIES)[0]
    assert upper > 1.3 * -lower


def test_quantiles_by_hand() -> None:
    """Of the scores 1 .. 39: the mean of a symmetric quantile and of a signed one.

    For 2.5 % and 97.5 % the symmetric one is +-38, rank ceil(40 * .95) of the absolute scores;
    the signed ones stand at the places 40 * .025 and 40 * .975. The symmetric median is 0.
    """
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 40.0))[None]
    ends = Calibration(scores).quantiles(np.array([0.025, 0.5, 0.975]))[0]
    assert ends.tolist() == [(-38 + 1) / 2, (0 + 20) / 2, (38 + 39) / 2]
    ends = Calibration(scores).quantiles(np.array([0.1, 0.9]))[0]
    assert ends.tolist() == [(-32 + 4) / 2, (32 + 36) / 2]


@pytest.mark.parametrize("n", [0, 1, 19, 38])
def test_too_few_past_errors_are_refused_with_the_number_needed(n: int) -> None:
    with pytest.raises(TooFewCloses, match=rf"^{n} past errors .* 95% interval; 39 are needed"):
        Calibration(np.zeros((3, n))).quantiles(PROBABILITIES)


def test_the_number_needed_is_enough() -> None:
    assert Calibration(np.zeros((3, 39))).quantiles(PROBABILITIES).shape == (3, 39)


@pytest.mark.parametrize(("level", "needed"), [(0.5, 3), (0.8, 9), (0.9, 19), (0.95, 39)])
def test_narrower_intervals_need_fewer(level: float, needed: int) -> None:
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    Calibration(np.zeros((1, needed))).quantiles(ends)
    with pytest.raises(TooFewCloses, match=f"{needed} are needed"):
        Calibration(np.zeros((1, needed - 1))).quantiles(ends)


score_tables = st.builds(
    lambda seed, horizon, n, digits: (
        np.random.default_rng(seed).normal(size=(horizon, n)).round(digits)
    ),
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(39, 200),
    st.sampled_from([0, 1, 6]),  # few digits: many ties
)


@patiently
@given(score_tables)
def test_quantiles_never_cross(scores: FloatArray) -> None:
    assert (np.diff(Calibration(scores).quantiles(PROBABILITIES)) >= 0).all()


@patiently
@given(score_tables)
def test_mirrored_errors_make_mirrored_quantiles(scores: FloatArray) -> None:
    there = Calibration(scores).quantiles(PROBABILITIES)
    back = -Calibration(-scores).quantiles(PROBABILITIES)[:, ::-1]
    assert back == pytest.approx(there, abs=1e-9)


@patiently
@given(score_tables, st.floats(0.01, 100))
def test_larger_errors_make_wider_intervals_in_proportion(
    scores: FloatArray, factor: float
) -> None:
    here, there = (Calibration(s).quantiles(PROBABILITIES) for s in (scores, factor * scores))
    assert there == pytest.approx(factor * here, rel=1e-9, abs=1e-12)


def test_only_the_quantiles_are_replaced() -> None:
    rng = np.random.default_rng(0)
    before = forecasts(rng, 5)
    after = Calibration(rng.normal(size=(2, 100))).apply(before)
    for name in ("last_close", "location", "scale", "probabilities"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
    assert (after.quantiles != before.quantiles).any()


def test_one_forecast_is_calibrated_like_the_same_one_in_a_batch() -> None:
    rng = np.random.default_rng(0)
    batch, calibration = forecasts(rng, 5), Calibration(rng.normal(size=(2, 100)))
    alone, beside_others = calibration.apply(batch[3]), calibration.apply(batch)[3]
    assert np.array_equal(alone.quantiles, beside_others.quantiles)


def test_every_step_has_errors_of_its_own() -> None:
    scores = np.random.default_rng(0).normal(size=(1, 200)) * np.array([[1], [5]])
    first, second = Calibration(scores).quantiles(PROBABILITIES)
    assert second == pytest.approx(5 * first)


def test_the_newest_errors_are_remembered_oldest_first() -> None:
    rng = np.random.default_rng(0)
    past = forecasts(rng, MEMORY + 50)
    errors = rng.normal(size=past.location.shape)
    kept = Calibration.from_forecasts(past, past.location + past.scale * errors).scores
    assert kept.shape == (2, MEMORY)
    assert kept == pytest.approx(errors[50:].T, abs=1e-6)


@patiently
@given(score_tables)
def test_json_round_trip_keeps_every_quantile(scores: FloatArray) -> None:
    here = Calibration(scores)
    again = Calibration.from_json(here.to_json())
    assert np.array_equal(again.scores, here.scores)
    assert np.array_equal(again.quantiles(PROBABILITIES), here.quantiles(PROBABILITIES))


GOOD = json.loads(Calibration(np.zeros((2, 40))).to_json())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\x80\x04\x95\x00",
        b"\xff\xfe",
        json.dumps(GOOD).encode()[:-5],
        json.dumps({**GOOD, "scores": None}).encode(),
        json.dumps({**GOOD, "scores": []}).encode(),
        json.dumps({**GOOD, "scores": [1.0, 2.0]}).encode(),
        json.dumps({**GOOD, "scores": [[1.0, 2.0], [3.0]]}).encode(),
        json.dumps({**GOOD, "scores": [[1.0, float("nan")]]}).encode(),
        json.dumps({**GOOD, "scores": [["a", "b"]]}).encode(),
        json.dumps({**GOOD, "scores": {"a": 1}}).encode(),
    ],
    ids=lambda content: content[-30:].decode(errors="replace") or "empty",
)
def test_damaged_json_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedBundle, match=r"intervals\.json"):
        Calibration.from_json(content)
