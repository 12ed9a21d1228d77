"""Markets that files named outlive the process, and reach the others that run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from closecast.core.market_names import markets_named
from closecast.core.markets import Market, exchange_of, name_markets
from closecast.errors import BadSetting, InvalidSymbol
from closecast.sources.base import PriceSource, RawRows
from closecast.sources.market_cache import MarketCache, use_markets
from tests.conftest import settings_in
from tests.support.synthetic_prices import random_walk

FUND99 = Market("BVMF", "stock")


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    yield
    name_markets({})


class Naming(PriceSource):
    """A source that names the exchange of its closes."""

    name = "naming"

    def __init__(self, market: str | None) -> None:
        self.market = market

    @classmethod
    def from_settings(cls, settings: object, argument: str) -> Naming:
        return cls(argument)

    def read(self, symbol: str, start: object, end: object) -> RawRows:
        prices = random_walk(30, 1)
        dates = np.arange("2022-01-03", "2022-02-02", dtype="datetime64[D]")
        return RawRows(dates, prices.closes, "raw", market=self.market)


def test_what_was_named_is_found_by_another_process(tmp_path: Path) -> None:
    MarketCache(tmp_path).put("FUND99", FUND99)
    assert MarketCache(tmp_path).get("FUND99") == FUND99
    assert MarketCache(tmp_path).get("FUND98") is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"calendar": 1', "\0"])
def test_a_damaged_file_names_no_market(content: str, tmp_path: Path) -> None:
    (tmp_path / "FUND99.json").write_text(content)
    assert MarketCache(tmp_path).get("FUND99") is None


def test_a_process_that_runs_learns_of_a_market_that_another_one_collected(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    use_markets(settings)
    with pytest.raises(InvalidSymbol, match="FUND99"):
        exchange_of("FUND99")
    MarketCache(settings.data_dir / "markets").put("FUND99", FUND99)
    assert exchange_of("FUND99") == "BVMF"


def test_the_exchange_that_a_source_names_is_the_calendar_of_its_closes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    use_markets(settings)
    with pytest.raises(InvalidSymbol, match="CLOSECAST_MARKETS"):
        Naming(None).fetch("TOKEN1")
    prices = Naming("Binance").fetch("TOKEN1")
    assert (len(prices), prices.notes) == (30, ())
    use_markets(settings)  # as the next process does
    assert exchange_of("TOKEN1") == "24/7"


def test_settings_name_markets(tmp_path: Path) -> None:
    use_markets(settings_in(tmp_path).model_copy(update={"markets": "ACME=BVMF"}))
    assert exchange_of("ACME") == "BVMF"
    use_markets(settings_in(tmp_path))
    assert exchange_of("ACME") == "XNYS"
    with pytest.raises(BadSetting, match="CLOSECAST_MARKETS: 'ACME=MOON': no calendar"):
        use_markets(settings_in(tmp_path).model_copy(update={"markets": "ACME=MOON"}))
    assert markets_named("ACME=BVMF") == {"ACME": FUND99}
