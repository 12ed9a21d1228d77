"""Processes tell each other what they serve, and go on where the ledger does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from closecast.database import ApiProcesses, Database, ServedModel
from closecast.errors import StorageFailed
from closecast.infra.latency import Latencies
from closecast.infra.processes import owner_name, place
from closecast.serving import FleetReporter

OTHER = "another-machine:1:1"
NOW = datetime.now(UTC)


class Loaded:
    """Models whose snapshots are set by hand."""

    def __init__(self) -> None:
        self.generations = {"MSFT": 3}
        self.broken: dict[str, str] = {}
        self.refused: dict[str, int] = {}

    def loaded(self) -> list[Any]:
        return [
            SimpleNamespace(symbol=symbol, version=f"v{generation}", generation=generation)
            for symbol, generation in self.generations.items()
        ]

    def failures(self) -> dict[str, str]:
        return dict(self.broken)

    def refused_generation(self, symbol: str) -> int | None:
        return self.refused.get(symbol)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/ledger.sqlite")
    yield made
    made.close()


@pytest.fixture
def models() -> Loaded:
    return Loaded()


@pytest.fixture
def latencies() -> Latencies:
    return Latencies()


@pytest.fixture
def reporter(models: Loaded, database: Database, latencies: Latencies) -> FleetReporter:
    return FleetReporter(models, database.processes, latencies)  # type: ignore[arg-type]


def stored(database: Database, symbol: str = "MSFT") -> ServedModel | None:
    """The row of this process in the database."""
    [state] = database.processes.living([symbol], lambda process: process == owner_name())[symbol]
    return state.serving


def test_a_change_is_in_the_ledger_after_one_look(
    reporter: FleetReporter, models: Loaded, database: Database
) -> None:
    reporter.look()
    assert stored(database) == ServedModel("v3", 3)
    models.generations |= {"MSFT": 4, "AAPL": 1}
    reporter.look()
    assert (stored(database), stored(database, "AAPL")) == (
        ServedModel("v4", 4),
        ServedModel("v1", 1),
    )
    models.broken["MSFT"], models.refused["MSFT"] = "predictor.json is missing", 5
    reporter.look()
    assert stored(database) == ServedModel("v4", 4, "predictor.json is missing", 5)
    models.broken.clear()
    reporter.look()
    assert stored(database) == ServedModel("v4", 4)


def test_without_a_change_nothing_is_written_between_two_heartbeats(
    reporter: FleetReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter.look()
    for name in ("report", "beat"):
        monkeypatch.setattr(ApiProcesses, name, lambda *_, **__: 1 / 0)
    reporter.look()


def test_a_ledger_that_was_moved_away_is_told_everything_again(
    reporter: FleetReporter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("closecast.serving.fleet._BEAT_S", 0.0)
    reporter.look()
    database.processes.forget(owner_name())
    reporter.look()
    assert stored(database) == ServedModel("v3", 3)


def test_how_fast_predictions_are_is_reported_once_there_are_enough(
    reporter: FleetReporter,
    database: Database,
    latencies: Latencies,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("closecast.serving.fleet._BEAT_S", 0.0)
    latencies.add(0.5)
    reporter.look()
    assert database.processes.slowest_p95_ms(place(), lambda _: True) is None
    for _ in range(30):
        latencies.add(0.04)
    reporter.look()
    assert database.processes.slowest_p95_ms(place(), lambda _: True) == 40.0


def test_the_process_that_answers_knows_itself_better_than_the_ledger_does(
    reporter: FleetReporter, models: Loaded, database: Database
) -> None:
    database.processes.report(OTHER, NOW, {"MSFT": ServedModel("v2", 2)}, whole=True)
    reporter.look()
    models.generations["MSFT"] = 4
    fleet = reporter.fleet(["MSFT"])
    assert {w.process: w.serving for w in fleet.workers} == {
        owner_name(): ServedModel("v4", 4),
        OTHER: ServedModel("v2", 2),
    }
    assert fleet.unknown is None


def test_without_a_ledger_only_the_process_that_answers_is_known(
    reporter: FleetReporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise StorageFailed("the ledger cannot be used")

    monkeypatch.setattr(ApiProcesses, "living", fail)
    fleet = reporter.wait_for({"MSFT": 99})
    [worker] = fleet.workers
    assert (worker.process, worker.serving) == (owner_name(), ServedModel("v3", 3))
    assert fleet.unknown == "the ledger cannot be used"


def test_waiting_ends_when_the_last_process_has_followed(
    reporter: FleetReporter, database: Database
) -> None:
    database.processes.report(OTHER, NOW, {"MSFT": ServedModel("v2", 2)}, whole=True)
    follows = threading.Timer(
        0.2,
        lambda: database.processes.report(OTHER, NOW, {"MSFT": ServedModel("v3", 3)}, whole=True),
    )
    follows.start()
    fleet = reporter.wait_for({"MSFT": 3}, timeout_s=60)
    follows.join()
    assert all(worker.has_followed(3) for worker in fleet.workers)


@pytest.mark.parametrize(
    ("serving", "followed"),
    [
        (ServedModel("v3", 3), True),
        (ServedModel("v4", 4), True),  # it was faster
        (ServedModel("v2", 2), False),
        (ServedModel("v2", 2, "cannot be loaded", 3), True),
        (ServedModel("v2", 2, "could not load the one before", 2), False),
        (ServedModel("v2", 2, "the store does not answer", None), False),
        (None, True),  # nobody has asked it for the symbol
    ],
)
def test_whoever_failed_at_this_pointer_is_not_waited_for(
    reporter: FleetReporter, database: Database, serving: ServedModel | None, followed: bool
) -> None:
    served = {} if serving is None else {"MSFT": serving}
    database.processes.report(OTHER, NOW, served, whole=True)
    fleet = reporter.wait_for({"MSFT": 3}, timeout_s=0.1)
    [other] = [worker for worker in fleet.workers if worker.process == OTHER]
    assert other.serving == serving
    assert other.has_followed(3) is followed


def test_the_thread_reports_when_it_is_woken_and_takes_itself_off_the_list(
    reporter: FleetReporter, models: Loaded, database: Database
) -> None:
    reporter.start()
    models.generations["MSFT"] = 7
    for _ in range(1200):
        reporter.wake()
        if any(
            s.serving == ServedModel("v7", 7)
            for s in database.processes.living(["MSFT"], bool)["MSFT"]
        ):
            break
        threading.Event().wait(0.05)
    else:
        raise AssertionError("never reported")
    reporter.stop()
    assert database.processes.living(["MSFT"], bool)["MSFT"] == []
