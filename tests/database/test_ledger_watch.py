"""A ledger that was replaced, and one that is damaged inside, are noticed and said."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from closecast.database import Database
from closecast.database.ledger_watch import damage_in
from closecast.errors import StorageFailed
from tests.support.database_url import on_postgres, postgres

__all__ = ["on_postgres", "postgres"]

NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/ledger.sqlite", clock)
    yield made
    made.close()


def codes(database: Database, tmp_path: Path) -> list[str]:
    return [trouble.code for trouble in database.watch(tmp_path / ".ledger.json").look()]


def remove(tmp_path: Path) -> None:
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()


def filled(database: Database) -> None:
    for i in range(400):
        database.jobs.submit("train", f"S{i}", {"symbols": [f"S{i}"], "note": "x" * 200})


def test_a_first_ledger_is_no_trouble(database: Database, tmp_path: Path) -> None:
    assert codes(database, tmp_path) == []
    assert codes(database, tmp_path) == []


def test_a_ledger_deleted_while_in_use_is_said(
    database: Database, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    codes(database, tmp_path)
    remove(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert codes(database, tmp_path) == ["ledger_new"]
    messages = [record.getMessage() for record in caplog.records]
    assert "the file of the ledger was deleted or replaced while it was in use" in messages
    assert "the ledger is new; its history is gone" in messages
    clock.now += timedelta(days=2)
    assert codes(database, tmp_path) == [], "news of two days ago is none"


def test_a_ledger_replaced_between_two_starts_is_said_by_every_process(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    codes(database, tmp_path)
    database.close()
    remove(tmp_path)
    for _ in range(2):
        again = Database(f"sqlite:///{tmp_path}/ledger.sqlite", clock)
        assert codes(again, tmp_path) == ["ledger_new"]
        again.close()


def test_a_replaced_ledger_is_logged_at_the_start(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    codes(database, tmp_path)
    database.close()
    remove(tmp_path)
    again = Database(f"sqlite:///{tmp_path}/ledger.sqlite")
    watch = again.watch(tmp_path / ".ledger.json")
    with caplog.at_level(logging.WARNING):
        watch.start()
        watch._thread.join(30)
    again.close()
    assert "the ledger is new; its history is gone" in [r.getMessage() for r in caplog.records]


def test_a_ledger_that_comes_back_from_a_backup_is_the_old_one(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    codes(database, tmp_path)
    database.close()
    (tmp_path / "ledger.sqlite").rename(tmp_path / "backup")
    remove(tmp_path)
    (tmp_path / "backup").rename(tmp_path / "ledger.sqlite")
    again = Database(f"sqlite:///{tmp_path}/ledger.sqlite", clock)
    assert codes(again, tmp_path) == []
    again.close()


def test_another_place_for_the_ledger_is_a_choice(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    codes(database, tmp_path)
    other = Database(f"sqlite:///{tmp_path}/other.sqlite", clock)
    assert codes(other, tmp_path) == []
    other.close()


def test_damage_in_the_middle_is_found_at_the_start(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(database)
    assert codes(database, tmp_path) == []
    database.close()
    file = tmp_path / "ledger.sqlite"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\x5a" * 8192
    file.write_bytes(content)
    assert damage_in(file, 10) is not None
    caplog.clear()
    often = Database(f"sqlite:///{file}")
    for _ in range(3):
        with pytest.raises(StorageFailed):
            often.jobs.newest(limit=400)
    often.close()
    assert [r.getMessage() for r in caplog.records].count("the ledger is damaged") == 1
    again = Database(f"sqlite:///{file}")
    watch = again.watch(tmp_path / ".ledger.json")
    watch.start()
    watch._thread.join(30)
    other = Database(f"sqlite:///{file}").watch(tmp_path / ".ledger.json")
    assert [trouble.code for trouble in other.look()] == ["ledger_damaged"]
    again.close()


def test_a_file_that_was_repaired_in_place_is_sound_again(
    database: Database, tmp_path: Path
) -> None:
    filled(database)
    assert codes(database, tmp_path) == []
    database.close()
    file = tmp_path / "ledger.sqlite"
    sound = file.read_bytes()
    file.write_bytes(sound[: len(sound) // 3])
    again = Database(f"sqlite:///{file}")
    watch = again.watch(tmp_path / ".ledger.json")
    watch.start()
    watch._thread.join(30)
    assert [trouble.code for trouble in watch.look()] == ["ledger_damaged"]
    file.write_bytes(sound)
    assert watch.look() == []
    again.close()


def test_the_former_ledger_in_place_of_a_new_one_is_no_trouble(
    database: Database, tmp_path: Path, clock: Clock
) -> None:
    codes(database, tmp_path)
    database.close()
    (tmp_path / "ledger.sqlite").rename(tmp_path / "backup")
    remove(tmp_path)
    assert codes(Database(f"sqlite:///{tmp_path}/ledger.sqlite", clock), tmp_path) == ["ledger_new"]
    remove(tmp_path)
    (tmp_path / "backup").rename(tmp_path / "ledger.sqlite")
    assert codes(Database(f"sqlite:///{tmp_path}/ledger.sqlite", clock), tmp_path) == []


def test_a_sound_file_has_no_damage(database: Database, tmp_path: Path) -> None:
    filled(database)
    assert damage_in(tmp_path / "ledger.sqlite", 10) is None


def test_a_check_that_takes_too_long_is_ended(database: Database, tmp_path: Path) -> None:
    filled(database)
    assert damage_in(tmp_path / "ledger.sqlite", 0) is None


def test_a_damaged_row_that_is_met_later_is_said(database: Database, tmp_path: Path) -> None:
    job, _ = database.jobs.submit("train", "KO", {"symbols": ["KO"]})
    codes(database, tmp_path)
    with database._engine.transaction() as connection:
        connection.execute(sa.text("UPDATE jobs SET arguments = '{\"symbols\": '"))
    with pytest.raises(StorageFailed, match="cannot be used"):
        database.jobs.get(job.id)
    assert codes(database, tmp_path) == ["ledger_damaged"]


def test_a_server_has_an_identity_too(on_postgres: sa.URL, tmp_path: Path, clock: Clock) -> None:
    database = Database(on_postgres.render_as_string(hide_password=False), clock)
    assert codes(database, tmp_path) == []
    with database._engine.transaction() as connection:
        connection.execute(sa.text("DELETE FROM ledger_identity"))
    assert codes(database, tmp_path) == ["ledger_new"]
    database.close()
