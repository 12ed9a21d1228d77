"""A column of a file names the exchange of a symbol that no table knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from closecast.core.calendars import sessions_between
from closecast.core.markets import exchange_of, name_markets
from closecast.errors import InvalidSymbol, NoPrices
from closecast.sources.file import FileSource
from closecast.sources.market_cache import use_markets
from tests.conftest import settings_in

B3 = sessions_between("BVMF", date(2022, 1, 3), date(2022, 6, 30))
EVERY_DAY = np.arange("2022-01-03", "2022-06-30", dtype="datetime64[D]")


@pytest.fixture(autouse=True)
def _as_at_the_start(tmp_path: Path) -> Iterator[None]:
    use_markets(settings_in(tmp_path))
    yield
    name_markets({})


def file_of(path: Path, days: np.ndarray, label: str, exchange: str) -> FileSource:
    closes = 20 + np.sin(np.arange(len(days))) + 0.01 * np.arange(len(days))
    rows = [f"{day},{exchange},{close:.2f}" for day, close in zip(days, closes, strict=True)]
    path.write_text("\n".join([f"Date,{label},Close", *rows, ""]))
    return FileSource(str(path))


@pytest.mark.parametrize("label", ["exchange", "Market", "MIC", "Bolsa"])
@pytest.mark.parametrize("exchange", ["B3", "BVMF", "Bovespa"])
def test_its_sessions_are_those_of_the_exchange(label: str, exchange: str, tmp_path: Path) -> None:
    prices = file_of(tmp_path / "f.csv", B3, label, exchange).fetch("FUND99")
    assert (prices.symbol, len(prices)) == ("FUND99", len(B3))
    assert [note.rule for note in prices.notes] == ["read_as"]
    assert exchange_of("FUND99") == "BVMF"


def test_a_coin_trades_every_day(tmp_path: Path) -> None:
    prices = file_of(tmp_path / "f.csv", EVERY_DAY, "Exchange", "Binance").fetch("TOKEN1")
    assert len(prices) == len(EVERY_DAY)
    use_markets(settings_in(tmp_path))  # as the service does, which reads no file
    assert exchange_of("TOKEN1") == "24/7"


def test_without_the_column_the_refusal_names_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidSymbol, match=r"CLOSECAST_MARKETS='FUND99=XNYS'.*column `exchange`"):
        file_of(tmp_path / "f.csv", B3, "Remark", "B3").fetch("FUND99")


def test_it_changes_nothing_for_a_symbol_with_a_suffix(tmp_path: Path) -> None:
    prices = file_of(tmp_path / "f.csv", B3, "market", "spot").fetch("VALE3")
    assert len(prices) == len(B3)
    prices = file_of(tmp_path / "f.csv", B3, "market", "NASDAQ").fetch("VALE3")
    assert len(prices) == len(B3)


def test_it_may_not_contradict_new_york(tmp_path: Path) -> None:
    with pytest.raises(InvalidSymbol, match="CLOSECAST_MARKETS='ACME=BVMF'"):
        file_of(tmp_path / "f.csv", B3, "exchange", "B3").fetch("ACME")


def test_reading_without_fetching_keeps_nothing(tmp_path: Path) -> None:
    reading = file_of(tmp_path / "f.csv", B3, "exchange", "B3").look_into("FUND99")
    assert reading.market == "B3"
    with pytest.raises(InvalidSymbol):
        exchange_of("FUND99")


@pytest.mark.parametrize(("former", "symbol"), [("BRK.B", "BRK-B"), ("BTCUSDT", "BTC-USDT")])
def test_a_file_named_by_an_earlier_spelling_is_found(
    former: str, symbol: str, tmp_path: Path
) -> None:
    days = EVERY_DAY if former == "BTCUSDT" else sessions_between("XNYS", B3[0], B3[-1])
    file_of(tmp_path / f"{former}.csv", days, "remark", "")
    source = FileSource(str(tmp_path / "{symbol}.csv"))
    assert len(source.fetch(former)) == len(source.fetch(symbol)) == len(days)
    file_of(tmp_path / f"{symbol}.csv", days[:-1], "remark", "")
    assert len(source.fetch(former)) == len(days) - 1
    with pytest.raises(NoPrices, match=r"there is no file .*BF-B\.csv"):
        source.fetch("BF.B")
