"""The models of one process: what they share, and what they know beside a window."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from closecast.drift import unmeasured
from closecast.drift.statistics import STATISTICS
from closecast.errors import DamagedBundle, StorageFailed
from closecast.registry.documents import EVALUATION_FILE, Bundle
from closecast.registry.registry import Registry
from closecast.serving import MarketContext, ModelManager, loading
from closecast.serving.bundle import LoadedBundle
from closecast.serving.loading import load_snapshot
from closecast.serving.model_manager import Reload
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource


@pytest.fixture
def models(published: Settings) -> ModelManager:
    cache = PriceCache(published.data_dir / "prices")
    calendars = CalendarCache(published.data_dir / "calendars")
    return ModelManager(Registry(published.models_url), MarketContext(cache, calendars), "MSFT")


@pytest.fixture
def pooled(models: ModelManager) -> str:
    """The bundle of both symbols, current for both."""
    version = models.registry.pointer("AAPL")
    assert version is not None
    models.registry.promote("MSFT", version.version, "for tests", by="tests")
    return version.version


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    calls, real = [], getattr(owner, name)

    def counting(*about: Any) -> Any:
        calls.append(about)
        return real(*about)

    monkeypatch.setattr(owner, name, counting)
    return calls


def test_a_bundle_of_many_symbols_is_read_and_measured_once(
    models: ModelManager, pooled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = counted(monkeypatch, Registry, "load_to_serve")
    tried = counted(monkeypatch, loading, "_measure_speed")
    one, other = models.get("MSFT"), models.get("AAPL")
    assert (len(loads), len(tried)) == (1, 1)
    assert one.predictor is other.predictor
    assert one.speed == other.speed
    assert one.speed.each > 0
    assert one.evaluation["rows"] != other.evaluation["rows"]
    assert one.first_state.last_close != other.first_state.last_close


def test_a_version_that_comes_back_is_not_measured_again(
    models: ModelManager, pooled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = models.get("MSFT").speed
    models.registry.rollback("MSFT", "for tests", by="tests")
    models.look("MSFT")
    gc.collect()
    tried = counted(monkeypatch, loading, "_measure_speed")
    models.registry.promote("MSFT", pooled, "for tests", by="tests")
    assert models.look("MSFT").outcome == "swapped"
    assert models.get("MSFT").speed == speed
    assert tried == []


def test_a_large_bundle_that_nobody_serves_any_more_is_let_go(
    models: ModelManager, pooled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("closecast.serving.model_manager._SMALL_BYTES", 1)
    for symbol in ("MSFT", "AAPL"):
        models.get(symbol)
    assert list(models._parts) == [pooled]
    for symbol in ("MSFT", "AAPL"):
        models.registry.rollback(symbol, "for tests", by="tests")
        assert models.look(symbol).outcome == "swapped"
    gc.collect()
    assert pooled not in models._parts


def go_back_and_forth(models: ModelManager, version: str) -> Reload:
    models.registry.rollback("MSFT", "for tests", by="tests")
    assert models.look("MSFT").outcome == "swapped"
    gc.collect()
    models.registry.promote("MSFT", version, "for tests", by="tests")
    return models.look("MSFT")


def test_a_small_one_comes_back_as_it_was(models: ModelManager, pooled: str) -> None:
    before = models.get("MSFT")
    assert go_back_and_forth(models, pooled).outcome == "swapped"
    assert models.get("MSFT").parts is before.parts
    assert models.get("MSFT").generation > before.generation
    assert len(models._lately) == len(set(map(id, models._lately))) == 2


def test_what_comes_back_is_read_again_for_it_may_be_damaged_by_now(
    models: ModelManager, pooled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.get("MSFT")

    def damaged(self: Registry, version: str, symbol: str) -> Bundle:
        raise DamagedBundle("a byte of it is another one")

    promote = models.registry.promote
    models.registry.rollback("MSFT", "for tests", by="tests")
    models.look("MSFT")
    promote("MSFT", pooled, "for tests", by="tests")
    monkeypatch.setattr(Registry, "load_to_serve", damaged)
    assert models.look("MSFT").outcome == "failed"


def test_each_symbol_says_what_the_bundle_says_of_it(models: ModelManager, pooled: str) -> None:
    bundle = models.registry.load(pooled)
    alone = load_snapshot("AAPL", 1, LoadedBundle(bundle))
    assert alone.evaluation == json.loads(bundle.files[EVALUATION_FILE])["AAPL"]
    window = SampleSource().fetch("AAPL").closes[-60:].tolist()
    assert alone.predict(window).rows == models.get("AAPL").predict(window).rows


@pytest.mark.parametrize("name", ["evaluation.json", "intervals.json", "baseline_stats.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"AAPL": {}}', b"\xff"])
def test_a_damaged_file_is_said_to_be_one(
    models: ModelManager, pooled: str, name: str, content: bytes
) -> None:
    bundle = models.registry.load(pooled)
    files = {**bundle.files, name: content}
    with pytest.raises(DamagedBundle):
        load_snapshot("MSFT", 1, LoadedBundle(type(bundle)(bundle.manifest, files)))
    missing = {key: value for key, value in bundle.files.items() if key != name}
    with pytest.raises(DamagedBundle, match=f"no {name}"):
        LoadedBundle(type(bundle)(bundle.manifest, missing))


def test_a_bundle_that_is_older_than_a_statistic_is_served_without_it(
    models: ModelManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(STATISTICS, "extra", STATISTICS["jump"])
    monkeypatch.setattr(unmeasured, "_logged", set())
    assert models.look("MSFT").outcome == "swapped"
    models.registry.rollback("MSFT", "for tests", by="tests")
    assert models.look("MSFT").outcome == "swapped"
    assert len(models.get("MSFT").predict(SampleSource().fetch("MSFT").closes[-60:]).rows) > 0
    lines = [record for record in caplog.records if hasattr(record, "statistics")]
    assert [line.__dict__["statistics"] for line in lines] == [["extra"]]


def test_names_that_callers_make_up_while_the_store_is_away_are_not_all_kept(
    models: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(symbol: str) -> None:
        raise StorageFailed("the store is away")

    monkeypatch.setattr(models.registry, "pointer", away)
    for number in range(1100):
        assert models.look(f"SYM{number:04}").outcome == "failed"
    assert len(models.failures()) == 1000
    assert models.look("MSFT").outcome == "failed"
    assert "MSFT" in models.failures()


@pytest.mark.parametrize("error", [MemoryError(), ImportError("no such library")])
def test_whatever_a_load_fails_with_the_old_one_stays_and_it_is_said_once(
    models: ModelManager, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    before = models.get("MSFT")
    models.registry.rollback("MSFT", "a test")

    def fail(*_: Any) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_parts_of", fail)
        outcomes = [models.look("MSFT") for _ in range(3)]
    assert {outcome.outcome for outcome in outcomes} == {"failed"}
    assert models.serving("MSFT") is before
    assert models.failures() == {"MSFT": f"{type(error).__name__}: {error}"}
    [told] = [r for r in caplog.records if r.message.startswith("model could not be loaded")]
    assert told.exc_info is not None
    assert models.look("MSFT").outcome == "swapped"
    assert models.failures() == {}
