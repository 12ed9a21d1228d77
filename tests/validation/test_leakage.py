"""The look-ahead check that every bundle passes before it is published.

``test_leakage_mutants.py`` plants leaks in a whole training.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from closecast.calibration import PanelMember, SplitConformal, follow
from closecast.core.dataset import split_by_share
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.errors import TooFewCloses
from closecast.evaluation import EvaluationResult, ScoredModel, evaluate_panel
from closecast.forecasters import (
    Parameters,
    Predictor,
    TrainingReport,
    TrainingRows,
    View,
    make_forecaster,
)
from closecast.forecasters.ewma import EwmaForecaster, EwmaPredictor
from closecast.forecasters.location import shrink
from closecast.forecasters.shrunk import Shrinkage, ShrunkPredictor, without_shrinkage
from closecast.validation.leakage import CUTS, LeakCheck, check_evaluation, check_leaks
from closecast.validation.leakage.evidence import LeakFindings
from closecast.validation.leakage.scores import check_realised
from tests.support.leakage_evidence import evidence_of
from tests.support.synthetic_prices import as_prices, from_returns, garch, patiently

LENGTH, HORIZON = 20, 3
PRICES = garch(600, seed=1)
HONEST = evidence_of([PRICES])


def with_gaps(n: int, seed: int, symbol: str, missing: float = 0.05) -> Prices:
    """On fewer days than the others."""
    made = garch(n, seed)
    kept = np.random.default_rng(seed).random(n) >= missing
    return Prices(symbol, made.sessions[kept], made.closes[kept], "made", "adjusted")


def three_symbols() -> list[Prices]:
    """Another length, gaps, one on another exchange."""
    abroad = as_prices(garch(600, seed=3).closes, "MADE.SA", first="2009-12-01")
    return [PRICES, with_gaps(640, 2, "OTHER"), abroad]


def checks(outcome: LeakCheck) -> set[str]:
    """Names of the checks that failed."""
    assert outcome.passed is not bool(outcome.failures)
    return {failure.partition(": ")[0] for failure in outcome.failures}


def failed(**changes: Any) -> set[str]:
    return checks(check_leaks(replace(HONEST, **changes)))


def with_split(**parts: Prices) -> set[str]:
    return failed(splits=[replace(HONEST.splits[0], **parts)])


class Altered(EwmaForecaster):
    """Learns from rows that are not those of its series."""

    def __init__(self, alter: Callable[[TrainingRows], TrainingRows]) -> None:
        super().__init__(HONEST.forecaster.parameters)
        self.alter = alter

    def training_rows(
        self, series: Sequence[Prices], train: Sequence[Prices]
    ) -> Mapping[View, Sequence[TrainingRows]]:
        rows = super().training_rows(series, train)["window"]
        return {"window": [self.alter(one) for one in rows]}


def with_rows(alter: Callable[[TrainingRows], TrainingRows]) -> set[str]:
    return failed(forecaster=Altered(alter))


# -- honest data --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["naive", "random_walk_drift", "ewma", "mlp"])
def test_honest_data_pass(name: str) -> None:
    assert check_leaks(evidence_of([PRICES], name)).failures == ()


@pytest.mark.parametrize("name", ["ewma", "mlp"])
def test_honest_panels_pass(name: str) -> None:
    outcome = check_leaks(evidence_of(three_symbols(), name))
    assert outcome.failures == ()
    assert outcome.passed


def test_a_symbol_too_short_to_learn_from_still_helps_to_choose_the_days() -> None:
    old = as_prices(garch(300, seed=4).closes, "OLD", first="2008-01-01")
    evidence = evidence_of([*three_symbols(), old])
    assert "OLD" not in {split.test.symbol for split in evidence.splits}
    assert check_leaks(evidence).passed
    without = replace(evidence, collected=evidence.collected[:-1])
    assert checks(check_leaks(without)) == {"split"}


@st.composite
def panels(draw: st.DrawFn) -> list[Prices]:
    """One to three series of different lengths, beginnings and gaps."""
    symbols = ["AAA", "BBB", "CCC.SA"][: draw(st.integers(1, 3))]
    seed = draw(st.integers(0, 2**16))
    return [
        with_gaps(draw(st.integers(90, 160)), seed + i, symbol, draw(st.sampled_from([0.0, 0.1])))
        for i, symbol in enumerate(symbols)
    ]


@given(
    series=panels(),
    name=st.sampled_from(["naive", "random_walk_drift", "ewma"]),
    horizon=st.integers(1, 4),
    train_size=st.sampled_from([0.4, 0.5, 0.6]),
    valid_size=st.sampled_from([0.0, 0.2, 0.3]),
    seed=st.integers(0, 99),
)
@settings(patiently, max_examples=200)
def test_whatever_is_honest_passes(
    series: list[Prices],
    name: str,
    horizon: int,
    train_size: float,
    valid_size: float,
    seed: int,
) -> None:
    try:
        evidence = evidence_of(series, name, 10, horizon, train_size, valid_size)
    except TooFewCloses:
        assume(False)
    assert check_leaks(evidence, seed, cuts=2).failures == ()


@given(series=panels(), seed=st.integers(0, 99))
@settings(patiently, max_examples=4)
def test_an_honest_network_passes(series: list[Prices], seed: int) -> None:
    try:
        evidence = evidence_of(series, "mlp", 10)
    except TooFewCloses:
        assume(False)
    assert check_leaks(evidence, seed).failures == ()


def test_it_says_what_it_compared() -> None:
    outcome = check_leaks(HONEST)
    assert len(outcome.cuts) == CUTS
    assert list(outcome.cuts) == sorted(set(outcome.cuts))
    assert set(outcome.cuts) <= set(PRICES.sessions.astype(str))
    assert outcome.compared_origins > 1000
    assert json.loads(json.dumps(outcome.to_dict()))["passed"] is True


def test_the_seed_chooses_the_cuts() -> None:
    assert check_leaks(HONEST, seed=1) == check_leaks(HONEST, seed=1)
    assert check_leaks(HONEST, seed=1).cuts != check_leaks(HONEST, seed=2).cuts
    assert len(check_leaks(HONEST, cuts=20).cuts) == 20


# -- the split ----------------------------------------------------------------------------------


def test_parts_that_overlap_or_leave_rows_out_are_no_split() -> None:
    split = HONEST.splits[0]
    first = len(split.train)
    for parts in (
        {"valid": PRICES.rows(first - LENGTH + 1, first + len(split.valid))},
        {"train": PRICES.rows(0, len(PRICES) - 50)},
        {"train": split.valid, "valid": split.train},
        {"test": split.test.rows(0, -1)},
        {"valid": split.valid.rows(5, None)},
        {"train": split.train.rows(3, None)},
    ):
        assert with_split(**parts) == {"split"}


def test_a_split_by_another_share_is_caught() -> None:
    assert failed(splits=[split_by_share(PRICES, 0.7, LENGTH, HORIZON)]) == {"split"}


def test_one_altered_close_is_caught() -> None:
    closes = HONEST.splits[0].train.closes.copy()
    closes[100] = np.nextafter(closes[100], 0)
    assert with_split(train=replace(HONEST.splits[0].train, closes=closes)) == {"closes"}


def test_closes_that_nobody_collected_are_caught() -> None:
    assert failed(collected=[garch(600, seed=1, symbol="OTHER")]) == {"closes"}


# -- what was learned from ----------------------------------------------------------------------


def test_a_fit_on_anything_but_the_training_part_is_caught() -> None:
    split, honest = HONEST.splits[0], HONEST.training
    assert honest.learned_from == (split.train.content_hash,)
    for report in (
        replace(honest, learned_from=(split.whole.content_hash,)),
        replace(honest, chosen_by=(split.test.content_hash,)),
        replace(honest, learned_from=honest.learned_from * 2),
        TrainingReport(),
    ):
        assert failed(training=report) == {"fit"}


def test_what_fit_was_given_survives_json() -> None:
    stored = TrainingReport(**json.loads(json.dumps({**_as_dict(HONEST.training)})))
    assert check_leaks(replace(HONEST, training=stored)).passed


def test_a_location_measured_on_other_rows_is_caught() -> None:
    evidence = evidence_of([PRICES], "random_walk_drift")
    assert check_leaks(evidence).passed
    inner = without_shrinkage(evidence.predictor)
    for factor in ([0.0, 0.5, 0.0], [1.0, 1.0, 1.0]):
        moved = shrink(inner, Shrinkage(np.array(factor), "as the test part would have it"))
        assert "location" in checks(check_leaks(replace(evidence, predictor=moved)))


def test_a_location_that_has_earned_its_place_passes() -> None:
    returns = np.random.default_rng(0).normal(0.004, 0.01, 600)
    evidence = evidence_of([from_returns(returns)], "random_walk_drift")
    assert isinstance(evidence.predictor, ShrunkPredictor)
    assert evidence.predictor.shrinkage.factor.any()
    assert check_leaks(evidence).passed


def _as_dict(report: TrainingReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in TrainingReport.__dataclass_fields__}


def test_a_floor_learned_from_everything_is_caught() -> None:
    assert isinstance(HONEST.predictor, EwmaPredictor)
    moved = replace(HONEST.predictor, long_run=HONEST.predictor.long_run * 1.01)
    assert "floor" in failed(predictor=moved)


# -- rows ---------------------------------------------------------------------------------------


def test_honest_rows_pass() -> None:
    assert with_rows(lambda rows: rows) == set()


def test_labels_of_another_row_are_caught() -> None:
    assert "labels" in with_rows(lambda r: replace(r, targets=np.roll(r.targets, 1, axis=0)))


def test_rows_that_are_missing_are_caught() -> None:
    assert "windows" in with_rows(lambda rows: rows.newest(len(rows.targets) - 1))


def test_volatilities_of_a_later_row_are_caught() -> None:
    assert "inputs" in with_rows(
        lambda rows: replace(rows, volatility=np.roll(rows.volatility, -2))
    )


@pytest.mark.parametrize("array", ["inputs", "volatility", "targets"])
def test_one_number_that_follows_the_last_close_is_caught(array: str) -> None:
    """The smallest change there is, whose sign is that of a return after the day."""

    def alter(rows: TrainingRows) -> TrainingRows:
        values = getattr(rows, array).copy()
        values.flat[0] = np.nextafter(values.flat[0], np.sign(rows.targets[-1, -1]) * 10)
        return replace(rows, **{array: values})

    expected = "targets" if array == "targets" else "features"
    assert expected in with_rows(alter)


# -- forecasts ----------------------------------------------------------------------------------


def state_of(predictor: Any) -> dict[str, Any]:
    return {field.name: getattr(predictor, field.name) for field in fields(predictor)}


@dataclass(frozen=True, eq=False)
class Peeking(EwmaPredictor):
    """Looks one close ahead, where the series that it is given has one."""

    part: str = ""

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        found = []
        for prices, honest in zip(series, super().predict_along(series, newest), strict=True):
            moves = np.abs(np.append(np.diff(np.log(prices.closes)), 0.0))
            moves = moves[self.origins(prices, newest)]
            value = getattr(honest, self.part)
            moved = value + moves.reshape(-1, *[1] * (value.ndim - 1))
            found.append(replace(honest, **{self.part: moved}))
        return found


@pytest.mark.parametrize("part", ["location", "scale", "quantiles"])
def test_a_predictor_that_peeks_is_caught(part: str) -> None:
    peeking = Peeking(**state_of(HONEST.predictor), part=part)
    assert "forecasts" in failed(predictor=peeking)


@dataclass(frozen=True, eq=False)
class PeekingAtOthers(EwmaPredictor):
    """Takes its scale from what all series will have been at their end."""

    def predict_along(self, series: Sequence[Prices], newest: int | None = None) -> list[Forecast]:
        size = np.mean([np.abs(np.diff(np.log(prices.closes))).mean() for prices in series])
        return [
            replace(honest, scale=honest.scale * (1 + size))
            for honest in super().predict_along(series, newest)
        ]


def test_a_pool_that_knows_the_others_future_is_caught() -> None:
    evidence = evidence_of(three_symbols())
    peeking = PeekingAtOthers(**state_of(evidence.predictor))
    found = checks(check_leaks(replace(evidence, predictor=peeking)))
    assert found == {"forecasts", "live calibration"}


# -- calibration --------------------------------------------------------------------------------


def test_scores_of_other_rows_are_caught() -> None:
    scores = HONEST.calibrations["MADE"].scores
    altered = scores.copy()
    altered[0, 0] = np.nextafter(altered[0, 0], 10)
    for wrong in (altered, scores[:, 1:], scores[:, ::-1], np.hstack([scores, scores])):
        assert failed(calibrations={"MADE": SplitConformal(wrong)}) == {"calibration"}


def test_a_score_that_is_known_before_its_session_is_over_is_caught() -> None:
    member = PanelMember(PRICES, HONEST.predictor.predict_along([PRICES], 100)[0])
    *_, (_, states) = follow([member], PRICES.sessions[-100])
    state = states["MADE"]

    def found(row: int, step: int, value: float) -> tuple[str, ...]:
        scores = state.scores.copy()
        scores[row, step] = value
        findings = LeakFindings()
        check_realised(replace(state, scores=scores), PRICES, findings)
        return findings.failures

    assert found(-1, 0, np.nan) == ()
    for row, step in ((-1, 0), (-1, 2), (-2, 1), (-3, 2)):
        [failure] = found(row, step, 0.5)
        assert "yet to come" in failure
    [failure] = found(-2, 0, 99.0)
    assert "not of its forecasts' target sessions" in failure


# -- the evaluation -----------------------------------------------------------------------------

NAIVE = evidence_of([PRICES], "naive").predictor


@cache
def honestly_evaluated() -> EvaluationResult:
    contender = ScoredModel({"MADE": HONEST.predictor}, HONEST.calibrations)
    return evaluate_panel(HONEST.splits, {"MADE": NAIVE}, [contender])


def judged(baseline: Predictor = NAIVE, **changes: Any) -> set[str]:
    """The checks that fail if something of an honest evaluation is changed."""
    found = honestly_evaluated()
    live = found.followed[0]
    assert live is not None
    evaluation = replace(found.evaluations["MADE"], **changes.get("evaluation", {}))
    followed = replace(live, **changes.get("followed", {}))
    passed = LeakCheck(True, (), 0, ())
    return checks(check_evaluation(passed, HONEST, [evaluation], followed, [("MADE", baseline)]))


def test_an_honest_evaluation_passes() -> None:
    assert judged() == set()


def test_origins_left_out_of_the_evaluation_are_caught() -> None:
    found = honestly_evaluated().evaluations["MADE"]
    for changes in (
        {"origins": found.origins - 1},
        {"last_origin": str(PRICES.sessions[-1])},
        {"first_origin": str(HONEST.splits[0].test.sessions[0])},
    ):
        assert judged(evaluation=changes) == {"evaluation"}


def test_forecasts_of_another_day_are_caught() -> None:
    live = honestly_evaluated().followed[0]
    assert live is not None
    forecast = live.forecasts["MADE"]
    early = replace(forecast, last_close=np.roll(forecast.last_close, 1))
    assert "evaluation" in judged(followed={"forecasts": {"MADE": early}})
    assert "evaluation" in judged(followed={"forecasts": {"MADE": forecast[:-1]}})


@pytest.mark.parametrize("mode", ["window only", "with history"])
def test_scores_that_the_closes_do_not_bear_out_are_caught(mode: str) -> None:
    rows = list(honestly_evaluated().evaluations["MADE"].rows)
    at = next(i for i, r in enumerate(rows) if (r.forecaster, r.mode) == ("ewma", mode))
    better = replace(rows[at].steps[0], mae=rows[at].steps[0].mae * 0.999)
    rows[at] = replace(rows[at], steps=(better, *rows[at].steps[1:]))
    assert judged(evaluation={"rows": tuple(rows)}) == {"scores"}


def test_a_baseline_fitted_to_other_rows_is_caught() -> None:
    other = make_forecaster("naive", Parameters(seq_length=LENGTH, horizon=HORIZON))
    whole = other.fit([PRICES], [PRICES])
    assert judged(baseline=whole) == {"fit"}
