"""The forecasts everybody has to beat: naive, random_walk_drift, ewma."""

from __future__ import annotations

import json
from statistics import NormalDist

import numpy as np
import pytest

from closecast.core.dataset import log_returns
from closecast.core.forecast import PROBABILITIES
from closecast.errors import DamagedBundle, InvalidHyperparameters, UnknownName
from closecast.forecasters import (
    AUTO,
    BASELINES,
    FORECASTERS,
    Parameters,
    load_predictor,
    make_forecaster,
    make_parameters,
)
from closecast.forecasters.ewma import SCORES
from tests.contracts.forecaster import ForecasterContract
from tests.support.synthetic_prices import from_returns, garch, random_walk

SMALL = {"seq_length": 20, "horizon": 5}


class TestNaive(ForecasterContract):
    name = "naive"
    parameters = SMALL


class TestRandomWalkDrift(ForecasterContract):
    name = "random_walk_drift"
    parameters = SMALL


class TestEwma(ForecasterContract):
    name = "ewma"
    parameters = SMALL


def fit(name: str, train, **values):  # type: ignore[no-untyped-def]
    return make_forecaster(name, make_parameters(name, {**SMALL, **values})).fit([train], [train])


def test_naive_is_the_last_close_with_a_normal_law_that_widens_with_the_root_of_the_step() -> None:
    train = random_walk(300, seed=0)
    forecast = fit("naive", train).predict(train.closes[-20:])
    sd = log_returns(train.closes).std()
    assert forecast.price.tolist() == [train.closes[-1]] * 5
    for step in range(5):
        law = NormalDist(0, sd * (step + 1) ** 0.5)
        expected = [law.inv_cdf(p) for p in PROBABILITIES]
        assert forecast.quantiles[step] == pytest.approx(expected)


def test_drift_adds_the_mean_return_of_training_at_every_step() -> None:
    train = random_walk(300, seed=0)
    naive, drift = (
        fit(name, train).predict(train.closes[-20:]) for name in ("naive", "random_walk_drift")
    )
    mean = log_returns(train.closes).mean()
    assert drift.location == pytest.approx(mean * np.arange(1, 6))
    assert drift.quantiles - naive.quantiles == pytest.approx(
        np.tile(drift.location[:, None], (1, 39))
    )


@pytest.mark.parametrize("name", ["naive", "random_walk_drift"])
def test_a_constant_scale_does_not_look_at_the_window(name: str) -> None:
    predictor = fit(name, garch(300, seed=0))
    calm, wild = random_walk(20, seed=1, volatility=0.001), random_walk(20, 1, volatility=0.1)
    assert np.array_equal(
        predictor.predict(calm.closes).scale, predictor.predict(wild.closes).scale
    )


def test_ewma_follows_the_volatility_of_the_window() -> None:
    predictor = fit("ewma", random_walk(600, seed=0, volatility=0.02))
    calm, wild = random_walk(20, seed=1, volatility=0.01), random_walk(20, 1, volatility=0.04)
    ratio = predictor.predict(wild.closes).scale / predictor.predict(calm.closes).scale
    assert ratio == pytest.approx(4, rel=0.01)


def test_ewma_refuses_a_shape_of_another_horizon() -> None:
    state = json.loads(fit("ewma", garch(300, seed=0)).to_files()["predictor.json"])
    with pytest.raises(DamagedBundle, match="shape_quantiles has shape"):
        load_predictor("ewma", {"predictor.json": json.dumps({**state, "horizon": 6}).encode()})


def test_ewma_expects_no_direction() -> None:
    rising = np.linspace(100, 130, 20)
    assert not fit("ewma", garch(600, seed=0)).predict(rising).location.any()


def test_ewma_learns_the_shape_of_the_errors() -> None:
    """Fat tails in training: the outer quantiles lie further out than a normal law's."""
    rng = np.random.default_rng(0)
    fat = from_returns(0.01 * rng.standard_t(3, 3000))
    shape = fit("ewma", fat, horizon=1).shape_quantiles[0]
    assert (shape[-1] - shape[0]) / (shape[29] - shape[9]) > 1.15 * (
        NormalDist().inv_cdf(0.975) / NormalDist().inv_cdf(0.75)
    )


def test_ewma_remembers_only_the_newest_errors_of_training() -> None:
    """Newer errors than those of training are live calibration's to know, for every forecaster."""
    rng = np.random.default_rng(1)
    calm, skewed = rng.normal(0, 0.02, 800), 0.02 * (1 - rng.exponential(size=SCORES + 60))
    shape = fit("ewma", from_returns(np.concatenate([calm, skewed]))).shape_quantiles[0]
    assert -shape[0] / shape[-1] > 1.5
    shape = fit("ewma", from_returns(np.concatenate([skewed, calm]))).shape_quantiles[0]
    assert -shape[0] / shape[-1] < 1.3


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_leave_history_to_live_calibration(name: str) -> None:
    predictor = fit(name, random_walk(600, seed=0))
    assert not predictor.uses_history
    skewed = from_returns(0.02 * (1 - np.random.default_rng(1).exponential(size=800)))
    [with_history] = predictor.predict_along([skewed], 1)
    window_only = predictor.predict(skewed.closes[-20:])
    assert np.array_equal(with_history.quantiles[0], window_only.quantiles)


def test_baselines_are_registered_forecasters() -> None:
    assert set(BASELINES) < set(FORECASTERS)


@pytest.mark.parametrize(
    "make", [make_forecaster, lambda n: make_parameters(n, {}), lambda n: load_predictor(n, {})]
)
def test_an_unknown_name_lists_the_valid_ones(make) -> None:  # type: ignore[no-untyped-def]
    valid = ", ".join(sorted([AUTO, *FORECASTERS]))
    with pytest.raises(UnknownName, match=f"'lstn'; valid: {valid}"):
        make("lstn")


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [("seq_length", 10, 512), ("horizon", 1, 30), ("train_size", 0.3, 0.9), ("seed", 0, 2**31 - 1)],
)
def test_shared_parameters_have_bounds(field: str, least: float, most: float) -> None:
    step = 1 if isinstance(least, int) else 0.01
    for value in (least, most):
        assert getattr(make_parameters("naive", {field: value}), field) == value
    for value in (least - step, most + step):
        with pytest.raises(InvalidHyperparameters, match=f"{field}: Input should be"):
            make_parameters("naive", {field: value})


@pytest.mark.parametrize("value", ["20", 20.5, True, None, float("nan"), [20]])
def test_a_parameter_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(InvalidHyperparameters, match="seq_length"):
        make_parameters("naive", {"seq_length": value})


def test_every_problem_is_listed_at_once() -> None:
    with pytest.raises(InvalidHyperparameters) as caught:
        make_parameters("naive", {"seq_length": 1, "horizon": 99, "layers": 2})
    assert [name for name, _ in caught.value.problems] == ["seq_length", "horizon", "layers"]
    assert "unknown; valid: horizon, seed, seq_length, train_size, valid_size" in str(caught.value)
    assert json.loads(json.dumps(caught.value.details()))["hyperparameters"].keys() == {
        "seq_length",
        "horizon",
        "layers",
    }


def test_parameters_are_immutable_and_equal_by_value() -> None:
    one = Parameters(seq_length=20)
    assert one == Parameters(seq_length=20)
    with pytest.raises(ValueError, match="frozen"):
        one.seq_length = 30  # type: ignore[misc]
