"""Fixed calibration holds what it promises, whatever the law of the errors."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

from closecast.calibration import MEMORY, SplitConformal
from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.errors import DamagedBundle
from tests.support.synthetic_prices import patiently, score_tables

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
        calibration = SplitConformal.from_forecasts(past, came)
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
    lower, *_, upper = SplitConformal(scores).quantiles(PROBABILITIES)[0]
    assert upper > 1.3 * -lower


def test_only_the_quantiles_are_replaced() -> None:
    rng = np.random.default_rng(0)
    before = forecasts(rng, 5)
    after = SplitConformal(rng.normal(size=(2, 100))).apply(before)
    for name in ("last_close", "location", "scale", "probabilities"):
        assert np.array_equal(getattr(after, name), getattr(before, name))
    assert (after.quantiles != before.quantiles).any()


def test_one_forecast_is_calibrated_like_the_same_one_in_a_batch() -> None:
    rng = np.random.default_rng(0)
    batch, calibration = forecasts(rng, 5), SplitConformal(rng.normal(size=(2, 100)))
    alone, beside_others = calibration.apply(batch[3]), calibration.apply(batch)[3]
    assert np.array_equal(alone.quantiles, beside_others.quantiles)


def test_every_step_has_errors_of_its_own() -> None:
    scores = np.random.default_rng(0).normal(size=(1, 200)) * np.array([[1], [5]])
    first, second = SplitConformal(scores).quantiles(PROBABILITIES)
    assert second == pytest.approx(5 * first)


def test_the_newest_errors_are_remembered_oldest_first() -> None:
    rng = np.random.default_rng(0)
    past = forecasts(rng, MEMORY + 50)
    errors = rng.normal(size=past.location.shape)
    kept = SplitConformal.from_forecasts(past, past.location + past.scale * errors).scores
    assert kept.shape == (2, MEMORY)
    assert kept == pytest.approx(errors[50:].T, abs=1e-6)


@patiently
@given(score_tables)
def test_json_round_trip_keeps_every_quantile(scores: FloatArray) -> None:
    here = SplitConformal(scores)
    again = SplitConformal.from_json(here.to_json())
    assert np.array_equal(again.scores, here.scores)
    assert np.array_equal(again.quantiles(PROBABILITIES), here.quantiles(PROBABILITIES))


GOOD = json.loads(SplitConformal(np.zeros((2, 40))).to_json())


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
        SplitConformal.from_json(content)


def test_a_pool_holds_scores_of_every_symbol_and_day_and_no_more_than_3000() -> None:
    days = 750
    members = [SplitConformal(np.full((2, days), i) + np.arange(days) / 1000) for i in range(20)]
    pool = SplitConformal.pooled(members)
    assert pool.scores.shape == (2, 3000)
    symbols, day = np.divmod(pool.scores[0], 1)
    assert np.array_equal(np.unique(symbols, return_counts=True)[1], [150] * 20)
    assert len(np.unique(day.round(3))) == days
    assert np.array_equal(SplitConformal.pooled(members[:4]).scores.shape, (2, 3000))
    assert np.array_equal(SplitConformal.pooled(members[:1]).scores, members[0].scores)
