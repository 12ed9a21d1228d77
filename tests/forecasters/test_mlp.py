"""The pooled scale model: what it sees, what it learns, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

from closecast.core.arrays import FloatArray
from closecast.core.dataset import EWMA_DECAYS, ewma_volatility, log_returns, make_examples
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.errors import DamagedBundle, InvalidHyperparameters, JobCancelled, TrainingFailed
from closecast.forecasters import make_forecaster, make_parameters
from closecast.forecasters.mlp import predict
from closecast.forecasters.mlp.features import OWN, PANEL, of_panel, of_windows
from closecast.forecasters.mlp.network import CrpsLoss, ScaleNetwork
from closecast.forecasters.mlp.parameters import PRESETS, MlpParameters
from closecast.forecasters.mlp.predict import MlpPredictor, Network
from closecast.metrics.scores import crps_from_quantiles
from tests.contracts.forecaster import ForecasterContract, same
from tests.support.synthetic_prices import as_prices, closes, garch, patiently, random_walk

TINY = {
    "seq_length": 15,
    "horizon": 2,
    "hidden_size": 4,
    "members": 2,
    "num_epochs": 1,
    "batch_size": 128,
}
LONG_RUN = 0.015


def after(train: Prices, valid: Prices) -> Prices:
    """The same closes on the days that follow those of ``train``."""
    first = str(np.busday_offset(train.sessions[-1], 1))
    return as_prices(valid.closes, train.symbol, first=first)


TRAIN = [garch(300, seed=1), garch(300, seed=3, symbol="OTHER")]
VALID = [after(t, garch(150, seed)) for t, seed in zip(TRAIN, (2, 4), strict=True)]


class TestMlp(ForecasterContract):
    name = "mlp"
    parameters = TINY


def fit(options: Mapping[str, Any] = {}, series: int = 2, **changes: Any) -> MlpPredictor:
    recipe = make_forecaster("mlp", make_parameters("mlp", {**TINY, **changes}))
    predictor = recipe.fit(TRAIN[:series], VALID[:series], **options)
    assert isinstance(predictor, MlpPredictor)
    return predictor


@lru_cache
def trained() -> MlpPredictor:
    return fit(num_epochs=3, learning_rate=0.01)


def weights(network: Network) -> list[FloatArray]:
    return [network.w1, network.b1, network.w2, network.b2, network.w3, network.b3]


def stranger(
    members: int = 2, features: int = OWN, horizon: int = 2, size: float = 1, hidden: int = 4
) -> Network:
    """Random weights of any size."""
    rng = np.random.default_rng(0)

    def of(*shape: int) -> FloatArray:
        return size * rng.normal(size=shape)

    return Network(
        mean=of(features),
        deviation=1 + np.abs(of(features)),
        w1=of(members, features, hidden),
        b1=of(members, hidden),
        w2=of(members, hidden, hidden),
        b2=of(members, hidden),
        w3=of(members, hidden, horizon),
        b3=of(members, horizon),
        shape_quantiles=np.tile(np.linspace(-2, 2, 39), (horizon, 1)),
    )


# -- two networks -------------------------------------------------------------------------------


def test_windows_and_histories_have_a_network_each() -> None:
    predictor = trained()
    assert predictor.window_network.w1.shape == (2, OWN, 4)
    assert predictor.history_network.w1.shape == (2, OWN + PANEL, 4)
    [along] = predictor.predict_along(TRAIN[:1], 1)
    alone = predictor.predict(TRAIN[0].closes[-15:])
    assert not same(along[0], alone)


def test_the_location_is_naive() -> None:
    for answer in (
        trained().predict(TRAIN[0].closes[-15:]),
        *trained().predict_along(TRAIN, 5),
    ):
        assert not answer.location.any()


def test_history_beyond_the_window_matters() -> None:
    """The long-run mean of size knows of wild years that the window has forgotten."""
    calm = garch(300, seed=5)
    wild_once = calm.closes.copy()
    wild_once[:200] = wild_once[200] * (wild_once[:200] / wild_once[200]) ** 5
    [here], [there] = (
        trained().predict_along([p], 1) for p in (calm, as_prices(wild_once, calm.symbol))
    )
    assert here.last_close == there.last_close
    assert here.scale != pytest.approx(there.scale, rel=1e-3)


# -- the network --------------------------------------------------------------------------------


def test_an_untrained_network_is_the_anchor() -> None:
    answer = ScaleNetwork(3, 7, 5, 2)(torch.randn(11, 7))
    assert answer.shape == (3, 11, 2)
    assert not answer.any()


def test_members_are_averaged() -> None:
    network = stranger(members=3)
    inputs = np.random.default_rng(1).normal(size=(6, OWN))
    names = ("w1", "b1", "w2", "b2", "w3", "b3")
    alone = [
        replace(network, **{name: getattr(network, name)[i : i + 1] for name in names})
        for i in range(3)
    ]
    each = [one.log_scale(inputs) for one in alone]
    assert not np.allclose(each[0], each[1])
    assert network.log_scale(inputs) == pytest.approx(np.mean(each, axis=0))


def test_a_row_has_the_same_bits_alone_and_beside_others() -> None:
    """BLAS would round it differently in another batch; a restart must not change a forecast."""
    network = stranger(size=0.3, hidden=24, horizon=10)
    inputs = np.random.default_rng(1).normal(size=(300, OWN))
    together = network.log_scale(inputs)
    for start, stop in ((0, 1), (7, 8), (299, 300), (100, 217)):
        assert network.log_scale(inputs[start:stop]).tobytes() == together[start:stop].tobytes()


def test_numpy_answers_what_torch_does() -> None:
    network = stranger(size=0.3)
    twin = ScaleNetwork(2, OWN, 4, 2)
    with torch.no_grad():
        for name, value in twin.named_parameters():
            value.copy_(torch.tensor(getattr(network, name)).reshape(value.shape))
    features = np.random.default_rng(1).normal(size=(9, OWN))
    inputs = np.clip((features - network.mean) / network.deviation, -5, 5)
    with torch.no_grad():
        expected = twin(torch.tensor(inputs, dtype=torch.float32)).numpy().mean(axis=0)
    assert network.log_scale(features) == pytest.approx(expected, abs=1e-5)


def test_the_report_holds_the_difference_between_torch_and_numpy() -> None:
    assert 0 <= trained().training.notes["torch_disagreement"] < 1e-12


@pytest.mark.parametrize("bound", [1.0, np.nan])
def test_a_training_whose_numpy_twin_differs_is_refused(
    monkeypatch: pytest.MonkeyPatch, bound: float
) -> None:
    monkeypatch.setattr(predict, "LARGEST_LOG", bound)
    with pytest.raises(TrainingFailed, match="differs from torch by"):
        fit(num_epochs=3, learning_rate=0.01)


def test_a_training_whose_clipping_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrower(features: FloatArray, mean: FloatArray, deviation: FloatArray) -> FloatArray:
        return np.clip((features - mean) / deviation, -1, 1)

    monkeypatch.setattr(predict, "network_inputs", narrower)
    with pytest.raises(TrainingFailed, match="differs from torch by"):
        fit(num_epochs=3, learning_rate=0.01)


def test_no_input_leaves_the_believable_range() -> None:
    features = np.random.default_rng(1).normal(0, 1e6, (50, OWN))
    assert (np.abs(stranger(size=1e3).log_scale(features)) <= 3).all()


def test_the_loss_is_the_crps_of_the_scaled_shape() -> None:
    shape = np.array([np.linspace(-1, 1, 39), np.linspace(-2, 3, 39)])
    log_scale, targets = np.array([[[0.1, -0.4]]]), np.array([[0.7, -1.1]])
    loss = CrpsLoss(torch.tensor(shape), torch.tensor(PROBABILITIES.copy()))
    expected = crps_from_quantiles(targets, np.exp(log_scale[0])[..., None] * shape, PROBABILITIES)
    assert float(loss(torch.tensor(log_scale), torch.tensor(targets))) == pytest.approx(
        expected.mean()
    )


# -- fitting ------------------------------------------------------------------------------------


def test_the_shape_is_that_of_the_errors_learned_from() -> None:
    predictor = fit(series=1)
    examples = make_examples(TRAIN[0], 15, 2)
    scores = examples.targets / predictor.predict_batch(examples.windows).scale
    expected = np.quantile(scores, PROBABILITIES, axis=0).T
    assert predictor.window_network.shape_quantiles == pytest.approx(expected, rel=1e-9)


def test_the_report_tells_what_was_learned() -> None:
    report = trained().training
    assert [epoch["epoch"] for epoch in report.epochs] == [1, 2, 3]
    assert report.best_valid_loss == min(epoch["valid_loss"] for epoch in report.epochs)
    assert report.notes["symbols"] == ["MADE", "OTHER"]
    assert report.notes["rows"] == 2 * (300 - 15 - 2 + 1)
    json.dumps(dict(report.notes), allow_nan=False)


def test_a_series_that_stands_still_does_not_spoil_the_pool() -> None:
    still = as_prices(np.full(300, 42.0), "STILL")
    recipe = make_forecaster("mlp", make_parameters("mlp", TINY))
    spoiled = recipe.fit([*TRAIN, still], [*VALID, after(still, as_prices(np.full(150, 42.0)))])
    examples = make_examples(VALID[0], 15, 2)
    here, there = (
        crps_from_quantiles(
            examples.targets, p.predict_batch(examples.windows).quantiles, PROBABILITIES
        ).mean()
        for p in (fit(), spoiled)
    )
    assert np.isfinite(there)
    assert there < 1.5 * here


def test_valid_that_does_not_follow_is_taken_alone() -> None:
    recipe = make_forecaster("mlp", make_parameters("mlp", TINY))
    predictor = recipe.fit(TRAIN[:1], [garch(150, seed=2)])  # from the same first day
    assert np.isfinite(predictor.predict(TRAIN[0].closes[-15:]).quantiles).all()


def test_progress_of_both_networks_is_progress_of_the_whole() -> None:
    told: list[Mapping[str, Any]] = []
    fit({"watch": told.append}, num_epochs=2, patience=2)
    percents = [report["percent"] for report in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    networks = [report["network"] for report in told]
    assert networks == sorted(networks, reverse=True)  # "window" first, then "history"
    assert set(networks) == {"window", "history"}
    json.dumps([dict(report) for report in told], allow_nan=False)


def test_cancelling_stops_between_two_batches() -> None:
    told = []

    def cancel(progress: Mapping[str, Any]) -> None:
        told.append(progress)
        if len(told) == 2:
            raise JobCancelled("enough")

    with pytest.raises(JobCancelled, match="enough"):
        fit({"watch": cancel}, num_epochs=50)
    assert len(told) == 2


# -- fine-tuning --------------------------------------------------------------------------------


def test_fine_tuning_starts_from_the_parents_weights() -> None:
    # At a learning rate of 1e-6 one epoch leaves weights where they are.
    child = fit({"start_from": trained()}, learning_rate=1e-6)
    for mode in ("window_network", "history_network"):
        parent, now = getattr(trained(), mode), getattr(child, mode)
        for old, new in zip(weights(parent), weights(now), strict=True):
            assert new == pytest.approx(old, abs=1e-4)
        assert np.array_equal(parent.mean, now.mean), "inputs are scaled as the weights expect"
        assert np.array_equal(parent.deviation, now.deviation)
    assert child.history_network.w3.any()
    assert not np.allclose(fit(learning_rate=1e-6).history_network.w3, child.history_network.w3)


def test_fine_tuning_leaves_the_parent_as_it_was() -> None:
    before = trained().to_files()
    fit({"start_from": trained()})
    assert trained().to_files() == before


def test_a_parent_read_from_files_can_be_fine_tuned() -> None:
    again = MlpPredictor.from_files(trained().to_files())
    direct, loaded = (fit({"start_from": start}) for start in (trained(), again))
    assert direct.to_files() == loaded.to_files()


@pytest.mark.parametrize("other", [{"hidden_size": 5}, {"members": 3}, {"horizon": 3}], ids=str)
def test_a_parent_of_another_size_is_refused(other: dict[str, int]) -> None:
    with pytest.raises(
        InvalidHyperparameters,
        match=r"fine_tune: horizon, members and hidden_size must be .* \(2, 2, 4\)",
    ):
        fit({"start_from": trained()}, **other)


def test_another_window_length_may_be_fine_tuned() -> None:
    assert fit({"start_from": trained()}, seq_length=20).seq_length == 20


def test_a_parent_of_another_kind_is_refused() -> None:
    naive = make_forecaster("naive").fit(TRAIN, VALID)
    with pytest.raises(InvalidHyperparameters, match="the current model is 'naive', not an mlp"):
        fit({"start_from": naive})


# -- features -----------------------------------------------------------------------------------


def test_shapes_of_features() -> None:
    windows = np.stack([TRAIN[0].closes[i : i + 20] for i in range(7)])
    assert of_windows(windows, LONG_RUN).values.shape == (7, OWN)
    for prices, found in zip(TRAIN, of_panel(TRAIN, LONG_RUN), strict=True):
        assert found.values.shape == (len(prices) - 1, OWN + PANEL)
        assert found.anchor.shape == (len(prices) - 1,)


def test_the_anchor_is_the_mean_of_three_ewma_volatilities() -> None:
    prices = TRAIN[0]
    windows = np.stack([prices.closes[i : i + 20] for i in range(7)])
    expected = ewma_volatility(log_returns(windows))
    assert of_windows(windows, LONG_RUN).anchor == pytest.approx(expected)
    [found] = of_panel([prices], LONG_RUN)
    assert len(EWMA_DECAYS) == 3
    assert found.anchor[-1] == pytest.approx(float(ewma_volatility(log_returns(prices.closes))))


def test_own_features_of_a_history_are_those_of_one_long_window() -> None:
    prices = TRAIN[0]
    [found] = of_panel([prices], LONG_RUN)
    for row in (19, 150, 298):
        window = of_windows(prices.closes[None, : row + 2], LONG_RUN)
        assert found.values[row, :OWN] == pytest.approx(window.values[0], rel=1e-8, abs=1e-8)
        assert found.anchor[row] == pytest.approx(window.anchor[0])


def test_peers_change_only_the_panel_part() -> None:
    [alone] = of_panel(TRAIN[:1], LONG_RUN)
    together, _ = of_panel(TRAIN, LONG_RUN)
    assert np.array_equal(together.values[:, :OWN], alone.values[:, :OWN])
    assert np.array_equal(together.anchor, alone.anchor)
    assert not np.isclose(together.values[100:, OWN:], alone.values[100:, OWN:]).any(axis=0).all()


def test_a_panel_of_nobody_is_neither_calm_nor_wild() -> None:
    [alone] = of_panel(TRAIN[:1], LONG_RUN)
    sizes, rest = alone.values[:, OWN : OWN + 5], alone.values[:, OWN + 5 :]
    assert sizes == pytest.approx(np.log(0.1 + 0.8))
    assert not rest.any()


def test_a_wild_day_of_others_is_seen_on_the_same_day_and_not_before() -> None:
    calm = [random_walk(200, seed=i, volatility=0.01, symbol="ABC"[i]) for i in range(3)]
    closes_now = calm[1].closes.copy()
    closes_now[150:] *= 0.8
    shocked = [calm[0], as_prices(closes_now, "B"), calm[2]]
    before, after_it = (of_panel(series, LONG_RUN)[0].values for series in (calm, shocked))
    assert np.array_equal(before[:149], after_it[:149])
    assert after_it[149, OWN] > before[149, OWN]  # row i belongs to close i + 1
    assert after_it[149, OWN + 5] < before[149, OWN + 5]  # signed: it fell


def test_another_exchange_is_another_panel() -> None:
    abroad = [replace(TRAIN[1], symbol=symbol) for symbol in ("OTHER.SA", "OTHER-USD")]
    predictor = replace(trained(), history_network=stranger(features=OWN + PANEL, size=0.1))
    [alone] = predictor.predict_along(TRAIN[:1])
    assert same(predictor.predict_along([TRAIN[0], *abroad])[0], alone)
    assert not same(predictor.predict_along(TRAIN)[0], alone)


@pytest.mark.parametrize("factor", [1000.0, 0.01, 3.7])
def test_no_feature_knows_the_price_level(factor: float) -> None:
    dear = [as_prices(factor * p.closes, p.symbol) for p in TRAIN]
    for here, there in zip(of_panel(TRAIN, LONG_RUN), of_panel(dear, LONG_RUN), strict=True):
        assert there.values == pytest.approx(here.values, rel=1e-6, abs=1e-6)


@patiently
@given(closes(16, 120))
def test_any_believable_series_has_finite_features_and_a_positive_anchor(
    series: FloatArray,
) -> None:
    for found in (
        of_windows(series[None, -16:], LONG_RUN),
        *of_panel([as_prices(series), TRAIN[1]], LONG_RUN),
    ):
        assert np.isfinite(found.values).all()
        assert (found.anchor > 0).all()


@pytest.mark.parametrize("level", [1e-9, 1.0, 1e12])
def test_a_frozen_window_has_the_floor_as_its_scale(level: float) -> None:
    predictor = trained()
    answer = predictor.predict(np.full(15, level))
    assert (answer.scale > 0).all()
    assert np.isfinite(answer.quantiles).all()
    found = of_windows(np.full((1, 15), level), predictor.long_run)
    assert found.anchor[0] == pytest.approx(0.01 * predictor.long_run)


# -- files --------------------------------------------------------------------------------------


def test_a_state_of_another_horizon_is_refused() -> None:
    files = trained().to_files()
    state = json.dumps(json.loads(files["predictor.json"]) | {"horizon": 3}).encode()
    with pytest.raises(DamagedBundle, match="w3 is no finite array of shape"):
        MlpPredictor.from_files({**files, "predictor.json": state})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["mean", "w1", "b3", "shape_quantiles"])
def test_weights_that_are_no_numbers_are_refused(part: str, value: float) -> None:
    network = trained().window_network
    array = getattr(network, part).copy()
    array.flat[0] = value
    broken = replace(trained(), window_network=replace(network, **{part: array}))
    with pytest.raises(DamagedBundle, match=f"{part} is no finite array"):
        MlpPredictor.from_files(broken.to_files())


def test_a_deviation_of_zero_is_refused() -> None:
    network = trained().history_network
    broken = replace(
        trained(), history_network=replace(network, deviation=np.zeros_like(network.deviation))
    )
    with pytest.raises(DamagedBundle, match="a deviation is not positive"):
        MlpPredictor.from_files(broken.to_files())


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_one_changed_byte_of_the_weights_is_refused(at: float) -> None:
    files = trained().to_files()
    content = bytearray(files["networks.npz"])
    content[int(at * len(content))] ^= 0xFF
    with pytest.raises(DamagedBundle):
        MlpPredictor.from_files({**files, "networks.npz": bytes(content)})


# -- hyper-parameters ---------------------------------------------------------------------------

FIELDS = MlpParameters.model_json_schema()["properties"]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_valid(preset: str) -> None:
    made = make_parameters("mlp", PRESETS[preset])
    assert PRESETS[preset].items() <= made.model_dump().items()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_parameter_says_what_it_is_and_has_bounds_that_are_kept(name: str) -> None:
    field = FIELDS[name]
    assert field["description"].endswith(".")
    low, high = field["minimum"], field["maximum"]
    step = 1 if field["type"] == "integer" else 1e-9
    # The share of rows to choose by needs its room beside that of the training.
    beside = {"train_size": FIELDS["train_size"]["minimum"]} if name == "valid_size" else {}
    for inside in (low, high):
        assert getattr(make_parameters("mlp", {**beside, name: inside}), name) == inside
    for outside in (low - step, high + step):
        with pytest.raises(InvalidHyperparameters, match=f"^{name}: Input should be"):
            make_parameters("mlp", {name: outside})
