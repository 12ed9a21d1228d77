"""Look-ahead of every kind, planted where it would really happen: none of it is published.

Each mutant replaces a function in every module that knows it, as a wrong line in the source
would, and goes through the whole training.
"""

from __future__ import annotations

import pickle
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast import evaluation
from closecast.calibration import AdaptiveState, PanelMember, SplitConformal, panel
from closecast.core import dataset
from closecast.core.dataset import Examples, Split, log_returns
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.forecasters import Forecaster, Predictor, TrainingRows, ewma, location
from closecast.forecasters.ewma import EwmaForecaster, EwmaPredictor
from closecast.forecasters.mlp.fit import MlpForecaster
from closecast.forecasters.shrunk import Shrinkage
from closecast.pipeline import run_training
from closecast.pipeline.assessment import LookAheadFound
from closecast.pipeline.workspace import Workspace
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.support.csv_pool import (
    HORIZON,
    LENGTH,
    POOL,
    made_closes,
    pool_request,
    pool_settings,
    write_pool,
)


class Planted:
    """One mutant in the running code, and whether it ever answered anything else."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.changed = False
        self.splits: dict[str, Split] = {}
        """Of the latest cut, by symbol: what a leak needs to know the test part."""
        cut = dataset._cut

        def remember(prices: Prices, first: int, second: int) -> Split:
            split = cut(prices, first, second)
            self.splits[prices.symbol] = split
            return split

        patch.setattr(dataset, "_cut", remember)

    def function(self, honest: Callable[..., Any], mutant: Callable[..., Any]) -> None:
        """Replace a function wherever a module of ours knows it."""
        planted = self._watched(honest, mutant)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "closecast":
                for key, value in list(vars(module).items()):
                    if value is honest:
                        self._patch.setattr(module, key, planted)

    def method(self, owner: type, name: str, mutant: Callable[..., Any]) -> None:
        """Replace a method or a property of a class."""
        honest = next(vars(one)[name] for one in owner.__mro__ if name in vars(one))
        if isinstance(honest, property):
            assert honest.fget is not None
            planted: Any = property(self._watched(honest.fget, mutant))
        else:
            planted = self._watched(honest, mutant)
        self._patch.setattr(owner, name, planted)

    def _watched(
        self, honest: Callable[..., Any], mutant: Callable[..., Any]
    ) -> Callable[..., Any]:
        def planted(*arguments: Any, **options: Any) -> Any:
            wrong = mutant(honest, *arguments, **options)
            if not self.changed:
                self.changed = bits(wrong) != bits(honest(*arguments, **options))
            return wrong

        return planted


def bits(answer: Any) -> bytes:
    if isinstance(answer, Predictor):
        answer = answer.to_files()
    return pickle.dumps(list(answer) if isinstance(answer, Iterator) else answer)


# -- the mutants --------------------------------------------------------------------------------


def scaler_on_all_rows(planted: Planted) -> None:
    def standardise(honest: Any, windows: np.ndarray, floor: float) -> Any:
        returns = log_returns(windows)
        volatility = np.full(len(windows), max(float(returns.std()), floor))
        return returns / volatility[:, None], volatility

    planted.function(dataset.standardise, standardise)


def scaler_of_all_closes_known_beforehand(planted: Planted) -> None:
    """A number from the whole sample that no cutting of the data can change."""
    known = float(np.concatenate([log_returns(made_closes(s).closes) for s in POOL]).std())

    def volatility(honest: Any, returns: np.ndarray, floor: float = 0.0) -> Any:
        return np.full(returns.shape[:-1], known)

    planted.function(dataset.ewma_volatility, volatility)


def _with_rows(
    planted: Planted,
    forecaster: type[Forecaster],
    view: str,
    spoil: Callable[[TrainingRows, Prices], TrainingRows],
) -> None:
    """Spoil the rows that a forecaster learns from, series by series."""

    def rows(honest: Any, recipe: Any, series: Sequence[Prices], train: Any) -> dict[str, Any]:
        found = honest(recipe, series, train)
        return {
            **found,
            view: [spoil(one, prices) for one, prices in zip(found[view], series, strict=True)],
        }

    planted.method(forecaster, "training_rows", rows)


def full_sample_volatility(planted: Planted) -> None:
    def whole(rows: TrainingRows, prices: Prices) -> TrainingRows:
        return replace(
            rows, volatility=np.full(len(rows.targets), log_returns(prices.closes).std())
        )

    _with_rows(planted, EwmaForecaster, "window", whole)


def floor_from_all_rows(planted: Planted) -> None:
    def whole(honest: Any, train: Sequence[Prices]) -> float:
        return honest([planted.splits[prices.symbol].whole for prices in train])

    planted.function(ewma._long_run, whole)


def target_in_features(planted: Planted) -> None:
    def known(rows: TrainingRows, _: Prices) -> TrainingRows:
        inputs = rows.inputs.copy()
        inputs[:, -1] = rows.targets[:, 0] / rows.volatility
        return replace(rows, inputs=inputs)

    _with_rows(planted, MlpForecaster, "window", known)


def features_of_the_next_close(planted: Planted) -> None:
    """Rows of the history's features are numbered by returns, not by closes."""

    def late(rows: TrainingRows, _: Prices) -> TrainingRows:
        assert rows.volatility is not None
        return replace(
            rows,
            inputs=np.concatenate([rows.inputs[1:], rows.inputs[-1:]]),
            volatility=np.append(rows.volatility[1:], rows.volatility[-1]),
        )

    _with_rows(planted, MlpForecaster, "history", late)


def labels_of_the_origin_before(planted: Planted) -> None:
    def early(rows: TrainingRows, _: Prices) -> TrainingRows:
        return replace(rows, targets=np.roll(rows.targets, 1, axis=0))

    _with_rows(planted, MlpForecaster, "history", early)


def rows_of_the_next_origin(planted: Planted) -> None:
    """The oldest row is dropped, so that each one stands at the place of the one before."""

    def shorter(rows: TrainingRows, _: Prices) -> TrainingRows:
        return rows.newest(len(rows.targets) - 1)

    _with_rows(planted, EwmaForecaster, "window", shorter)


def centred_window(planted: Planted) -> None:
    def centred(honest: Any, closes: np.ndarray, seq_length: int, horizon: int) -> Examples:
        found = honest(closes, seq_length, horizon)
        spans = np.lib.stride_tricks.sliding_window_view(closes, seq_length + horizon)
        return replace(found, windows=spans[:, 1 : seq_length + 1])

    planted.function(dataset.cut_examples, centred)


def off_by_one_label(planted: Planted) -> None:
    def early(honest: Any, closes: np.ndarray, seq_length: int, horizon: int) -> Examples:
        found = honest(closes, seq_length, horizon)
        spans = np.lib.stride_tricks.sliding_window_view(closes, seq_length + horizon)
        targets = np.log(spans[:, seq_length - 1 : -1] / spans[:, seq_length - 2 : seq_length - 1])
        return replace(found, targets=targets)

    planted.function(dataset.cut_examples, early)


def shuffled_split(planted: Planted) -> None:
    def shuffled(honest: Any, prices: Prices, first: int, second: int) -> Split:
        rows = np.random.default_rng(0).permutation(len(prices))
        ends = [int(0.7 * len(rows)), int(0.85 * len(rows))]
        return Split(
            *(
                replace(prices, sessions=prices.sessions[part], closes=prices.closes[part])
                for part in map(np.sort, np.split(rows, ends))
            )
        )

    planted.function(dataset._cut, shuffled)


def no_purge(planted: Planted) -> None:
    """Windows of one part reach back into the one before."""

    def reaching(honest: Any, prices: Prices, first: int, second: int) -> Split:
        return Split(
            prices.rows(0, first),
            prices.rows(first - LENGTH + 1, second),
            prices.rows(second - LENGTH + 1, None),
        )

    planted.function(dataset._cut, reaching)


def cut_offs_per_symbol(planted: Planted) -> None:
    def alone(honest: Any, series: Sequence[Prices], share: float, *rest: int) -> Any:
        return [dataset.split_by_share(prices, share, *rest) for prices in series], {}

    def again(honest: Any, prices: Prices, *dates: str) -> Split:
        return dataset.split_by_share(prices, 0.7, LENGTH, HORIZON)

    planted.function(dataset.split_panel, alone)
    planted.function(dataset.split_at, again)


def split_by_value(planted: Planted) -> None:
    """The test part begins where it suits: after the largest shock."""

    def suited(honest: Any, prices: Prices, first: int, second: int) -> Split:
        shock = int(np.abs(log_returns(prices.closes))[second - 20 : second + 20].argmax())
        return honest(prices, first, second - 20 + shock + 1)

    planted.function(dataset._cut, suited)


def future_adjusted_prices(planted: Planted) -> None:
    """The trend of the whole sample is taken out between collecting and learning."""

    def detrended(honest: Any, workspace: Workspace) -> list[Prices]:
        found = []
        for prices in honest(workspace):
            trend = np.linspace(0, np.log(prices.closes[-1] / prices.closes[0]), len(prices))
            found.append(replace(prices, closes=prices.closes * np.exp(-trend)))
        return found

    planted.method(Workspace, "prices", detrended)


def training_on_test(planted: Planted) -> None:
    def fit(honest: Any, recipe: Forecaster, train: Any, valid: Any, **options: Any) -> Any:
        return honest(recipe, [planted.splits[s.symbol].whole for s in train], valid, **options)

    planted.method(Forecaster, "fit", _in_the_training_step(fit))


def early_stopping_on_test(planted: Planted) -> None:
    def fit(honest: Any, recipe: Forecaster, train: Any, valid: Any, **options: Any) -> Any:
        return honest(recipe, train, [planted.splits[s.symbol].test for s in valid], **options)

    planted.method(Forecaster, "fit", _in_the_training_step(fit))


def location_measured_on_test(planted: Planted) -> None:
    """All of it, at the steps where that will have been better for the first symbol."""

    def told(honest: Any, predictor: Predictor, valid: Sequence[Prices]) -> Shrinkage:
        test = dataset.make_examples(planted.splits[POOL[0]].test, LENGTH, HORIZON)
        errors = np.abs(test.targets - predictor.predict_batch(test.windows).location)
        better = errors.mean(axis=0) < np.abs(test.targets).mean(axis=0)
        return Shrinkage(better.astype(float), "as the test part has it")

    planted.function(location.learn_shrinkage, told)


def baselines_fitted_to_test(planted: Planted) -> None:
    """A naive forecaster that knows its test part too well, or one spoilt on purpose."""

    def fit(honest: Any, recipe: Forecaster, train: Any, valid: Any, **options: Any) -> Any:
        if "watch" in options:  # the candidate
            return honest(recipe, train, valid, **options)
        return honest(recipe, [planted.splits[s.symbol].test for s in train], valid, **options)

    planted.method(Forecaster, "fit", fit)


def _in_the_training_step(mutant: Callable[..., Any]) -> Callable[..., Any]:
    def fit(honest: Any, *arguments: Any, **options: Any) -> Any:
        return (
            mutant(honest, *arguments, **options)
            if "watch" in options
            else honest(*arguments, **options)
        )

    return fit


def calibration_on_test(planted: Planted) -> None:
    def cheating(honest: Any, predictor: Predictor, valid: Sequence[Prices]) -> SplitConformal:
        return honest(predictor, [planted.splits[s.symbol].test for s in valid])

    planted.function(evaluation.calibrate, cheating)


def calibration_without_purge(planted: Planted) -> None:
    """Its first windows hold the targets of the last rows that were learned from."""

    def reaching(honest: Any, predictor: Predictor, valid: Sequence[Prices]) -> SplitConformal:
        parts = []
        for part in valid:
            whole = planted.splits[part.symbol].whole
            first = int(np.searchsorted(whole.sessions, part.sessions[0]))
            parts.append(whole.rows(first - LENGTH, first + len(part)))
        return honest(predictor, parts)

    planted.function(evaluation.calibrate, reaching)


def scores_not_yet_realised(planted: Planted) -> None:
    """All steps of an origin are scored on its own day, where the data go on."""

    def eager(honest: Any, states: Any, members: Sequence[tuple[PanelMember, int]]) -> Any:
        after = honest(states, members)
        for member, row in members:
            state: AdaptiveState = after[member.prices.symbol]
            moves = np.log(member.prices.closes[row + 1 :][:HORIZON] / state.last_close)
            scores = state.scores.copy()
            ahead = slice(0, len(moves))
            scores[-1, ahead] = (moves - state.location[-1, ahead]) / state.scale[-1, ahead]
            after[member.prices.symbol] = replace(state, scores=scores)
        return after

    planted.function(panel.advance, eager)


def scores_of_the_wrong_session(planted: Planted) -> None:
    """Each waiting forecast is held against the close before its target."""

    def late(honest: Any, state: AdaptiveState, prices: Prices, row: int) -> Any:
        return honest(state, prices, row - 1)

    planted.function(panel._log_returns, late)


def live_calibration_a_day_ahead(planted: Planted) -> None:
    def ahead(honest: Any, *arguments: Any) -> Iterator[Any]:
        days = list(honest(*arguments))
        after = [*days[1:], days[-1]]
        return iter([(day, states) for (day, _), (_, states) in zip(days, after, strict=True)])

    planted.function(panel.follow, ahead)


def forecasts_from_the_next_close(planted: Planted) -> None:
    def peeking(honest: Any, predictor: Any, series: Any, newest: Any = None) -> list[Forecast]:
        found = []
        for prices, forecast in zip(series, honest(predictor, series, newest), strict=True):
            moves = np.abs(np.append(log_returns(prices.closes), 0.0))[-len(forecast.scale) :]
            found.append(replace(forecast, scale=forecast.scale + moves[:, None]))
        return found

    planted.method(Predictor, "predict_along", peeking)


def forecasts_that_know_their_batch(planted: Planted) -> None:
    """The volatility of later windows in the same batch goes into the scale."""

    def pooled(honest: Any, predictor: Any, windows: np.ndarray) -> Forecast:
        forecast = honest(predictor, windows)
        factor = forecast.scale.mean() / forecast.scale
        return replace(
            forecast,
            scale=forecast.scale * factor,
            quantiles=forecast.quantiles * factor[:, :, None],
        )

    planted.method(EwmaPredictor, "predict_batch", pooled)


def errors_against_the_wrong_close(planted: Planted) -> None:
    def early(honest: Any, examples: Examples) -> np.ndarray:
        before = np.concatenate([0 * examples.targets[:, :1], examples.targets[:, :-1]], axis=1)
        return examples.windows[:, -1:] * np.exp(before)

    planted.method(Examples, "future_closes", early)


def hard_times_left_out(planted: Planted) -> None:
    """The test part is judged up to where it goes badly."""

    def shortened(honest: Any, splits: Sequence[Split], *arguments: Any) -> Any:
        return honest([replace(s, test=s.test.rows(0, -15)) for s in splits], *arguments)

    planted.function(evaluation.evaluate_panel, shortened)


@dataclass(frozen=True)
class Mutant:
    """What is planted, which check finds it, and the forecaster that it needs."""

    plant: Callable[[Planted], None]
    check: str
    forecaster: str = "ewma"

    def __str__(self) -> str:
        return self.plant.__name__


MUTANTS = (
    Mutant(scaler_on_all_rows, "inputs"),
    Mutant(scaler_of_all_closes_known_beforehand, "inputs"),
    Mutant(full_sample_volatility, "inputs"),
    Mutant(floor_from_all_rows, "floor"),
    Mutant(target_in_features, "features", "mlp"),
    Mutant(features_of_the_next_close, "inputs", "mlp"),
    Mutant(labels_of_the_origin_before, "labels", "mlp"),
    Mutant(rows_of_the_next_origin, "windows"),
    Mutant(centred_window, "windows"),
    Mutant(off_by_one_label, "labels"),
    Mutant(shuffled_split, "split"),
    Mutant(no_purge, "split"),
    Mutant(cut_offs_per_symbol, "split"),
    Mutant(split_by_value, "split"),
    Mutant(future_adjusted_prices, "closes"),
    Mutant(training_on_test, "fit"),
    Mutant(early_stopping_on_test, "fit", "mlp"),
    Mutant(location_measured_on_test, "location", "random_walk_drift"),
    Mutant(baselines_fitted_to_test, "fit"),
    Mutant(calibration_on_test, "calibration"),
    Mutant(calibration_without_purge, "calibration"),
    Mutant(scores_not_yet_realised, "live calibration"),
    Mutant(scores_of_the_wrong_session, "live calibration"),
    Mutant(live_calibration_a_day_ahead, "live calibration"),
    Mutant(forecasts_from_the_next_close, "forecasts"),
    Mutant(forecasts_that_know_their_batch, "forecasts"),
    Mutant(errors_against_the_wrong_close, "scores"),
    Mutant(hard_times_left_out, "evaluation"),
)


# -- the tests ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    settings = write_pool(folder)
    run_training(settings, pool_request(settings))
    return folder


@pytest.fixture
def honest(_honest: Path, tmp_path: Path) -> Settings:
    """A pool with an honest ``ewma``, on which a mutant is let loose."""
    shutil.copytree(_honest, tmp_path, dirs_exist_ok=True)
    return pool_settings(tmp_path)


def killers(error: LookAheadFound) -> set[str]:
    """Names of the checks that failed."""
    _, _, failures = str(error).partition("not published; ")
    return set(re.findall(r"(?:^|; )([a-z ]+): ", failures))


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_planted_leak_is_found_before_anything_is_published(
    mutant: Mutant, honest: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [manifest.version for manifest in Registry(honest.models_url).versions()]
    planted = Planted(monkeypatch)
    mutant.plant(planted)
    with pytest.raises(LookAheadFound) as refused:
        run_training(honest, pool_request(honest, mutant.forecaster))
    assert planted.changed, "the mutant answers what the honest code answers"
    assert mutant.check in killers(refused.value)
    monkeypatch.undo()
    registry = Registry(honest.models_url)
    assert [manifest.version for manifest in registry.versions()] == before
    assert {registry.pointer(symbol).version for symbol in POOL} == set(before)


def test_there_are_mutants_of_every_kind() -> None:
    assert len({mutant.plant for mutant in MUTANTS}) == len(MUTANTS) >= 12
    assert {mutant.check for mutant in MUTANTS} == {
        *("closes", "split", "fit", "location", "floor", "windows", "labels", "inputs", "features"),
        *("forecasts", "calibration", "live calibration", "scores", "evaluation"),
    }
