"""The service knows the markets that its settings name, and names the setting where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.main import create_app
from closecast.core.markets import name_markets
from tests.conftest import settings_in
from tests.support.local_client import LocalClient


@pytest.fixture(autouse=True)
def _as_at_the_start() -> Iterator[None]:
    yield
    name_markets({})


@pytest.mark.parametrize("symbol", ["FUND99", "GC=F", "ACMECORP"])
def test_a_symbol_without_a_market_is_trained_once_the_setting_names_it(
    symbol: str, tmp_path: Path
) -> None:
    settings = settings_in(tmp_path)
    with LocalClient(create_app(settings)) as client:
        refused = client.post("/train", json={"symbol": symbol})
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_symbol"
    assert f"CLOSECAST_MARKETS='{symbol}=XNYS'" in refused.json()["detail"]
    named = settings.model_copy(update={"markets": f"{symbol}=CMES:future"})
    with LocalClient(create_app(named)) as client:
        accepted = client.post("/train", json={"symbol": symbol})
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["symbol"] == symbol


def test_a_file_may_name_the_market_so_the_training_looks(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, source="file:closes.csv")
    with LocalClient(create_app(settings)) as client:
        accepted = client.post("/train", json={"symbol": "FUND99"})
    assert accepted.status_code == 202, accepted.text


@pytest.mark.parametrize(("written", "symbol"), [("btc/usdt", "BTC-USDT"), ("BRK.B", "BRK-B")])
def test_every_spelling_is_one_symbol(written: str, symbol: str, tmp_path: Path) -> None:
    with LocalClient(create_app(settings_in(tmp_path))) as client:
        first = client.post("/train", json={"symbol": written})
        second = client.post("/train", json={"symbol": symbol})
    assert first.status_code == 202, first.text
    assert first.json()["symbol"] == symbol
    assert second.json()["id"] == first.json()["id"]
