"""A pool of made closes in CSV files, small enough to be trained on in a second."""

from __future__ import annotations

from pathlib import Path

from closecast.core.prices import Prices
from closecast.pipeline import TrainRequest
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

POOL = ("AAA", "BBB")
LENGTH, HORIZON = 20, 3
SIZES = {"seq_length": LENGTH, "horizon": HORIZON}
TINY_MLP = {**SIZES, "members": 1, "hidden_size": 4, "num_epochs": 2}
CLOSES = {"AAA": 520, "BBB": 460}


def made_closes(symbol: str) -> Prices:
    """On real sessions, all up to the same day; every symbol has a law of its own."""
    n = CLOSES[symbol]
    days = SampleSource().read("MSFT", None, None).dates[-n:]
    return Prices(symbol, days, garch(n, POOL.index(symbol), symbol=symbol).closes, "made")


def write_pool(folder: Path) -> Settings:
    """The CSV files, and settings whose source reads them."""
    for symbol in POOL:
        prices = made_closes(symbol)
        rows = zip(prices.sessions, prices.closes, strict=True)
        text = "Date,Close\n" + "".join(f"{day},{float(close)!r}\n" for day, close in rows)
        (folder / f"{symbol}.csv").write_text(text)
    return pool_settings(folder)


def pool_settings(folder: Path) -> Settings:
    """Settings of a copy of the folder."""
    return settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")


def pool_request(settings: Settings, forecaster: str = "ewma") -> TrainRequest:
    """Train the pool."""
    return TrainRequest(
        symbols=POOL,
        source=settings.source,
        forecaster=forecaster,
        hyperparameters=TINY_MLP if forecaster == "mlp" else SIZES,
    )
