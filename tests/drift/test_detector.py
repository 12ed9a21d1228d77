"""The verdict: properties that hold for every window, order, languages."""

from __future__ import annotations

import json
import math
import string
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Code, Finding, Verdict
from closecast.drift import Baseline, Context, DriftDetector, in_language
from closecast.drift.messages import SENTENCES, sentence
from closecast.sources.sample import SampleSource
from tests.contracts.statistic import BASELINE, BEFORE, CLEAN, LENGTH
from tests.drift.test_statistics import filled, frozen, leaning, window, with_jump, with_wrong_close
from tests.support.synthetic_prices import patiently

pytestmark = pytest.mark.usefixtures("either_way")

DETECTOR = DriftDetector(BASELINE)

ODD = {
    "split": with_jump(0.5),
    "unit": with_jump(100.0),
    "spike": with_wrong_close(1.3),
    "frozen": frozen(9),
    "filled": filled(7, 19, 30, 44, 51, 58),
    "wild": window(6 * BASELINE.volatility),
    "calm": window(0.05 * BASELINE.volatility),
    "trend": leaning(5, -3.5),
}

moves = st.lists(
    st.one_of(
        st.floats(-0.05, 0.05), st.just(0.0), st.floats(-5, 5), st.sampled_from([-0.6931, 4.6052])
    ),
    min_size=LENGTH - 1,
    max_size=LENGTH - 1,
)


def closes_of(steps: list[float]) -> FloatArray:
    """A window of any moves, inside the bounds of what a close may be."""
    logs = np.clip(np.concatenate([[0.0], np.cumsum(steps)]), -20, 20)
    return np.asarray(100 * np.exp(logs))


def said(verdict: Verdict) -> list[tuple[str, str, int | None]]:
    return [(f.code, f.level, f.row) for f in verdict.findings]


@patiently
@given(moves, st.sampled_from([5.43, 0.01, 1e3, 1e-2]))
def test_another_currency_changes_nothing(steps: list[float], factor: float) -> None:
    closes = closes_of(steps)
    here, there = DETECTOR.check(closes), DETECTOR.check(factor * closes)
    assert {f.code for f in here.findings} == {f.code for f in there.findings}
    assert here.level == there.level


@patiently
@given(moves)
def test_never_nan_and_the_order_is_stable(steps: list[float]) -> None:
    closes = closes_of(steps)
    verdict = DETECTOR.check(closes, Context(known=BEFORE))
    for finding in verdict.findings:
        assert math.isfinite(finding.value)
        assert math.isfinite(finding.threshold)
        assert finding.value > finding.threshold or finding.p_value is None
        assert finding.p_value is None or 0 < finding.p_value <= 1
        assert all(math.isfinite(v) for v in finding.facts.values() if isinstance(v, float))
    json.loads(TypeAdapter(Verdict).dump_json(verdict))  # what NaN could not pass
    assert [f.level for f in verdict.findings] == sorted(
        [f.level for f in verdict.findings], key="fault regime".index
    )
    assert len({f.code for f in verdict.findings}) == len(verdict.findings)
    assert DETECTOR.check(closes.copy(), Context(known=BEFORE)) == verdict


@patiently
@given(st.floats(0.2, 5.0))
def test_in_units_of_its_volatility_a_window_is_judged_alike(times: float) -> None:
    """Scale invariance: a symbol that is wilder by a factor, and its baseline with it."""
    from dataclasses import replace

    other = DriftDetector(replace(BASELINE, volatility=times * BASELINE.volatility))
    for seed in range(3):
        here = window(seed=seed)
        there = 100 * np.exp(times * np.log(here / here[0]))
        regime = [
            {f.code: f.value for f in d.check(c).findings if f.level == "regime"}
            for d, c in ((DETECTOR, here), (other, there))
        ]
        assert regime[0] == pytest.approx(regime[1], abs=1e-3)


def test_clean_windows_are_ok_and_say_so() -> None:
    levels = [DETECTOR.check(closes).level for closes in CLEAN]
    assert levels.count("ok") >= len(levels) - 2  # at 1 % per channel


@pytest.mark.parametrize("length", [10, 19, 20, 21])
def test_too_few_closes_are_insufficient(length: int) -> None:
    verdict = DETECTOR.check(CLEAN[0][:length])
    assert verdict.level == ("insufficient" if length < 20 else "ok")


def test_faults_come_before_regimes() -> None:
    closes = leaning(5, -4)
    closes[20] *= 1.4
    verdict = DETECTOR.check(closes)
    assert said(verdict)[0] == ("spike", "fault", 20)
    assert ("trend", "regime", 55) in said(verdict)[1:]
    assert verdict.level == "fault"


def test_one_wrong_close_is_one_finding() -> None:
    for factor in (1.3, 2.0, 100.0):
        assert len(DETECTOR.check(with_wrong_close(factor)).findings) == 1


def test_the_window_is_not_changed() -> None:
    closes = with_jump(0.5)
    before = closes.copy()
    DETECTOR.check(closes, Context(known=BEFORE))
    assert closes.tolist() == before.tolist()


# -- real closes --------------------------------------------------------------------------------


def test_real_years_after_training_are_mostly_ok_and_2008_is_not() -> None:
    """Microsoft, trained on 2005 to 2007; windows of the crash."""
    prices = SampleSource().fetch("MSFT")
    detector = DriftDetector(Baseline.fit(prices.between(None, "2007-12-31"), LENGTH))

    def share_of_regime(start: str, end: str) -> float:
        closes = prices.between(start, end).closes
        windows = np.lib.stride_tricks.sliding_window_view(closes, LENGTH)
        return float(np.mean([detector.check(w).level == "regime" for w in windows]))

    assert share_of_regime("2008-08-15", "2008-12-31") > 0.5
    assert share_of_regime("2013-01-01", "2014-12-31") < 0.05


# -- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ODD)
def test_every_finding_has_a_sentence_in_each_language(name: str) -> None:
    english = DETECTOR.check(ODD[name])
    assert english.findings
    portuguese = in_language(english, "pt")
    assert said(portuguese) == said(english)
    for here, there in zip(english.findings, portuguese.findings, strict=True):
        assert here.sentence != there.sentence
    assert in_language(portuguese, "en") == english


def test_the_languages_have_the_same_sentences_about_the_same_facts() -> None:
    fields = {
        language: {
            key: {name for _, name, *_ in string.Formatter().parse(text) if name}
            for key, text in templates.items()
        }
        for language, templates in SENTENCES.items()
    }
    assert fields["en"] == fields["pt"]
    assert {key.split(":")[0] for key in fields["en"]} == set(get_args(Code))


def test_the_sentence_of_the_brief() -> None:
    facts = {"times": 3.1, "than": "training"}
    said = sentence("volatility_high", facts)
    assert said == "High volatility detected (3.1x the training level)."


def test_a_finding_is_hashable_evidence_for_programs() -> None:
    finding = DETECTOR.check(ODD["split"]).findings[0]
    assert isinstance(finding, Finding)
    assert finding.facts["ratio"] == "2:1"
