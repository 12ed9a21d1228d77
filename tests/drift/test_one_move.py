"""One large move: ok, news, unsure, fault, in this order as it grows, and never back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Finding, Verdict
from closecast.drift import Context, DriftDetector, in_language
from tests.contracts.statistic import BASELINE, BEFORE, CLEAN, LENGTH
from tests.drift.test_statistics import window
from tests.support.synthetic_prices import as_prices, patiently, random_walk

pytestmark = pytest.mark.usefixtures("either_way")

DETECTOR = DriftDetector(BASELINE)
RANK = {"ok": 0, "regime": 1, "fault": 2}
DOWN = np.log([0.99, 0.95, 0.9, 0.85, 0.8, 0.75, 0.72, 0.7, 2 / 3, 0.65, 0.6, 0.55, 0.52, 0.5])
FURTHER = np.log([0.45, 0.4, 1 / 3, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01, 0.001])
GRID = np.concatenate([[0.0], DOWN, FURTHER])
"""Log returns from none to -99.9 %; with the other sign up to a thousand times."""


def last_move(percent: float, volatility: float, seed: int = 0) -> FloatArray:
    """A window of a random walk with another last move."""
    return moved(window(volatility, seed), LENGTH - 1, float(np.log1p(percent / 100)))


def moved(closes: FloatArray, row: int, move: float) -> FloatArray:
    """The closes with another move to a row; later ones follow."""
    closes = closes.copy()
    closes[row:] *= closes[row - 1] * np.exp(move) / closes[row]
    return closes


def only(verdict: Verdict) -> Finding:
    """The finding about one move; there is no second one of it."""
    [finding] = [f for f in verdict.findings if f.code in ("split", "shock", "unit_error")]
    return finding


def unsure(finding: Finding) -> bool:
    return finding.level == "regime" and set(finding.alternatives) == {"split", "shock"}


@patiently
@given(
    seed=st.integers(0, 2**32 - 1),
    volatility=st.floats(0.3, 3.0),
    row=st.one_of(st.just(LENGTH - 1), st.integers(1, LENGTH - 1)),
    up=st.booleans(),
    volume=st.one_of(st.none(), st.floats(0.2, 60)),
    known=st.booleans(),
)
def test_the_level_never_falls_as_a_move_grows(
    seed: int, volatility: float, row: int, up: bool, volume: float | None, known: bool
) -> None:
    rng = np.random.default_rng(seed)
    steps = volatility * BASELINE.volatility * rng.standard_t(5, LENGTH) * np.sqrt(3 / 5)
    closes = BEFORE.closes[-1] * np.exp(np.cumsum(steps) - steps[0])
    traded = None
    if volume is not None:
        traded = 1e6 * np.exp(rng.normal(0, 0.3, LENGTH))
        traded[row] = 1e6 * volume
    days = BEFORE.sessions[-1] + np.arange(1, LENGTH + 1)
    context = Context(known=BEFORE if known else None, sessions=days, volume=traded)
    moves = -GRID if up else GRID
    verdicts = DETECTOR.check_batch(
        np.array([moved(closes, row, move) for move in moves]), [context] * len(moves)
    )
    assume(verdicts[0].level == "ok")
    ranks = [RANK[verdict.level] for verdict in verdicts]
    assert ranks == sorted(ranks)
    assert ranks[-1] == RANK["fault"]


@pytest.mark.parametrize("percent", [-12.0, -15.0, -20.0, -25.0, 18.0])
def test_a_day_of_eight_deviations_is_news_on_the_day(percent: float) -> None:
    for seed in range(10):
        finding = only(DETECTOR.check(last_move(percent, 0.012, seed)))
        assert (finding.code, finding.level, finding.row) == ("shock", "regime", LENGTH - 1)
        assert finding.threshold <= 8


def test_news_fades() -> None:
    """A day after it is less, and after weeks only very large news is."""

    def level(row: int, percent: float) -> str:
        return DETECTOR.check(moved(window(0.012, 3), row, np.log1p(percent / 100))).level

    assert [level(row, -12.0) for row in (59, 50, 30)] == ["regime", "ok", "ok"]
    assert level(30, -25.0) == "regime"


@pytest.mark.parametrize(
    ("percent", "volatility"),
    [(-26.4, 0.022), (-35.0, 0.028), (-31.0, 0.03), (-33.3, 0.015), (-40.0, 0.02), (50.0, 0.015)],
)
def test_between_news_and_a_split_it_is_unsure(percent: float, volatility: float) -> None:
    """The first three are Meta on 2022-02-03, Netflix on 2022-04-20 and Nvidia on 2008-07-03."""
    for seed in range(10):
        finding = only(DETECTOR.check(last_move(percent, volatility, seed)))
        assert finding.level == "regime"
        if percent != -26.4:
            assert unsure(finding)
            assert finding.alternatives[0] == finding.code
            assert finding.tail_ranks.keys() == {"split", "shock"}
            assert 0 < finding.tail_ranks["shock"] <= 0.01
            assert 0 < finding.tail_ranks["split"] <= 1
            assert "split" in finding.sentence
            assert "news" in finding.sentence


def test_an_unsure_move_says_so_in_portuguese() -> None:
    verdict = DETECTOR.check(last_move(-35.0, 0.02))
    finding = only(in_language(verdict, "pt"))
    assert "notícia" in finding.sentence
    assert "desdobramento" in finding.sentence


@pytest.mark.parametrize("row", [5, 30, 59])
def test_a_split_of_three_for_two_is_named_first(row: int) -> None:
    named = []
    for seed in range(20):
        closes = window(0.015, seed).copy()
        closes[row:] /= 1.5
        finding = DETECTOR.check(closes).findings[0]
        assert unsure(finding)
        assert finding.row == row
        named.append(finding.code)
    assert named.count("split") >= 19


@pytest.mark.parametrize(
    ("times", "code", "level"),
    [
        (1.0, "split", "fault"),
        (1.4, "split", "fault"),
        (2.5, "split", "regime"),
        (3.8, "split", "regime"),
        (6.0, "shock", "regime"),
    ],
)
def test_volume_between_the_usual_and_that_of_news_settles_nothing(
    times: float, code: str, level: str
) -> None:
    volume = np.full(LENGTH, 1e6)
    volume[-1] *= times
    verdict = DETECTOR.check(last_move(-31.0, 0.025), Context(volume=volume))
    finding = only(verdict)
    assert (finding.code, finding.level) == (code, level)
    assert unsure(finding) is (times in (2.5, 3.8))


@pytest.mark.parametrize("times", [4.0, 22.0])
def test_volume_never_makes_a_real_fall_by_half_a_certain_split(times: float) -> None:
    volume = np.full(LENGTH, 1e6)
    volume[-1] *= times
    finding = only(DETECTOR.check(last_move(-52.0, 0.02), Context(volume=volume)))
    assert finding.level == ("fault" if times < 5 else "regime")
    assert (finding.alternatives == ("shock",)) is (times < 5)


def coin(seed: int) -> tuple[FloatArray, DriftDetector]:
    """A window as wild as those of coins, and a detector that knows the volatility."""
    volatility = 0.055
    rng = np.random.default_rng(seed)
    steps = 0.8 * volatility * rng.standard_t(4, LENGTH) * np.sqrt(0.5)
    return 100 * np.exp(np.cumsum(steps)), DriftDetector(replace(BASELINE, volatility=volatility))


@pytest.mark.parametrize("percent", [-40.0, -45.0, -50.0, -55.0])
def test_a_crash_of_a_coin_is_unsure(percent: float) -> None:
    verdicts = []
    for seed in range(100):
        closes, detector = coin(seed)
        closes = moved(closes, LENGTH - 1, float(np.log1p(percent / 100)))
        verdicts.append(detector.check(closes))
    levels = [verdict.level for verdict in verdicts]
    assert levels.count("fault") <= 4  # spikes of the walk itself among them
    assert levels.count("ok") <= 5
    if percent < -44:
        assert sum(any(unsure(f) for f in verdict.findings) for verdict in verdicts) >= 90


def test_a_window_alone_may_be_of_a_wilder_symbol_of_the_kind() -> None:
    """The default symbol is a calm coin; a halving is plausible for the wilder ones."""
    calm = replace(BASELINE, volatility=0.03)
    kind = replace(calm, reference={**BASELINE.reference, "volatility": 0.055})
    closes = 100 * window(0.03) / window(0.03)[0]
    halved = moved(closes, LENGTH - 1, float(np.log(0.48)))
    assert only(DriftDetector(calm).check(halved)).level == "fault"
    assert unsure(only(DriftDetector(kind).check(halved)))
    known = Context(known=as_prices(np.append(random_walk(300, 5, 0.03).closes, closes[:-1])))
    assert only(DriftDetector(kind).check(halved, known)).level == "fault"


def test_splits_of_coins_are_seen_and_named() -> None:
    seen = named = 0
    rng = np.random.default_rng(1)
    for seed in range(200):
        closes, detector = coin(seed)
        closes[rng.integers(1, LENGTH) :] /= 2
        findings = [f for f in detector.check(closes).findings if f.code in ("split", "shock")]
        seen += bool(findings)
        named += bool(findings) and findings[0].code == "split"
    assert seen >= 190
    assert named >= 0.95 * seen


def test_units_that_alternate_are_a_unit_error_and_no_news() -> None:
    rng = np.random.default_rng(5)
    for share in (0.5, 0.1, 0.3, 0.7):
        for seed in range(20):
            closes = window(0.015, seed) * np.where(rng.random(LENGTH) < share, 100, 1)
            if len(set(np.round(np.log10(closes / closes[0])))) == 1:
                continue  # chance left all in one unit
            first = DETECTOR.check(closes).findings[0]
            assert (first.code, first.level) == ("unit_error", "fault")
    every_other = CLEAN[0] * np.where(np.arange(LENGTH) % 2, 100, 1)
    assert DETECTOR.check(every_other).findings[0].code == "unit_error"
