"""References by kind of market: coins are judged by coins, and rates are stated only then."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.drift.coin_panel import HELD_OUT, coins
from closecast.core.prices import Prices
from closecast.drift import Baseline, kinds, sample_reference
from closecast.drift.kinds import LEAST_SYMBOLS
from closecast.drift.reference import measure_reference
from tests.support.synthetic_prices import garch

LENGTH = 60
COINS = [prices.between("2020-06-01", "2022-06-30") for prices in coins(HELD_OUT[0])[:5]]
BITCOIN = COINS[0]
SIXTH = coins(HELD_OUT[0])[7].between("2020-06-01", "2022-06-30")


def test_five_coins_are_a_reference_of_the_four_others() -> None:
    fitted = Baseline.fit(BITCOIN, LENGTH, companions=COINS)
    assert fitted.unrated is None
    assert (fitted.reference["kind"], fitted.reference["symbols"]) == ("coin", 4)
    assert fitted.reference["last_session"] <= "2022-06-30"
    others = measure_reference(COINS, LENGTH).without("BTC-USDT")
    assert fitted.reference["windows"] == len(others.symbols)


def test_a_symbol_s_own_closes_do_not_move_its_thresholds() -> None:
    """But for the scale in which windows without a symbol are measured."""
    wild = Prices(
        BITCOIN.symbol,
        BITCOIN.sessions,
        BITCOIN.closes * np.where(np.arange(len(BITCOIN)) % 50 == 7, 1.5, 1.0),
        "made",
    )
    here = Baseline.fit(BITCOIN, LENGTH, companions=COINS)
    there = Baseline.fit(wild, LENGTH, companions=[wild, *COINS[1:]])
    assert here.with_before == there.with_before


def test_another_coin_moves_the_thresholds_of_all() -> None:
    five = Baseline.fit(BITCOIN, LENGTH, companions=COINS)
    six = Baseline.fit(BITCOIN, LENGTH, companions=[*COINS, SIXTH])
    assert six.reference["symbols"] == 5
    assert five.with_before != six.with_before


@pytest.mark.parametrize("known", [0, 1, LEAST_SYMBOLS - 2])
def test_fewer_coins_have_no_rate(known: int) -> None:
    fitted = Baseline.fit(BITCOIN, LENGTH, companions=COINS[1 : known + 1])
    assert fitted.unrated is not None
    assert "5 symbols of the kind" in fitted.unrated
    assert f"this one had {known + 1}" in fitted.unrated


@pytest.mark.parametrize("known", [0, LEAST_SYMBOLS - 1])
def test_no_threshold_of_a_coin_is_smaller_than_a_stock_s(known: int) -> None:
    fitted = Baseline.fit(BITCOIN, LENGTH, companions=COINS[1 : known + 1])
    stocks = Baseline.fit(
        BITCOIN, LENGTH, reference=sample_reference(LENGTH, BITCOIN.span[1]), companions=COINS
    )
    for key, threshold in stocks.alone.items():
        assert fitted.alone[key].value >= threshold.value
    for key, threshold in stocks.with_before.items():
        assert fitted.with_before[key].value >= threshold.value


def test_stocks_keep_the_sample_and_their_baseline_whoever_trains_with_them() -> None:
    stock = garch(900, 3, symbol="ACME")
    alone = Baseline.fit(stock, LENGTH)
    together = Baseline.fit(stock, LENGTH, companions=[stock, *COINS, garch(900, 4, symbol="KO")])
    assert together == alone
    assert together.unrated is None
    assert "kind" not in alone.reference  # as in bundles from before: they verify bit for bit


def test_stocks_are_no_reference_of_coins() -> None:
    stocks = [garch(900, seed, symbol=name) for seed, name in enumerate(["AA", "BB", "CC", "DD"])]
    assert Baseline.fit(BITCOIN, LENGTH, companions=stocks).unrated is not None


def test_windows_without_a_symbol_are_measured_in_the_scale_of_the_default_one() -> None:
    """With the calmest coin as the default, the usual days of wilder ones are no regime."""
    by_volatility = sorted(COINS, key=lambda p: float(np.diff(np.log(p.closes)).std()))
    calm, wild = (
        Baseline.fit(prices, LENGTH, companions=COINS)
        for prices in (by_volatility[0], by_volatility[-1])
    )
    assert calm.volatility < wild.volatility
    # The smallest values of the tail are the kind's; the largest may be the stocks'.
    assert calm.alone["volatility_low"].tail[0] <= wild.alone["volatility_low"].tail[0]
    assert calm.alone["volatility_high"].tail[0] >= wild.alone["volatility_high"].tail[0]
    assert calm.alone != wild.alone


def test_many_coins_are_measured_at_wider_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_MOST_WINDOWS", 500)
    kinds._own_scales.cache_clear()
    try:
        fitted = Baseline.fit(BITCOIN, LENGTH, companions=COINS)
    finally:
        kinds._own_scales.cache_clear()
    assert fitted.reference["step"] > 3
    assert fitted.reference["windows"] < 500


def test_both_kinds_of_baseline_survive_being_stored() -> None:
    for companions in (COINS, []):
        fitted = Baseline.fit(BITCOIN, LENGTH, companions=companions)
        again = Baseline.from_json(fitted.to_json())
        assert again == fitted
        assert again.unrated == fitted.unrated


def test_a_coin_s_bundle_from_before_kinds_opens_and_has_no_rate() -> None:
    fitted = Baseline.fit(BITCOIN, LENGTH, reference=sample_reference(LENGTH, "2022-06-30"))
    stored = json.loads(fitted.to_json())
    assert "kind" not in stored["reference"]
    former = Baseline.from_json(json.dumps(stored).encode())
    assert former.from_before_kinds
    assert former.unrated is not None
    assert "coin" in former.unrated
