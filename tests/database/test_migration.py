"""Databases that earlier versions wrote are brought up to date, and keep what they hold."""

from __future__ import annotations

import lzma
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from closecast.calibration.adaptive import AdaptiveState
from closecast.database import CalibrationChange, Database, PredictionFilter
from closecast.errors import JobConflict
from closecast.metrics.outcomes import score_step

# As SQLAlchemy created it before there were attempts and a table of keys.
JOBS_BEFORE = """
CREATE TABLE jobs (
    id VARCHAR(32) NOT NULL, task VARCHAR(40) NOT NULL, symbol VARCHAR(40) NOT NULL,
    arguments JSON NOT NULL, fingerprint VARCHAR(64) NOT NULL,
    request_digest VARCHAR(64) NOT NULL, idempotency_key VARCHAR(255), state VARCHAR(10) NOT NULL,
    progress JSON NOT NULL, result JSON, reason TEXT, owner VARCHAR(200),
    cancel_requested BOOLEAN NOT NULL, created_at DATETIME NOT NULL, started_at DATETIME,
    heartbeat_at DATETIME, finished_at DATETIME, PRIMARY KEY (id), UNIQUE (idempotency_key)
);
INSERT INTO jobs VALUES (
    '00000000000000000000000000000001', 'train', 'MSFT', '{}', 'f', 'd', 'key', 'queued', '{}',
    NULL, NULL, NULL, 0, '2026-01-02 12:00:00.000000', NULL, NULL, NULL
);
"""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as old:
        old.executescript(JOBS_BEFORE)
    return Database(f"sqlite:///{tmp_path}/ledger.sqlite")


def test_jobs_of_before_wait_and_run(database: Database) -> None:
    [job] = database.jobs.newest()
    assert (job.symbol, job.state, job.attempts) == ("MSFT", "queued", 0)
    claimed = database.jobs.claim("me")
    assert claimed is not None
    assert (claimed.id, claimed.attempts) == (job.id, 1)


def test_jobs_of_before_are_in_the_queue_of_their_task(database: Database, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as old:
        old.execute(
            "INSERT INTO jobs SELECT '0000000000000000000000000000000' || 2, 'update', symbol, "
            "arguments, 'f', 'd', NULL, state, progress, NULL, NULL, NULL, "
            "0, created_at, NULL, NULL, NULL FROM jobs"
        )
        old.commit()
    train, update = "0" * 31 + "1", "0" * 31 + "2"
    assert database.jobs.next_queued(["train"]) == train
    assert database.jobs.next_queued(["fast"]) == update
    assert [job.id for job in database.jobs.newest(queue="fast")] == [update]
    assert {job.id: job.queue for job in database.jobs.newest()} == {train: "train", update: "fast"}


def test_a_key_of_before_still_belongs_to_its_request(database: Database) -> None:
    with pytest.raises(JobConflict, match="used for another request"):
        database.jobs.submit("train", "AAPL", {}, "key")


def test_a_ledger_is_brought_up_to_date_once(database: Database, tmp_path: Path) -> None:
    database.check()
    again = Database(f"sqlite:///{tmp_path}/ledger.sqlite")
    again.check()
    assert len(again.jobs.newest()) == 1


# -- a whole database as commit 2a7cc8d wrote it -------------------------------------------------

VERSION = "20261130T180940Z-cfb4e7f5"
FORECAST = "044e3d57a076d0f446ee38abbd16ef59"
DECEMBER_1 = datetime(2022, 12, 1, 22, 30, tzinfo=UTC)


@pytest.fixture
def of_2a7cc8d(tmp_path: Path) -> Iterator[Database]:
    """Jobs, a configuration, three predictions, a forecast and a calibration of three closes."""
    with lzma.open(Path(__file__).parent / "data" / "2a7cc8d.sqlite.xz") as kept:
        (tmp_path / "kept.sqlite").write_bytes(kept.read())
    passed_s = iter((0.0, 11.0))  # leases are judged by it, once for each look
    opened = Database(
        f"sqlite:///{tmp_path}/kept.sqlite",
        lambda: DECEMBER_1 + timedelta(days=9),
        lambda: next(passed_s),
    )
    yield opened
    opened.close()


def test_jobs_of_2a7cc8d_are_read_and_go_on(of_2a7cc8d: Database) -> None:
    jobs = of_2a7cc8d.jobs
    done = next(job for job in jobs.newest() if job.task == "train")
    assert (done.state, done.attempts) == ("succeeded", 1)
    assert (done.created_at, done.finished_at) == (DECEMBER_1, DECEMBER_1)
    assert done.result == {"version": VERSION, "promoted": ["MSFT"]}
    assert jobs.replayed("train", "key-of-before", "{}") == done
    claimed = jobs.claim("me")
    assert claimed is not None
    assert (claimed.task, claimed.arguments) == ("update", {"version": VERSION})
    jobs.heartbeat(claimed.id, "me", {"stage": "collect"})
    assert jobs.finish(claimed.id, "me", "succeeded")
    assert jobs.submit("update", "MSFT", {"version": VERSION})[1]


def test_forecasts_of_2a7cc8d_are_read_and_scored_on(of_2a7cc8d: Database) -> None:
    ledger = of_2a7cc8d.forecasts
    forecast, outcomes = ledger.get(FORECAST)
    assert forecast.issued_at == DECEMBER_1
    assert forecast.forecast_id == FORECAST, "the identifier is the hash of what is stored"
    assert [outcome is not None for outcome in outcomes] == [True] * 3 + [False] * 7
    assert len(ledger.scored("MSFT", "live")) == 3
    due = ledger.due("MSFT", date(2022, 12, 7))
    assert [step.session for _, _, step in due] == [date(2022, 12, 7)]
    outcome = score_step(forecast, due[0][2], 0.01, DECEMBER_1 + timedelta(days=8))
    assert ledger.score([(FORECAST, due[0][2].step, outcome)]) == 1
    assert ledger.get(FORECAST)[1][3] == outcome
    assert ledger.commit(replace(forecast, revision=1)) != FORECAST


def test_a_calibration_of_2a7cc8d_is_read_and_replaced(of_2a7cc8d: Database) -> None:
    calibrations = of_2a7cc8d.calibrations
    stored = calibrations.newest(VERSION, "MSFT")
    assert stored is not None
    assert (stored.session, len(stored.parts)) == (date(2022, 12, 6), 11)
    assert str(AdaptiveState.from_parts(stored.parts).session) == "2022-12-06"
    known = calibrations.absorbed(VERSION, "MSFT")
    assert known is not None
    assert (known.revision, known.prices) == (stored.revision, None), "closes were not remembered"
    [*_, day] = of_2a7cc8d.drift_days.history("MSFT")
    assert (day.session, day.version) == (date(2022, 12, 6), VERSION)
    following = replace(day, session=date(2022, 12, 7), at=DECEMBER_1 + timedelta(days=6))
    revision = stored.revision + 1
    change = CalibrationChange(
        "MSFT",
        stored.revision,
        revision,
        following.session,
        stored.parts,
        since=day.session,
        drift_days=(following,),
    )
    calibrations.store(VERSION, [change])
    assert of_2a7cc8d.drift_days.newest(VERSION, "MSFT") == following
    assert calibrations.session_of(VERSION, "MSFT") == following.session


def test_other_tables_of_2a7cc8d_are_read_and_written(of_2a7cc8d: Database) -> None:
    predictions = of_2a7cc8d.predictions
    page = predictions.page(PredictionFilter("MSFT"), limit=9)
    assert [number for number, _ in page] == [3, 2, 1]
    assert {(record.version, record.at) for _, record in page} == {(VERSION, DECEMBER_1)}
    assert {record.memory_percent for _, record in page} == {None}
    predictions.log([page[0][1]._replace(memory_percent=41.5)])
    assert predictions.page(PredictionFilter(), limit=1)[0][1].memory_percent == 41.5
    assert len(predictions.page(PredictionFilter(), limit=9)) == 4
    configuration = of_2a7cc8d.configurations.newest("MSFT")
    assert (configuration.revision, configuration.hyperparameters) == (1, {"forecaster": "ewma"})
    assert of_2a7cc8d.configurations.store("MSFT", {}, if_revision=1).revision == 2
    assert of_2a7cc8d.processes.forget_dead(lambda _: None) == []  # it may be another machine's
    assert of_2a7cc8d.processes.forget_dead(lambda _: None) == ["elsewhere/0-1:1:1"]


def test_decisions_about_closes_find_their_tables_in_a_database_of_2a7cc8d(
    of_2a7cc8d: Database,
) -> None:
    decisions = of_2a7cc8d.close_decisions
    assert (decisions.accepted("MSFT"), decisions.all_held()) == ({}, {})
    accepted = decisions.accept("MSFT", date(2022, 12, 7), "a real fall", "anna")
    assert decisions.accepted("MSFT") == {date(2022, 12, 7): accepted}
