"""The LSTM: what it learns, what it refuses, and that what serves is what was trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import stats

from closecast.core.dataset import FLOOR_SHARE, make_examples, standardise
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.errors import DamagedBundle, InvalidHyperparameters, JobCancelled, TrainingFailed
from closecast.forecasters import Runtime, make_forecaster, make_parameters
from closecast.forecasters.agreement import AGREEMENT, require_agreement
from closecast.forecasters.lstm.fit import check_agreement
from closecast.forecasters.lstm.network import DistributionLoss, LstmNetwork
from closecast.forecasters.lstm.parameters import PRESETS, LstmParameters
from closecast.forecasters.lstm.predict import LstmPredictor
from closecast.metrics.scores import crps_from_quantiles
from tests.contracts.forecaster import ForecasterContract
from tests.support.synthetic_prices import garch, momentum

TINY = {
    "seq_length": 15,
    "horizon": 2,
    "num_layers": 1,
    "hidden_size": 4,
    "num_epochs": 1,
    "batch_size": 128,
    "dropout": 0.0,
}
LOSSES = ("student_t", "normal", "pinball", "mse")
TRAIN, VALID = garch(300, seed=1), garch(150, seed=2)


class TestLstm(ForecasterContract):
    name = "lstm"
    parameters = TINY


def parameters(**changes: Any) -> LstmParameters:
    made = make_parameters("lstm", {**TINY, **changes})
    assert isinstance(made, LstmParameters)
    return made


def fit(
    train: Prices = TRAIN, valid: Prices = VALID, *, options: Mapping[str, Any] = {}, **changes: Any
) -> LstmPredictor:
    recipe = make_forecaster("lstm", parameters(**changes))
    predictor = recipe.fit([train], [valid], **options)
    assert isinstance(predictor, LstmPredictor)
    return predictor


@lru_cache
def trained(loss: str = "student_t") -> LstmPredictor:
    """One epoch with this loss."""
    return fit(loss=loss)


def network_of(predictor: LstmPredictor, **changes: Any) -> LstmNetwork:
    """The network in torch, from the weights that the predictor carries."""
    network = LstmNetwork(parameters(**changes)).eval()
    network.load_state_dict(safetensors.torch.load(predictor.weights))
    return network


def inputs_of(predictor: LstmPredictor, prices: Prices) -> np.ndarray:
    examples = make_examples(prices, predictor.seq_length, predictor.horizon)
    return standardise(examples.windows, FLOOR_SHARE * predictor.long_run)[0]


def valid_loss(predictor: LstmPredictor, prices: Prices = VALID) -> float:
    """The validation loss of the weights that the predictor carries (student_t)."""
    examples = make_examples(prices, predictor.seq_length, predictor.horizon)
    inputs, volatility = standardise(examples.windows, FLOOR_SHARE * predictor.long_run)
    roots = np.sqrt(np.arange(1, predictor.horizon + 1))
    targets = np.clip(examples.targets / (volatility[:, None] * roots), -20, 20)
    nothing = torch.zeros(0)
    with torch.no_grad():
        loss = DistributionLoss("student_t", nothing, nothing)(
            network_of(predictor),
            torch.tensor(inputs, dtype=torch.float32)[:, :, None],
            torch.tensor(targets, dtype=torch.float32),
        )
    return float(loss)


# -- the network --------------------------------------------------------------------------------


def test_an_untrained_network_is_the_anchor() -> None:
    """Location 0 and scale 1 in units of the window's volatility: the EWMA forecast."""
    location, scale = LstmNetwork(parameters())(torch.randn(7, 14, 1))
    assert not location.any()
    assert (scale == 1).all()


def test_no_input_leaves_the_believable_range() -> None:
    network = LstmNetwork(parameters())
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(100 * torch.randn_like(weight))
        location, scale = network(10 * torch.sign(torch.randn(50, 14, 1)))
    assert (location.abs() <= 1).all()
    assert ((scale > 0.13) & (scale < 7.4)).all()


def test_degrees_of_freedom_start_at_five_and_stay_above_two() -> None:
    network = LstmNetwork(parameters())
    assert network.df.tolist() == pytest.approx([5.0, 5.0])
    with torch.no_grad():
        network.df_raw.fill_(-50.0)
    assert (network.df >= 2).all()


class _Fixed(torch.nn.Module):
    """A network that answers one location, scale and df whatever it is asked."""

    df = torch.tensor([4.0, 6.0])

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor([[0.1, -0.2]]), torch.tensor([[1.5, 0.5]])


@pytest.mark.parametrize("kind", LOSSES)
def test_each_loss_is_what_its_name_says(kind: Any) -> None:
    targets, location, scale = (np.array([v]) for v in ((0.7, 0.3), (0.1, -0.2), (1.5, 0.5)))
    quantiles = stats.t.ppf(PROBABILITIES, 5)
    loss = DistributionLoss(
        kind, torch.tensor(quantiles.copy()), torch.tensor(PROBABILITIES.copy())
    )(_Fixed(), torch.zeros(1), torch.tensor(targets))
    spread = location[..., None] + scale[..., None] * quantiles
    expected = {
        "mse": ((targets - location) ** 2).mean(),
        "normal": -stats.norm.logpdf(targets, location, scale).mean(),
        "student_t": -stats.t.logpdf(targets, [4, 6], location, scale).mean(),
        "pinball": crps_from_quantiles(targets, spread, PROBABILITIES).mean(),
    }
    assert float(loss) == pytest.approx(expected[kind], rel=1e-5)


# -- fitting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains_a_predictor(loss: str) -> None:
    predictor = trained(loss)
    assert predictor.training.notes["loss"] == loss
    assert np.isfinite(predictor.training.best_valid_loss or np.nan)
    forecast = predictor.predict(VALID.closes[-15:])
    assert (np.diff(forecast.quantiles) > 0).all()


@pytest.mark.parametrize(
    ("loss", "law"), [("normal", stats.norm()), ("pinball", stats.t(5))], ids=["normal", "pinball"]
)
def test_quantiles_are_those_of_the_law_that_was_trained(loss: str, law: Any) -> None:
    expected = np.tile(law.ppf(PROBABILITIES), (2, 1))
    assert trained(loss).shape_quantiles == pytest.approx(expected)


def test_student_t_states_the_quantiles_of_the_degrees_it_learned() -> None:
    predictor = trained("student_t")
    df = network_of(predictor).df.detach().numpy().astype(np.float64)
    expected = stats.t.ppf(PROBABILITIES[None], df[:, None])
    assert predictor.shape_quantiles == pytest.approx(expected)
    assert predictor.training.notes["degrees_of_freedom"] == df.round(3).tolist()


def test_mse_has_no_law_and_takes_its_quantiles_from_the_training_errors() -> None:
    predictor = trained("mse")
    examples = make_examples(TRAIN, 15, 2)
    forecast = predictor.predict_batch(examples.windows)
    location, _ = predictor.network_steps(inputs_of(predictor, TRAIN))()
    unit = forecast.scale  # the network's own scale is 1: that loss does not train it
    errors = (examples.targets - location * unit) / unit
    assert predictor.shape_quantiles == pytest.approx(
        np.quantile(errors, PROBABILITIES, axis=0).T, abs=1e-4
    )


def test_same_seed_same_bytes() -> None:
    again = fit()
    assert again.weights == trained().weights
    assert again.network == trained().network


def test_another_seed_other_weights() -> None:
    assert fit(seed=43).weights != trained().weights


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    make_forecaster("lstm", parameters(), Runtime(threads=before + 1)).fit([TRAIN], [VALID])
    assert torch.get_num_threads() == before


def test_the_report_tells_the_learning_curve() -> None:
    report = fit(num_epochs=2, patience=2).training
    assert [epoch["epoch"] for epoch in report.epochs] == [1, 2]
    assert report.best_valid_loss == min(epoch["valid_loss"] for epoch in report.epochs)
    assert report.seconds > 0
    assert report.notes["windows"] == len(make_examples(TRAIN, 15, 2))


@lru_cache
def overtrained() -> LstmPredictor:
    """A learning rate so high that the first epochs are the best ones."""
    return fit(num_epochs=20, patience=3, learning_rate=0.1, batch_size=16)


def test_training_stops_when_validation_stops_improving() -> None:
    report = overtrained().training
    assert report.best_epoch is not None
    assert len(report.epochs) == report.best_epoch + 3 < 20


def test_the_weights_kept_are_those_of_the_best_epoch() -> None:
    predictor = overtrained()
    last = predictor.training.epochs[-1]["valid_loss"]
    assert valid_loss(predictor) == pytest.approx(predictor.training.best_valid_loss, rel=1e-4)
    assert valid_loss(predictor) < last - 1e-3


def test_predictions_come_from_the_weights_kept() -> None:
    predictor = overtrained()
    network = network_of(predictor)
    assert check_agreement(network, predictor, inputs_of(predictor, VALID)) <= AGREEMENT


# -- what serves is what was trained ------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_torch_and_what_serves_agree(loss: str) -> None:
    predictor = trained(loss)
    network = network_of(predictor, loss=loss)
    assert predictor.training.notes["torch_disagreement"] <= AGREEMENT
    assert check_agreement(network, predictor, inputs_of(predictor, VALID)) <= AGREEMENT


@pytest.mark.parametrize("weight", ["head.weight", "head.bias", "lstm.weight_hh_l0"])
def test_a_network_that_differs_is_not_published(weight: str) -> None:
    predictor = overtrained()
    network = network_of(predictor)
    with torch.no_grad():
        network.get_parameter(weight).add_(0.01)
    with pytest.raises(TrainingFailed, match="differs from torch by"):
        check_agreement(network, predictor, inputs_of(predictor, VALID))


def test_a_scale_that_is_no_number_is_no_agreement() -> None:
    for differences in ([0.0, np.nan], [np.nan, 0.0]):
        with pytest.raises(TrainingFailed, match="differs from torch by"):
            require_agreement(*(np.array([value]) for value in differences))


def test_a_shape_of_another_horizon_is_refused() -> None:
    files = trained().to_files()
    state = json.loads(files["predictor.json"]) | {"horizon": 3}
    with pytest.raises(DamagedBundle, match="shape_quantiles has shape"):
        LstmPredictor.from_files({**files, "predictor.json": json.dumps(state).encode()})


# -- fine-tuning --------------------------------------------------------------------------------


@lru_cache
def parent() -> LstmPredictor:
    """Has learned something: momentum, with a law of its own."""
    return fit(momentum(500, 1), momentum(300, 2), num_epochs=6, learning_rate=0.02)


def test_fine_tuning_starts_from_the_parents_weights() -> None:
    train, valid = momentum(500, 1), momentum(300, 2)
    # At a learning rate of 1e-6 the first epoch leaves weights where they are.
    child, stranger = (
        fit(train, valid, learning_rate=1e-6, options={"start_from": start}).training
        for start in (parent(), None)
    )
    best = parent().training.best_valid_loss
    assert child.best_valid_loss == pytest.approx(best, abs=1e-3)
    assert best is not None
    assert stranger.best_valid_loss > best + 0.05


def test_fine_tuning_leaves_the_parent_as_it_was() -> None:
    before = parent().to_files()
    fit(options={"start_from": parent()})
    assert parent().to_files() == before


def test_a_parent_read_from_files_can_be_fine_tuned() -> None:
    again = LstmPredictor.from_files(parent().to_files())
    direct, loaded = (fit(options={"start_from": start}) for start in (parent(), again))
    assert direct.weights == loaded.weights


@pytest.mark.parametrize("other", [{"hidden_size": 5}, {"num_layers": 2}, {"horizon": 3}], ids=str)
def test_a_parent_of_another_size_is_refused(other: dict[str, int]) -> None:
    with pytest.raises(
        InvalidHyperparameters, match=r"fine_tune: horizon, num_layers and hidden_size must be"
    ):
        fit(**other, options={"start_from": parent()})


def test_another_window_length_may_be_fine_tuned() -> None:
    assert fit(seq_length=20, options={"start_from": parent()}).seq_length == 20


def test_a_parent_without_a_network_is_refused() -> None:
    naive = make_forecaster("naive").fit([TRAIN], [VALID])
    with pytest.raises(InvalidHyperparameters, match="the current model is 'naive', not an LSTM"):
        fit(options={"start_from": naive})


# -- progress and cancelling --------------------------------------------------------------------


def test_whoever_watches_is_told_of_every_batch_and_epoch() -> None:
    told: list[Mapping[str, Any]] = []
    fit(num_epochs=2, patience=2, batch_size=128, options={"watch": told.append})
    percents = [report["percent"] for report in told]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(told) == 2 * (3 + 1)  # 284 windows are three batches
    assert "valid_loss" not in told[0]
    assert told[-1].keys() >= {"epoch", "epochs", "train_loss", "valid_loss"}
    json.dumps([dict(report) for report in told], allow_nan=False)


def test_cancelling_stops_between_two_batches() -> None:
    told = []

    def cancel(progress: Mapping[str, Any]) -> None:
        told.append(progress)
        if len(told) == 2:
            raise JobCancelled("enough")

    with pytest.raises(JobCancelled, match="enough"):
        fit(num_epochs=50, options={"watch": cancel})
    assert len(told) == 2


# -- hyper-parameters ---------------------------------------------------------------------------

FIELDS = LstmParameters.model_json_schema()["properties"]
NUMBERS = sorted(name for name, field in FIELDS.items() if field["type"] in ("integer", "number"))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_valid(preset: str) -> None:
    made = make_parameters("lstm", PRESETS[preset])
    assert PRESETS[preset].items() <= made.model_dump().items()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_parameter_says_what_it_is(name: str) -> None:
    assert FIELDS[name]["description"].endswith(".")


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_bounds_that_are_kept(name: str) -> None:
    low, high = FIELDS[name]["minimum"], FIELDS[name]["maximum"]
    step = 1 if FIELDS[name]["type"] == "integer" else 1e-9
    # The share of rows to choose by needs its room beside that of the training.
    beside = {"train_size": FIELDS["train_size"]["minimum"]} if name == "valid_size" else {}
    for inside in (low, high):
        assert getattr(make_parameters("lstm", {**beside, name: inside}), name) == inside
    for outside in (low - step, high + step):
        with pytest.raises(InvalidHyperparameters, match=f"^{name}: Input should be"):
            make_parameters("lstm", {name: outside})


@pytest.mark.parametrize("loss", ["mae", "", None, 1])
def test_an_unknown_loss_lists_the_known_ones(loss: object) -> None:
    with pytest.raises(InvalidHyperparameters, match=r"loss: .*'student_t', 'normal', 'pinball'"):
        make_parameters("lstm", {"loss": loss})


def test_an_unknown_name_lists_all_of_them() -> None:
    with pytest.raises(InvalidHyperparameters) as caught:
        make_parameters("lstm", {"layers": 2})
    valid = ", ".join(sorted(FIELDS))
    assert str(caught.value) == f"layers: unknown; valid: {valid}; did you mean 'num_layers'?"
