"""What the steps refuse to do to each other, and to the truth."""

from __future__ import annotations

from datetime import date

import pytest

from closecast.errors import InvalidHyperparameters, JobConflict, MissingStep
from closecast.forecasters import make_parameters
from closecast.pipeline import (
    TrainRequest,
    collect,
    evaluate_candidate,
    preprocess,
    run_training,
    train_candidate,
)
from closecast.pipeline.workspace import Workspace
from closecast.registry import Registry
from closecast.settings import Settings

TINY = {"num_layers": 1, "hidden_size": 4, "num_epochs": 1, "batch_size": 512}


def test_a_candidate_is_judged_on_the_split_it_was_trained_on_or_not_at_all(
    settings: Settings,
) -> None:
    collect(settings, "KO", "sample", date(2012, 1, 3))
    wide = make_parameters("ewma", {"train_size": 0.7})
    preprocess(settings, ["KO"], wide)
    train_candidate(settings, ["KO"], "ewma", wide)
    preprocess(settings, ["KO"], make_parameters("ewma", {"train_size": 0.4}))
    with pytest.raises(MissingStep, match="trained on the data as prepared now"):
        evaluate_candidate(settings, ["KO"])


def test_the_share_of_training_rows_is_that_of_the_split(settings: Settings) -> None:
    collect(settings, "KO", "sample", date(2012, 1, 3))
    preprocess(settings, ["KO"], make_parameters("ewma", {"train_size": 0.7}))
    with pytest.raises(MissingStep, match=r"train_size=0\.5"):
        train_candidate(settings, ["KO"], "ewma", make_parameters("ewma", {"train_size": 0.5}))


def test_fine_tuning_is_not_judged_on_rows_that_the_parent_learned_from(
    published: Settings,
) -> None:
    request = TrainRequest(
        symbols=("MSFT",),
        source="sample",
        forecaster="lstm",
        start=date(2016, 1, 4),
        end=date(2020, 1, 2),
        hyperparameters=TINY,
        fine_tune=True,
    )
    with pytest.raises(InvalidHyperparameters, match="has learned from closes up to"):
        run_training(published, request)


def test_fine_tuning_on_as_much_data_names_its_parent(published: Settings) -> None:
    parent = Registry(published.models_url).pointer("MSFT")
    assert parent is not None
    request = TrainRequest(
        symbols=("MSFT",),
        source="sample",
        forecaster="lstm",
        start=date(2016, 1, 4),
        hyperparameters=TINY,
        fine_tune=True,
    )
    assert run_training(published, request).manifest.info.fine_tuned_from == parent.version


def test_training_on_an_older_span_leaves_the_last_known_closes_alone(
    published: Settings,
) -> None:
    known = Workspace(published, ["AAPL"]).cache.get("AAPL")
    collect(published, "AAPL", "sample", end=date(2015, 1, 2))
    workspace = Workspace(published, ["AAPL"])
    assert workspace.cache.get("AAPL") == known
    assert workspace.prices()[0].span[1] == "2015-01-02"


def test_two_processes_do_not_work_on_one_symbol(settings: Settings) -> None:
    with Workspace(settings, ["KO"]).alone(), pytest.raises(JobConflict, match="another process"):
        run_training(settings, TrainRequest(symbols=("KO",), source="sample", forecaster="ewma"))


def test_progress_can_stop_a_training_before_it_is_published(settings: Settings) -> None:
    class Enough(Exception):
        pass

    def watch(progress: dict) -> None:
        if progress["stage"] == "publish":
            raise Enough

    request = TrainRequest(symbols=("KO",), source="sample", forecaster="ewma")
    with pytest.raises(Enough):
        run_training(settings, request, watch=watch)
    assert list(Registry(settings.models_url).versions()) == []
