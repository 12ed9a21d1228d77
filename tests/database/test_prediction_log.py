"""The log of answers: complete while there is room, and never in the way of an answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from closecast.database import Database, PredictionLogWriter, PredictionRecord
from closecast.errors import StorageFailed
from tests.database.test_database import NOON, at_once
from tests.support.logged_predictions import newest_predictions

pytest_plugins = ["tests.support.database_url"]


def answered(i: int = 0) -> PredictionRecord:
    return PredictionRecord(
        at=NOON + timedelta(milliseconds=i),
        request_id=f"request-{i}",
        symbol="MSFT",
        version="20260101T000000Z-abcdef",
        last_close=0.1 + 0.2,
        predicted_price=100.0 + i,
        drift_warning=i % 2 == 1,
        findings=("volatility", "level_gap")[: i % 3],
        duration_ms=1.5,
        memory_percent=None if i % 3 else 41.5,
    )


class Recording:
    """Stands where :class:`PredictionLog` does; fails, or waits, when told to."""

    def __init__(self) -> None:
        self.rows: list[PredictionRecord] = []
        self.calls = 0
        self.failing = False
        self.free = threading.Event()
        self.free.set()
        self.called = threading.Semaphore(0)

    def log(self, rows: Sequence[PredictionRecord]) -> None:
        self.calls += 1
        self.called.release()
        self.free.wait()
        if self.failing:
            raise StorageFailed("the disk is full")
        self.rows += rows

    def prune(self, keep: int) -> int:
        return 0


def started(into: Any, **changes: Any) -> PredictionLogWriter:
    return PredictionLogWriter(into, **{"interval_s": 0.001, **changes})


# -- the table ----------------------------------------------------------------------------------


def test_answers_come_back_as_they_were_the_last_first(database: Database) -> None:
    rows = [answered(i) for i in range(4)]
    database.predictions.log(rows[:3])
    database.predictions.log(rows[3:])
    database.predictions.log([])
    assert newest_predictions(database) == rows[::-1]
    assert newest_predictions(database, 2) == rows[:1:-1]


def test_the_log_keeps_the_newest_answers(database: Database) -> None:
    log = PredictionLogWriter(database.predictions, interval_s=60, keep=20)
    for i in range(300):
        log.put(answered(i))
    log.close()
    kept = newest_predictions(database, 1000)
    assert kept == [answered(i) for i in range(299, 299 - len(kept), -1)]
    assert len(kept) == 20  # one batch, pruned once


def test_what_processes_before_it_left_is_pruned_by_the_first_batch(database: Database) -> None:
    database.predictions.log([answered(i) for i in range(300)])
    log = PredictionLogWriter(database.predictions, interval_s=60, keep=200)
    log.put(answered(300))
    log.close()
    assert newest_predictions(database, 1000) == [answered(i) for i in range(300, 100, -1)]


def test_an_answer_may_have_no_request_id(database: Database) -> None:
    database.predictions.log([PredictionRecord(NOON, None, "MSFT", "v", 1.0, 2.0, False, (), 0.1)])
    assert newest_predictions(database)[0].request_id is None


@pytest.mark.parametrize(("keep", "left"), [(0, 0), (1, 1), (3, 3), (5, 5), (9, 5)])
def test_pruning_keeps_the_newest(database: Database, keep: int, left: int) -> None:
    rows = [answered(i) for i in range(5)]
    database.predictions.log(rows)
    assert database.predictions.prune(keep) == 5 - left
    assert newest_predictions(database) == rows[::-1][:left]


def test_what_comes_after_a_pruning_is_newer(database: Database) -> None:
    database.predictions.log([answered(0), answered(1)])
    database.predictions.prune(0)
    database.predictions.log([answered(2)])
    database.predictions.log([answered(3)])
    assert newest_predictions(database) == [answered(3), answered(2)]


# -- the thread ---------------------------------------------------------------------------------


def test_everything_is_written_by_the_time_it_is_closed(database: Database) -> None:
    log = PredictionLogWriter(database.predictions, interval_s=60)
    for i in range(1200):
        log.put(answered(i))
    log.close()
    assert log.dropped == 0
    assert newest_predictions(database, 2000) == [answered(i) for i in range(1200)][::-1]


def test_answers_are_written_without_being_asked_to() -> None:
    into = Recording()
    log = started(into)
    log.put(answered(1))
    assert into.called.acquire(timeout=60)
    log.close()
    assert into.rows == [answered(1)]


def test_many_threads_lose_nothing() -> None:
    into = Recording()
    log = started(into)

    def put(i: int) -> None:
        for k in range(500):
            log.put(answered(500 * i + k))

    at_once(4, put)
    log.close()
    assert sorted(row.predicted_price for row in into.rows) == [100.0 + i for i in range(2000)]
    assert log.dropped == 0


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    into = Recording()
    into.free.clear()
    log = started(into, capacity=3)
    log.put(answered(0))
    assert into.called.acquire(timeout=60)  # the thread holds the first and waits for the ledger
    for i in range(1, 10):
        log.put(answered(i))
    assert log.dropped == 6
    into.free.set()
    log.close()
    assert into.rows == [answered(i) for i in range(4)]


def test_a_failing_ledger_is_told_of_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    into = Recording()
    into.failing = True
    log = started(into)
    with caplog.at_level(logging.WARNING, "closecast.database.prediction_log"):
        for i in range(3):
            log.put(answered(i))
            assert into.called.acquire(timeout=60)
        while log.dropped < 3:
            threading.Event().wait(0.001)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "the disk is full" in caplog.text
        into.failing = False
        log.put(answered(3))
        log.close()
    assert into.rows == [answered(3)]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "3 were not" in caplog.records[-1].message


def test_a_bug_in_the_ledger_does_not_end_the_log() -> None:
    into = Recording()
    into.log = lambda _: 1 / 0  # type: ignore[assignment, method-assign]
    log = started(into)
    log.put(answered(0))
    while log.dropped < 1:
        threading.Event().wait(0.001)
    del into.log
    log.put(answered(1))
    log.close()
    assert into.rows == [answered(1)]
    assert (log.written, log.dropped, log.waiting) == (1, 1, 0)


def test_answers_that_are_written_are_not_lost_where_old_ones_cannot_be_deleted(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_: int) -> int:
        raise StorageFailed("away")

    monkeypatch.setattr(database.predictions, "prune", away)
    log = PredictionLogWriter(database.predictions, keep=1)
    log.put(answered(1))
    log.close()
    assert (log.written, log.dropped) == (1, 0)
    assert "old answers are not deleted: away" in caplog.text


def test_what_comes_after_the_end_is_counted_and_raises_nothing() -> None:
    into = Recording()
    log = started(into)
    log.close()
    log.put(answered(1))
    log.close()
    assert (into.rows, log.dropped) == ([], 1)


def test_nothing_is_written_while_nothing_is_asked() -> None:
    into = Recording()
    log = started(into)
    threading.Event().wait(0.05)
    log.close()
    assert into.calls == 0


def test_a_ledger_that_is_away_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    database = Database("postgresql://127.0.0.1:1/nowhere")
    log = started(database.predictions)
    log.put(answered(1))
    log.close()
    database.close()
    assert log.dropped == 1
    assert "127.0.0.1:1/nowhere cannot be used" in caplog.text
