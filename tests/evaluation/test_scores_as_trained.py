"""Scores of a point forecast as it was trained, beside those after it was shrunk to naive's."""

from __future__ import annotations

import numpy as np
import pytest

from closecast.core.dataset import make_examples, split_by_share
from closecast.core.prices import Prices
from closecast.evaluation import (
    AS_TRAINED,
    ScoredModel,
    as_table,
    calibrate,
    evaluate_panel,
    summary_table,
)
from closecast.forecasters import Parameters, Predictor, make_forecaster
from closecast.forecasters.shrunk import Shrinkage, ShrunkPredictor
from tests.support.synthetic_prices import as_prices, garch

LENGTH, HORIZON = 20, 3
SPLIT = split_by_share(garch(700, seed=1), 0.6, LENGTH, HORIZON)
DRIFT = 0.004


def fit(name: str) -> Predictor:
    recipe = make_forecaster(name, Parameters(seq_length=LENGTH, horizon=HORIZON))
    return recipe.fit([SPLIT.train], [SPLIT.valid])


def drifting() -> Predictor:
    """A random walk with a drift of 0.4 % a session, which its rows do not have."""
    rising = as_prices(100 * np.exp(DRIFT * np.arange(200)))
    recipe = make_forecaster("random_walk_drift", Parameters(seq_length=LENGTH, horizon=HORIZON))
    noise = Prices(
        rising.symbol,
        rising.sessions,
        rising.closes * np.exp(np.random.default_rng(0).normal(0, 0.002, 200)),
        rising.source,
        rising.basis,
    )
    return recipe.fit([noise], [noise])


def shrunk(share: float) -> Predictor:
    return ShrunkPredictor(drifting(), Shrinkage(np.full(HORIZON, share), "for tests"))


def evaluated(predictor: Predictor, label: str = "") -> ScoredModel:
    symbol = SPLIT.test.symbol
    calibration = calibrate(predictor, [SPLIT.valid])
    return ScoredModel({symbol: predictor}, {symbol: calibration}, label=label)


def test_its_own_scores_stand_beside_the_served_ones() -> None:
    symbol = SPLIT.test.symbol
    found = evaluate_panel([SPLIT], {symbol: fit("naive")}, [evaluated(shrunk(0.0))])
    evaluation = found.evaluations[symbol]
    served = evaluation.row("random_walk_drift")
    raw = evaluation.as_trained("random_walk_drift")
    assert raw.mode == AS_TRAINED
    examples = make_examples(SPLIT.test, LENGTH, HORIZON)
    own = drifting().predict_batch(examples.windows)
    errors = own.price - examples.future_closes
    for step, scores in enumerate(raw.steps):
        assert scores.mse == pytest.approx(np.square(errors[:, step]).mean())
        assert scores.rmse == pytest.approx(np.sqrt(np.square(errors[:, step]).mean()))
        assert scores.mae == pytest.approx(np.abs(errors[:, step]).mean())
        assert scores.naive_rmse == served.steps[step].naive_rmse
    assert served.overall.relative_mae == pytest.approx(1.0)
    assert raw.overall.relative_mae > 1.0


def test_what_was_not_shrunk_has_one_row_for_both() -> None:
    symbol = SPLIT.test.symbol
    found = evaluate_panel([SPLIT], {symbol: fit("naive")}, [evaluated(drifting())])
    evaluation = found.evaluations[symbol]
    assert evaluation.as_trained("random_walk_drift") == evaluation.row("random_walk_drift")
    assert AS_TRAINED not in {row.mode for row in evaluation.rows}


def test_the_gate_judges_the_served_forecast_alone() -> None:
    symbol = SPLIT.test.symbol
    found = evaluate_panel(
        [SPLIT], {symbol: fit("naive")}, [evaluated(shrunk(0.0)), evaluated(shrunk(0.0), "current")]
    )
    assert {mode for _, mode in found.losses[symbol]} == {"window only", "with history"}
    rows = [(row.forecaster, row.mode) for row in found.evaluations[symbol].rows]
    assert rows.count(("random_walk_drift", AS_TRAINED)) == 1
    assert ("current", AS_TRAINED) not in rows


def test_the_tables_show_it() -> None:
    symbol = SPLIT.test.symbol
    found = evaluate_panel([SPLIT], {symbol: fit("naive")}, [evaluated(shrunk(0.0))])
    evaluation = found.evaluations[symbol]
    for table in (as_table(evaluation), summary_table([evaluation, evaluation])):
        assert "random_walk_drift as trained" in table
    head, row = as_table(evaluation).splitlines()[1:3]
    assert head.split().count("MSE") == 1
    assert row.startswith("naive")
