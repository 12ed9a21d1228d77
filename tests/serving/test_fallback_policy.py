"""Reactions to windows with drift findings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.dataset import ewma_volatility, log_returns
from closecast.core.prices import MAX_PRICE, MIN_PRICE
from closecast.core.verdict import Finding, Verdict
from closecast.errors import DataFault
from closecast.registry.registry import Registry
from closecast.serving import FallbackPolicy, Prediction
from closecast.serving.bundle import LoadedBundle
from closecast.serving.fallback_policy import WIDENING, naive_rows
from closecast.serving.loading import load_snapshot
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.support.synthetic_prices import closes, patiently, random_walk

REGIME = Finding("trend", "regime", "sum of moves", 4.1, 3.6, "Up and up.", 0.001, 0.002, 30)
FAULT = Finding("split", "fault", "jump", 9.0, 7.0, "A split.", 0.0005, 0.001, 41, ("shock",))
OTHER_FAULT = Finding("stale_window", "fault", "sessions", 9.0, 2.0, "Old.")
WINDOW: FloatArray = random_walk(60, 3).closes
OWN = ((7.0, 6.0, 8.0), (7.1, 5.9, 8.1))


def prediction(*findings: Finding) -> Prediction:
    return Prediction(
        *("MSFT", "MSFT", False, "v1", 3, 400, float(WINDOW[-1])),
        *((0.9,), OWN, Verdict(findings), len(WINDOW)),
    )


# -- the policy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("on_fault", ["warn", "refuse", "fallback"])
@pytest.mark.parametrize("on_regime", ["warn", "fallback"])
def test_what_nothing_was_found_in_is_answered_as_it_is(on_fault: str, on_regime: str) -> None:
    policy = FallbackPolicy(on_fault, on_regime)  # type: ignore[arg-type]
    assert policy.apply(prediction(), WINDOW.tolist(), 0.02) == prediction()


@pytest.mark.parametrize("findings", [(FAULT,), (REGIME,), (FAULT, REGIME)])
def test_by_default_it_is_only_warned_of(findings: tuple[Finding, ...]) -> None:
    said = prediction(*findings)
    assert FallbackPolicy().apply(said, WINDOW.tolist(), 0.02) is said


def test_a_move_that_is_unsure_is_never_refused() -> None:
    unsure = Finding(
        *("split", "regime", "move", 9.0, 7.0, "News, or a split?", 0.0005, 0.001, 41),
        alternatives=("split", "shock"),
    )
    said = prediction(unsure)
    assert FallbackPolicy(on_fault="refuse").apply(said, WINDOW.tolist(), 0.02) is said


def test_a_fault_is_refused_with_all_findings_and_what_to_do() -> None:
    policy = FallbackPolicy(on_fault="refuse")
    with pytest.raises(DataFault, match=r"MSFT .*\(split, stale_window\).* send them") as caught:
        policy.apply(prediction(FAULT, OTHER_FAULT, REGIME), WINDOW.tolist(), 0.02)
    assert caught.value.findings == (FAULT, OTHER_FAULT, REGIME)
    first = caught.value.details()["findings"][0]
    assert (first["code"], first["row"], first["p_value"]) == ("split", 41, 0.0005)


def test_a_regime_is_never_refused() -> None:
    policy = FallbackPolicy(on_fault="refuse")
    assert policy.apply(prediction(REGIME), WINDOW.tolist(), 0.02) == prediction(REGIME)


def test_without_a_verdict_nothing_is_refused() -> None:
    FallbackPolicy(on_fault="refuse").refuse("MSFT", None)
    FallbackPolicy(on_fault="fallback").refuse("MSFT", Verdict((FAULT,)))


@pytest.mark.parametrize(
    ("policy", "findings", "reason"),
    [
        (FallbackPolicy("fallback"), (FAULT,), "fault: split"),
        (FallbackPolicy("fallback"), (FAULT, OTHER_FAULT), "fault: split; fault: stale_window"),
        (FallbackPolicy("fallback"), (FAULT, REGIME), "fault: split"),
        (FallbackPolicy("fallback"), (REGIME,), None),
        (FallbackPolicy("warn", "fallback"), (REGIME,), "regime: trend"),
        (FallbackPolicy("warn", "fallback"), (FAULT, REGIME), "regime: trend"),
        (FallbackPolicy("warn", "fallback"), (FAULT,), None),
        (FallbackPolicy("fallback", "fallback"), (FAULT, REGIME), "fault: split; regime: trend"),
    ],
)
def test_each_channel_falls_back_for_itself(
    policy: FallbackPolicy, findings: tuple[Finding, ...], reason: str | None
) -> None:
    said = prediction(*findings)
    answer = policy.apply(said, WINDOW.tolist(), 0.02)
    assert answer.degraded_reason == reason
    assert answer.verdict == said.verdict
    if reason is None:
        assert answer == said
    else:
        assert answer.rows == naive_rows(WINDOW, 0.02, 2, [0.9])
        assert answer.calibration_revision is None


def test_the_settings_decide() -> None:
    chosen = Settings(_env_file=None, drift_on_fault="refuse", drift_on_regime="fallback")  # type: ignore[call-arg]
    assert FallbackPolicy.from_settings(chosen) == FallbackPolicy("refuse", "fallback")
    assert FallbackPolicy.from_settings(Settings(_env_file=None)) == FallbackPolicy()  # type: ignore[call-arg]


# -- the path that stands in --------------------------------------------------------------------


@patiently
@given(closes(2, 80), st.floats(1e-6, 0.2), st.integers(1, 20))
def test_the_centre_is_the_last_close_and_intervals_nest_and_widen(
    window: FloatArray, volatility: float, horizon: int
) -> None:
    rows = naive_rows(window, volatility, horizon, [0.5, 0.8, 0.99])
    assert len(rows) == horizon
    for price, *ends in rows:
        inner, middle, outer = zip(ends[::2], ends[1::2], strict=True)
        assert price == window[-1]
        assert 0 < outer[0] < middle[0] < inner[0] < price
        assert price < inner[1] < middle[1] < outer[1] < np.inf
    for before, after in pairwise(rows):
        assert after[2] > before[2]


@pytest.mark.parametrize(
    "window",
    [
        [MIN_PRICE, MAX_PRICE] * 30,
        [MAX_PRICE, MIN_PRICE] * 30,
        [MIN_PRICE] * 60,
        [MAX_PRICE] * 60,
        [1.0, MAX_PRICE],
    ],
)
@pytest.mark.parametrize("volatility", [1e-6, 0.02, 1.0])
def test_it_is_finite_whatever_was_sent(window: list[float], volatility: float) -> None:
    for _, *ends in naive_rows(np.array(window), volatility, 10, [0.5, 0.99]):
        assert np.isfinite(ends).all()
        assert min(ends) > 0


def test_its_width_is_twice_that_of_a_normal_law_with_the_larger_volatility() -> None:
    own = float(ewma_volatility(log_returns(WINDOW)))
    for long_run in (own / 3, 3 * own):
        price, lower, upper = naive_rows(WINDOW, long_run, 4, [0.95])[3]
        half = np.log(upper / price)
        assert half == pytest.approx(WIDENING * 1.959964 * max(own, long_run) * 2, rel=1e-6)
        assert np.log(price / lower) == pytest.approx(half)


@pytest.mark.parametrize("factor", [100.0, 0.5, 1e6])
def test_the_fault_itself_does_not_make_it_useless(factor: float) -> None:
    clean = naive_rows(WINDOW, 0.01, 1, [0.95])[0]
    wrong = naive_rows(np.append(WINDOW[:-1], factor * WINDOW[-1]), 0.01, 1, [0.95])[0]
    half, usual = (np.log(upper / price) for price, _, upper in (wrong, clean))
    assert half < 3 * usual


def test_a_frozen_window_has_the_long_run_width() -> None:
    [[_, _, upper]] = naive_rows(np.full(60, 250.0), 0.02, 1, [0.95])
    assert np.log(upper / 250) == pytest.approx(WIDENING * 1.959964 * 0.02)


def test_on_clean_windows_it_is_wider_than_the_models_own(published: Settings) -> None:
    registry = Registry(published.models_url)
    pointer = registry.pointer("MSFT")
    assert pointer is not None
    bundle = registry.load_to_serve(pointer.version, "MSFT")
    snapshot = load_snapshot("MSFT", 1, LoadedBundle(bundle))
    known = SampleSource().fetch("MSFT").closes
    ratios = []
    for end in range(2000, 4500, 25):
        window = known[end - 60 : end]
        own = snapshot.predict(window.tolist()).rows
        wide = naive_rows(window, snapshot.detector.baseline.volatility, len(own), [0.8, 0.95])
        ratios.append(
            [
                [w / o for w, o in zip(*map(widths, both), strict=True)]
                for both in zip(wide, own, strict=True)
            ]
        )
    assert (np.array(ratios) > 1).mean() > 0.99
    assert 1.5 < np.mean(ratios) < 4


def widths(row: Sequence[float]) -> list[float]:
    return [upper - lower for lower, upper in zip(row[1::2], row[2::2], strict=True)]
