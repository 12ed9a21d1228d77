"""Updates of closes beside a training of the same symbols, and beside each other."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from closecast.core.prices import Prices
from closecast.database import Database
from closecast.errors import JobConflict
from closecast.pipeline import TrainRequest, collect, run_training, update, update_version
from closecast.pipeline.known_closes import one_update_at_a_time, remember_closes
from closecast.pipeline.workspace import Workspace
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import garch

ROWS, NEW = 420, 5
SIZES = {"seq_length": 20, "horizon": 3}
SESSIONS = SampleSource().read("MSFT", None, None).dates[-ROWS - NEW :]
WHOLE = Prices("BBB", SESSIONS, garch(ROWS + NEW, 5, "BBB").closes, "file", "unknown")


def write(folder: Path, rows: int) -> None:
    prices = WHOLE.rows(0, rows)
    days = zip(prices.sessions, prices.closes.tolist(), strict=True)
    lines = "\n".join(f"{day},{close!r}" for day, close in days)
    (folder / "BBB.csv").write_text(f"Date,Close\n{lines}\n")


def request(settings: Settings, **changes: Any) -> TrainRequest:
    return TrainRequest(
        symbols=("BBB",),
        source=settings.source,
        forecaster="ewma",
        hyperparameters={**SIZES, **changes},
    )


@pytest.fixture
def trained(tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path, source=f"file:{tmp_path}/{{symbol}}.csv")
    write(tmp_path, ROWS)
    run_training(settings, request(settings))
    write(tmp_path, ROWS + NEW)
    return settings


def states(settings: Settings, version: str) -> Any:
    database = Database(settings.ledger_url)
    found = database.calibrations.newest(version, "BBB")
    database.close()
    assert found is not None
    return found.session, found.parts


def current(settings: Settings) -> str:
    pointer = Registry(settings.models_url).pointer("BBB")
    assert pointer is not None
    return pointer.version


def test_an_update_does_not_wait_for_a_training(trained: Settings) -> None:
    database = Database(trained.ledger_url)
    with Workspace(trained, ["BBB"]).alone():
        updated = update(trained, "BBB", database)
    database.close()
    assert (updated.collected, updated.absorbed) == (("BBB",), NEW)


def test_an_update_leaves_the_closes_of_a_training_alone(trained: Settings) -> None:
    before = Workspace(trained, ["BBB"]).prices()
    database = Database(trained.ledger_url)
    update(trained, "BBB", database)
    database.close()
    workspace = Workspace(trained, ["BBB"])
    assert workspace.prices() == before
    known = workspace.cache.get("BBB")
    assert known is not None
    assert len(known) == ROWS + NEW
    workspace.prepared()  # the next step of that training still finds the closes that it knows


def test_a_training_of_a_symbol_still_excludes_another(trained: Settings) -> None:
    with (
        Workspace(trained, ["BBB"]).alone(),
        pytest.raises(JobConflict, match="working on BBB"),
    ):
        run_training(trained, request(trained))


def test_a_second_update_waits_for_the_first(trained: Settings) -> None:
    cache, waiting, released = PriceCache(trained.data_dir / "prices"), threading.Event(), []

    def watch(progress: Mapping[str, Any]) -> None:
        if progress["stage"] == "wait for another update":
            waiting.set()

    def second() -> None:
        database = Database(trained.ledger_url)
        with_first_held = list(released)
        updated = update_version(trained, current(trained), database, watch=watch)
        released.append((with_first_held, updated.absorbed))
        database.close()

    thread = threading.Thread(target=second)
    with one_update_at_a_time(cache, ["BBB"], lambda _: None):
        thread.start()
        assert waiting.wait(timeout=120)
        assert released == []
    thread.join()
    assert released == [([], NEW)]


def test_an_update_that_waits_can_be_cancelled_and_gives_up_at_last(trained: Settings) -> None:
    cache = PriceCache(trained.data_dir / "prices")

    class Cancelled(Exception):
        pass

    def cancel(_: object) -> None:
        raise Cancelled

    passed_s = iter(range(0, 10_000, 600))
    with one_update_at_a_time(cache, ["BBB"], lambda _: None):
        with pytest.raises(Cancelled), one_update_at_a_time(cache, ["BBB"], cancel):
            pass
        with (
            pytest.raises(JobConflict, match="another update of BBB does not end"),
            one_update_at_a_time(cache, ["BBB"], lambda _: None, lambda: next(passed_s)),
        ):
            pass


def test_later_closes_win_whoever_comes_last(trained: Settings) -> None:
    cache = PriceCache(trained.data_dir / "prices")
    series = [WHOLE.rows(0, ROWS + n) for n in (3, 1, NEW, 2, 4)]
    threads = [threading.Thread(target=remember_closes, args=(cache, one)) for one in series]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = cache.get("BBB")
    assert known is not None
    assert len(known) == ROWS + NEW


@pytest.mark.parametrize("stage", ["collect", "score", "absorb"])
def test_a_model_promoted_during_an_update_has_learned_from_its_closes_as_well(
    trained: Settings, tmp_path: Path, stage: str
) -> None:
    """Both models end as if the training had come first, and each update alone."""
    before = current(trained)
    write(tmp_path, ROWS)  # the training began before the source had newer closes
    published = run_training(trained, request(trained, train_size=0.6)).manifest.version
    registry = Registry(trained.models_url)
    registry.promote("BBB", before, "as if it were not there yet", by="tests")
    write(tmp_path, ROWS + NEW)

    def promote(progress: Mapping[str, Any]) -> None:
        if progress["stage"] == stage and current(trained) == before:
            registry.promote("BBB", published, "the training ends", by="tests")

    database = Database(trained.ledger_url)
    updated = update_version(trained, before, database, watch=promote)
    assert updated.absorbed == 2 * NEW
    got = [states(trained, version) for version in (before, published)]
    assert {str(session) for session, _ in got} == {str(WHOLE.span[1])}
    database.close()
    # One after the other, from the same closes, in a database of their own.
    apart = trained.model_copy(update={"ledger_url": f"sqlite:///{tmp_path}/apart.sqlite"})
    alone = Database(apart.ledger_url)
    for version in (before, published):
        registry.promote("BBB", version, "in turn", by="tests")
        update_version(apart, version, alone)
    alone.close()
    assert got == [states(apart, version) for version in (before, published)]


def test_closes_collected_by_hand_beside_a_training_serve_forecasts_only(
    trained: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = importlib.import_module("scripts.01_collect_data")
    monkeypatch.setattr(sys, "argv", ["01_collect_data", "--symbol", "BBB"])
    monkeypatch.setattr(script, "run", lambda step: step(trained))
    before = Workspace(trained, ["BBB"]).prices()
    with Workspace(trained, ["BBB"]).alone():
        script.main()
    said = capsys.readouterr().out
    assert "a training works on these symbols now" in said
    workspace = Workspace(trained, ["BBB"])
    assert workspace.prices() == before
    known = workspace.cache.get("BBB")
    assert known is not None
    assert len(known) == ROWS + NEW
    script.main()
    assert len(workspace.prices()[0]) == ROWS + NEW


def test_a_collection_up_to_a_day_leaves_the_edition_open(trained: Settings) -> None:
    """Later closes of the file were not read: that it has not changed says nothing."""
    cache = PriceCache(trained.data_dir / "prices")
    collect(trained, "BBB")
    assert cache.edition("BBB") is not None
    cache.path("BBB").unlink()
    collect(trained, "BBB", end=date.fromisoformat(WHOLE.span[1]))
    assert cache.edition("BBB") is None
