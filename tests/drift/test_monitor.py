"""The monitor over time: what it promises, how soon it finds, and what it never does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.drift import monitor as drift_monitor
from benchmarks.drift.monitor import made_session, run_lengths, watched_sample
from closecast.core.arrays import FloatArray
from closecast.core.records import DriftDay
from closecast.drift import ARL0, Monitor, discoveries, tail_probability
from closecast.drift import monitor as drift
from closecast.drift.monitor import (
    BET_TABLE,
    BETS,
    LARGEST,
    LEAST_TAIL,
    MISS_RATE,
    accumulate,
    e_values,
    evidence_of,
)
from closecast.errors import DamagedBundle

MISSES = slice(0, 2)
SHOCKS = slice(2, 4)


# -- what makes the promise ---------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.05, MISS_RATE])
def test_a_bet_on_misses_is_fair_at_the_promised_rate_and_loses_below(rate: float) -> None:
    missed, held = (e_values(np.array(x), np.array(0.5))[MISSES] for x in (1.0, 0.0))
    expectation = rate * missed + (1 - rate) * held
    if rate == MISS_RATE:
        assert expectation == pytest.approx(1.0)
    else:
        assert (expectation < 1).all()


def test_a_bet_on_shocks_is_fair_for_uniform_tails() -> None:
    u = (np.arange(1_000_000) + 0.5) / 1_000_000
    expectation = e_values(np.zeros(len(u)), u)[:, SHOCKS].mean(axis=0)
    assert (expectation <= 1 + 1e-9).all()
    assert (expectation > 0.97).all(), "the floor takes little from the evidence"


@pytest.mark.parametrize("n", [39, 200, 750])
def test_a_bet_on_shocks_is_fair_for_the_ranks_among_any_number_of_scores(n: int) -> None:
    ranks = np.arange(1, n + 2) / (n + 1)
    assert (e_values(np.zeros(n + 1), ranks)[:, SHOCKS].mean(axis=0) <= 1).all()


def test_shares_of_the_evidence_add_up_to_one() -> None:
    assert sum(bet.share for bet in BET_TABLE) == pytest.approx(1.0)
    assert min(bet.share for bet in BET_TABLE) > 0
    assert float(evidence_of(np.full(BETS, 7.0))) == pytest.approx(7.0)


def test_expected_evidence_is_at_most_the_number_of_sessions() -> None:
    rng, streams = np.random.default_rng(5), 40_000
    values = np.zeros((streams, BETS))
    for session in range(1, 31):
        values = accumulate(values, *made_session(rng, streams, MISS_RATE))
        if session in (1, 5, 10, 30):
            evidence = evidence_of(values)
            error = float(evidence.std() / np.sqrt(streams))
            assert evidence.mean() <= session + 4 * error
            if session <= 10:  # later the mean is that of a few large ones
                assert evidence.mean() >= 0.97 * session - 4 * error, "the floor takes little"


@pytest.mark.parametrize("told_by_tails", [True, False])
def test_false_alarms_are_a_thousand_sessions_apart(told_by_tails: bool) -> None:
    runs = run_lengths(MISS_RATE, 1500, told_by_tails=told_by_tails, longest=10_000, seed=11)
    error = runs.std() / np.sqrt(len(runs))
    assert runs.mean() - 3 * error >= 1000  # cut at 10,000: the true mean is larger
    assert runs.mean() < 2500, "an alarm that never comes keeps this promise, too"


@pytest.mark.parametrize("n", [39, 200, 750])
def test_a_calibration_of_few_scores_brings_no_more_false_alarms(n: int) -> None:
    """Tails are ranks among one finite calibration, good or bad luck for the whole run."""
    rng, streams, longest = np.random.default_rng(n), 600, 5000
    scores = np.sort(np.abs(rng.standard_t(4, (streams, n))), axis=1)
    values, runs = np.zeros((streams, BETS)), np.full(streams, float(longest))
    for session in range(1, longest + 1):
        new = np.abs(rng.standard_t(4, streams))
        tails = (1 + (scores >= new[:, None]).sum(axis=1)) / (n + 1)
        values = accumulate(values, (rng.random(streams) < MISS_RATE).astype(float), tails)
        alarm = (evidence_of(values) >= ARL0) & (runs == longest)
        runs[alarm] = session
    error = runs.std() / np.sqrt(streams)
    assert runs.mean() - 3 * error >= 1000


# -- how soon -----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 250])
@pytest.mark.parametrize("told_by_tails", [True, False])
@pytest.mark.parametrize(("rate", "longest"), [(0.5, 13), (0.25, 63)])
def test_a_change_is_found_in_time(
    rate: float, longest: int, told_by_tails: bool, after: int
) -> None:
    runs = run_lengths(rate, 3000, after=after, told_by_tails=told_by_tails, seed=3)
    assert len(runs) > 2000
    assert np.median(runs) <= longest


def test_when_the_live_interval_has_learned_the_model_as_trained_still_tells() -> None:
    """Misses are back at a tenth; returns are half as large again as in training."""
    rng, streams = np.random.default_rng(8), 1000
    values, found = np.zeros((streams, BETS)), np.full(streams, 1000.0)
    for session in range(1, 200):
        normal = np.abs(1.5 * rng.normal(size=streams))
        tails = np.array([2 * NormalDist().cdf(-x) for x in normal])
        values = accumulate(values, (rng.random(streams) < MISS_RATE).astype(float), tails)
        alarm = (evidence_of(values) >= ARL0) & (found == 1000)
        found[alarm] = session
    assert np.median(found) <= 63


def test_no_session_raises_an_alarm_alone() -> None:
    assert Monitor().after(missed=True, tail=0.0).evidence < ARL0 / 50
    ordinary = Monitor((10.0,) * BETS)
    assert not ordinary.after(missed=True, tail=0.0).in_alarm


@pytest.mark.parametrize(("rate", "length"), [(0.5, 60), (0.25, 250)])
def test_when_the_regime_is_over_the_alarm_goes_within_months(rate: float, length: int) -> None:
    rng, streams = np.random.default_rng(2), 1000
    values = np.zeros((streams, BETS))
    for _ in range(length):
        values = accumulate(values, *made_session(rng, streams, rate))
    values = values[evidence_of(values) >= ARL0]
    assert len(values) > streams / 2
    stayed = np.zeros(len(values))
    inside = np.ones(len(values), dtype=bool)
    for _ in range(400):
        values = accumulate(values, *made_session(rng, len(values), MISS_RATE))
        inside &= evidence_of(values) >= ARL0
        stayed += inside
    assert 40 <= np.median(stayed) <= 100
    assert np.quantile(stayed, 0.9) <= 180


# -- one session more ---------------------------------------------------------------------------


def test_what_nobody_knows_changes_nothing() -> None:
    monitor = Monitor((1.0, 2.0, 3.0, 4.0))
    assert monitor.after(None, None) == monitor
    assert monitor.after(None, 0.3).values[MISSES] == (1.0, 2.0)
    assert monitor.after(True, None).values[SHOCKS] == (3.0, 4.0)
    assert monitor.after(None, 0.3).values[SHOCKS] == monitor.after(True, 0.3).values[SHOCKS]
    assert monitor.after(True, None).values[MISSES] == monitor.after(True, 0.3).values[MISSES]


def test_one_step_by_hand() -> None:
    after = Monitor((1.0, 0.0, 3.0, 0.0)).after(missed=True, tail=0.25)
    assert [(bet.on, bet.parameter) for bet in BET_TABLE] == [
        *(("miss", 0.25), ("miss", 0.5)),
        *(("shock", 0.5), ("shock", 0.7)),
    ]
    assert after.values == pytest.approx([2 * 2.5, 5.0, 4 * 0.5 * 0.25**-0.5, 0.7 * 0.25**-0.3])
    assert after.evidence == pytest.approx(0.24 * 5 + 0.36 * 5 + 0.2 * 4 + 0.2 * 0.7 * 0.25**-0.3)
    held = Monitor().after(missed=False, tail=1.0)
    assert held.values == pytest.approx([0.75 / 0.9, 0.5 / 0.9, 0.5, 0.7])


@pytest.mark.parametrize("tail", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_tail_that_is_no_probability_is_refused(tail: float) -> None:
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        Monitor().after(missed=False, tail=tail)


SESSIONS = st.lists(
    st.tuples(
        st.none() | st.booleans(),
        st.none() | st.floats(0, 1) | st.sampled_from([0.0, 5e-324, LEAST_TAIL, 1.0]),
    ),
    max_size=80,
)


@given(SESSIONS, st.sampled_from([0.0, 1.0, LARGEST]))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_the_evidence_is_a_number(
    sessions: Sequence[tuple[bool | None, float | None]], start: float
) -> None:
    monitor = Monitor((start,) * BETS)
    for missed, tail in sessions:
        monitor = monitor.after(missed, tail)
        assert all(0 <= value <= LARGEST for value in monitor.values)
        assert 0 <= monitor.evidence <= LARGEST * (1 + 1e-12)
        assert monitor.in_alarm is (monitor.evidence >= ARL0)
    again = Monitor.from_values(json.loads(json.dumps(monitor.values)))
    assert again == monitor  # to the same bits
    assert again.after(True, 0.01) == monitor.after(True, 0.01)


def test_ten_thousand_misses_and_ten_thousand_hits_stay_finite() -> None:
    monitor = Monitor()
    for _ in range(10_000):
        monitor = monitor.after(missed=True, tail=0.0)
    assert monitor.values == (LARGEST,) * BETS
    for _ in range(10_000):
        monitor = monitor.after(missed=False, tail=1.0)
    assert not monitor.in_alarm
    assert monitor.evidence > 0


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0] * (BETS - 1),
        [0.0] * (BETS + 1),
        [-1.0, 0, 0, 0],
        [float("nan"), 0, 0, 0],
        [float("inf"), 0, 0, 0],
        [2 * LARGEST, 0, 0, 0],
        ["x", 0, 0, 0],
        [None, 0, 0, 0],
        None,
        3.0,
    ],
)
def test_a_damaged_state_is_refused(values: object) -> None:
    with pytest.raises(DamagedBundle, match="drift monitor"):
        Monitor.from_values(values)  # type: ignore[arg-type]


def test_a_monitor_stored_before_a_bet_was_added_is_read_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = (5.0, 6.0, 7.0, 8.0)
    then = Monitor.from_values(stored).after(missed=True, tail=0.2)
    monkeypatch.setattr(drift, "BETS", 5)
    monkeypatch.setattr(drift, "_PARAMETERS", np.array([0.25, 0.5, 0.5, 0.7, 0.2]))
    monkeypatch.setattr(drift, "_ON_MISSES", np.array([True, True, False, False, True]))
    monkeypatch.setattr(drift, "_SHARES", np.array([0.24, 0.26, 0.2, 0.2, 0.1]))
    newer = Monitor.from_values(stored)
    assert newer.values == (*stored, 0.0)
    after = newer.after(missed=True, tail=0.2)
    assert after.values == pytest.approx((*then.values, 2.0))
    with pytest.raises(DamagedBundle, match="5 values"):
        Monitor.from_values(stored[:3])


def test_many_monitors_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(0)
    values, monitors = np.zeros((5, BETS)), [Monitor()] * 5
    for _ in range(40):
        misses, tails = made_session(rng, 5, 0.3)
        values = accumulate(values, misses, tails)
        monitors = [
            m.after(bool(miss), float(tail))
            for m, miss, tail in zip(monitors, misses, tails, strict=True)
        ]
    assert np.array([m.values for m in monitors]) == pytest.approx(values, rel=1e-9)


# -- tails --------------------------------------------------------------------------------------


def test_a_tail_is_the_rank_of_the_size_on_either_side() -> None:
    scores = np.array([-3.0, -1.0, 0.0, 2.0])
    assert [tail_probability(scores, s) for s in (0, -1, 1.5, -2, 2.5, 9)] == [
        pytest.approx(x / 5) for x in (5, 4, 3, 3, 2, 1)
    ]


def test_tails_of_the_same_law_are_at_least_uniform() -> None:
    rng, n = np.random.default_rng(4), 4000
    tails = np.array([tail_probability(x[:-1], x[-1]) for x in rng.standard_t(3, size=(n, 60))])
    for u in (0.05, 0.1, 0.3, 0.7):
        assert (tails <= u).mean() <= u + 3 * np.sqrt(u * (1 - u) / n)


# -- many symbols -------------------------------------------------------------------------------

EVIDENCE = st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.floats(0, 2e4), max_size=10)


@given(EVIDENCE)
@settings(deadline=None)
def test_discoveries_are_those_that_hold_their_own(evidence: dict[str, float]) -> None:
    found = discoveries(evidence)
    assert found <= set(evidence)
    for symbol in found:
        assert len(found) * evidence[symbol] >= len(evidence) * ARL0
    # and no larger set of the largest would
    for k in range(len(found) + 1, len(evidence) + 1):
        kth = sorted(evidence.values(), reverse=True)[k - 1]
        assert k * kth < len(evidence) * ARL0


@given(EVIDENCE, st.sampled_from("ABCDEFGHIJ"), st.floats(1, 10))
@settings(deadline=None)
def test_more_evidence_takes_no_discovery_away(
    evidence: dict[str, float], symbol: str, factor: float
) -> None:
    more = {s: e * factor if s == symbol else e for s, e in evidence.items()}
    assert discoveries(evidence) <= discoveries(more)
    assert discoveries(evidence) == discoveries(dict(reversed(evidence.items())))


def test_one_symbol_alone_is_the_alarm_itself() -> None:
    assert discoveries({}) == frozenset()
    assert discoveries({"A": ARL0}) == {"A"}
    assert discoveries({"A": ARL0 - 1e-9}) == frozenset()
    assert discoveries({"A": 50.0}, arl0=50) == {"A"}


def test_equal_evidence_is_found_or_not_together() -> None:
    assert discoveries(dict.fromkeys("ABCD", ARL0)) == set("ABCD")


def one_factor(rng: np.random.Generator, share: float, runs: int, symbols: int) -> FloatArray:
    """Standard normal shocks whose common part is so large, shape (runs, symbols)."""
    common, own = rng.normal(size=(runs, 1)), rng.normal(size=(runs, symbols))
    return np.asarray(np.sqrt(share) * common + np.sqrt(1 - share) * own)


@pytest.mark.parametrize("drifted", [0, 4])
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_the_error_over_patience_is_what_is_promised(share: float, drifted: int) -> None:
    """Stopped when it hurts most, at the first false discovery; symbols are dependent."""
    symbols, runs, arl0, patience = 12, 500, 100.0, 150
    rng = np.random.default_rng(17)
    sizes = np.where(np.arange(symbols) < drifted, 2.0, 1.0)
    names = [str(i) for i in range(symbols)]
    false = set(names[drifted:])
    limit = NormalDist().inv_cdf(1 - MISS_RATE / 2)
    grid = np.linspace(0, 12, 4001)
    cdf = np.array([2 * NormalDist().cdf(-x) for x in grid])
    values = np.zeros((runs, symbols, BETS))
    stopped, wrong = np.full(runs, float(patience)), np.zeros(runs)
    for session in range(1, patience + 1):
        size = np.abs(one_factor(rng, share, runs, symbols) * sizes)
        values = accumulate(values, (size > limit).astype(float), np.interp(size, grid, cdf))
        evidence = evidence_of(values)
        for run in np.flatnonzero((stopped == patience) & (evidence.max(axis=1) >= arl0)):
            found = discoveries(dict(zip(names, evidence[run], strict=True)), arl0)
            if found & false or session == patience:
                stopped[run] = session
                wrong[run] = len(found & false) / max(1, len(found))
    surplus = wrong - stopped / arl0
    assert surplus.mean() <= 3 * surplus.std() / np.sqrt(runs)
    assert wrong.any(), "false discoveries do occur, or this says nothing"


# -- real closes --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> dict[str, list[DriftDay]]:
    return watched_sample()


def test_a_model_of_2017_notices_march_2020_and_hardly_anything_else(
    real: dict[str, list[DriftDay]],
) -> None:
    for symbol, days in real.items():
        alarms = [day.session for day in days if day.evidence >= ARL0]
        assert any(date(2020, 2, 24) <= session <= date(2020, 4, 30) for session in alarms), symbol
        assert len(alarms) < 0.1 * len(days)
        assert days[-1].evidence < ARL0


def test_symbols_are_discovered_together_when_the_market_breaks(
    real: dict[str, list[DriftDay]],
) -> None:
    by_session: dict[date, dict[str, float]] = {}
    for symbol, days in real.items():
        for day in days:
            by_session.setdefault(day.session, {})[symbol] = day.evidence
    assert discoveries(by_session[date(2020, 3, 23)]) == set(real)
    assert discoveries(by_session[date(2019, 12, 31)]) == frozenset()


def test_the_table_has_a_line_for_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_monitor, "LONGEST", 2000)
    monkeypatch.setattr(drift_monitor, "watched_sample", dict)
    lines = drift_monitor.monitor_table(streams=40).splitlines()
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == ["20%", "25%", "35%", "50%"]
    assert sum(line.startswith(("of one law", "independent")) for line in lines) == 2
