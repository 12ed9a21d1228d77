"""The gate: evidence in, one of three outcomes out."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.dataset import split_by_share
from closecast.evaluation import Row, Scores, evaluate
from closecast.forecasters import Parameters, make_forecaster
from closecast.gate import LEAST_ORIGINS, SIGNIFICANCE, Outcome, decide
from tests.made_data import garch, patiently

EQUAL = dict.fromkeys((field.name for field in fields(Scores)), 1.0)


def row(overall: dict[str, float] | None = None, first: dict[str, float] | None = None) -> Row:
    """A row of a forecaster that equals naive in everything, but for what is named."""
    steps = (Scores(**{**EQUAL, **(first or {})}), Scores(**EQUAL))
    return Row("candidate", "window only", Scores(**{**EQUAL, **(overall or {})}), steps)


def test_as_good_as_naive_is_good_enough() -> None:
    assert decide(row(), 500).outcome == "promoted"


@pytest.mark.parametrize(("score", "p"), [("relative_mae", "p_mae"), ("crps_ratio", "p_crps")])
@pytest.mark.parametrize(
    ("value", "p_value", "outcome"),
    [
        (1.02, 0.01, "rejected"),
        (1.02, SIGNIFICANCE, "promoted"),
        (1.5, 0.3, "promoted"),
        (0.98, 0.01, "promoted"),
        (1.0, 0.0, "promoted"),
    ],
)
def test_only_significantly_worse_is_rejected(
    score: str, p: str, value: float, p_value: float, outcome: str
) -> None:
    assert decide(row({score: value, p: p_value}), 500).outcome == outcome


def test_worse_intervals_are_not_made_good_by_a_better_median() -> None:
    mixed = row({"relative_mae": 0.9, "p_mae": 0.001, "crps_ratio": 1.1, "p_crps": 0.001})
    assert decide(mixed, 500).outcome == "rejected"


@pytest.mark.parametrize(("rmse", "outcome"), [(0.98, "rejected"), (0.9901, "promoted")])
def test_a_gain_that_is_too_good_to_be_true_is_a_leak(rmse: float, outcome: str) -> None:
    decision = decide(row(first={"rmse": rmse}), 500)
    assert decision.outcome == outcome
    assert ("suspicious" in decision.reason) == (outcome == "rejected")


def test_a_suspicious_gain_is_rejected_however_few_the_origins() -> None:
    assert decide(row(first={"rmse": 0.5}), 5).outcome == "rejected"


@pytest.mark.parametrize(
    ("origins", "outcome"),
    [
        (0, "not_enough_evidence"),
        (LEAST_ORIGINS - 1, "not_enough_evidence"),
        (LEAST_ORIGINS, "promoted"),
    ],
)
def test_few_origins_are_no_evidence(origins: int, outcome: str) -> None:
    assert decide(row(), origins).outcome == outcome


def test_what_is_significantly_worse_is_rejected_however_few_the_origins() -> None:
    assert decide(row({"relative_mae": 2, "p_mae": 0}), 5).outcome == "rejected"


def test_the_reason_holds_the_numbers() -> None:
    decision = decide(row({"relative_mae": 1.0234, "p_mae": 0.011, "crps_ratio": 0.99}), 321)
    for number in ("1.0234", "p 0.01", "0.9900 of naive", "321 origins", "worse than naive"):
        assert number in decision.reason


numbers = st.floats(0.01, 3)


@patiently
@given(numbers, numbers, st.floats(0, 1), st.floats(0, 1), numbers, st.integers(0, 1000))
def test_nothing_bad_is_ever_promoted(
    mae: float, crps: float, p_mae: float, p_crps: float, rmse: float, origins: int
) -> None:
    overall = {"relative_mae": mae, "crps_ratio": crps, "p_mae": p_mae, "p_crps": p_crps}
    outcome = decide(row(overall, {"rmse": rmse}), origins).outcome
    assert outcome in get_args(Outcome)
    significantly_worse = (mae > 1 and p_mae < 0.05) or (crps > 1 and p_crps < 0.05)
    bad = rmse < 0.99 or origins < 100 or significantly_worse
    assert (outcome == "promoted") == (not bad)


def test_a_real_evaluation_passes_ewma_on_clustered_volatility() -> None:
    split = split_by_share(garch(1200, seed=1), 0.5, 20, 3)
    naive, ewma = (
        make_forecaster(name, Parameters(seq_length=20, horizon=3)).fit([split.train], [])
        for name in ("naive", "ewma")
    )
    evaluation = evaluate(split, naive, [(ewma, None)])
    assert decide(evaluation.row("ewma"), evaluation.origins).outcome == "promoted"
    assert np.isfinite(evaluation.row("ewma").overall.crps_ratio)
