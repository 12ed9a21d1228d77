"""What was collected: whose closes a window is, and that nothing old is kept."""

from __future__ import annotations

import gc
import weakref
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast.core.prices import Prices
from closecast.registry.registry import Registry
from closecast.serving import MarketContext, ModelManager, Snapshot
from closecast.serving import market_context as module
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache


@pytest.fixture
def closes(published: Settings, monkeypatch: pytest.MonkeyPatch) -> MarketContext:
    monkeypatch.setattr(module, "_LOOKED_AT_S", 0.0)
    monkeypatch.setattr(module, "TICK_NS", -(10**18))  # whatever was stored has settled
    cache = PriceCache(published.data_dir / "prices")
    return MarketContext(cache, CalendarCache(published.data_dir / "calendars"))


@pytest.fixture
def snapshot(published: Settings, closes: MarketContext) -> Snapshot:
    return ModelManager(Registry(published.models_url), closes, "MSFT").get("MSFT")


def made(symbol: str, seed: int = 5) -> Prices:
    walk = np.cumsum(np.random.default_rng(seed).normal(0, 0.02, 300))
    days = np.busday_offset("2020-01-01", np.arange(300), roll="forward")
    return Prices(symbol, days, 50 * np.exp(walk), "made")


def provenance(snapshot: Snapshot, closes: MarketContext, window: np.ndarray) -> Any:
    found = snapshot.check(window.tolist(), closes.context(snapshot)).provenance
    assert found is not None
    return found


def test_newly_collected_closes_are_known_after_a_look(
    snapshot: Snapshot, closes: MarketContext
) -> None:
    window = made("KO").closes[100:160]
    assert provenance(snapshot, closes, window).symbol is None
    closes.cache.put(made("KO"))
    closes.read()
    assert provenance(snapshot, closes, window).symbol == "KO"


def test_a_look_at_closes_that_did_not_change_reads_nothing(
    closes: MarketContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    closes.read()
    assert closes.were_read
    monkeypatch.setattr(closes.cache, "symbols", lambda: 1 / 0)
    closes.read()


def test_what_was_stored_within_a_tick_of_the_clock_is_looked_for_again(
    closes: MarketContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_NS", 10**18)
    closes.read()
    monkeypatch.setattr(closes.cache, "symbols", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        closes.read()


def test_a_folder_that_is_not_there_is_no_closes(tmp_path: Path) -> None:
    closes = MarketContext(PriceCache(tmp_path / "nowhere"), CalendarCache(tmp_path / "calendars"))
    closes.read()
    assert not closes.were_read
    assert closes.of("MSFT") is None
    assert closes.that_end_with("MSFT", [1.0, 2.0]) is None


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_closes_that_cannot_be_read_any_more_are_not_another_symbols(
    snapshot: Snapshot, closes: MarketContext, how: str
) -> None:
    """They were the symbol's own, found among all others: a fault of the caller's."""
    own = closes.cache.get("MSFT")
    assert own is not None
    path = closes.cache.path("MSFT")
    if how == "damaged":
        path.write_bytes(b"PK" + bytes(200))
    else:
        path.unlink()
    found = provenance(snapshot, closes, own.closes[100:160])
    assert (found.match, found.symbol) == ("exact", "MSFT")
    closes.read()
    window = own.closes[100:160].tolist()
    assert not snapshot.check(window, closes.context(snapshot)).findings


def test_closes_that_were_replaced_are_let_go(snapshot: Snapshot, closes: MarketContext) -> None:
    closes.cache.put(made("KO"))
    closes.read()
    old = weakref.ref(closes.context(snapshot).others)
    assert old() is not None
    closes.cache.put(made("KO", seed=6))
    closes.read()
    gc.collect()
    assert old() is None


def test_windows_without_dates_share_what_is_known(
    snapshot: Snapshot, closes: MarketContext
) -> None:
    assert closes.context(snapshot) is closes.context(snapshot)
    assert closes.context(snapshot) is not closes.context(snapshot, named=False)
    dated = closes.context(snapshot, as_of=date(2022, 6, 1))
    assert dated.last_session == np.datetime64("2022-06-01")
    assert closes.context(snapshot).last_session is None
    before = closes.context(snapshot)
    closes.cache.put(made("MSFT"))
    assert closes.context(snapshot) is not before


def test_a_level_of_long_ago_may_have_been_rewritten(
    snapshot: Snapshot, closes: MarketContext
) -> None:
    own = closes.cache.get("MSFT")
    assert own is not None
    assert own.basis == "adjusted"
    newest, old = (own.sessions[row].astype(date) for row in (-1, -400))
    assert closes.context(snapshot).level_known
    assert closes.context(snapshot, as_of=newest).level_known
    assert not closes.context(snapshot, as_of=old).level_known


def test_a_window_that_ends_the_history_is_known_by_its_returns(closes: MarketContext) -> None:
    own = closes.cache.get("MSFT")
    assert own is not None
    newest = own.closes[-60:]
    for sent in (newest, 7.5 * newest):
        assert closes.that_end_with("MSFT", sent.tolist()) is own
    assert closes.that_end_with("MSFT", own.closes[-61:-1].tolist()) is None
    assert closes.that_end_with("MSFT", [0.0, *newest[1:]]) is None
    assert closes.that_end_with("MSFT", newest[-1:].tolist()) is None
