"""Rolling-origin evaluation: everybody on the same rows, naive beside all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Self

import numpy as np
import pytest

from closecast.dataset import Split, log_returns, make_examples, split_by_share
from closecast.evaluation import Evaluation, as_table, calibrate, evaluate, roll
from closecast.forecast import PROBABILITIES, Forecast
from closecast.forecasters import Parameters, Predictor, make_forecaster
from closecast.intervals import Calibration
from closecast.metrics import crps_from_quantiles, diebold_mariano
from tests.made_data import FloatArray, as_prices, garch

LENGTH, HORIZON = 20, 3
PRICES = garch(700, seed=1)
SPLIT = split_by_share(PRICES, 0.6, LENGTH, HORIZON)


def fit(name: str, split: Split = SPLIT) -> Predictor:
    recipe = make_forecaster(name, Parameters(seq_length=LENGTH, horizon=HORIZON))
    return recipe.fit([split.train], [split.valid])


@dataclass(frozen=True)
class Fixed(Predictor):
    """Answers a table of locations, one row per test origin; a normal law of 2 % around them."""

    name: ClassVar[str] = "fixed"
    locations: FloatArray
    seq_length: int = LENGTH
    horizon: int = HORIZON

    def predict_batch(self, windows: FloatArray) -> Forecast:
        scale = np.full_like(self.locations, 0.02)
        quantiles = self.locations[..., None] + 0.02 * np.linspace(-2, 2, 39)
        return Forecast(windows[:, -1], self.locations, scale, PROBABILITIES, quantiles)

    def to_files(self) -> dict[str, bytes]:
        raise NotImplementedError

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        raise NotImplementedError


EXAMPLES = make_examples(SPLIT.test, LENGTH, HORIZON)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    contenders = [(fit("drift"), None), (fit("ewma"), calibrate(fit("ewma"), [SPLIT.valid]))]
    return evaluate(SPLIT, fit("naive"), contenders)


# -- rows and origins ---------------------------------------------------------------------------


def test_naive_comes_first_and_who_uses_history_comes_twice(evaluation: Evaluation) -> None:
    assert [(row.forecaster, row.mode) for row in evaluation.rows] == [
        ("naive", "window only"),
        ("drift", "window only"),
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
            for score in ("mape", "mae", "rmse", "r2", "crps"):
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


def test_only_mae_and_rmse_depend_on_the_currency() -> None:
    dear = split_by_share(as_prices(5 * PRICES.closes), 0.6, LENGTH, HORIZON)
    here, there = (
        asdict(evaluate(s, fit("naive", s), [(fit("ewma", s), None)]).row("ewma").overall)
        for s in (SPLIT, dear)
    )
    for name, value in here.items():
        factor = 5 if name.removeprefix("naive_") in ("mae", "rmse") else 1
        assert there[name] == pytest.approx(factor * value, rel=1e-6), name


def test_a_test_part_that_never_moves_has_scores_all_the_same() -> None:
    flat = replace(SPLIT, test=as_prices(np.full(60, 50.0)))
    row = evaluate(flat, fit("naive"), [(fit("ewma"), None)]).row("ewma")
    assert all(np.isfinite(value) for value in asdict(row.overall).values())
    assert row.overall.relative_mae == 1


# -- no look-ahead ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spy(Fixed):
    """Notes what history it is given."""

    uses_history: ClassVar[bool] = True
    seen: list[FloatArray] = None  # type: ignore[assignment]

    def predict(self, window: FloatArray, history: FloatArray | None = None) -> Forecast:
        assert history is not None
        assert history[-LENGTH:].tolist() == window.tolist()
        self.seen.append(history)
        return Fixed(np.zeros((1, HORIZON))).predict_batch(window[None])[0]


def test_history_ends_where_the_window_ends() -> None:
    spy = Spy(np.zeros_like(EXAMPLES.targets), seen=[])
    evaluate(SPLIT, fit("naive"), [(spy, None)])
    before_test = len(SPLIT.train) + len(SPLIT.valid)
    assert [len(h) for h in spy.seen] == (before_test + EXAMPLES.origins + 1).tolist()
    assert spy.seen[-1].tolist() == PRICES.closes[:-HORIZON].tolist()


def test_forecasts_at_an_origin_do_not_depend_on_what_came_later() -> None:
    ewma, half = fit("ewma"), len(EXAMPLES) // 2
    closes = PRICES.closes.copy()
    cut = len(closes) - len(EXAMPLES) - HORIZON + half
    closes[cut:] *= np.exp(np.random.default_rng(0).normal(0, 0.5, len(closes) - cut))
    changed = make_examples(as_prices(closes).rows(-len(SPLIT.test), None), LENGTH, HORIZON)
    offset = len(PRICES) - len(SPLIT.test)
    here = roll(ewma, None, EXAMPLES, PRICES.closes, offset)
    there = roll(ewma, None, changed, closes, offset)
    assert here[:half].quantiles.tobytes() == there[:half].quantiles.tobytes()
    assert (here.quantiles[half:] != there.quantiles[half:]).any()


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
    ewma, calibration = fit("ewma"), Calibration(np.random.default_rng(0).normal(size=(3, 50)))
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
    assert [line[:15].rstrip() for line in body[::3]] == [
        "naive",
        "drift",
        "ewma",
        "ewma + history",
    ]
    steps = [line[16:].split()[0] for line in body]
    assert steps == ["1", "3", "all"] * 4
    assert len({len(line) for line in (head, *body)}) == 1
    mape = evaluation.row("drift").steps[2].mape
    assert f"{mape:.3f}" in body[4]


def test_the_table_leaves_out_steps_beyond_the_horizon(evaluation: Evaluation) -> None:
    assert as_table(evaluation, steps=(1, 10)) == as_table(evaluation, steps=(1,))
