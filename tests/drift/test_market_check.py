"""A move that the whole market shared is news; an own one is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.drift.coin_panel import CRASH, FOLLOWING, HELD_OUT, RETURN, coins
from closecast.core.market_moves import MarketPanel
from closecast.core.prices import Prices
from closecast.core.verdict import Verdict
from closecast.drift import Baseline, Context, DriftDetector
from closecast.drift.market_check import dates_of, without_market
from closecast.drift.statistics.shock import Shock
from closecast.sources.sample import SampleSource

LENGTH = 60
COINS = coins(HELD_OUT[0])
PANEL = MarketPanel(COINS)
PARTS = [prices.between(None, "2019-12-31") for prices in COINS]
DETECTORS = {
    part.symbol: DriftDetector(Baseline.fit(part, LENGTH, companions=PARTS)) for part in PARTS[:3]
}


def row_of(prices: Prices, day: str) -> int:
    return int(np.searchsorted(prices.sessions, np.datetime64(day)))


def judged(prices: Prices, day: str, *, after: int = 0, market: bool = True) -> Verdict:
    """Named, dated window that ends some days after one, the others' closes known or not."""
    stop = row_of(prices, day) + 1 + after
    context = Context(
        known=prices.rows(0, stop),
        sessions=prices.sessions[stop - LENGTH : stop],
        market=PANEL.without(prices.symbol) if market else None,
    )
    return DETECTORS[prices.symbol].check(prices.closes[stop - LENGTH : stop], context)


@pytest.mark.parametrize("day", [CRASH, FOLLOWING])
def test_a_crash_of_the_market_is_a_regime_on_the_day(day: str) -> None:
    for prices in COINS[:3]:
        found = [f for f in judged(prices, day).findings if f.row == LENGTH - 1]
        assert [(f.code, f.level) for f in found] == [("shock", "regime")], prices.symbol
        assert "the others of the market moved" in found[0].sentence


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("day", [CRASH, FOLLOWING, RETURN])
def test_the_days_after_it_are_no_fault_either(day: str, after: int) -> None:
    for prices in COINS[:3]:
        row = LENGTH - 1 - after
        for finding in judged(prices, day, after=after).findings:
            assert finding.row not in (row - 1, row, row + 1) or finding.level != "fault"


def test_a_crash_of_last_month_is_at_most_old_news() -> None:
    """It is no split and no wrong close, so that a window is not spoiled wherever it holds it."""
    for prices in COINS[:3]:
        for finding in judged(prices, CRASH, after=30).findings:
            if finding.row == LENGTH - 31:
                assert (finding.statistic, finding.alternatives) == (Shock.name, ())


def test_the_same_fall_without_the_others_is_not_the_market_s() -> None:
    """A halving of one coin on an ordinary day is told apart by nothing, and is not news."""
    prices = COINS[0]
    row = row_of(prices, "2021-03-01")
    closes = prices.closes.copy()
    closes[row:] /= 2.0
    split = replace(prices, closes=closes)
    [finding] = [f for f in judged(split, "2021-03-01").findings if f.row == LENGTH - 1]
    assert "market" not in finding.facts
    assert finding.code == "split" or "split" in finding.alternatives


def test_a_wrong_close_on_the_day_of_a_crash_is_still_wrong() -> None:
    """It is beyond twice the market's fall, and comes back as the market does not."""
    prices = COINS[0]
    row = row_of(prices, FOLLOWING)
    closes = prices.closes.copy()
    closes[row] /= 100
    found = judged(replace(prices, closes=closes), FOLLOWING, after=3)
    assert found.level == "fault"


def test_only_wild_days_are_the_market_s() -> None:
    returns = np.array([-0.5, -0.5, -0.5, 0.2, -0.1])
    moves = np.array([-0.4, -0.4, -0.1, -0.4, -0.4])
    times = np.array([-9.0, -1.0, -9.0, -9.0, -9.0])
    left = without_market(returns, moves, times)
    assert left == pytest.approx([0.0, -0.5, -0.3, 0.2, 0.0])


def test_dates_are_sent_found_or_counted_back() -> None:
    sent = COINS[0].sessions[:LENGTH]
    assert dates_of(Context(sessions=sent), None, LENGTH) is sent
    assert dates_of(Context(sessions=sent[::-1]), None, LENGTH) is None
    found = dates_of(Context(), sent[:58], LENGTH)
    assert found is not None
    assert np.isnat(found[58:]).all()
    assert (found[:58] == sent[:58]).all()
    assert dates_of(Context(as_of=sent[-1]), None, LENGTH) is None


def test_a_window_without_a_date_has_no_market() -> None:
    prices = COINS[0]
    stop = row_of(prices, FOLLOWING) + 1
    window = prices.closes[stop - LENGTH : stop]
    here = DETECTORS[prices.symbol].check(window, Context(market=PANEL.without(prices.symbol)))
    assert here.findings == DETECTORS[prices.symbol].check(window).findings


@pytest.mark.parametrize("day", [CRASH, "2022-06-01"])
def test_the_level_never_falls_as_the_last_move_grows_beside_a_market(day: str) -> None:
    """Neither on the day of a crash, a part of which is the market's, nor on a usual one."""
    grid = np.concatenate([[0.02, 0.05], np.arange(0.1, 3.0, 0.05), [3.5, 4.6, 6.9]])
    rank = {"ok": 0, "regime": 1, "fault": 2}
    for prices in COINS[:3]:
        stop = row_of(prices, day) + 1
        context = Context(
            sessions=prices.sessions[stop - LENGTH : stop], market=PANEL.without(prices.symbol)
        )
        closes = np.repeat(prices.closes[None, stop - LENGTH : stop], len(grid), axis=0)
        for sign in (-1, 1):
            closes[:, -1] = closes[:, -2] * np.exp(sign * grid)
            verdicts = DETECTORS[prices.symbol].check_batch(closes, [context] * len(grid))
            ranks = [rank[verdict.level] for verdict in verdicts]
            assert ranks == sorted(ranks)
            assert ranks[-1] == rank["fault"]


def test_a_move_near_a_ratio_is_no_news_where_it_is_a_unit_without_the_market() -> None:
    """On 2011-08-08 US stocks fell by 6 %; a fall by 94 % is near a split 15:1."""
    series = [SampleSource().fetch(symbol) for symbol in SampleSource().symbols()]
    prices = next(one for one in series if one.symbol == "MSFT")
    detector = DriftDetector(Baseline.fit(prices.between(None, "2011-06-30"), LENGTH))
    row, place = row_of(prices, "2011-08-08"), LENGTH - 4
    days = slice(row - place, row - place + LENGTH)
    market = MarketPanel(series).without("MSFT")
    context = Context(sessions=prices.sessions[days], market=market)
    for move in np.arange(2.6, 3.2, 0.02):
        closes = prices.closes[days].copy()
        closes[place:] *= closes[place - 1] * np.exp(-move) / closes[place]
        assert detector.check(closes, context).level == "fault"
