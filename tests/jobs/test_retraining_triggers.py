"""From new closes to a training that nobody asked for, through the worker's real tasks."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.database import Database, Job
from closecast.errors import DataFault, StorageFailed
from closecast.forecasters import make_parameters
from closecast.jobs import retraining_triggers as automatic
from closecast.jobs import worker
from closecast.jobs.retraining_triggers import queue_scheduled
from closecast.jobs.tasks import TASKS, TaskContext
from closecast.pipeline import TrainRequest, collect_many, preprocess, run_training
from closecast.registry.documents import Pointer
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.conftest import settings_in
from tests.support.synthetic_prices import from_returns

TRAINED, NEW = 480, 30
"""Closes that are trained on, and that come after."""

SIZES = {"seq_length": 20, "horizon": 3}
POOL = ("AAA", "BBB", "CCC")


def walk(symbol: str, wilder: float = 1.0) -> FloatArray:
    """Closes; of the new ones the volatility is another one."""
    returns = np.random.default_rng(POOL.index(symbol)).normal(0, 0.015, TRAINED + NEW - 1)
    returns[TRAINED - 1 :] *= wilder
    return from_returns(returns).closes.copy()


def with_lost_split(symbol: str, at: int = TRAINED + 15) -> FloatArray:
    closes = walk(symbol)
    closes[at:] /= 4
    return closes


def write(folder: Path, symbol: str, closes: FloatArray) -> None:
    """What the source knows now, on real sessions."""
    days = SampleSource().read("MSFT", None, None).dates[-TRAINED - NEW :]
    rows = [f"{day},{float(close)!r}" for day, close in zip(days, closes, strict=False)]
    (folder / f"{symbol}.csv").write_text("\n".join(["Date,Close", *rows]))


class Place:
    """Models that are current, and the files that their source reads."""

    def __init__(self, folder: Path, retrain_on: str = "") -> None:
        self.folder = folder
        source = f"file:{folder}/{{symbol}}.csv"
        made = settings_in(folder, source=source, retrain_on=retrain_on, retrain_cron="* * * * *")
        # The model was made a moment ago; its interval shall have passed.
        self.settings: Settings = made.model_copy(update={"retrain_min_interval_h": 0.0})
        self.registry = Registry(made.models_url)
        self.database = Database(made.ledger_url)
        self.version = self.pointer().version

    @classmethod
    def trained(cls, folder: Path, *symbols: str) -> Place:
        """Train a first model of the symbols."""
        settings = settings_in(folder, source=f"file:{folder}/{{symbol}}.csv")
        for symbol in symbols:
            write(folder, symbol, walk(symbol)[:TRAINED])
        request = TrainRequest(
            symbols=symbols, source="file", forecaster="ewma", hyperparameters=SIZES
        )
        run_training(settings, request)
        return cls(folder)

    def pointer(self, symbol: str = "AAA") -> Pointer:
        pointer = self.registry.pointer(symbol)
        assert pointer is not None
        return pointer

    def update(self) -> Mapping[str, Any]:
        """The result of the task."""
        context = TaskContext(self.settings, self.database, lambda _: None)
        return TASKS["update"](context, {"version": self.version})

    def work(self) -> Job:
        """The oldest queued job, at its end."""
        claimed = self.database.jobs.claim("here")
        assert claimed is not None
        worker.run_job(self.settings, self.database, claimed, "here")
        return self.database.jobs.get(claimed.id)

    def trainings(self) -> list[Job]:
        return self.database.jobs.newest(task="train")


@pytest.fixture(scope="module")
def trained_pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first model of a pool: trained once, only read."""
    return Place.trained(tmp_path_factory.mktemp("pool"), *POOL).folder


@pytest.fixture
def pool(trained_pool: Path, tmp_path: Path) -> Place:
    shutil.copytree(trained_pool, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path, retrain_on="regime")


# -- by regime ----------------------------------------------------------------------------------


def test_closes_many_times_as_wild_are_trained_on_after_the_update(pool: Place) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol, wilder=12.0))
    before = pool.version
    result = pool.update()
    [job] = pool.trainings()
    assert (result["regime"], result["retraining"]) == (True, job.id)
    assert result["absorbed"] == 3 * NEW
    assert job.arguments["trigger"] == "regime"
    assert job.arguments["source"] == "file"  # an address of the settings is not shown
    ended = pool.work()
    assert (ended.state, ended.reason) == ("succeeded", None)
    assert ended.result is not None
    made = pool.registry.manifest(ended.result["version"])
    assert made.version != before
    assert made.info.symbols == POOL
    assert {span.closes for span in made.info.data} == {TRAINED + NEW}


def test_closes_as_calm_as_before_start_no_training(pool: Place) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol))
    result = pool.update()
    assert (result["regime"], result["retraining"]) == (False, None)
    assert result["absorbed"] == 3 * NEW
    assert pool.trainings() == []


def test_a_lost_split_starts_no_training(pool: Place) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, with_lost_split(symbol))
    result = pool.update()
    assert (result["regime"], result["retraining"]) == (False, None)
    assert set(result["failed"]) == set(POOL)
    assert pool.trainings() == []


def test_within_the_minimum_interval_another_regime_starts_no_training(pool: Place) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol, wilder=12.0))
    pool.settings = pool.settings.model_copy(update={"retrain_min_interval_h": 1.0})
    result = pool.update()
    assert (result["regime"], result["retraining"]) == (True, None)
    assert pool.trainings() == []


def test_while_a_training_waits_another_regime_starts_no_second_one(pool: Place) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol, wilder=12.0))
    first = pool.update()["retraining"]
    again = pool.update()
    assert (again["regime"], again["retraining"]) == (True, None)
    assert [job.id for job in pool.trainings()] == [first]


@pytest.mark.parametrize("retrain_on", ["", "schedule"])
def test_unless_it_is_set_so_nobody_looks_at_the_regime(pool: Place, retrain_on: str) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol, wilder=12.0))
    names = frozenset(filter(None, [retrain_on]))
    pool.settings = pool.settings.model_copy(update={"retrain_on": names})
    result = pool.update()
    assert (result["regime"], result["retraining"]) == (None, None)
    assert result["absorbed"] == 3 * NEW
    assert pool.trainings() == []


def test_a_model_that_is_not_current_any_more_is_not_trained_again(pool: Place) -> None:
    old = pool.version
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol, wilder=12.0))
        manifest = pool.registry.manifest(old)
    again = pool.registry.publish(manifest.info, pool.registry.load(old).files)
    for symbol in POOL:
        pool.registry.promote(symbol, again.version, "for a test")
    result = pool.update()
    assert (result["regime"], result["retraining"]) == (None, None)


def test_a_regime_that_cannot_be_known_spoils_no_update(
    pool: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise StorageFailed("the disk is gone")

    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol, wilder=12.0))
    monkeypatch.setattr(automatic, "regime_signal", fail)
    result = pool.update()
    assert (result["regime"], result["retraining"]) == (None, None)
    assert result["absorbed"] == 3 * NEW
    assert "regime not known" in caplog.text


# -- never on a data fault ----------------------------------------------------------------------


def scheduled(place: Place) -> Job:
    """The job that the schedule has queued an hour from now."""
    settings = place.settings.model_copy(update={"retrain_on": frozenset({"schedule"})})
    later = Database(settings.ledger_url, lambda: place.database.clock() + timedelta(hours=1))
    [job] = queue_scheduled(settings, later)
    later.close()
    return job


def test_a_scheduled_training_of_a_faulty_symbol_fails_and_the_model_stays(tmp_path: Path) -> None:
    place = Place.trained(tmp_path, "AAA")
    before = place.pointer()
    write(place.folder, "AAA", with_lost_split("AAA"))
    assert scheduled(place).arguments["trigger"] == "schedule"
    ended = place.work()
    assert (ended.state, ended.result) == ("failed", None)
    assert ended.reason is not None
    assert ended.reason.startswith("data_fault: nothing was retrained, and the model before keeps")
    assert "AAA: " in ended.reason
    assert "4:1 split" in ended.reason
    assert place.pointer() == before
    assert [m.version for m in place.registry.versions()] == [place.version]


def test_a_scheduled_training_of_sound_closes_succeeds(tmp_path: Path) -> None:
    place = Place.trained(tmp_path, "AAA")
    write(place.folder, "AAA", walk("AAA"))
    scheduled(place)
    assert place.work().state == "succeeded"
    assert len(list(place.registry.versions())) == 2


def test_a_scheduled_training_of_a_pool_leaves_the_faulty_symbol_out(pool: Place) -> None:
    for symbol in POOL:
        write(pool.folder, symbol, walk(symbol))
    write(pool.folder, "BBB", with_lost_split("BBB"))
    scheduled(pool)
    ended = pool.work()
    assert ended.state == "succeeded"
    assert ended.result is not None
    assert set(ended.result["left_out"]) == {"BBB"}
    assert pool.pointer("BBB").version == pool.version


@pytest.mark.parametrize("automatically", [False, True])
def test_a_pool_without_a_sound_symbol_is_refused(tmp_path: Path, automatically: bool) -> None:
    settings = settings_in(tmp_path, source=f"file:{tmp_path}/{{symbol}}.csv")
    for symbol in POOL:
        write(tmp_path, symbol, with_lost_split(symbol, at=200))
    collect_many(settings, POOL)
    with pytest.raises(DataFault, match=r"AAA: .*; BBB: .*; CCC: .*; correct the closes, or send"):
        preprocess(settings, POOL, make_parameters("ewma", SIZES), automatic=automatically)
