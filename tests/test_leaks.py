"""The look-ahead check that every bundle passes before it is published."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from closecast import leaks
from closecast.dataset import (
    FLOOR_SHARE,
    Processed,
    Split,
    log_returns,
    long_run_volatility,
    make_examples,
    process,
    split_by_share,
)
from closecast.evaluation import calibrate, roll
from closecast.forecast import Forecast
from closecast.forecasters import Parameters, Predictor, make_forecaster
from closecast.forecasters.ewma import EwmaPredictor
from closecast.intervals import Calibration
from closecast.leaks import CUTS, LeakCheck, check_leaks
from closecast.prices import Prices
from tests.made_data import FloatArray, garch

LENGTH, HORIZON = 20, 3
PRICES = garch(600, seed=1)
SPLIT = split_by_share(PRICES, 0.6, LENGTH, HORIZON)
PROCESSED = process(PRICES, SPLIT.train, LENGTH, HORIZON)


def fit(name: str) -> Predictor:
    recipe = make_forecaster(name, Parameters(seq_length=LENGTH, horizon=HORIZON))
    return recipe.fit([SPLIT.train], [SPLIT.valid])


EWMA = fit("ewma")
CALIBRATION = calibrate(EWMA, [SPLIT.valid])


def check(
    prices: Prices = PRICES,
    split: Split = SPLIT,
    processed: Processed = PROCESSED,
    predictor: Predictor = EWMA,
    calibration: Calibration = CALIBRATION,
    seed: int = 0,
) -> LeakCheck:
    return check_leaks(prices, split, 0.6, processed, predictor, calibration, seed)


def what_failed(outcome: LeakCheck) -> set[str]:
    """``features``, ``forecasts``, …"""
    assert outcome.passed is not bool(outcome.failures)
    return {failure.split(" before ")[0] for failure in outcome.failures}


# -- honest data --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["naive", "drift", "ewma"])
def test_honest_data_pass(name: str) -> None:
    predictor = fit(name)
    outcome = check(predictor=predictor, calibration=calibrate(predictor, [SPLIT.valid]))
    assert outcome.passed
    assert outcome.failures == ()


@pytest.mark.parametrize("seed", range(1, 6))
def test_honest_data_pass_wherever_they_are_cut(seed: int) -> None:
    assert check(seed=seed).passed


def test_it_says_what_it_compared() -> None:
    outcome = check()
    assert len(outcome.cuts) == CUTS
    assert list(outcome.cuts) == sorted(outcome.cuts)
    assert set(outcome.cuts) <= set(PRICES.sessions.astype(str))
    assert outcome.compared_origins > 1000
    assert json.loads(json.dumps(outcome.to_dict()))["passed"] is True


def test_the_seed_chooses_the_cuts() -> None:
    assert check(seed=1) == check(seed=1)
    assert check(seed=1).cuts != check(seed=2).cuts


# -- planted leaks ------------------------------------------------------------------------------


def test_volatility_of_the_full_sample_is_caught() -> None:
    examples = make_examples(PRICES, LENGTH, HORIZON)
    volatility = np.full(len(examples), log_returns(PRICES.closes).std())
    inputs = log_returns(examples.windows) / volatility[:, None]
    leaking = replace(PROCESSED, inputs=inputs, volatility=volatility)
    assert {"features", "noisy features", "volatilities"} <= what_failed(check(processed=leaking))


def test_volatility_around_the_origin_is_caught() -> None:
    leaking = replace(PROCESSED, volatility=np.roll(PROCESSED.volatility, -2))
    assert what_failed(check(processed=leaking)) == {"volatilities"}


def test_features_one_row_late_are_caught() -> None:
    leaking = replace(PROCESSED, inputs=np.roll(PROCESSED.inputs, -1, axis=0))
    assert "features" in what_failed(check(processed=leaking))


def test_one_altered_number_is_caught() -> None:
    inputs = PROCESSED.inputs.copy()
    inputs[0, 0] = np.nextafter(inputs[0, 0], 10)
    assert "features" in what_failed(check(processed=replace(PROCESSED, inputs=inputs)))


def test_targets_of_another_row_are_caught() -> None:
    leaking = replace(PROCESSED, targets=np.roll(PROCESSED.targets, 1, axis=0))
    assert what_failed(check(processed=leaking)) == {"targets"}


def test_a_floor_learned_from_everything_is_caught() -> None:
    floor = FLOOR_SHARE * long_run_volatility(log_returns(PRICES.closes))
    leaking = process(PRICES, PRICES, LENGTH, HORIZON)
    assert leaking.floor == floor != PROCESSED.floor
    assert what_failed(check(processed=leaking)) == {
        "the floor under the volatility was not learned from training alone"
    }


@dataclass(frozen=True, eq=False)
class Peeking(EwmaPredictor):
    """Looks beyond the end of the history it is given, at the array that it is a view of."""

    part: str = ""

    def predict(self, window: FloatArray, history: FloatArray | None = None) -> Forecast:
        honest = super().predict(window)
        if history is None or history.base is None:
            return honest
        tomorrow = np.log(history.base[len(history)] / window[-1])
        return replace(honest, **{self.part: getattr(honest, self.part) + abs(tomorrow)})


@pytest.mark.parametrize("part", ["location", "scale", "quantiles"])
def test_a_predictor_that_peeks_is_caught(part: str) -> None:
    peeking = Peeking(**vars(EWMA), part=part)
    assert what_failed(check(predictor=peeking)) == {"forecasts"}


def test_a_roll_that_hands_over_the_future_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def generous(predictor: Predictor, calibration: Any, examples: Any, history: Any) -> Forecast:
        later = replace(examples, origins=np.full_like(examples.origins, len(history) - 1))
        return roll(predictor, None, later, history)

    monkeypatch.setattr(leaks, "roll", generous)
    assert what_failed(check()) == {"forecasts"}


def test_windows_across_the_boundary_are_no_purge() -> None:
    first = len(SPLIT.train)
    valid = PRICES.rows(first - LENGTH + 1, first + len(SPLIT.valid))
    outcome = check(split=replace(SPLIT, valid=valid))
    assert any(failure.startswith("fewer than 23 rows of purge") for failure in outcome.failures)
    assert "splits" in what_failed(outcome)


def test_parts_that_leave_rows_out_are_not_the_data() -> None:
    outcome = check(split=replace(SPLIT, test=SPLIT.test.rows(0, -1)))
    assert "the parts are not the data" in outcome.failures


def test_a_split_that_trains_on_test_rows_is_caught() -> None:
    outcome = check(split=replace(SPLIT, train=PRICES.rows(0, len(PRICES) - 50)))
    assert "splits" in what_failed(outcome)
    assert any("rows of purge" in failure for failure in outcome.failures)


def test_calibrating_on_more_than_the_validation_part_is_caught() -> None:
    available = len(make_examples(SPLIT.valid, LENGTH, HORIZON))
    scores = np.random.default_rng(0).normal(size=(HORIZON, available + 1))
    assert check(calibration=Calibration(scores[:, 1:])).passed
    outcome = check(calibration=Calibration(scores))
    assert outcome.failures == (
        f"calibration used more than the {available} origins of the validation part",
    )
