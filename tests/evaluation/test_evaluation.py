"""Rolling-origin evaluation: everybody on the same rows, naive beside all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import pytest

from closecast.calibration import SplitConformal
from closecast.core.arrays import FloatArray
from closecast.core.dataset import Split, log_returns, make_examples, split_by_share, split_panel
from closecast.core.forecast import PROBABILITIES, Forecast
from closecast.core.prices import Prices
from closecast.evaluation import (
    Evaluation,
    ScoredModel,
    as_table,
    calibrate,
    evaluate,
    evaluate_panel,
    roll,
    roll_with_history,
    summary_table,
)
from closecast.forecasters import Parameters, Predictor, make_forecaster, make_parameters
from closecast.metrics.scores import crps_from_quantiles
from closecast.metrics.significance import diebold_mariano
from tests.support.synthetic_prices import as_prices, garch

LENGTH, HORIZON = 20, 3
PRICES = garch(700, seed=1)
SPLIT = split_by_share(PRICES, 0.6, LENGTH, HORIZON)


def fit(name: str, split: Split = SPLIT) -> Predictor:
    recipe = make_forecaster(name, Parameters(seq_length=LENGTH, horizon=HORIZON))
    return recipe.fit([split.train], [split.valid])


@dataclass(frozen=True)
class Fixed(Predictor):
    """Answers a table of locations, one row per test origin; a normal law of 2 % around them.

    At other origins, of which live calibration asks as well, it answers the naive location.
    """

    name: ClassVar[str] = "fixed"
    locations: FloatArray
    seq_length: int = LENGTH
    horizon: int = HORIZON

    def predict_batch(self, windows: FloatArray) -> Forecast:
        at = {
            window.tobytes(): location
            for window, location in zip(EXAMPLES.windows, self.locations, strict=True)
        }
        nothing = np.zeros(HORIZON)
        locations = np.array([at.get(window.tobytes(), nothing) for window in windows])
        scale = np.full_like(locations, 0.02)
        quantiles = locations[..., None] + 0.02 * np.linspace(-2, 2, 39)
        return Forecast(windows[:, -1], locations, scale, PROBABILITIES, quantiles)

    def to_files(self) -> dict[str, bytes]:
        raise NotImplementedError

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        raise NotImplementedError


EXAMPLES = make_examples(SPLIT.test, LENGTH, HORIZON)
PANEL, _ = split_panel([PRICES, garch(700, seed=2, symbol="OTHER")], 0.6, LENGTH, HORIZON)


def fit_pool(name: str) -> Predictor:
    """One for both symbols."""
    sizes = {"members": 1, "hidden_size": 4, "num_epochs": 1} if name == "mlp" else {}
    values = {"seq_length": LENGTH, "horizon": HORIZON, **sizes}
    recipe = make_forecaster(name, make_parameters(name, values))
    return recipe.fit([split.train for split in PANEL], [split.valid for split in PANEL])


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    contenders = [
        (fit("random_walk_drift"), None),
        (fit("ewma"), calibrate(fit("ewma"), [SPLIT.valid])),
    ]
    return evaluate(SPLIT, fit("naive"), contenders)


# -- rows and origins ---------------------------------------------------------------------------


def test_naive_comes_first_and_every_contender_twice(evaluation: Evaluation) -> None:
    assert [(row.forecaster, row.mode) for row in evaluation.rows] == [
        ("naive", "window only"),
        ("random_walk_drift", "window only"),
        ("random_walk_drift", "with history"),
        ("ewma", "window only"),
        ("ewma", "with history"),
    ]


def test_every_origin_of_the_test_part_counts(evaluation: Evaluation) -> None:
    test = SPLIT.test
    assert evaluation.symbol == "MADE"
    assert evaluation.origins == len(test) - LENGTH - HORIZON + 1
    assert evaluation.first_origin == str(test.sessions[LENGTH - 1])
    assert evaluation.last_origin == str(test.sessions[-HORIZON - 1])


def test_every_row_has_every_step(evaluation: Evaluation) -> None:
    assert {len(row.steps) for row in evaluation.rows} == {HORIZON}


def test_everybody_stands_beside_the_same_naive_scores(evaluation: Evaluation) -> None:
    naive, *others = evaluation.rows
    for row in others:
        for ours, theirs in zip(
            (row.overall, *row.steps), (naive.overall, *naive.steps), strict=True
        ):
            for score in ("mape", "mae", "mse", "rmse", "r2", "crps"):
                assert getattr(ours, f"naive_{score}") == getattr(theirs, score)


def test_naive_is_no_better_than_itself(evaluation: Evaluation) -> None:
    for scores in (evaluation.row("naive").overall, *evaluation.row("naive").steps):
        assert (scores.relative_mae, scores.crps_ratio) == (1, 1)
        assert (scores.p_mae, scores.p_crps) == (1, 1)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_naive_scores_by_hand(evaluation: Evaluation, step: int) -> None:
    closes = SPLIT.test.closes
    origins = np.arange(LENGTH - 1, len(closes) - HORIZON)
    today, then = closes[origins], closes[origins + step]
    scores = evaluation.row("naive").steps[step - 1]
    assert scores.mae == pytest.approx(np.abs(then - today).mean())
    assert scores.mse == pytest.approx(((then - today) ** 2).mean())
    assert scores.rmse == pytest.approx(((then - today) ** 2).mean() ** 0.5)
    assert scores.mape == pytest.approx(100 * (np.abs(then - today) / then).mean())
    in_sample = np.abs(log_returns(SPLIT.train.closes)).mean()
    assert scores.mase == pytest.approx(np.abs(np.log(then / today)).mean() / in_sample)


def test_overall_is_the_mean_over_the_steps(evaluation: Evaluation) -> None:
    for row in evaluation.rows:
        for score in ("mape", "mae", "crps", "mase", "coverage_80", "coverage_95"):
            mean = np.mean([getattr(step, score) for step in row.steps])
            assert getattr(row.overall, score) == pytest.approx(mean)


# -- what scores mean ---------------------------------------------------------------------------


def test_who_knows_the_future_has_no_error() -> None:
    oracle = evaluate(SPLIT, fit("naive"), [(Fixed(EXAMPLES.targets), None)]).row("fixed")
    assert oracle.overall.relative_mae < 1e-9
    assert oracle.overall.crps_ratio < 0.75
    assert oracle.overall.p_mae < 1e-6
    assert oracle.overall.coverage_80 == 1


def test_a_biased_forecast_is_significantly_worse() -> None:
    biased = Fixed(np.full_like(EXAMPLES.targets, 0.03))
    scores = evaluate(SPLIT, fit("naive"), [(biased, None)]).row("fixed").overall
    assert scores.relative_mae > 1.2
    assert scores.p_mae < 0.01


def test_the_test_of_a_step_respects_its_overlap() -> None:
    noisy = Fixed(np.random.default_rng(0).normal(0, 0.002, EXAMPLES.targets.shape))
    row = evaluate(SPLIT, fit("naive"), [(noisy, None)]).row("fixed")
    actual = EXAMPLES.future_closes
    last = EXAMPLES.windows[:, -1:]
    ours, theirs = np.abs(actual - last * np.exp(noisy.locations)), np.abs(actual - last)
    for step in (1, 2, 3):
        pair = ours[:, step - 1], theirs[:, step - 1]
        assert row.steps[step - 1].p_mae == pytest.approx(diebold_mariano(*pair, step)[1])
        assert step == 1 or row.steps[step - 1].p_mae != diebold_mariano(*pair, 1)[1]
    expected = diebold_mariano(ours.mean(1), theirs.mean(1), HORIZON)[1]
    assert row.overall.p_mae == pytest.approx(expected)


def test_the_crps_is_tested_like_the_error() -> None:
    naive, noisy = fit("naive"), Fixed(np.full_like(EXAMPLES.targets, 0.01))
    row = evaluate(SPLIT, naive, [(noisy, None)]).row("fixed")
    losses = [
        crps_from_quantiles(
            EXAMPLES.targets, p.predict_batch(EXAMPLES.windows).quantiles, PROBABILITIES
        )
        for p in (noisy, naive)
    ]
    for step in (1, 2, 3):
        ours, theirs = (loss[:, step - 1] for loss in losses)
        scores = row.steps[step - 1]
        assert (scores.crps, scores.naive_crps) == pytest.approx((ours.mean(), theirs.mean()))
        assert scores.crps_ratio == pytest.approx(ours.mean() / theirs.mean())
        assert scores.p_crps == pytest.approx(diebold_mariano(ours, theirs, step)[1])
    ours, theirs = (loss.mean(1) for loss in losses)
    assert row.overall.p_crps == pytest.approx(diebold_mariano(ours, theirs, HORIZON)[1])


def test_coverage_is_of_the_price_intervals() -> None:
    ewma = fit("ewma")
    calibration = calibrate(ewma, [SPLIT.valid])
    forecast = calibration.apply(ewma.predict_batch(EXAMPLES.windows))
    scores = evaluate(SPLIT, fit("naive"), [(ewma, calibration)]).row("ewma")
    for level, shown in ((0.8, "coverage_80"), (0.95, "coverage_95")):
        low, high = forecast.interval(level)
        inside = (low <= EXAMPLES.future_closes) & (EXAMPLES.future_closes <= high)
        for step in range(HORIZON):
            assert getattr(scores.steps[step], shown) == inside[:, step].mean()


def test_only_mae_mse_and_rmse_depend_on_the_currency() -> None:
    dear = split_by_share(as_prices(5 * PRICES.closes), 0.6, LENGTH, HORIZON)
    here, there = (
        asdict(evaluate(s, fit("naive", s), [(fit("ewma", s), None)]).row("ewma").overall)
        for s in (SPLIT, dear)
    )
    for name, value in here.items():
        factor = {"mae": 5, "mse": 25, "rmse": 5}.get(name.removeprefix("naive_"), 1)
        assert there[name] == pytest.approx(factor * value, rel=1e-6), name


def test_a_test_part_that_never_moves_has_scores_all_the_same() -> None:
    first = str(SPLIT.test.sessions[0])
    flat = replace(SPLIT, test=as_prices(np.full(60, 50.0), first=first))
    row = evaluate(flat, fit("naive"), [(fit("ewma"), None)]).row("ewma")
    assert all(np.isfinite(value) for value in asdict(row.overall).values())
    assert row.overall.relative_mae == 1


# -- no look-ahead ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spy(Fixed):
    """Notes which series it is given."""

    seen: list[Sequence[Prices]] = field(default_factory=list)

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        self.seen.append(series)
        return super().predict_along(series, newest)


def test_a_pooled_predictor_is_told_of_all_series_together() -> None:
    spy, naive = Spy(np.zeros_like(EXAMPLES.targets)), fit("naive")
    symbols = [split.test.symbol for split in PANEL]
    evaluate_panel(
        PANEL, dict.fromkeys(symbols, naive), [ScoredModel(dict.fromkeys(symbols, spy), {})]
    )
    [given] = spy.seen
    assert [prices.symbol for prices in given] == symbols
    assert [len(prices) for prices in given] == [len(split.whole) for split in PANEL]


def test_predictors_of_single_symbols_are_told_of_their_own_alone() -> None:
    spies = {split.test.symbol: Spy(np.zeros_like(EXAMPLES.targets)) for split in PANEL}
    evaluate_panel(PANEL, dict.fromkeys(spies, fit("naive")), [ScoredModel(spies, {})])
    assert [[p.symbol for p in given] for s in spies.values() for given in s.seen] == [
        [symbol] for symbol in spies
    ]


def cut_at(split: Split, row: int, noise: float) -> Split:
    """The same closes up to a row of the test part, and others after it."""
    closes = split.test.closes.copy()
    closes[row:] *= np.exp(np.random.default_rng(0).normal(0, noise, len(closes) - row))
    first = str(split.test.sessions[0])
    return replace(split, test=as_prices(closes, split.test.symbol, first=first))


@pytest.mark.parametrize("name", ["ewma", "mlp"])
def test_forecasts_at_an_origin_do_not_depend_on_what_came_later(name: str) -> None:
    half = len(EXAMPLES) // 2
    predictor = fit_pool(name)
    everybody = ScoredModel(dict.fromkeys((s.test.symbol for s in PANEL), predictor), {})
    changed = [cut_at(split, LENGTH + half, 0.5) for split in PANEL]
    here, there = (roll_with_history(splits, everybody).forecasts for splits in (PANEL, changed))
    for symbol, forecast in here.items():
        assert forecast[:half].quantiles.tobytes() == there[symbol][:half].quantiles.tobytes()
        assert (forecast.quantiles[half + 1 :] != there[symbol].quantiles[half + 1 :]).any()


# -- with history -------------------------------------------------------------------------------


def test_there_is_a_forecast_with_history_at_every_origin_and_a_state_after_the_last_close() -> (
    None
):
    symbols = [split.test.symbol for split in PANEL]
    followed = roll_with_history(PANEL, ScoredModel(dict.fromkeys(symbols, fit("ewma")), {}))
    for split in PANEL:
        symbol = split.test.symbol
        examples = make_examples(split.test, LENGTH, HORIZON)
        assert followed.forecasts[symbol].last_close.tolist() == examples.windows[:, -1].tolist()
        state = followed.states[symbol]
        assert state.session == split.test.sessions[-1]
        assert state.last_close == split.test.closes[-1]


def test_the_row_with_history_scores_the_followed_forecasts() -> None:
    found = evaluate_panel(
        [SPLIT], {"MADE": fit("naive")}, [ScoredModel({"MADE": fit("ewma")}, {})]
    )
    evaluation, [followed] = found.evaluations["MADE"], found.followed
    assert followed is not None
    low, high = followed.forecasts["MADE"].interval(0.8)
    inside = (low <= EXAMPLES.future_closes) & (EXAMPLES.future_closes <= high)
    row = evaluation.row("ewma", "with history")
    assert [step.coverage_80 for step in row.steps] == inside.mean(axis=0).tolist()
    assert row != evaluation.row("ewma", "window only")


def test_who_is_not_followed_has_one_row() -> None:
    found = evaluate_panel(
        [SPLIT],
        {"MADE": fit("naive")},
        [ScoredModel({"MADE": fit("random_walk_drift")}, {}, with_history=False)],
    )
    assert found.followed == [None]
    assert [(row.forecaster, row.mode) for row in found.evaluations["MADE"].rows] == [
        ("naive", "window only"),
        ("random_walk_drift", "window only"),
    ]


# -- several symbols ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool() -> list[Evaluation]:
    symbols = [split.test.symbol for split in PANEL]
    everybody = ScoredModel(dict.fromkeys(symbols, fit_pool("ewma")), {})
    naive = {split.test.symbol: fit("naive", split) for split in PANEL}
    return list(evaluate_panel(PANEL, naive, [everybody]).evaluations.values())


def test_every_symbol_is_held_against_its_own_naive(pool: list[Evaluation]) -> None:
    assert [evaluation.symbol for evaluation in pool] == ["MADE", "OTHER"]
    for evaluation, split in zip(pool, PANEL, strict=True):
        alone = evaluate(split, fit("naive", split), [])
        assert evaluation.row("naive") == alone.row("naive")


def test_the_summary_has_means_over_symbols_and_the_worst(pool: list[Evaluation]) -> None:
    title, _, *body = summary_table(pool, steps=(1, 3)).splitlines()
    assert title.startswith("2 symbols (MADE, OTHER); ")
    assert f"{sum(e.origins for e in pool)} origins" in title
    assert [line[:15].rstrip() for line in body[::2]] == ["naive", "ewma", "ewma + history"]
    ratios = [e.row("ewma").steps[2].crps_ratio for e in pool]
    assert f"{np.mean(ratios):.4f} ({max(ratios):.4f})" in body[3]
    misses = [abs(e.row("ewma").steps[2].coverage_80 - 0.8) for e in pool]
    assert f"({100 * np.mean(misses):.1f})" in body[3]


# -- calibrating and rolling --------------------------------------------------------------------


def test_calibration_is_the_standardised_error_of_the_validation_part() -> None:
    naive = fit("naive")
    valid = make_examples(SPLIT.valid, LENGTH, HORIZON)
    expected = valid.targets / naive.predict_batch(valid.windows).scale
    assert calibrate(naive, [SPLIT.valid]).scores == pytest.approx(expected.T, abs=1e-6)


def test_calibration_takes_windows_inside_each_series() -> None:
    other = garch(100, seed=9, symbol="OTHER")
    n = [len(make_examples(s, LENGTH, HORIZON)) for s in (SPLIT.valid, other)]
    together = calibrate(fit("naive"), [SPLIT.valid, other]).scores
    alone = calibrate(fit("naive"), [other]).scores
    assert together.shape == (HORIZON, sum(n))
    assert together[:, n[0] :].tolist() == alone.tolist()


def test_rolling_without_history_is_one_batch() -> None:
    ewma = fit("ewma")
    expected = ewma.predict_batch(EXAMPLES.windows)
    assert np.array_equal(roll(ewma, None, EXAMPLES).quantiles, expected.quantiles)


def test_rolling_with_a_calibration_applies_it() -> None:
    ewma, calibration = fit("ewma"), SplitConformal(np.random.default_rng(0).normal(size=(3, 50)))
    plain, calibrated = roll(ewma, None, EXAMPLES), roll(ewma, calibration, EXAMPLES)
    assert np.array_equal(calibrated.quantiles, calibration.apply(plain).quantiles)


# -- showing ------------------------------------------------------------------------------------


def test_it_becomes_json(evaluation: Evaluation) -> None:
    document = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert document["rows"][0]["steps"][2]["mae"] == evaluation.row("naive").steps[2].mae


def test_the_table_has_a_line_per_forecaster_and_step(evaluation: Evaluation) -> None:
    title, head, *body = as_table(evaluation, steps=(1, 3)).splitlines()
    assert f"MADE: {evaluation.origins} origins, {evaluation.first_origin}" in title
    assert head.split()[:5] == ["forecaster", "step", "MAPE", "%", "naive"]
    assert [line[:27].rstrip() for line in body[::3]] == [
        "naive",
        "random_walk_drift",
        "random_walk_drift + history",
        "ewma",
        "ewma + history",
    ]
    steps = [line[27:].split()[0] for line in body]
    assert steps == ["1", "3", "all"] * 5
    assert len({len(line) for line in (head, *body)}) == 1
    mape = evaluation.row("random_walk_drift").steps[2].mape
    assert f"{mape:.3f}" in body[4]


def test_the_table_leaves_out_steps_beyond_the_horizon(evaluation: Evaluation) -> None:
    assert as_table(evaluation, steps=(1, 10)) == as_table(evaluation, steps=(1,))
