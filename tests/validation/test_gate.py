"""The gate: evidence in, one of three outcomes out. On made losses whose truth is known."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.forecast.gate import decisions
from closecast.core.arrays import FloatArray
from closecast.evaluation import Losses, Mode
from closecast.validation.gate import (
    CURRENT,
    LEAST_ORIGINS,
    SIGNIFICANCE,
    TOLERANCE,
    Decision,
    GatePolicy,
    ServingVersion,
    choose,
    decide,
)
from closecast.validation.gate.comparison import compare, ordered

FIRST = np.datetime64("2020-01-01")
STANDING = ServingVersion("20260101T000000Z-00000000", age_days=3)
REPETITIONS = 500

OfSymbol = dict[tuple[str, Mode], Losses]


def losses(crps: FloatArray, error: FloatArray | None = None, start: int = 0) -> Losses:
    """One step ahead; errors are all one unless given."""
    error = np.ones(len(crps)) if error is None else error
    days = FIRST + start + np.arange(len(crps))
    return Losses(days, crps[:, None], error[:, None])


def made(days: int = 400, seed: int = 0, **ratios: float) -> OfSymbol:
    """Mean CRPS as named, with noise that all share and little of their own."""
    rng = np.random.default_rng(seed)
    shared = np.exp(0.5 * rng.normal(size=days))
    found: OfSymbol = {}
    for name, ratio in {"naive": 1.0, CURRENT: 1.0, "candidate": 1.0, **ratios}.items():
        own = np.exp(0.05 * rng.normal(size=days))
        found[name, "window only"] = losses(shared * own * ratio)
    return found


def alone(of_symbol: OfSymbol, **options: Any) -> Decision:
    arguments: dict[str, Any] = {"current": STANDING, **options}
    return decide({"MADE": of_symbol}, "candidate", **arguments)["MADE"]


# -- the three outcomes -------------------------------------------------------------------------


def test_clearly_better_than_what_serves_is_promoted() -> None:
    decision = alone(made(candidate=0.96))
    assert (decision.outcome, decision.becomes_current) == ("promoted", True)
    assert decision.reason.startswith("significantly better than the current model: CRPS 0.9")
    assert "400 days" in decision.reason


def test_clearly_worse_than_what_serves_is_rejected() -> None:
    decision = alone(made(candidate=0.97, current=0.93))
    assert (decision.outcome, decision.becomes_current) == ("rejected", False)
    assert decision.reason.startswith("significantly worse than the current model: CRPS 1.04")


def test_what_cannot_be_told_apart_is_kept_out_and_said() -> None:
    decision = alone(made(candidate=0.95, current=0.95))
    assert (decision.outcome, decision.becomes_current) == ("not_enough_evidence", False)
    assert "not distinguishable from the current model" in decision.reason
    assert "the current model stays: it has been current for 3 of 30 days" in decision.reason


def test_the_same_model_again_is_no_evidence() -> None:
    same = made(current=0.9)
    same["candidate", "window only"] = same[CURRENT, "window only"]
    decision = alone(same)
    assert decision.outcome == "not_enough_evidence"
    assert {c.p_one_sided for c in decision.comparisons if c.against == CURRENT} == {0.5}


@pytest.mark.parametrize(
    ("days", "outcome"), [(LEAST_ORIGINS - 1, "not_enough_evidence"), (LEAST_ORIGINS, "promoted")]
)
def test_few_days_are_no_evidence_however_much_better(days: int, outcome: str) -> None:
    assert alone(made(days, candidate=0.8)).outcome == outcome


def test_clearly_worse_is_rejected_however_few_the_days() -> None:
    assert alone(made(LEAST_ORIGINS // 2, candidate=1.3)).outcome == "rejected"


# -- naive and the baselines --------------------------------------------------------------------


def test_better_than_what_serves_and_worse_than_naive_is_rejected() -> None:
    decision = alone(made(candidate=1.05, current=1.2))
    assert decision.outcome == "rejected"
    assert "naive" in decision.reason


def test_worse_absolute_error_is_not_made_good_by_better_intervals() -> None:
    mixed = made(candidate=0.9)
    noise = np.random.default_rng(5).normal(size=400)
    mixed["candidate", "window only"] = replace(
        mixed["candidate", "window only"], absolute_error=(1.02 + 0.02 * noise)[:, None]
    )
    decision = alone(mixed)
    assert decision.outcome == "rejected"
    assert "absolute error 1.0190" in decision.reason


def test_outside_the_confidence_set_with_the_baselines_is_rejected() -> None:
    decision = alone(made(candidate=0.97, current=0.99, ewma=0.9))
    assert decision.outcome == "rejected"
    assert decision.reason.startswith("ewma is better: the candidate is outside the model conf")
    assert decision.confidence_set is not None
    assert decision.confidence_set["candidate"] < 0.05 < decision.confidence_set["ewma"]


def test_a_worse_row_from_windows_alone_is_not_made_good_by_history() -> None:
    both = made(candidate=1.05)
    both |= {(n, "with history"): made(candidate=0.9)[n, m] for n, m in list(both)}
    decision = alone(both)
    assert decision.outcome == "rejected"
    assert "window only" in decision.reason


@pytest.mark.parametrize(("rmse", "outcome"), [(0.98, "rejected"), (0.9901, "promoted")])
def test_a_gain_that_is_too_good_to_be_true_waits_for_a_person(rmse: float, outcome: str) -> None:
    better = made(candidate=0.9)
    better["candidate", "window only"] = replace(
        better["candidate", "window only"], absolute_error=np.full((400, 1), rmse)
    )
    decision = alone(better)
    assert decision.outcome == outcome
    assert ("suspicious: RMSE at step 1 is 2.0% under" in decision.reason) == (rmse < 0.99)


# -- nothing serves -----------------------------------------------------------------------------


def test_a_baseline_is_always_taken_where_nothing_serves() -> None:
    only = {key: one for key, one in made(ewma=1.5).items() if key[0] in {"naive", "ewma"}}
    decision = decide({"MADE": only}, "ewma")["MADE"]
    assert (decision.outcome, decision.becomes_current) == ("promoted", True)
    assert decision.reason.startswith("the first model of the symbol")


@pytest.mark.parametrize(("ratio", "outcome"), [(1.0, "promoted"), (1.1, "rejected")])
def test_where_nothing_serves_not_to_be_worse_than_naive_is_enough(
    ratio: float, outcome: str
) -> None:
    without = {key: one for key, one in made(candidate=ratio).items() if key[0] != CURRENT}
    assert decide({"MADE": without}, "candidate")["MADE"].outcome == outcome


def test_naive_itself_can_be_a_candidate() -> None:
    found = made(current=0.9)
    assert decide({"MADE": found}, "naive", STANDING)["MADE"].outcome == "rejected"
    assert decide({"MADE": found}, "naive")["MADE"].outcome == "promoted"


# -- what is better on average, and not now -----------------------------------------------------


def test_better_on_average_and_worse_now_is_no_evidence() -> None:
    turned = made(500, candidate=0.93, current=0.97)
    stretch = np.where(np.arange(500) % 200 < 140, 0.8, 1.12)  # it ends in a bad stretch
    turned["candidate", "window only"] = replace(
        turned["candidate", "window only"],
        crps=turned[CURRENT, "window only"].crps * np.roll(stretch, -1)[:, None],
    )
    turned = {
        k: replace(
            v, crps=v.crps[:380], absolute_error=v.absolute_error[:380], sessions=v.sessions[:380]
        )
        for k, v in turned.items()
    }
    decision = alone(turned)
    assert decision.outcome == "not_enough_evidence"
    assert "better on average, yet expected to be worse now" in decision.reason


# -- what serves has learned from some of the rows ----------------------------------------------


@pytest.mark.parametrize(("fresh", "outcome"), [(90, "not_enough_evidence"), (200, "promoted")])
def test_only_rows_that_neither_has_learned_from_are_evidence(fresh: int, outcome: str) -> None:
    found = made(400, candidate=0.93)
    seen = found[CURRENT, "window only"]
    hidden = seen.crps.copy() / 100  # it knows those rows by heart
    hidden[:-fresh] = np.nan
    error = seen.absolute_error.copy()
    error[:-fresh] = np.nan
    hidden[-fresh:] = seen.crps[-fresh:]
    found[CURRENT, "window only"] = replace(seen, crps=hidden, absolute_error=error)
    decision = alone(found)
    assert decision.outcome == outcome
    assert {c.days for c in decision.comparisons if c.against == CURRENT} == {fresh}
    assert {c.days for c in decision.comparisons if c.against == "naive"} == {400}


def test_a_shorter_horizon_is_compared_on_the_steps_that_both_have() -> None:
    found = {
        key: replace(one, crps=np.tile(one.crps, 3), absolute_error=np.tile(one.absolute_error, 3))
        for key, one in made(candidate=0.93).items()
    }
    short = found[CURRENT, "window only"]
    found[CURRENT, "window only"] = Losses(
        short.sessions, short.crps[:, :2], short.absolute_error[:, :2]
    )
    assert alone(found).outcome == "promoted"


# -- several symbols ----------------------------------------------------------------------------


def test_the_evidence_of_a_panel_is_one() -> None:
    """Alone each tells nothing; together they do."""

    def noisy(seed: int, ratio: float) -> OfSymbol:
        rng = np.random.default_rng(seed)
        return {
            (name, "window only"): losses(mean * np.exp(0.4 * rng.normal(size=300)))
            for name, mean in (("naive", 1.1), (CURRENT, 1.0), ("candidate", ratio))
        }

    panel = {f"S{i:02}": noisy(i, 0.97) for i in range(20)}
    single = Counter(alone(one).outcome for one in panel.values())
    together = decide(panel, "candidate", STANDING)
    assert single["promoted"] <= 10
    assert Counter(d.outcome for d in together.values())["promoted"] >= 18


def test_twenty_symbols_on_the_same_days_are_not_twenty_times_the_days() -> None:
    one = made(candidate=0.99, current=0.99)
    panel = {f"S{i:02}": one for i in range(20)}
    [decision] = {d.reason: d for d in decide(panel, "candidate", STANDING).values()}.values()
    assert {c.days for c in decision.comparisons} == {400}
    for joined, single in zip(decision.comparisons, alone(one).comparisons, strict=True):
        assert joined.p_one_sided == pytest.approx(single.p_one_sided)


def test_who_was_chosen_among_many_has_to_be_better_beyond_the_luck_of_the_choice() -> None:
    found = made(seed=2, candidate=0.8995, current=0.905)
    [main] = [c for c in alone(found).comparisons if c.against == CURRENT][:1]
    assert 0.02 < main.p_one_sided < 0.05, "made so that one alone is just enough"
    assert alone(found).outcome == "promoted"
    assert alone(found, attempts=5).outcome == "not_enough_evidence"


def test_one_symbol_that_it_serves_worse_keeps_what_it_has() -> None:
    panel = {f"S{i}": made(seed=i, candidate=0.93) for i in range(6)}
    panel["S3"] = made(seed=3, candidate=0.98, current=0.9)
    found = decide(panel, "candidate", STANDING)
    assert found["S3"].outcome == "rejected"
    assert "the current model" in found["S3"].reason
    assert {d.outcome for s, d in found.items() if s != "S3"} == {"promoted"}


def test_symbols_with_other_days_are_joined_by_day() -> None:
    early = made(300, seed=1, candidate=0.93)
    late = {
        key: replace(one, sessions=one.sessions + 150)
        for key, one in made(300, seed=2, candidate=0.93).items()
    }
    decision = decide({"A": early, "B": late}, "candidate", STANDING)["A"]
    assert {c.days for c in decision.comparisons} == {450}


def test_the_very_model_that_was_rolled_back_is_rejected() -> None:
    decision = alone(made(candidate=0.9), rolled_back={"MADE": "rolled back by ann: too calm"})
    assert decision.outcome == "rejected"
    assert decision.reason == "rolled back by ann: too calm"
    assert alone(made(candidate=0.9), rolled_back={"OTHER": "x"}).outcome == "promoted"


# -- policy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_days", "policy", "taken", "said"),
    [
        (0, GatePolicy(), False, "0 of 30 days"),
        (29.4, GatePolicy(), False, "29 of 30 days"),
        (30, GatePolicy(), True, "promoted for being newer"),
        (6, GatePolicy(deadline_days=7), False, "6 of 7 days"),
        (8, GatePolicy(deadline_days=7), True, "8 of 7 days"),
        (0, GatePolicy("promote"), True, "CLOSECAST_WITHOUT_EVIDENCE"),
        (0, GatePolicy(deadline_days=0), True, "promoted for being newer"),
    ],
)
def test_the_policy_decides_where_the_evidence_does_not(
    age_days: float, policy: GatePolicy, taken: bool, said: str
) -> None:
    equal = made(candidate=0.95, current=0.95)
    decision = alone(equal, current=ServingVersion("v", age_days), policy=policy)
    assert decision.outcome == "not_enough_evidence"
    assert decision.becomes_current is taken
    assert said in decision.reason


def test_at_the_deadline_what_seems_clearly_worse_is_kept_out_all_the_same() -> None:
    """Fourteen years of noise are no reason to take something 5 % worse."""
    rng = np.random.default_rng(3)
    noisy = made(current=0.9)
    wild = np.exp(1.5 * rng.normal(size=400))
    crps = noisy[CURRENT, "window only"].crps * (1.05 * wild / wild.mean())[:, None]
    noisy["candidate", "window only"] = replace(noisy["candidate", "window only"], crps=crps)
    noisy["naive", "window only"] = losses(np.full(400, 2.0))
    decision = alone(noisy, current=ServingVersion("v", 400))
    main = next(c for c in decision.comparisons if c.against == CURRENT)
    assert main.ratio > 1 + TOLERANCE
    assert (decision.outcome, decision.becomes_current) == ("not_enough_evidence", False)


def test_no_policy_takes_what_was_rejected() -> None:
    worse = made(candidate=1.1)
    for policy in (GatePolicy("promote"), GatePolicy(deadline_days=0)):
        decision = alone(worse, current=ServingVersion("v", 1e4), policy=policy)
        assert (decision.outcome, decision.becomes_current) == ("rejected", False)


def test_where_nothing_serves_too_few_days_are_no_reason_to_answer_nothing() -> None:
    few = {key: one for key, one in made(50, candidate=0.9).items() if key[0] != CURRENT}
    decision = decide({"MADE": few}, "candidate")["MADE"]
    assert (decision.outcome, decision.becomes_current) == ("not_enough_evidence", True)


# -- properties ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0.8, 1.25),
    st.floats(0.8, 1.25),
    st.integers(5, 300),
    st.integers(0, 2**32 - 1),
    st.floats(0, 100),
)
def test_what_becomes_current_is_never_clearly_worse_than_anything(
    candidate: float, current: float, days: int, seed: int, age_days: float
) -> None:
    found = made(days, seed, candidate=candidate, current=current)
    decision = alone(found, current=ServingVersion("v", age_days))
    assert decision.becomes_current == (decision.outcome == "promoted") or (
        decision.outcome == "not_enough_evidence"
    )
    if decision.becomes_current:
        assert not any(c.is_worse(0.05) for c in decision.comparisons)
    assert json.loads(json.dumps(asdict(decision)))["reason"] == decision.reason
    again = alone(found, current=ServingVersion("v", age_days))
    assert again == decision


_P = re.compile(r"one-sided p ([\d.e-]+)(?: (<|>=) ([\d.e-]+))?")


@settings(deadline=None, max_examples=200)
@given(
    st.floats(0.97, 1.03),
    st.floats(0.97, 1.03),
    st.integers(30, 300),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 5, 7]),
    st.integers(1, 3),
)
def test_the_p_value_in_a_reason_agrees_with_the_decision(
    candidate: float, current: float, days: int, seed: int, attempts: int, symbols: int
) -> None:
    panel = {
        f"S{i}": made(days, seed + i, candidate=candidate, current=current) for i in range(symbols)
    }
    for decision in decide(panel, "candidate", STANDING, attempts=attempts).values():
        found = _P.search(decision.reason)
        assert found is not None
        p, sign, level = float(found[1]), found[2], found[3] and float(found[3])
        if sign is not None:
            assert (p < level) == (sign == "<")
            assert level <= SIGNIFICANCE
        if decision.reason.startswith(("significantly", "better on average")):
            assert sign == "<"
        if decision.reason.startswith("not distinguishable"):
            assert sign == ">="
            assert level == pytest.approx(SIGNIFICANCE / attempts, abs=1e-4)


@settings(deadline=None)
@given(st.floats(0, 0.5), st.sampled_from([SIGNIFICANCE / n for n in range(1, 30)]))
@example(0.0499999, 0.05)
@example(0.05, 0.05)
@example(0.0500000001, 0.05)
@example(0.0045479, 0.05 / 11)
def test_rounding_never_turns_a_p_value_to_the_other_side_of_its_level(
    p: float, level: float
) -> None:
    left, sign, right = ordered(p, level).split()
    assert (float(left) < float(right)) == (p < level) == (sign == "<")


@settings(deadline=None)
@given(st.integers(10, 80), st.integers(0, 2**32 - 1), st.floats(0.5, 2))
def test_the_one_sided_p_value_is_that_of_the_direction_of_the_ratio(
    days: int, seed: int, ratio: float
) -> None:
    both = made(days, seed, candidate=ratio)
    found = compare([both], "candidate", CURRENT, "window only", "crps")
    ours, theirs = (both[name, "window only"].crps[:, 0] for name in ("candidate", CURRENT))
    direction = "greater" if found.ratio > 1 else "less"
    expected = stats.ttest_rel(ours, theirs, alternative=direction).pvalue
    assert found.p_one_sided == pytest.approx(expected)
    assert found.is_worse(0.05) == (found.ratio > 1 and expected < 0.05)
    assert found.is_better(0.05) == (found.ratio < 1 and expected < 0.05)


# -- the choice among several -------------------------------------------------------------------


def test_of_equals_the_simplest_is_chosen() -> None:
    found = made(naive=1.2, simple=0.95, great=0.949, poor=1.3)
    name, p_values = choose({"MADE": found}, ["naive", "poor", "simple", "great"])
    assert name == "simple"
    assert p_values["naive"] < 0.05 < p_values["simple"]


def test_what_is_clearly_better_is_chosen_however_complicated() -> None:
    found = made(naive=1.2, simple=0.95, great=0.9)
    assert choose({"MADE": found}, ["naive", "simple", "great"])[0] == "great"


# -- how often it is right ----------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.01, 1.03])
def test_a_worse_one_is_promoted_in_at_most_5_of_100(ratio: float) -> None:
    found = Counter(d.outcome for d in decisions(ratio, 250, REPETITIONS))
    print(f"true CRPS {ratio - 1:+.0%}: {dict(found)} of {REPETITIONS}")
    assert found["promoted"] <= 0.05 * REPETITIONS


def test_one_3_percent_better_is_rejected_in_at_most_10_of_100() -> None:
    found = Counter(d.outcome for d in decisions(0.97, 250, REPETITIONS))
    print(f"true CRPS -3%: {dict(found)} of {REPETITIONS}")
    assert found["rejected"] <= 0.1 * REPETITIONS
    assert found["promoted"] > 0.6 * REPETITIONS


def test_the_deadline_takes_nothing_of_which_there_is_no_evidence() -> None:
    found = made(candidate=0.93)
    seen = found[CURRENT, "window only"]
    nothing = np.full_like(seen.crps, np.nan)
    found[CURRENT, "window only"] = replace(seen, crps=nothing, absolute_error=nothing)
    decision = alone(found, current=ServingVersion("v", 690))
    assert (decision.outcome, decision.becomes_current) == ("not_enough_evidence", False)
    del found[CURRENT, "window only"]  # it could not be scored at all
    assert alone(found, current=ServingVersion("v", 690)).becomes_current is False
