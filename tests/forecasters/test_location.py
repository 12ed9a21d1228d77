"""Never worse than naive: a location has to earn its place."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.core.dataset import make_examples
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.errors import DamagedBundle
from closecast.forecasters import Parameters, load_predictor, make_forecaster
from closecast.forecasters.location import learn_shrinkage, shrink
from closecast.forecasters.naive import NaivePredictor
from closecast.forecasters.shrunk import LOCATION_FILE, ShrunkPredictor, without_shrinkage
from tests.support.synthetic_prices import as_prices, momentum, random_walk

LENGTH, HORIZON = 15, 3


@dataclass(frozen=True)
class Momentum(NaivePredictor):
    """Half of the window's mean return goes on; right where returns lean, noise elsewhere."""

    share: float = 0.5

    def predict_batch(self, windows: FloatArray) -> Forecast:
        lean = np.log(windows[:, -1] / windows[:, -6]) / 5
        base = super().predict_batch(windows)
        location = self.share * lean[:, None] * np.arange(1, self.horizon + 1)
        return Forecast(
            base.last_close,
            location,
            base.scale,
            base.probabilities,
            base.quantiles + location[..., None],
        )


GUESS = Momentum(LENGTH, HORIZON, 0.01, 0.0)


def test_a_location_that_earns_nothing_counts_nothing() -> None:
    shrinkage = learn_shrinkage(GUESS, [random_walk(500, 1)])
    assert shrinkage.factor.tolist() == [0, 0, 0]
    assert "better than naive's at 0 of 3 steps" in shrinkage.reason
    windows = make_examples(random_walk(300, 2), LENGTH, HORIZON).windows
    assert GUESS.predict_batch(windows).location.any(), "the model itself does guess"
    naive = shrink(GUESS, shrinkage).predict_batch(windows)
    assert not naive.location.any()
    assert (naive.price == windows[:, -1:]).all()


def test_a_location_that_is_right_counts() -> None:
    shrinkage = learn_shrinkage(GUESS, [momentum(600, 1)])
    assert (shrinkage.factor > 0.3).all()
    assert "at 3 of 3 steps" in shrinkage.reason
    examples = make_examples(momentum(400, 3), LENGTH, HORIZON)
    location = shrink(GUESS, shrinkage).predict_batch(examples.windows).location
    assert np.abs(examples.targets - location).mean() < 0.95 * np.abs(examples.targets).mean()


def test_a_location_that_is_too_bold_is_used_in_part() -> None:
    bold = Momentum(LENGTH, HORIZON, 0.01, 0.0, share=3.0)
    factor = learn_shrinkage(bold, [momentum(900, 1)]).factor
    assert (factor > 0).all()
    assert (factor < 0.7).all()


def test_the_distribution_moves_as_a_whole() -> None:
    windows = make_examples(momentum(100, 4), LENGTH, HORIZON).windows
    shrinkage = learn_shrinkage(GUESS, [momentum(600, 1)])
    before = GUESS.predict_batch(windows)
    after = shrink(GUESS, shrinkage).predict_batch(windows)
    assert after.location == pytest.approx(before.location * shrinkage.factor)
    around = before.quantiles - before.location[..., None]
    assert after.quantiles - after.location[..., None] == pytest.approx(around)
    assert (after.scale == before.scale).all()


@pytest.mark.parametrize("name", ["naive", "ewma"])
def test_the_naive_location_is_left_as_it_is(name: str) -> None:
    series = [random_walk(300, 1)]
    fitted = make_forecaster(name, Parameters(seq_length=LENGTH, horizon=HORIZON)).fit(series, [])
    shrinkage = learn_shrinkage(fitted, series)
    assert shrink(fitted, shrinkage) is fitted
    assert shrinkage.reason == "the location is the naive one as it is"


def test_symbols_of_one_market_are_one_witness() -> None:
    """Ten copies of a short lucky stretch do not make the luck more than luck."""
    lucky = next(
        series for seed in range(2000) if 0.16 < _p_of(series := random_walk(60, seed)) < 0.6
    )
    copies = [Prices(f"S{i}", lucky.sessions, lucky.closes, "made", "adjusted") for i in range(10)]
    alone, together = (learn_shrinkage(GUESS, s).factor for s in ([lucky], copies))
    assert alone.tolist() == together.tolist()


def _p_of(series: Prices) -> float:
    """Roughly how surprising the luck of one stretch is, one step ahead."""
    examples = make_examples(series, LENGTH, HORIZON)
    gain = np.abs(examples.targets[:, 0]) - np.abs(
        examples.targets[:, 0] - GUESS.predict_batch(examples.windows).location[:, 0]
    )
    t = gain.mean() / (gain.std() / np.sqrt(len(gain)))
    return float(np.exp(-(t**2) / 2)) if t > 0 else 1.0


def test_series_of_other_lengths_are_joined_by_day() -> None:
    long, short = momentum(600, 1), momentum(300, 2)
    late = as_prices(short.closes, "LATE", first="2011-02-01")
    assert (learn_shrinkage(GUESS, [long, late]).factor > 0.3).all()


# -- files --------------------------------------------------------------------------------------


def drift() -> ShrunkPredictor:
    rising = random_walk(400, 1, volatility=0.002)
    rising = as_prices(rising.closes * np.exp(0.001 * np.arange(400)))
    recipe = make_forecaster("random_walk_drift", Parameters(seq_length=LENGTH, horizon=HORIZON))
    fitted = recipe.fit([rising], [])
    made = shrink(fitted, learn_shrinkage(fitted, [random_walk(400, 2)]))
    assert isinstance(made, ShrunkPredictor)
    return made


def test_files_make_the_same_predictor_again() -> None:
    made = drift()
    assert (made.name, made.seq_length, made.horizon) == ("random_walk_drift", LENGTH, HORIZON)
    again = load_predictor("random_walk_drift", made.to_files())
    assert isinstance(again, ShrunkPredictor)
    windows = make_examples(random_walk(100, 3), LENGTH, HORIZON).windows
    for mine, theirs in zip(
        (made.predict_batch(windows), *made.predict_along([random_walk(100, 3)])),
        (again.predict_batch(windows), *again.predict_along([random_walk(100, 3)])),
        strict=True,
    ):
        assert mine.quantiles.tobytes() == theirs.quantiles.tobytes()
    assert again.shrinkage.reason == made.shrinkage.reason
    assert without_shrinkage(again).predict_batch(windows).location.any()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        json.dumps({"factor": [0, 0], "reason": ""}).encode(),
        json.dumps({"factor": [0, 0, 1.5], "reason": ""}).encode(),
        json.dumps({"factor": [0, 0, "x"], "reason": ""}).encode(),
        b'{"factor": [0, 0, NaN], "reason": ""}',
    ],
)
def test_a_file_that_says_nothing_sensible_is_damaged(content: bytes) -> None:
    files = {**drift().to_files(), LOCATION_FILE: content}
    with pytest.raises(DamagedBundle, match=LOCATION_FILE):
        load_predictor("random_walk_drift", files)
