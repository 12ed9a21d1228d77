"""The baseline: levels of the symbol, thresholds of the reference, and how both travel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from closecast.drift import Baseline, DriftDetector, baseline, reference, thresholds
from closecast.drift.reference import measure_reference, sample_reference
from closecast.drift.statistics import STATISTICS
from closecast.drift.thresholds import FORMER_TAILS, TAIL
from closecast.errors import DamagedBundle, TooFewCloses
from closecast.sources.sample import SampleSource
from tests.contracts.statistic import BASELINE, LENGTH, TRAIN
from tests.support.synthetic_prices import as_prices, from_returns, garch


def test_the_baseline_says_what_it_was_made_from() -> None:
    assert (BASELINE.symbol, BASELINE.basis, BASELINE.seq_length) == ("MADE", "adjusted", LENGTH)
    assert (BASELINE.first_session, BASELINE.last_session) == TRAIN.span
    assert BASELINE.data_hash == TRAIN.content_hash
    assert BASELINE.reference["symbols"] == 20
    assert BASELINE.reference["windows"] > 10_000
    assert "bootstrap" in BASELINE.reference["method"]
    assert len(BASELINE.reference["data_hash"]) == 64


def test_price_levels_never_enter_it() -> None:
    dear = as_prices(1000 * TRAIN.closes)
    here, there = (json.loads(Baseline.fit(p, LENGTH).to_json()) for p in (TRAIN, dear))
    assert here.pop("data_hash") != there.pop("data_hash")
    for name in ("mean_return", "sd_return", "volatility"):
        assert here.pop(name) == pytest.approx(there.pop(name))
    assert here == there


def test_on_the_reference_a_channel_stays_within_the_wanted_rate() -> None:
    for of_mode in BASELINE.rates.values():
        for rate in of_mode.values():
            assert rate.wanted == 0.01
            assert 0.005 <= rate.reached <= 0.01
            assert rate.lower < rate.reached < rate.upper


def test_regimes_keep_the_rate_in_most_other_years() -> None:
    """A window alone is compared with a level of years before: 95 % of draws, not half."""
    alone, before = (BASELINE.rates[mode]["regime"] for mode in ("alone", "with_before"))
    assert alone.upper <= 0.0102
    assert alone.upper < before.upper < 0.015


def test_another_rate_moves_every_threshold() -> None:
    loose = Baseline.fit(TRAIN, LENGTH, {"fault": 0.05, "regime": 0.05})
    for key, threshold in BASELINE.with_before.items():
        assert loose.with_before[key].value <= threshold.value
    assert loose.rates["alone"]["regime"].upper == pytest.approx(0.05, abs=0.003)
    assert loose.rates["alone"]["fault"].reached == pytest.approx(0.05, abs=0.012)
    lower = [key for key in BASELINE.alone if loose.alone[key].value < BASELINE.alone[key].value]
    assert len(lower) >= 7  # of ten; some have a least threshold


def test_the_reference_is_of_the_past_where_there_is_enough_of_it() -> None:
    msft = SampleSource().fetch("MSFT")
    past = Baseline.fit(msft.between(None, "2012-12-31"), LENGTH).reference
    assert past["last_session"] <= "2012-12-31"
    assert past["symbols"] == 19  # never the symbol itself
    early = Baseline.fit(as_prices(TRAIN.closes[:600]), LENGTH)  # made sessions begin in 2020
    assert early.reference["symbols"] == 20
    too_early = Baseline.fit(msft.between(None, "2006-03-31"), LENGTH).reference
    assert too_early["last_session"] > "2022-01-01"


def test_what_happens_later_changes_nothing() -> None:
    msft = SampleSource().fetch("MSFT").between(None, "2012-12-31")
    whole = sample_reference(LENGTH, None)
    past = sample_reference(LENGTH, "2012-12-31")
    assert past.last_sessions.max() < whole.last_sessions.max()
    again = measure_reference(
        [
            prices.between(None, "2012-12-31")
            for prices in map(SampleSource().fetch, SampleSource().symbols())
        ],
        LENGTH,
    )
    assert Baseline.fit(msft, LENGTH, reference=again) == Baseline.fit(msft, LENGTH)


def test_the_p_value_is_the_share_of_the_tail() -> None:
    threshold = BASELINE.alone["spike"]
    assert threshold.tail == tuple(sorted(threshold.tail))
    for share, value in list(zip(TAIL, threshold.tail, strict=True))[1:]:
        assert threshold.p_value(value) == pytest.approx(share, rel=1e-6)
    assert threshold.p_value(0.0) == 1.0
    assert threshold.p_value(1e9) == TAIL[-1]
    between = threshold.p_value((threshold.tail[4] + threshold.tail[5]) / 2)
    assert TAIL[5] < between < TAIL[4]


def test_still_days_of_long_ago_count_little() -> None:
    """Coarse ticks of the first years do not hide filler days of today."""
    returns = np.diff(np.log(TRAIN.closes))
    early = returns.copy()
    early[: len(early) // 2 : 12] = 0.0
    late = returns[::-1].copy()
    late[len(late) // 2 :: 12] = 0.0
    before, after = (Baseline.fit(from_returns(moves), LENGTH) for moves in (early, late))
    assert before.still_share < 0.5 * after.still_share
    assert after.still_share > 0.04


# -- a training part that is itself wrong -------------------------------------------------------


def test_a_split_inside_the_training_part_is_found_said_and_not_absorbed() -> None:
    returns = np.diff(np.log(TRAIN.closes))
    returns[700] = -np.log(2)
    with_split = Baseline.fit(from_returns(returns), LENGTH)
    [fault] = with_split.faults
    assert fault["code"] == "suspected_split"
    assert fault["date"] == str(TRAIN.sessions[701])
    assert with_split.volatility == pytest.approx(BASELINE.volatility, rel=1e-3)
    assert with_split.sd_return == pytest.approx(BASELINE.sd_return, rel=1e-2)
    assert BASELINE.faults == ()


def test_a_training_part_without_a_window_is_refused() -> None:
    with pytest.raises(TooFewCloses):
        Baseline.fit(garch(LENGTH, seed=0), LENGTH)


# -- as a file ----------------------------------------------------------------------------------


def test_json_round_trip() -> None:
    again = Baseline.from_json(BASELINE.to_json())
    assert again == BASELINE
    odd = TRAIN.closes[:LENGTH].copy()
    odd[30:] /= 2
    assert DriftDetector(again).check(odd) == DriftDetector(BASELINE).check(odd)


def test_json_is_small() -> None:
    faulty = np.diff(np.log(garch(5000, seed=0).closes))
    faulty[500::700] = -np.log(2)
    longest = Baseline.fit(from_returns(faulty), LENGTH)
    assert len(longest.faults) == 5
    assert len(longest.to_json()) <= 8 * 1024


GOOD: Mapping[str, Any] = json.loads(BASELINE.to_json())
ONE = GOOD["alone"]["spike"]


def _with_spike(**changes: object) -> dict[str, Any]:
    return {**GOOD, "alone": {**GOOD["alone"], "spike": {**ONE, **changes}}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\x80\x04",
        b"\xff",
        BASELINE.to_json()[:-3],
        *(
            json.dumps(changed).encode()
            for changed in (
                {},
                {k: v for k, v in GOOD.items() if k != "volatility"},
                {**GOOD, "unknown": 1},
                {**GOOD, "volatility": 0},
                {**GOOD, "volatility": -1.0},
                {**GOOD, "volatility": None},
                {**GOOD, "volatility": float("nan")},
                {**GOOD, "still_share": 0.0},
                {**GOOD, "still_share": 1.5},
                {**GOOD, "alone": None},
                {**GOOD, "alone": {}},
                {**GOOD, "alone": list(STATISTICS)},
                {**GOOD, "alone": dict.fromkeys(STATISTICS)},
                {**GOOD, "rates": {"alone": {}}},
                {**GOOD, "rates": {**GOOD["rates"], "alone": {}}},
                _with_spike(value="6"),
                _with_spike(value=float("nan")),
                _with_spike(tail=[]),
                _with_spike(tail=None),
                _with_spike(tail=[*ONE["tail"][:-1], float("inf")]),
            )
        ),
    ],
    ids=lambda content: (content[-40:] or b"empty").decode(errors="replace"),
)
def test_damaged_json_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedBundle, match=r"baseline_stats\.json"):
        Baseline.from_json(content)


def test_a_baseline_that_is_older_than_a_statistic_is_judged_by_the_others() -> None:
    odd = TRAIN.closes[:LENGTH].copy()
    odd[30:] /= 2
    for key in STATISTICS:
        rest = {k: v for k, v in BASELINE.with_before.items() if k != key}
        alone = {k: v for k, v in BASELINE.alone.items() if k != key}
        older = Baseline.from_json(replace(BASELINE, alone=alone, with_before=rest).to_json())
        assert older.unmeasured == (key,)
        names = {finding.statistic for finding in DriftDetector(older).check(odd).findings}
        assert STATISTICS[key].name not in names
    assert BASELINE.unmeasured == ()


FIRST_TAIL = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005)
"""Shares of the first bundles that were published."""


def test_shares_of_published_bundles_are_not_forgotten() -> None:
    assert FIRST_TAIL in (TAIL, *FORMER_TAILS)


def test_a_baseline_with_fewer_shares_is_read_at_those_of_today(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reverse of a new share: the code of the test has one more than the file."""
    fewer = {**ONE, "tail": [*ONE["tail"][:5], *ONE["tail"][6:-1]]}
    older = json.dumps({**GOOD, "alone": {**GOOD["alone"], "spike": fewer}}).encode()
    with pytest.raises(DamagedBundle, match="a tail has 10 values, not 8"):
        Baseline.from_json(older)
    monkeypatch.setattr(baseline, "FORMER_TAILS", ((*TAIL[:5], *TAIL[6:-1]),))
    tail = Baseline.from_json(older).alone["spike"].tail
    assert len(tail) == len(TAIL)
    assert [*tail[:5], *tail[6:-1]] == pytest.approx(fewer["tail"])
    assert ONE["tail"][4] < tail[5] < ONE["tail"][6]
    assert tail[-1] == tail[-2]
    assert Baseline.from_json(BASELINE.to_json()) == BASELINE


def test_a_baseline_that_is_older_than_a_channel_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (baseline, thresholds):
        monkeypatch.setattr(module, "CHANNELS", ("fault", "regime", "newer"))
    assert Baseline.from_json(BASELINE.to_json()) == BASELINE
    rates = {"fault": 0.01, "regime": 0.01, "newer": 0.01}
    assert Baseline.fit(TRAIN, LENGTH, rates) == BASELINE  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["alone", "with_before"])
def test_thresholds_of_unknown_statistics_alone_are_refused(mode: str) -> None:
    with pytest.raises(DamagedBundle, match=f"{mode} has no threshold of any statistic"):
        Baseline.from_json(json.dumps({**GOOD, mode: {"gone": ONE}}).encode())


def test_a_baseline_of_older_code_names_what_it_lacks() -> None:
    older = {k: v for k, v in GOOD.items() if k not in ("alone", "with_before")}
    with pytest.raises(DamagedBundle, match=r"it has no alone, with_before"):
        Baseline.from_json(json.dumps(older).encode())


def test_without_a_statistic_thresholds_are_those_of_code_that_did_not_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that a bundle that is older than a statistic can be made again, bit for bit."""
    fewer = [key for key in STATISTICS if key != "trend_week"]
    as_then = Baseline.fit(TRAIN, LENGTH, statistics=fewer)
    kept = {key: BASELINE.with_before[key] for key in as_then.with_before}
    assert as_then.with_before != kept
    monkeypatch.delitem(STATISTICS, "trend_week")
    reference.sample_reference.cache_clear()
    try:
        assert Baseline.fit(TRAIN, LENGTH) == as_then
    finally:
        reference.sample_reference.cache_clear()
