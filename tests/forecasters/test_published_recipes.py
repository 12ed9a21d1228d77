"""Presets of published recipes: their values, the parts of the data, and a training by each."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from closecast.cli.main import main
from closecast.core.dataset import split_by_share, split_panel
from closecast.errors import InvalidHyperparameters, TooFewCloses
from closecast.evaluation import AS_TRAINED, as_table
from closecast.forecasters import make_parameters, preset
from closecast.forecasters.lstm.parameters import LstmParameters
from closecast.pipeline import TrainRequest, run_training
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

RECIPES = {
    "cmig4-60-1": {"seq_length": 60, "horizon": 1, "num_layers": 2, "hidden_size": 64},
    "vale3-20-10": {
        "seq_length": 20,
        "horizon": 10,
        "num_layers": 2,
        "hidden_size": 40,
        "dropout": 0.1,
        "num_epochs": 150,
        "batch_size": 32,
        "learning_rate": 5e-4,
        "weight_decay": 1e-5,
        "seed": 6544,
        "train_size": 0.7,
    },
    "itub4-60-1": {
        "seq_length": 60,
        "horizon": 1,
        "num_layers": 2,
        "hidden_size": 50,
        "dropout": 0.2,
        "num_epochs": 50,
        "batch_size": 32,
        "train_size": 0.72,
        "valid_size": 0.08,
    },
}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_has_the_published_values_and_leaves_none_open(name: str) -> None:
    values = preset("lstm", name)
    assert {**RECIPES[name], "loss": "mse"}.items() <= values.items()
    assert set(values) == set(LstmParameters.model_fields)
    make_parameters("lstm", values)


# -- parts of the data --------------------------------------------------------------------------


def test_a_tenth_of_the_training_rows_chooses_and_a_fifth_of_all_judges() -> None:
    prices = garch(2000, seed=1)
    split = split_by_share(prices, 0.72, 60, 1, valid_share=0.08)
    sizes = [len(part) for part in (split.train, split.valid, split.test)]
    assert sizes == [1440, 160, 400]
    [of_panel], _ = split_panel([prices], 0.72, 60, 1, valid_share=0.08)
    assert of_panel.boundaries == split.boundaries


def test_symbols_of_a_panel_are_cut_at_the_same_days() -> None:
    series = [garch(2000, seed=1), garch(2000, seed=2, symbol="OTHER")]
    splits, left_out = split_panel(series, 0.72, 60, 1, valid_share=0.08)
    assert left_out == {}
    assert len({split.boundaries for split in splits}) == 1
    assert len(splits[0].test) == 400


def test_too_few_closes_for_a_small_part_state_how_many_are_enough() -> None:
    with pytest.raises(TooFewCloses, match="leave a part of 40 rows") as caught:
        split_by_share(garch(500, seed=1), 0.72, 60, 1, valid_share=0.08)
    enough = int(str(caught.value).split("about ")[1].split()[0])
    split_by_share(garch(enough, seed=1), 0.72, 60, 1, valid_share=0.08)


def test_shares_that_leave_nothing_to_judge_by_are_refused() -> None:
    with pytest.raises(InvalidHyperparameters, match="leave fewer than 5% of the rows"):
        make_parameters("lstm", {"train_size": 0.7, "valid_size": 0.3})


# -- a training ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_trains_and_its_own_scores_stand_beside_naives(
    settings: Settings, name: str
) -> None:
    values = {**preset("lstm", name), "num_epochs": 1, "batch_size": 1024}
    request = TrainRequest(
        symbols=("KO",),
        source="sample",
        start=date(2014, 1, 2),
        forecaster="lstm",
        hyperparameters=values,
    )
    published = run_training(settings, request)
    info = published.manifest.info
    assert info.leak_check["passed"]
    assert (info.seq_length, info.horizon) == (RECIPES[name]["seq_length"], values["horizon"])
    evaluation = published.evaluations["KO"]
    raw = evaluation.as_trained("lstm").overall
    assert raw.naive_rmse == evaluation.row("naive").overall.rmse
    assert raw.rmse > 0
    if not np.any(info.location["factor"]):
        assert evaluation.as_trained("lstm").mode == AS_TRAINED
        assert "lstm as trained" in as_table(evaluation)
        sentence = "its point forecast was no better than today's close, so it was set to that"
        assert sentence in published.decisions["KO"].reason
        assert f"lstm: {sentence}" in published.table


def test_the_command_line_takes_a_preset_without_a_forecaster(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    for key, value in settings_in(settings.data_dir.parent).model_dump().items():
        monkeypatch.setenv(f"CLOSECAST_{key.upper()}", str(value))
    asked: list[TrainRequest] = []

    def stop(_: Settings, request: TrainRequest, **__: object) -> None:
        asked.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr("closecast.pipeline.run_training", stop)
    with pytest.raises(SystemExit):
        main(["train", "--symbol", "KO", "--preset", "itub4-60-1", "--set", "num_epochs=2"])
    [request] = asked
    assert request.forecaster == "lstm"
    assert request.hyperparameters == {**preset("lstm", "itub4-60-1"), "num_epochs": 2}
    assert Registry(settings.models_url).symbols() == []
