"""The look-ahead check that every bundle passes before it is published."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
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
    split_panel,
)
from closecast.errors import InvalidPrices
from closecast.evaluation import calibrate
from closecast.forecast import Forecast
from closecast.forecasters import Predictor, make_forecaster, make_parameters
from closecast.forecasters.ewma import EwmaPredictor
from closecast.intervals import Calibration, Member, follow
from closecast.leaks import CUTS, LeakCheck, check_leaks
from closecast.prices import Prices
from tests.made_data import as_prices, garch

LENGTH, HORIZON = 20, 3
PRICES = garch(600, seed=1)
SPLIT = split_by_share(PRICES, 0.6, LENGTH, HORIZON)
PROCESSED = process(PRICES, SPLIT.train, LENGTH, HORIZON)
_KEPT = np.random.default_rng(0).random(640) > 0.05
_MADE = garch(640, seed=2)
OTHER = Prices("OTHER", _MADE.sessions[_KEPT], _MADE.closes[_KEPT], "made", "adjusted")
ABROAD = as_prices(garch(600, seed=3).closes, "MADE.SA", first="2009-12-01")


def fit(name: str) -> Predictor:
    sizes = {"members": 1, "hidden_size": 4, "num_epochs": 1} if name == "mlp" else {}
    values = {"seq_length": LENGTH, "horizon": HORIZON, **sizes}
    recipe = make_forecaster(name, make_parameters(name, values))
    return recipe.fit([SPLIT.train], [SPLIT.valid])


EWMA = fit("ewma")
CALIBRATION = calibrate(EWMA, [SPLIT.valid])


def check(
    split: Split = SPLIT,
    processed: Processed = PROCESSED,
    predictor: Predictor = EWMA,
    calibration: Calibration = CALIBRATION,
    seed: int = 0,
) -> LeakCheck:
    calibrations = {split.test.symbol: calibration}
    return check_leaks([processed], [split], 0.6, predictor, calibrations, seed)


def check_panel(predictor: Predictor, **changes: Any) -> LeakCheck:
    """Three symbols: another length, gaps, one on another exchange."""
    series = [PRICES, OTHER, ABROAD]
    splits, left_out = split_panel(series, 0.6, LENGTH, HORIZON)
    assert not left_out
    processed = [
        process(prices, split.train, LENGTH, HORIZON)
        for prices, split in zip(series, splits, strict=True)
    ]
    calibrations = {s.test.symbol: calibrate(predictor, [s.valid]) for s in splits}
    arguments = {"processed": processed, "splits": splits, "train_size": 0.6, "seed": 0}
    arguments |= {"predictor": predictor, "calibrations": calibrations}
    return check_leaks(**{**arguments, **changes})


def what_failed(outcome: LeakCheck) -> set[str]:
    """``features``, ``forecasts with history``, …"""
    assert outcome.passed is not bool(outcome.failures)
    found = {failure.split(" before ")[0] for failure in outcome.failures}
    return {re.sub(r" of (MADE|OTHER)(\.SA)?\b", "", failure) for failure in found}


# -- honest data --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["naive", "drift", "ewma", "mlp"])
def test_honest_data_pass(name: str) -> None:
    predictor = fit(name)
    outcome = check(predictor=predictor, calibration=calibrate(predictor, [SPLIT.valid]))
    assert outcome.passed
    assert outcome.failures == ()


@pytest.mark.parametrize("name", ["ewma", "mlp"])
def test_honest_panels_pass(name: str) -> None:
    outcome = check_panel(fit(name))
    assert outcome.failures == ()
    assert outcome.passed


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
    """Looks one close ahead, where the series that it is given has one."""

    part: str = ""

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        found = []
        for prices, honest in zip(series, super().predict_along(series, newest), strict=True):
            moves = np.append(np.abs(log_returns(prices.closes)), 0.0)[self.origins(prices, newest)]
            value = getattr(honest, self.part)
            moved = value + moves.reshape(-1, *[1] * (value.ndim - 1))
            found.append(replace(honest, **{self.part: moved}))
        return found


@pytest.mark.parametrize("part", ["location", "scale", "quantiles"])
def test_a_predictor_that_peeks_is_caught(part: str) -> None:
    peeking = Peeking(**vars(EWMA), part=part)
    assert "forecasts with history" in what_failed(check(predictor=peeking))


@dataclass(frozen=True, eq=False)
class PeekingAtOthers(EwmaPredictor):
    """Takes its scale from what all series will have been at their end."""

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        size = np.mean([np.abs(log_returns(prices.closes)).mean() for prices in series])
        return [
            replace(honest, scale=honest.scale * (1 + size))
            for honest in super().predict_along(series, newest)
        ]


def test_a_pool_that_knows_the_others_future_is_caught() -> None:
    found = what_failed(check_panel(PeekingAtOthers(**vars(EWMA))))
    assert found == {"forecasts with history", "live calibration"}


def test_calibration_that_peeks_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(members: Sequence[Member], start: np.datetime64) -> Iterator[tuple[Any, Any]]:
        """Learns from tomorrow's close today."""
        days = list(follow(members, start))
        yield from zip([day for day, _ in days], [s for _, s in days[1:]], strict=False)

    monkeypatch.setattr(leaks, "follow", late)
    assert what_failed(check()) == {"live calibration"}


def test_a_split_by_another_share_is_caught() -> None:
    moved = split_by_share(PRICES, 0.7, LENGTH, HORIZON)
    assert "splits" in what_failed(check(split=moved))


def test_symbols_cut_at_days_of_their_own_are_caught() -> None:
    """Cut each by its own share, one symbol learns from days that another is judged by."""
    series = [PRICES, OTHER, ABROAD]
    splits = [split_by_share(prices, 0.6, LENGTH, HORIZON) for prices in series]
    assert len({split.boundaries for split in splits}) > 1
    processed = [
        process(prices, split.train, LENGTH, HORIZON)
        for prices, split in zip(series, splits, strict=True)
    ]
    assert "splits" in what_failed(check_panel(EWMA, splits=splits, processed=processed))


def test_parts_that_overlap_are_no_split() -> None:
    first = len(SPLIT.train)
    valid = PRICES.rows(first - LENGTH + 1, first + len(SPLIT.valid))
    for overlapping in (
        replace(SPLIT, valid=valid),
        replace(SPLIT, train=PRICES.rows(0, len(PRICES) - 50)),
    ):
        with pytest.raises(InvalidPrices):
            check(split=overlapping)


def test_parts_that_leave_rows_out_are_not_the_data() -> None:
    for short in (
        replace(SPLIT, test=SPLIT.test.rows(0, -1)),
        replace(SPLIT, valid=SPLIT.valid.rows(5, None)),
        replace(SPLIT, train=SPLIT.train.rows(3, None)),
    ):
        assert not check(split=short).passed


def test_calibrating_on_more_than_the_validation_part_is_caught() -> None:
    available = len(make_examples(SPLIT.valid, LENGTH, HORIZON))
    scores = np.random.default_rng(0).normal(size=(HORIZON, available + 1))
    assert check(calibration=Calibration(scores[:, 1:])).passed
    outcome = check(calibration=Calibration(scores))
    assert outcome.failures == (
        f"calibration used more than the {available} origins of the validation part",
    )
