"""A fault leaves out the closes before it, not the symbol; a long gap and old weekly bars, too."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.core.calendars import Dates, as_date, sessions_between
from closecast.core.prices import Prices
from closecast.errors import DataFault, TooFewCloses
from closecast.forecasters import make_parameters
from closecast.pipeline import collect_many, preprocess
from closecast.pipeline.sound_closes import sound_closes
from closecast.pipeline.workspace import Workspace
from closecast.settings import Settings

NYSE = sessions_between("XNYS", date(2012, 1, 3), date(2021, 12, 31))
DAYS = np.arange("2016-01-01", "2022-01-01", dtype="datetime64[D]")
SIZES = {"seq_length": 20, "horizon": 2}


def walk(seed: int, n: int = len(NYSE), volatility: float = 0.015) -> FloatArray:
    closes: FloatArray = 50 * np.exp(
        np.cumsum(np.random.default_rng(seed).normal(0, volatility, n))
    )
    return closes


def stock(symbol: str, closes: FloatArray, sessions: Dates = NYSE) -> Prices:
    return Prices(symbol, sessions[: len(closes)], closes, "made")


def pool_with(first: FloatArray, sessions: Dates = NYSE) -> list[Prices]:
    return [stock("AAA", first, sessions), stock("BBB", walk(2)), stock("CCC", walk(3))]


def planted(fault: str, row: int = 1000) -> FloatArray:
    closes = walk(1)
    if fault == "frozen":
        closes[row - 30 : row] = closes[row - 30]
    elif fault == "split":
        closes[row:] /= 2
    else:
        closes[row:] *= 100
    return closes


def test_a_fault_that_a_person_accepted_leaves_out_nothing() -> None:
    right = {"AAA": {as_date(NYSE[1000])}}
    found = sound_closes(pool_with(planted("split")), accepted=right)
    assert [len(prices) for prices in found.series] == [len(NYSE)] * 3
    assert (found.faulty, found.left_out) == (frozenset(), {})
    other = {"AAA": {as_date(NYSE[999])}, "BBB": right["AAA"]}
    assert sound_closes(pool_with(planted("split")), accepted=other).faulty == {"AAA"}


@pytest.mark.parametrize("fault", ["frozen", "split", "unit"])
def test_a_fault_leaves_out_the_closes_before_it(fault: str) -> None:
    found = sound_closes(pool_with(planted(fault)))
    assert [len(prices) for prices in found.series] == [len(NYSE) - 1000, len(NYSE), len(NYSE)]
    assert found.series[0].sessions[0] == NYSE[1000]
    assert found.faulty == {"AAA"}
    assert set(found.left_out) == {"AAA"}
    assert found.left_out["AAA"].startswith(f"closes before {NYSE[1000]} left out, ")


def test_the_last_of_several_faults_decides() -> None:
    closes = planted("split", 500)
    closes[1200:] /= 3
    found = sound_closes(pool_with(closes))
    assert found.series[0].sessions[0] == NYSE[1200]
    assert "3:1 split (the last of 2 faults)" in found.left_out["AAA"]


def test_a_feed_that_stands_still_to_the_end_leaves_nothing() -> None:
    closes = walk(1)
    closes[-20:] = closes[-20]
    found = sound_closes(pool_with(closes))
    assert [prices.symbol for prices in found.series] == ["BBB", "CCC"]
    assert found.left_out["AAA"].endswith("no close follows")


def test_alone_the_closes_before_a_fault_are_learned_from_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = sound_closes([stock("AAA", planted("split"))])
    assert len(found.series[0]) == len(NYSE)
    assert found.left_out == {}
    [record] = caplog.records
    assert f"--start {NYSE[1000]} learns from the closes since then" in str(vars(record)["reason"])


def test_alone_a_move_that_is_no_news_cuts_all_the_same() -> None:
    found = sound_closes([stock("AAA", planted("unit"))])
    assert found.series[0].sessions[0] == NYSE[1000]


def test_alone_and_automatic_a_fault_leaves_out_the_closes_before_it() -> None:
    found = sound_closes([stock("AAA", planted("frozen"))], keep_single=False)
    assert found.series[0].sessions[0] == NYSE[1000]


@pytest.mark.parametrize("symbols", [1, 3])
def test_a_long_gap_leaves_out_the_closes_before_it(symbols: int) -> None:
    days = np.delete(NYSE, np.arange(1000, 1500))
    found = sound_closes(pool_with(walk(1)[: len(days)], days)[:symbols])
    assert found.series[0].sessions[0] == NYSE[1500]
    assert found.faulty == frozenset()
    assert "no close in the 500 sessions of XNYS after" in found.left_out["AAA"]


def coins(crash: float, of_first: float, seed: int = 0) -> list[Prices]:
    """Ten coins with a common factor, and a day on which all crash."""
    rng = np.random.default_rng(seed)
    common = rng.standard_t(4, len(DAYS)) * 0.02
    found = []
    for i in range(10):
        returns = common + rng.standard_t(4, len(DAYS)) * 0.02
        returns[1000] = np.log(of_first if i == 0 else crash) + rng.normal(0, 0.05)
        symbol = f"{'ABCDEFGHIJ'[i]}OIN-USDT"
        found.append(Prices(symbol, DAYS, np.exp(np.cumsum(returns)), "made"))
    return found


@pytest.mark.parametrize("of_first", [0.5, 0.33, 0.25, 2.0, 3.0, 5.0])
def test_a_coin_that_halves_or_doubles_is_news(of_first: float) -> None:
    found = sound_closes(coins(0.97, of_first))
    assert found.left_out == {}


def test_a_day_on_which_all_coins_halve_is_news() -> None:
    for seed in range(5):
        assert sound_closes(coins(0.5, 0.48, seed)).left_out == {}


def test_a_redenomination_of_a_coin_is_a_fault() -> None:
    found = sound_closes(coins(0.97, 10.0))
    assert list(found.left_out) == ["AOIN-USDT"]
    assert "10:1 split" in found.left_out["AOIN-USDT"]


def test_wild_coins_have_no_fault() -> None:
    """Daily volatility of 6 % with heavy tails; two days on which all fall by half."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        returns = rng.standard_t(4, (8, len(DAYS))) * 0.042
        returns[:, [700, 1500]] += np.log(0.55)
        series = [
            Prices(f"{'ABCDEFGH'[i]}XX-USD", DAYS, np.exp(np.cumsum(own)), "made")
            for i, own in enumerate(returns)
        ]
        assert sound_closes(series).left_out == {}


def test_a_crash_that_other_stocks_share_is_news() -> None:
    closes = [walk(seed) for seed in (1, 2, 3)]
    for own in closes:
        own[1000:] /= 2
    series = [stock(s, c) for s, c in zip(("AAA", "BBB", "CCC"), closes, strict=True)]
    assert sound_closes(series).left_out == {}
    assert set(sound_closes([series[0], *pool_with(walk(1))[1:]]).left_out) == {"AAA"}


# Through the files of a workspace.


def write(folder: Path, symbol: str, sessions: Dates, closes: FloatArray) -> None:
    rows = [f"{day},{float(close)!r}" for day, close in zip(sessions, closes, strict=True)]
    (folder / f"{symbol}.csv").write_text("\n".join(["Date,Close", *rows]))


def prepared_from(settings: Settings, folder: Path, **series: tuple[Dates, FloatArray]):  # type: ignore[no-untyped-def]
    for symbol, (sessions, closes) in series.items():
        write(folder, symbol, sessions, closes)
    collect_many(settings, list(series), f"file:{folder}/{{symbol}}.csv")
    return preprocess(settings, list(series), make_parameters("ewma", SIZES))


def test_what_is_learned_from_is_read_back_as_it_was_prepared(
    settings: Settings, tmp_path: Path
) -> None:
    days = np.delete(NYSE, np.arange(300, 500))
    prepared = prepared_from(
        settings,
        tmp_path,
        AAA=(days, walk(1)[: len(days)]),
        BBB=(NYSE, planted("split", 800)),
        CCC=(NYSE, walk(3)),
    )
    assert prepared.symbols == ("AAA", "BBB", "CCC")
    assert set(prepared.left_out) == {"AAA", "BBB"}
    workspace = Workspace(settings, ["AAA", "BBB", "CCC"])
    again = workspace.prepared()
    assert again.identity == prepared.identity
    assert again.first_sessions == prepared.first_sessions
    assert again.first_sessions["AAA"] == str(NYSE[500])
    assert workspace.closes_in_split() == [one.prices for one in prepared.series]
    whole = {prices.symbol: len(prices) for prices in workspace.prices()}
    assert whole == {"AAA": len(days), "BBB": len(NYSE), "CCC": len(NYSE)}


def test_no_training_window_spans_a_gap(settings: Settings, tmp_path: Path) -> None:
    days = np.delete(NYSE, np.arange(700, 1200))
    prepared = prepared_from(settings, tmp_path, AAA=(days, walk(1)[: len(days)]))
    [one] = prepared.series
    assert one.split.train.sessions[0] == NYSE[1200]
    assert one.split.whole.content_hash == one.prices.content_hash


def test_too_few_closes_after_a_gap_are_refused_with_its_day(
    settings: Settings, tmp_path: Path
) -> None:
    days = np.delete(NYSE, np.arange(700, len(NYSE) - 50))
    with pytest.raises(TooFewCloses, match=rf"50 closes.*sessions of XNYS after {NYSE[699]}"):
        prepared_from(settings, tmp_path, AAA=(days, walk(1)[: len(days)]))


def test_too_few_closes_after_a_change_of_units_are_refused(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(DataFault, match=rf"closes before {NYSE[-100]} left out, 100 follow"):
        prepared_from(settings, tmp_path, AAA=(NYSE, planted("unit", len(NYSE) - 100)))


def test_too_few_closes_in_a_pool_leave_the_symbol_out_with_both_reasons(
    settings: Settings, tmp_path: Path
) -> None:
    prepared = prepared_from(
        settings, tmp_path, AAA=(NYSE, planted("split", 2400)), BBB=(NYSE, walk(2))
    )
    assert prepared.symbols == ("BBB",)
    assert "2:1 split; a part of 0 rows" in prepared.left_out["AAA"]
