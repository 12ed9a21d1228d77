"""Faults of whole histories: each planted one is found, and nothing in honest closes."""

from __future__ import annotations

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.core.data_quality import FROZEN_SESSIONS, find_faults
from closecast.core.prices import Prices
from closecast.core.symbols import exchange_of
from closecast.errors import InvalidSymbol
from closecast.sources import make_source
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import as_prices, from_returns, garch

SAMPLE = SampleSource().symbols()
START = "2015-01-02"


def sample(symbol: str) -> Prices:
    rows = SampleSource().read(symbol, None, None)
    return Prices(symbol, rows.dates, rows.closes, "sample", "adjusted")


def planted(prices: Prices, change: str, at: int) -> Prices:
    """The series with one fault from row ``at`` on."""
    closes = prices.closes.copy()
    if change == "frozen":
        closes[at : at + 30] = closes[at]
    elif change == "frozen, adjusted":  # a restated feed stands still in all but the last digits
        closes[at : at + 30] = closes[at] * (1 + 1e-9 * np.arange(30))
    elif change == "row x 100":
        closes[at] *= 100
    elif change == "row / 100":
        closes[at] /= 100
    elif change == "three rows x 100":
        closes[at : at + 3] *= 100
    else:
        before, after = map(int, change.split(":"))  # "2:1" halves the price
        closes[at:] *= after / before
    return Prices(prices.symbol, prices.sessions, closes, prices.source, prices.basis)


@pytest.mark.parametrize("symbol", SAMPLE)
def test_nothing_is_found_in_the_sample(symbol: str) -> None:
    assert find_faults(sample(symbol)) == []


@pytest.mark.parametrize("symbol", ["MSFT", "AAPL", SAMPLE[-1]])
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("frozen", "frozen_feed"),
        ("frozen, adjusted", "frozen_feed"),
        ("row x 100", "unit_error"),
        ("row / 100", "unit_error"),
        ("three rows x 100", "unit_error"),
        ("2:1", "suspected_split"),
        ("3:1", "suspected_split"),
        ("10:1", "suspected_split"),
        ("1:4", "suspected_split"),
        ("1:20", "suspected_split"),
    ],
)
def test_a_planted_fault_is_found_with_its_day(symbol: str, change: str, rule: str) -> None:
    prices = planted(sample(symbol), change, 2000)
    faults = find_faults(prices)
    assert {fault.rule for fault in faults} == {rule}
    assert faults[0].date in {str(prices.sessions[row]) for row in (2000, 2001)}
    assert faults[0].value in (prices.closes[2000], prices.closes[2001])
    if rule == "suspected_split":
        ratio = {"1:4": "4", "1:20": "20"}.get(change, change.split(":")[0])
        assert f" {ratio}:1 split" in str(faults[0])


@pytest.mark.parametrize("fall", [0.37, 0.44, 0.6, 0.72])
def test_a_real_crash_is_none(fall: float) -> None:
    """No ratio of a split, and the days around it are wild as well."""
    prices = sample("MSFT")
    closes = prices.closes.copy()
    closes[2000:] *= 1 - fall
    assert find_faults(Prices("MSFT", prices.sessions, closes, "sample")) == []


def test_a_crash_that_recovers_at_once_is_none() -> None:
    prices = sample("MSFT")
    closes = prices.closes.copy()
    closes[2000:2002] *= 0.45  # a flash crash of 55 %, back within days
    assert find_faults(Prices("MSFT", prices.sessions, closes, "sample")) == []


def test_wild_series_have_wild_days() -> None:
    """A coin that doubles now and then: 12 times the usual day is far."""
    returns = np.random.default_rng(0).standard_t(3, 2000) * 0.05
    assert "suspected_split" not in {fault.rule for fault in find_faults(from_returns(returns))}


@pytest.mark.parametrize(
    ("length", "found"), [(FROZEN_SESSIONS, False), (FROZEN_SESSIONS + 1, True)]
)
def test_a_short_standstill_is_none(length: int, found: bool) -> None:
    closes = garch(300, seed=1).closes.copy()
    closes[100 : 100 + length] = closes[100]
    faults = find_faults(as_prices(closes))
    assert bool(faults) is found
    if found:
        assert f"{length - 1} sessions in a row hardly move" in str(faults[0])


def test_a_feed_that_stood_still_from_the_start() -> None:
    [fault] = find_faults(as_prices(np.full(200, 42.0)))
    assert fault.rule == "frozen_feed"


@pytest.mark.parametrize("n", [1, 2, FROZEN_SESSIONS])
def test_of_a_few_closes_nothing_can_be_said(n: int) -> None:
    closes: FloatArray = np.full(n, 42.0)
    assert find_faults(as_prices(closes)) == []


def test_several_faults_are_all_named() -> None:
    prices = planted(planted(sample("MSFT"), "frozen", 1000), "row x 100", 3000)
    assert [fault.rule for fault in find_faults(prices)] == ["frozen_feed", "unit_error"]


@pytest.mark.parametrize("factor", [1e-3, 1000.0])
def test_the_currency_does_not_matter(factor: float) -> None:
    prices = planted(sample("MSFT"), "2:1", 2000)
    dear = Prices("MSFT", prices.sessions, factor * prices.closes, "sample")
    assert [f.rule for f in find_faults(dear)] == [f.rule for f in find_faults(prices)]


def test_the_source_of_the_sample_is_the_same_closes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """What is checked above is what a training gets."""
    fetched = make_source("sample", settings_in(tmp_path)).fetch("MSFT", None, None)
    assert fetched.closes.tolist() == sample("MSFT").closes.tolist()


def test_closes_of_an_unknown_market_are_looked_at_without_a_calendar() -> None:
    closes = garch(400, seed=1).closes.copy()
    closes[200:] /= 2
    prices = as_prices(closes, "ACME99")
    with pytest.raises(InvalidSymbol):
        exchange_of("ACME99")
    [fault] = find_faults(prices)
    assert fault.rule == "suspected_split"
