"""Acceptance of closes: stored once, before the update that absorbs them is queued."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from closecast.core.calendars import as_date
from closecast.core.records import HeldCloses
from closecast.database import Database
from closecast.errors import InvalidSymbol, NothingToAccept, PriceProblem, UnknownSymbol
from closecast.jobs import tasks
from closecast.jobs.close_acceptance import accept_close, acceptable_sessions
from closecast.jobs.tasks import TaskContext
from closecast.pipeline.update import UpdateResult
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache

SINCE, REASON = date(2022, 12, 27), "a real halving"
HALVED = HeldCloses(
    SINCE, "suspected_split", "like a split", "a correction", datetime(2022, 12, 27, 23, tzinfo=UTC)
)


@pytest.fixture
def database(published: Settings) -> Iterator[Database]:
    made = Database(published.ledger_url)
    yield made
    made.close()


def test_a_held_close_is_accepted_and_its_update_queued(
    published: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    database.close_decisions.hold("MSFT", HALVED)
    done = accept_close(published, database, "msft", SINCE, f" {REASON} ", "ana")
    assert (done.accepted.reason, done.accepted.by, done.held) == (REASON, "ana", HALVED)
    assert done.job is not None
    pointer = Registry(published.models_url).pointer("MSFT")
    assert pointer is not None
    assert (done.job.task, done.job.arguments) == ("update", {"version": pointer.version})
    [record] = [r for r in caplog.records if r.message == "close accepted"]
    assert (record.symbol, record.session, record.by) == ("MSFT", "2022-12-27", "ana")  # type: ignore[attr-defined]


def test_the_same_acceptance_again_changes_nothing(published: Settings, database: Database) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    first = accept_close(published, database, "MSFT", SINCE, REASON, "ana")
    again = accept_close(published, database, "MSFT", SINCE, "another reason", "bea")
    assert again == first
    assert len(database.jobs.newest(task="update")) == 1


def test_after_it_was_absorbed_the_same_acceptance_queues_nothing(
    published: Settings, database: Database
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    first = accept_close(published, database, "MSFT", SINCE, REASON, "ana")
    database.close_decisions.hold("MSFT", None)
    again = accept_close(published, database, "MSFT", SINCE, REASON, "ana")
    assert (again.accepted, again.held, again.job) == (first.accepted, None, None)


def test_a_decision_whose_update_was_never_queued_gets_it_by_being_sent_again(
    published: Settings, database: Database
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    database.close_decisions.accept("MSFT", SINCE, REASON, "ana")  # and then the process died
    assert accept_close(published, database, "MSFT", SINCE, REASON, "ana").job is not None


def test_an_update_of_another_version_that_runs_is_the_job(
    published: Settings, database: Database
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    running, _ = database.jobs.submit("update", "MSFT", {"version": "20260102T030405Z-0a1b2c3d"})
    done = accept_close(published, database, "MSFT", SINCE, REASON, "ana")
    assert done.job is not None
    assert done.job.id == running.id


def test_the_session_of_the_fault_can_be_accepted_and_no_others(
    published: Settings, database: Database
) -> None:
    prices = PriceCache(published.data_dir / "prices").get("MSFT")
    assert prices is not None
    assert acceptable_sessions(prices, None, {}) == []
    assert acceptable_sessions(prices, HALVED, {}) == [SINCE]
    database.close_decisions.hold("MSFT", HALVED)
    for session in (date(2022, 12, 23), date(2022, 12, 28), date(2022, 12, 29), date(2999, 1, 4)):
        with pytest.raises(NothingToAccept, match=r"those that are: 2022-12-27$") as refused:
            accept_close(published, database, "MSFT", session, REASON, "ana")
        assert refused.value.details() == {"sessions": ["2022-12-27"]}
    assert database.close_decisions.accepted("MSFT") == {}
    assert database.jobs.newest() == []


def test_a_later_fault_of_an_accepted_session_is_accepted_anew(
    published: Settings, database: Database
) -> None:
    """A history that is rewritten twice differs from the same session on both times."""
    first = database.close_decisions.accept("MSFT", SINCE, "rewritten", "ana")
    noticed = first.at + timedelta(microseconds=1)
    held = replace(HALVED, code="rewritten_history", noticed_at=noticed)
    database.close_decisions.hold("MSFT", held)
    assert acceptable_sessions(None, held, {SINCE: first}) == [SINCE]
    done = accept_close(published, database, "MSFT", SINCE, "rewritten again", "bea")
    assert (done.accepted.reason, done.accepted.by) == ("rewritten again", "bea")
    assert done.job is not None
    assert acceptable_sessions(None, held, {SINCE: done.accepted}) == []
    assert accept_close(published, database, "MSFT", SINCE, "x", "bea").accepted == done.accepted
    assert database.close_decisions.all_accepted() == [first, done.accepted]


def test_closes_of_another_basis_are_held_back_for_no_decision(
    published: Settings, database: Database
) -> None:
    held = replace(HALVED, code="other_basis", reason="closes are raw", ends="Train anew.")
    database.close_decisions.hold("MSFT", held)
    with pytest.raises(NothingToAccept, match=r"no decision ends that: closes are raw\. Train"):
        accept_close(published, database, "MSFT", SINCE, REASON, "ana")
    assert acceptable_sessions(None, held, {}) == []


def test_a_remarkable_move_in_collected_closes_can_be_accepted_without_a_model(
    published: Settings, database: Database
) -> None:
    cache = PriceCache(published.data_dir / "prices")
    prices = cache.get("MSFT")
    assert prices is not None
    closes = prices.closes.copy()
    closes[-100:] /= 2
    day = as_date(prices.sessions[-100])
    note = PriceProblem("remarkable_move", "-50% in one session", str(day), closes[-100])
    cache.put(replace(prices, symbol="IBM", closes=closes, notes=(note,)))
    done = accept_close(published, database, "IBM", day, REASON, "ana")
    assert (done.accepted.session, done.job) == (day, None)


def test_a_symbol_without_model_and_closes_is_unknown(
    published: Settings, database: Database
) -> None:
    with pytest.raises(UnknownSymbol, match="ORCL has neither a model nor collected closes"):
        accept_close(published, database, "ORCL", SINCE, REASON, "ana")
    with pytest.raises(InvalidSymbol):
        accept_close(published, database, "../x", SINCE, REASON, "ana")


@pytest.mark.parametrize("reason", ["", "  ", "\t", "two\nlines", "nul\0", "x" * 501, "a\u202eb"])
def test_a_reason_that_is_none_is_refused(
    published: Settings, database: Database, reason: str
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    with pytest.raises(ValueError, match=r"blank|characters|control character"):
        accept_close(published, database, "MSFT", SINCE, reason, "ana")
    assert database.close_decisions.accepted("MSFT") == {}


def test_acceptances_at_once_are_one_decision_and_one_update(
    published: Settings, database: Database
) -> None:
    database.close_decisions.hold("MSFT", HALVED)

    def attempt(n: int) -> Any:
        own = Database(published.ledger_url)
        done = accept_close(published, own, "MSFT", SINCE, f"reason {n}", "ana")
        own.close()
        return done.accepted, done.job.id if done.job else None

    with ThreadPoolExecutor(4) as pool:
        answers = set(pool.map(attempt, range(8)))
    assert len(answers) == 1
    assert len(database.jobs.newest(task="update")) == 1


def test_a_decision_outlives_kill_9_before_its_update_is_queued(
    published: Settings, database: Database
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    program = (
        "import os, signal, sys\n"
        "from datetime import date\n"
        "from closecast.database import Database\n"
        "from closecast.jobs import close_acceptance\n"
        "from closecast.settings import Settings\n"
        "settings = Settings.model_validate_json(sys.argv[1])\n"
        "close_acceptance.submit_update = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "close_acceptance.accept_close(settings, Database(settings.ledger_url), 'MSFT',"
        " date(2022, 12, 27), 'a real halving', 'ana')\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, published.model_dump_json()], timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(database.close_decisions.accepted("MSFT")) == [SINCE]
    assert database.jobs.newest() == []


# -- during an update ---------------------------------------------------------------------------


class Runs:
    """Counts runs of an update; a close is accepted during the first of them."""

    def __init__(self, database: Database, accept_in: int = 1, release_in: int = 2) -> None:
        self.count = 0
        self._database, self._accept_in, self._release_in = database, accept_in, release_in

    def __call__(self, _settings: Settings, version: str, *_: object, **__: object) -> UpdateResult:
        self.count += 1
        if self.count == self._accept_in:
            self._database.close_decisions.accept("MSFT", SINCE, REASON, "ana")
        if self.count == self._release_in:
            self._database.close_decisions.hold("MSFT", None)
        return UpdateResult(version, ("MSFT",), {}, self.count, 1)


def run_update(
    settings: Settings, database: Database, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    monkeypatch.setattr("closecast.pipeline.update_version", runs)
    context = TaskContext(settings, database, lambda _: None)
    return tasks.update(context, {"version": "20260102T030405Z-0a1b2c3d"})


def test_an_update_runs_again_for_a_close_that_was_accepted_meanwhile(
    published: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    runs = Runs(database)
    result = run_update(published, database, runs, monkeypatch)
    assert runs.count == 2
    assert (result["absorbed"], result["scored"]) == (3, 2)


def test_an_update_does_not_run_again_without_an_acceptance_meanwhile(
    published: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    database.close_decisions.accept("MSFT", SINCE, REASON, "ana")
    runs = Runs(database, accept_in=0, release_in=0)
    run_update(published, database, runs, monkeypatch)
    assert runs.count == 1


def test_an_update_that_releases_nothing_does_not_run_for_ever(
    published: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close_decisions.hold("MSFT", HALVED)
    runs = Runs(database, release_in=0)
    run_update(published, database, runs, monkeypatch)
    assert runs.count == 2
