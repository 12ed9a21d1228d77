"""Rates, crashes and splits of made coins, by which no threshold was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from benchmarks.drift.cases import LENGTH, Case, clean_case, injected
from benchmarks.drift.coin_panel import CRASH, HELD_OUT, coins
from benchmarks.drift.markets import (
    FTX,
    MOST_FALSE,
    Family,
    Judge,
    first_named,
    judges,
)
from closecast.core.verdict import Channel, Verdict
from closecast.drift import Baseline, DriftDetector
from closecast.drift.baseline import RATES

COINS = coins(HELD_OUT[0])
SENT = ("bare", "named")


@pytest.fixture(scope="module")
def later() -> Family:
    return Family("coins", COINS, "BTC-USDT", "2021-12-31")


@pytest.fixture(scope="module")
def judged(later: Family) -> Mapping[str, Judge]:
    """Verdicts of models that end before the windows."""
    return judges(later, later.detectors())


@pytest.fixture(scope="module")
def clean(later: Family, judged: Mapping[str, Judge]) -> Mapping[str, Sequence[Verdict]]:
    cases = list(later.later())
    return {sent: [judged[sent](case) for case in cases] for sent in SENT}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("channel", ["fault", "regime"])
def test_coins_alarm_as_often_as_it_says(
    clean: Mapping[str, Sequence[Verdict]], channel: Channel, sent: str
) -> None:
    """At most 1.5 times the rate, but for chance (1.64 standard errors of 1,360 windows)."""
    verdicts = clean[sent]
    assert len(verdicts) > 1000
    most = MOST_FALSE * RATES[channel]
    tolerance = 1.645 * np.sqrt(most * (1 - most) / len(verdicts))
    alarms = [any(f.level == channel for f in verdict.findings) for verdict in verdicts]
    assert np.mean(alarms) <= most + tolerance


def ending(day: str) -> list[Case]:
    row = int(np.searchsorted(COINS[0].sessions, np.datetime64(day)))
    return [clean_case(prices, row - LENGTH + 1) for prices in COINS]


@pytest.mark.parametrize("day", FTX)
def test_a_crash_of_all_coins_is_a_regime_on_its_day(judged: Mapping[str, Judge], day: str) -> None:
    levels = [judged["named"](case).level for case in ending(day)]
    assert levels.count("regime") >= 0.8 * len(levels)
    assert "fault" not in levels


def test_the_fall_of_march_2020_is_no_fault() -> None:
    family = Family("coins", COINS, "BTC-USDT", "2020-01-31")
    named = judges(family, family.detectors())["named"]
    levels = [named(case).level for case in ending(CRASH)]
    assert levels.count("regime") >= 0.8 * len(levels)
    assert levels.count("fault") <= 0.02 * len(levels)


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("fault", ["split 2:1", "split 10:1", "split 1:2"])
def test_a_split_of_a_coin_is_seen_and_named_first(
    later: Family, judged: Mapping[str, Judge], sent: str, fault: str
) -> None:
    """In 95 % of windows: a fault, or unsure with the split as the likelier cause."""
    cases = [injected(fault, case, COINS) for case in later.later(100)]
    named = [first_named(judged[sent](case)) == "split" for case in cases]
    assert len(cases) > 250
    assert np.mean(named) >= 0.95 - 1.645 * np.sqrt(0.95 * 0.05 / len(cases))


def test_a_lone_coin_without_a_rate_does_not_alarm_wildly() -> None:
    """Windows of all coins against the one that is known; a rate of 3.6 % was seen before."""
    lone = COINS[0].between(None, "2021-12-31")
    detector = DriftDetector(Baseline.fit(lone, LENGTH, companions=[lone]))
    family = Family("coins", COINS, "BTC-USDT", "2021-12-31")
    levels = [detector.check(case.closes).level for case in family.later()]
    assert len(levels) > 1000
    assert levels.count("fault") <= 0.02 * len(levels)
    assert levels.count("regime") <= 0.02 * len(levels)
