"""The ledger, on a SQLite file and on PostgreSQL: what was written stays, and nobody wins twice."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import psycopg
import pytest
import sqlalchemy as sa

from closecast.database import Database, Job, JobState
from closecast.errors import (
    BadSetting,
    ClosecastError,
    JobCancelled,
    JobConflict,
    PreconditionFailed,
    StorageFailed,
    UnknownJob,
)

T = TypeVar("T")
Ask = Callable[[Database], object]

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)
LEASE = timedelta(seconds=30)
MOMENT = timedelta(microseconds=1)
ENDS: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")


def text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


class Clock:
    """A clock that is set by hand, and one that only goes forward beside it."""

    def __init__(self) -> None:
        self.now = NOON
        self.passed_s = 0.0

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.passed_s

    def go_on(self, by: timedelta) -> None:
        """Time passes, on both."""
        self.now += by
        self.passed_s += by.total_seconds()


@dataclass(frozen=True)
class Place:
    """A database; every :meth:`ledger` is what one more process would open."""

    url: str
    clock: Clock
    opened: list[Database]

    def database(self) -> Database:
        self.opened.append(Database(self.url, self.clock, self.clock.monotonic))
        return self.opened[-1]


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """A PostgreSQL server of this test process; it listens on a socket in a folder only."""
    # For root, pgserver takes another user, and every start of pytest locks others out of its own
    # temporary folders.
    with TemporaryDirectory(prefix="postgres-") as folder:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", folder)  # else it looks for one, and warns
            from pgserver.postgres_server import get_server
        server = get_server(Path(folder, "data"), cleanup_mode="delete")
        yield sa.make_url(server.get_uri())
        server.cleanup()


@pytest.fixture
def on_postgres(postgres: sa.URL) -> sa.URL:
    """A schema of its own, on a server whose clock on the wall shows another time."""
    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(text(postgres)) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    options = f"-csearch_path={schema} -cTimeZone=America/Sao_Paulo -csynchronous_commit=off"
    return postgres.update_query_dict({"options": options})


@pytest.fixture
def in_a_file(tmp_path: Path) -> sa.URL:
    return sa.make_url(f"sqlite:///{tmp_path}/data/ledger.sqlite")


@pytest.fixture(params=["in_a_file", "on_postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    url: sa.URL = request.getfixturevalue(request.param)
    made = Place(text(url), Clock(), [])
    yield made
    for database in made.opened:
        database.close()


@pytest.fixture
def database(place: Place) -> Database:
    return place.database()


@pytest.fixture
def clock(place: Place) -> Clock:
    return place.clock


@pytest.fixture
def file(in_a_file: sa.URL) -> Path:
    assert in_a_file.database is not None
    return Path(in_a_file.database)


@pytest.fixture
def small(in_a_file: sa.URL) -> Iterator[Database]:
    """The ledger in a SQLite file."""
    made = Database(str(in_a_file))
    yield made
    made.close()


def at_once(n: int, call: Callable[[int], T]) -> list[T]:
    """What ``n`` threads got that called at the same moment."""
    barrier = threading.Barrier(n)

    def run(i: int) -> T:
        barrier.wait()
        return call(i)

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


def outcome(call: Callable[[], T]) -> T | ClosecastError:
    """What a call returned, or which of our errors it raised."""
    try:
        return call()
    except ClosecastError as error:
        return error


def queued(database: Database, symbol: str = "MSFT", **arguments: Any) -> Job:
    job, created = database.jobs.submit("train", symbol, arguments)
    assert created
    return job


def running(database: Database, symbol: str = "MSFT", owner: str = "me") -> Job:
    job = queued(database, symbol)
    claimed = database.jobs.claim(owner)
    assert claimed is not None
    assert claimed.id == job.id
    return claimed


def ended(database: Database, state: JobState, symbol: str = "MSFT") -> Job:
    job = running(database, symbol)
    assert database.jobs.finish(job.id, "me", state)
    return database.jobs.get(job.id)


# -- submitting ---------------------------------------------------------------------------------


def test_a_submitted_job_waits_with_all_that_was_asked(database: Database) -> None:
    job, created = database.jobs.submit("train", "MSFT", {"start": "2020-01-02", "n": [1, None]})
    assert created
    assert job == Job(
        id=job.id,
        task="train",
        symbol="MSFT",
        arguments={"start": "2020-01-02", "n": [1, None]},
        state="queued",
        progress={},
        result=None,
        reason=None,
        owner=None,
        cancel_requested=False,
        created_at=NOON,
        started_at=None,
        heartbeat_at=None,
        finished_at=None,
    )
    assert database.jobs.get(job.id) == job


@pytest.mark.parametrize(
    "value",
    [0.1 + 0.2, 2**60, -0.0, 1e300, "", "São Paulo 📈", "a\x00b", [[], {}], {"a": {"b": [True]}}],
    ids=repr,
)
def test_arguments_come_back_as_they_were(database: Database, value: Any) -> None:
    assert database.jobs.get(queued(database, value=value).id).arguments == {"value": value}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_json_number_is_null(database: Database, value: float) -> None:
    """The loss of a training that diverges; it must cost neither heartbeat nor result."""
    job = running(database)
    database.jobs.heartbeat(job.id, "me", {"valid_loss": value})
    database.jobs.finish(job.id, "me", "failed", result={"losses": [value, 1.5]})
    found = database.jobs.get(job.id)
    assert (found.progress, found.result) == ({"valid_loss": None}, {"losses": [None, 1.5]})


def test_times_are_utc_whatever_the_database_calls_them(database: Database) -> None:
    job = ended(database, "succeeded")
    times = (job.created_at, job.started_at, job.heartbeat_at, job.finished_at)
    assert [str(time) for time in times] == [str(NOON)] * 4


@pytest.mark.parametrize("claim", [False, True], ids=["queued", "running"])
def test_the_same_request_is_the_same_job_while_it_is_active(
    database: Database, claim: bool
) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {"a": 1, "b": {"c": 2, "d": 3}})
    if claim:
        database.jobs.claim("me")
    again, created = database.jobs.submit("train", "MSFT", {"b": {"d": 3, "c": 2}, "a": 1})
    assert (again.id, created) == (first.id, False)
    assert len(database.jobs.newest()) == 1


@pytest.mark.parametrize("state", ENDS)
def test_the_same_request_is_a_new_job_once_the_first_has_ended(
    database: Database, state: JobState
) -> None:
    first = ended(database, state)
    again, created = database.jobs.submit("train", "MSFT", {})
    assert created
    assert again.id != first.id


@pytest.mark.parametrize(("claim", "state"), [(False, "queued"), (True, "running")])
def test_another_request_for_the_symbol_conflicts_with_the_active_job(
    database: Database, claim: bool, state: str
) -> None:
    first = queued(database, epochs=1)
    if claim:
        database.jobs.claim("me")
    with pytest.raises(JobConflict, match=f"another train job for MSFT is {state}") as caught:
        database.jobs.submit("train", "MSFT", {"epochs": 2})
    assert caught.value.details() == {"job_id": first.id}


def test_the_newest_job_of_each_panel_is_found_whatever_became_of_it(
    database: Database, clock: Clock
) -> None:
    for symbol in ("MSFT", "AAPL", "KO"):
        for state in ENDS:
            ended(database, state, symbol)
            clock.now += MOMENT
    newest = {ended(database, "failed", "KO").id, running(database, "AAPL").id, queued(database).id}
    database.jobs.submit("update", "VALE3.SA", {})
    assert {job.id for job in database.jobs.newest_of_each("train")} == newest


def test_of_a_task_that_nobody_asked_for_there_is_no_newest_job(database: Database) -> None:
    queued(database)
    assert database.jobs.newest_of_each("update") == []


def test_other_symbols_and_other_tasks_do_not_conflict(database: Database) -> None:
    ids = {
        database.jobs.submit(task, symbol, {"for": task})[0].id
        for task in ("train", "score")
        for symbol in ("MSFT", "AAPL")
    }
    assert len(ids) == 4


def test_of_equal_requests_at_once_one_is_created(database: Database) -> None:
    got = at_once(6, lambda _: database.jobs.submit("train", "MSFT", {}))
    assert len({job.id for job, _ in got}) == 1
    assert sum(created for _, created in got) == 1


def test_of_different_requests_at_once_one_is_created(database: Database) -> None:
    got = at_once(
        6, lambda i: outcome(lambda: database.jobs.submit("train", "MSFT", {"epochs": i})[0].id)
    )
    [job] = database.jobs.newest()
    conflicts = [error for error in got if isinstance(error, JobConflict)]
    assert got.count(job.id) == 1
    assert [error.job_id for error in conflicts] == [job.id] * 5


# -- idempotency keys ---------------------------------------------------------------------------


def test_a_key_that_came_with_the_request_of_another_keeps_its_answer(database: Database) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {})
    assert database.jobs.submit("train", "MSFT", {}, "key")[0].id == first.id
    database.jobs.claim("me")
    database.jobs.finish(first.id, "me", "succeeded")
    again, created = database.jobs.submit("train", "MSFT", {}, "key")
    assert (again.id, created) == (first.id, False)


@pytest.mark.parametrize("state", ENDS)
def test_a_key_answers_its_job_even_when_it_has_ended(database: Database, state: JobState) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {}, "key")
    database.jobs.claim("me")
    database.jobs.finish(first.id, "me", state)
    again, created = database.jobs.submit("train", "MSFT", {}, "key")
    assert (again.id, again.state, created) == (first.id, state, False)


@pytest.mark.parametrize(
    ("task", "symbol", "arguments"),
    [("train", "MSFT", {"epochs": 2}), ("train", "AAPL", {"epochs": 1}), ("score", "MSFT", {})],
)
def test_a_key_of_another_request_is_refused(
    database: Database, task: str, symbol: str, arguments: dict[str, Any]
) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {"epochs": 1}, "key")
    with pytest.raises(JobConflict, match="used for another request: send a new key") as caught:
        database.jobs.submit(task, symbol, arguments, "key")
    assert caught.value.job_id == first.id
    assert len(database.jobs.newest()) == 1


def test_a_new_key_does_not_repeat_an_active_request(database: Database) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {}, "key 1")
    again, created = database.jobs.submit("train", "MSFT", {}, "key 2")
    assert (again.id, created) == (first.id, False)


def test_a_new_key_asks_again_once_the_first_has_ended(database: Database) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {}, "key 1")
    database.jobs.cancel(first.id)
    again, created = database.jobs.submit("train", "MSFT", {}, "key 2")
    assert created
    assert again.id != first.id


def test_a_key_belongs_to_what_was_sent_not_to_what_the_settings_made_of_it(
    database: Database,
) -> None:
    first, _ = database.jobs.submit("train", "MSFT", {"source": "sample"}, "key", request="{}")
    again, created = database.jobs.submit("train", "MSFT", {"source": "yahoo"}, "key", request="{}")
    assert (again.id, created) == (first.id, False)
    with pytest.raises(JobConflict, match="send a new key"):
        database.jobs.submit("train", "MSFT", {"source": "sample"}, "key", request='{"a": 1}')


def test_one_key_at_once_for_several_symbols_is_one_job(database: Database) -> None:
    symbols = ["MSFT", "AAPL", "NVDA", "TSLA", "AMZN", "META"]
    got = at_once(
        6, lambda i: outcome(lambda: database.jobs.submit("train", symbols[i], {}, "key")[0].id)
    )
    [job] = database.jobs.newest()
    assert got.count(job.id) == 1
    assert sum(isinstance(error, JobConflict) for error in got) == 5


# -- claiming -----------------------------------------------------------------------------------


def test_claiming_makes_a_job_run_for_its_owner(database: Database, clock: Clock) -> None:
    job = queued(database)
    clock.now += LEASE
    claimed = database.jobs.claim("me")
    assert claimed == replace(
        job, state="running", owner="me", started_at=clock.now, heartbeat_at=clock.now, attempts=1
    )
    assert database.jobs.get(job.id) == claimed


def test_the_oldest_job_is_claimed_first(database: Database, clock: Clock) -> None:
    asked = []
    for symbol in ("MSFT", "AAPL", "NVDA"):
        asked.append(queued(database, symbol).id)
        clock.now += MOMENT
    assert [database.jobs.claim("me").id for _ in asked] == asked  # type: ignore[union-attr]


def test_there_is_nothing_to_claim_when_nothing_waits(database: Database) -> None:
    assert database.jobs.claim("me") is None
    running(database, "MSFT")
    ended(database, "succeeded", "AAPL")
    database.jobs.cancel(queued(database, "NVDA").id)
    assert database.jobs.claim("me") is None


def test_workers_that_claim_at_once_get_each_job_once(place: Place, database: Database) -> None:
    asked = [queued(database, f"S{i}").id for i in range(12)]
    workers = [place.database() for _ in range(4)]

    def claim_all(i: int) -> list[str]:
        claimed = []
        while (job := workers[i].jobs.claim(f"worker {i}")) is not None:
            assert job.owner == f"worker {i}"
            claimed.append(job.id)
        return claimed

    got = [job_id for ids in at_once(4, claim_all) for job_id in ids]
    assert sorted(got) == sorted(asked)


# -- signs of life ------------------------------------------------------------------------------


def test_a_heartbeat_shows_when_and_how_far(database: Database, clock: Clock) -> None:
    job = running(database)
    clock.now += LEASE
    database.jobs.heartbeat(job.id, "me", {"percent": 50.0})
    assert database.jobs.get(job.id) == replace(
        job, heartbeat_at=clock.now, progress={"percent": 50.0}
    )


def test_a_heartbeat_of_another_owner_is_refused(database: Database, clock: Clock) -> None:
    job = running(database)
    clock.now += LEASE
    with pytest.raises(JobCancelled, match="taken from this worker"):
        database.jobs.heartbeat(job.id, "somebody else", {"percent": 50.0})
    assert database.jobs.get(job.id) == job


@pytest.mark.parametrize("state", ENDS)
def test_a_heartbeat_of_an_ended_job_is_refused(database: Database, state: JobState) -> None:
    job = ended(database, state)
    with pytest.raises(JobCancelled, match="taken from this worker"):
        database.jobs.heartbeat(job.id, "me", {"percent": 50.0})
    assert database.jobs.get(job.id) == job


def test_a_heartbeat_brings_the_wish_to_stop_and_still_counts(
    database: Database, clock: Clock
) -> None:
    job = running(database)
    database.jobs.cancel(job.id)
    clock.now += LEASE
    with pytest.raises(JobCancelled, match="cancelled on request"):
        database.jobs.heartbeat(job.id, "me", {"percent": 50.0})
    found = database.jobs.get(job.id)
    assert (found.state, found.heartbeat_at) == ("running", clock.now)
    assert found.progress == {"percent": 50.0}


# -- ending -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ENDS)
def test_finishing_records_how_it_ended(database: Database, clock: Clock, state: JobState) -> None:
    job = running(database)
    clock.now += LEASE
    assert database.jobs.finish(job.id, "me", state, result={"mae": 0.1 + 0.2}, reason="because")
    assert database.jobs.get(job.id) == replace(
        job, state=state, result={"mae": 0.1 + 0.2}, reason="because", finished_at=clock.now
    )


def test_a_job_is_finished_once(database: Database) -> None:
    job = ended(database, "succeeded")
    assert not database.jobs.finish(job.id, "me", "failed", reason="late")
    assert database.jobs.get(job.id) == job


def test_only_its_owner_finishes_a_job(database: Database) -> None:
    job = running(database)
    assert not database.jobs.finish(job.id, "somebody else", "failed")
    assert database.jobs.get(job.id) == job


def test_a_job_that_nobody_runs_is_not_finished(database: Database) -> None:
    job = queued(database)
    assert not database.jobs.finish(job.id, "me", "succeeded")
    assert database.jobs.get(job.id) == job


def test_of_those_who_finish_at_once_one_is_recorded(database: Database) -> None:
    job = running(database)
    won = at_once(6, lambda i: database.jobs.finish(job.id, "me", "failed", reason=str(i)))
    assert sum(won) == 1
    assert database.jobs.get(job.id).reason == str(won.index(True))


def test_cancelling_a_queued_job_ends_it(database: Database, clock: Clock) -> None:
    job = queued(database)
    clock.now += LEASE
    cancelled = database.jobs.cancel(job.id)
    assert cancelled == replace(
        job, state="cancelled", reason="cancelled before it started", finished_at=clock.now
    )
    assert database.jobs.get(job.id) == cancelled


def test_cancelling_a_running_job_only_asks_it_to_stop(database: Database) -> None:
    job = running(database)
    assert database.jobs.cancel(job.id) == replace(job, cancel_requested=True)


@pytest.mark.parametrize("state", ENDS)
def test_cancelling_an_ended_job_changes_nothing(database: Database, state: JobState) -> None:
    job = ended(database, state)
    assert database.jobs.cancel(job.id) == job


def test_a_job_that_is_cancelled_and_claimed_at_once_is_one_of_both(database: Database) -> None:
    for _ in range(5):
        job = queued(database)
        calls: list[Callable[[], Job | None]] = [
            lambda job=job: database.jobs.cancel(job.id),  # type: ignore[misc]
            lambda: database.jobs.claim("me"),
        ]
        claimed = at_once(2, lambda i, calls=calls: calls[i]())[1]  # type: ignore[misc]
        found = database.jobs.get(job.id)
        if claimed is None:
            assert found.state == "cancelled"
        else:
            assert (found.state, found.cancel_requested) == ("running", True)
            assert database.jobs.finish(job.id, "me", "cancelled")


@pytest.mark.parametrize("ask", ["get", "cancel"])
@pytest.mark.parametrize("job_id", ["", "nope", "0" * 32, "'; --", "\x00", "x" * 5000])
def test_an_unknown_job_is_said_to_be_unknown(database: Database, ask: str, job_id: str) -> None:
    with pytest.raises(UnknownJob, match=r"no job .*; GET /train lists them") as caught:
        getattr(database.jobs, ask)(job_id)
    assert len(str(caught.value)) < 100


# -- dead workers -------------------------------------------------------------------------------


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("set_by", [timedelta(0), 5 * HOUR, -5 * HOUR], ids=str)
@pytest.mark.parametrize(
    ("alive", "silence", "dead"),
    [
        (True, timedelta(0), False),
        (True, 1000 * LEASE, False),
        (False, timedelta(0), True),
        (False, 1000 * LEASE, True),
        (None, timedelta(0), False),
        (None, LEASE, False),
        (None, LEASE + MOMENT, True),
    ],
)
def test_a_worker_is_dead_if_it_is_known_to_be_or_silent_for_longer_than_its_lease(
    database: Database,
    clock: Clock,
    alive: bool | None,
    silence: timedelta,
    dead: bool,
    set_by: timedelta,
) -> None:
    job = running(database)
    buried = database.jobs.bury_dead(LEASE, lambda owner: {"me": alive}[owner])
    clock.go_on(silence)
    clock.now += set_by
    buried += database.jobs.bury_dead(LEASE, lambda owner: {"me": alive}[owner])
    assert [b.id for b in buried] == ([job.id] if dead else [])
    assert database.jobs.get(job.id).state == ("queued" if dead else "running")


def test_a_heartbeat_renews_the_lease(database: Database, clock: Clock) -> None:
    job = running(database)
    assert database.jobs.bury_dead(LEASE, lambda owner: None) == []
    clock.go_on(LEASE)
    database.jobs.heartbeat(job.id, "me", {})
    assert database.jobs.bury_dead(LEASE, lambda owner: None) == []
    clock.go_on(LEASE)
    assert database.jobs.bury_dead(LEASE, lambda owner: None) == []
    clock.go_on(MOMENT)
    assert [b.id for b in database.jobs.bury_dead(LEASE, lambda owner: None)] == [job.id]


@pytest.mark.parametrize("hours", [-5, 5])
def test_workers_of_machines_whose_clocks_are_hours_apart_keep_their_jobs(
    place: Place, hours: int
) -> None:
    here = place.database()
    ahead = Clock()
    ahead.now += hours * HOUR
    there = Database(place.url, ahead, ahead.monotonic)
    place.opened.append(there)
    job, other = running(here, "MSFT"), running(there, "KO", owner="it")
    for _ in range(10):
        assert here.jobs.bury_dead(LEASE, lambda owner: None) == []
        assert there.jobs.bury_dead(LEASE, lambda owner: None) == []
        place.clock.go_on(LEASE / 3)
        ahead.go_on(LEASE / 3)
        here.jobs.heartbeat(job.id, "me", {})
        there.jobs.heartbeat(other.id, "it", {})
    for _ in range(5):  # from now on the other one is silent
        place.clock.go_on(LEASE / 3)
        here.jobs.heartbeat(job.id, "me", {})
        buried = here.jobs.bury_dead(LEASE, lambda owner: None)
    assert [one.id for one in buried or here.jobs.newest(states=("queued",))] == [other.id]


def test_a_clock_that_stands_still_silences_no_worker(place: Place) -> None:
    """Its heartbeats all bear one time, and each has another number."""
    here, stopped = place.database(), Clock()
    there = Database(place.url, stopped, stopped.monotonic)
    place.opened.append(there)
    job = running(there)
    for _ in range(5):
        assert here.jobs.bury_dead(LEASE, lambda owner: None) == []
        place.clock.go_on(LEASE)
        there.jobs.heartbeat(job.id, "me", {})


def test_a_second_attempt_has_a_whole_lease(database: Database, clock: Clock) -> None:
    job = running(database)
    database.jobs.bury_dead(LEASE, lambda owner: None)
    clock.go_on(LEASE + MOMENT)
    database.jobs.bury_dead(LEASE, lambda owner: None)
    clock.now -= LEASE + MOMENT  # its claim bears the time of the first one
    assert database.jobs.claim("me", job.id) is not None
    assert database.jobs.bury_dead(LEASE, lambda owner: None) == []


def test_a_job_whose_worker_is_gone_waits_for_the_next_worker(
    database: Database, clock: Clock
) -> None:
    job = running(database)
    database.jobs.heartbeat(job.id, "me", {"percent": 40.0})
    [taken] = database.jobs.bury_dead(LEASE, lambda owner: False)
    assert (taken.id, taken.state, taken.progress) == (job.id, "queued", {})
    assert (taken.owner, taken.started_at, taken.reason, taken.attempts) == (None, None, None, 1)
    with pytest.raises(JobConflict):
        database.jobs.submit(job.task, job.symbol, {"another": 1})
    again = database.jobs.claim("another")
    assert again is not None
    assert (again.id, again.owner, again.attempts) == (job.id, "another", 2)


def test_a_job_that_has_outlived_two_workers_fails_and_says_why_and_what_to_do(
    database: Database, clock: Clock
) -> None:
    job = running(database)
    database.jobs.bury_dead(LEASE, lambda owner: False)
    database.jobs.claim("another")
    clock.now += LEASE
    [buried] = database.jobs.bury_dead(LEASE, lambda owner: False)
    assert (buried.id, buried.state, buried.finished_at) == (job.id, "failed", clock.now)
    assert buried.reason is not None
    assert buried.reason.startswith("its worker process ended without a word, 2 times; post")
    assert database.jobs.claim("a third") is None


def test_a_job_that_was_to_be_cancelled_is_not_begun_again(database: Database) -> None:
    job = running(database)
    database.jobs.cancel(job.id)
    [buried] = database.jobs.bury_dead(LEASE, lambda owner: False)
    assert (buried.state, buried.reason) == ("cancelled", "cancelled on request")


def test_a_worker_that_wakes_after_its_burial_changes_nothing(database: Database) -> None:
    job = running(database)
    database.jobs.bury_dead(LEASE, lambda owner: False)
    buried = database.jobs.get(job.id)
    with pytest.raises(JobCancelled):
        database.jobs.heartbeat(job.id, "me", {"percent": 99.0})
    assert not database.jobs.finish(job.id, "me", "succeeded")
    assert database.jobs.get(job.id) == buried


def test_only_running_jobs_can_be_dead(database: Database, clock: Clock) -> None:
    ended(database, "succeeded", "AAPL")
    queued(database, "MSFT")
    clock.now += 1000 * LEASE
    assert database.jobs.bury_dead(LEASE, lambda owner: False) == []


def test_two_who_bury_at_once_bury_once(database: Database) -> None:
    job = running(database)
    got = at_once(4, lambda _: database.jobs.bury_dead(LEASE, lambda owner: False))
    assert [b.id for buried in got for b in buried] == [job.id]


# -- listing ------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first(database: Database, clock: Clock) -> None:
    asked = []
    for i in (3, 1, 2):
        clock.now = NOON + i * MOMENT
        asked.append((i, queued(database, f"S{i}").id))
    assert [job.id for job in database.jobs.newest()] == [
        job_id for _, job_id in sorted(asked, reverse=True)
    ]


@pytest.mark.parametrize(
    ("limit", "got"), [(1, ["S3"]), (2, ["S3", "S2"]), (9, ["S3", "S2", "S1"])]
)
def test_a_list_has_a_limit(database: Database, clock: Clock, limit: int, got: list[str]) -> None:
    for symbol in ("S1", "S2", "S3"):
        clock.now += MOMENT
        queued(database, symbol)
    assert [job.symbol for job in database.jobs.newest(limit)] == got


def test_a_list_can_be_of_some_states(database: Database) -> None:
    ended(database, "failed", "S1")
    running(database, "S2")
    queued(database, "S3")

    def symbols(*states: JobState) -> set[str]:
        return {job.symbol for job in database.jobs.newest(states=states)}

    assert symbols("queued") == {"S3"}
    assert symbols("running", "failed") == {"S1", "S2"}
    assert symbols("cancelled") == set()


# -- configurations -----------------------------------------------------------------------------


def test_before_anything_was_set_the_revision_is_0(database: Database) -> None:
    newest = database.configurations.newest("MSFT")
    assert (newest.symbol, newest.revision, newest.hyperparameters) == ("MSFT", 0, {})


def test_each_change_is_a_new_revision(database: Database) -> None:
    for revision, rate in enumerate([1e-3, 3e-4, 1e-4], start=1):
        stored = database.configurations.store("MSFT", {"learning_rate": rate})
        assert stored == database.configurations.newest("MSFT")
        assert (stored.revision, stored.hyperparameters) == (revision, {"learning_rate": rate})


def test_earlier_revisions_stay(place: Place, database: Database) -> None:
    for rate in (1, 2, 3):
        database.configurations.store("MSFT", {"learning_rate": rate})
    engine = sa.create_engine(place.url)
    with engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT revision, created_at FROM configurations ORDER BY revision")
        ).all()
    engine.dispose()
    assert [row.revision for row in rows] == [1, 2, 3]


def test_symbols_have_revisions_of_their_own(database: Database) -> None:
    database.configurations.store("MSFT", {"a": 1})
    database.configurations.store("MSFT", {"a": 2})
    assert database.configurations.store("AAPL", {"a": 3}).revision == 1
    assert database.configurations.newest("MSFT").hyperparameters == {"a": 2}


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_change_to_what_was_read_is_stored(database: Database, before: int) -> None:
    for i in range(before):
        database.configurations.store("MSFT", {"a": i})
    assert (
        database.configurations.store("MSFT", {"a": 9}, if_revision=before).revision == before + 1
    )


@pytest.mark.parametrize("read", [0, 1, 3, -1])
def test_a_change_to_what_is_not_the_newest_is_refused(database: Database, read: int) -> None:
    database.configurations.store("MSFT", {"a": 1})
    newest = database.configurations.store("MSFT", {"a": 2})
    with pytest.raises(PreconditionFailed, match=f"is at revision 2, not {read}: read it again"):
        database.configurations.store("MSFT", {"a": 3}, if_revision=read)
    assert database.configurations.newest("MSFT") == newest


def test_of_changes_at_once_to_what_was_read_one_wins(database: Database) -> None:
    got = at_once(
        5,
        lambda i: outcome(lambda: database.configurations.store("MSFT", {"a": i}, if_revision=0)),
    )
    newest = database.configurations.newest("MSFT")
    assert newest.revision == 1
    assert got.count(newest) == 1
    assert sum(isinstance(error, PreconditionFailed) for error in got) == 4


def test_of_unconditional_changes_at_once_none_is_lost(database: Database) -> None:
    got = at_once(5, lambda i: database.configurations.store("MSFT", {"a": i}))
    assert sorted(stored.revision for stored in got) == [1, 2, 3, 4, 5]
    [last] = [stored for stored in got if stored.revision == 5]
    assert database.configurations.newest("MSFT") == last


# -- restarts -----------------------------------------------------------------------------------


def test_after_a_restart_everything_is_there(place: Place, database: Database) -> None:
    running(database, "AAPL")
    queued(database, "MSFT", epochs=3)
    database.configurations.store("MSFT", {"a": 1})
    before = database.jobs.newest(), database.configurations.newest("MSFT")
    database.close()
    after = place.database()
    assert (after.jobs.newest(), after.configurations.newest("MSFT")) == before


def test_a_closed_ledger_opens_again_when_it_is_used(database: Database) -> None:
    job = queued(database)
    database.close()
    assert database.jobs.get(job.id) == job


_SUBMIT_AND_DIE = """
import os, signal, sys
from closecast.database import Database
Database(sys.argv[1]).jobs.submit("train", "MSFT", {"epochs": 3})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_answered_survives_the_kill_of_who_answered(
    place: Place, database: Database
) -> None:
    killed = subprocess.run([sys.executable, "-c", _SUBMIT_AND_DIE, place.url], check=False)
    assert killed.returncode == -signal.SIGKILL
    [job] = database.jobs.newest()
    assert (job.symbol, job.arguments, job.state) == ("MSFT", {"epochs": 3}, "queued")


_CREATE_MANY = """
import sys
from closecast.database import Database
urls = sys.stdin.readline().split()
print("ready", flush=True)
sys.stdin.readline()
for url in urls:
    database = Database(url)
    database.configurations.store("MSFT", {})
    database.close()
"""


def test_processes_that_create_the_database_at_once_all_succeed(
    tmp_path: Path, postgres: sa.URL
) -> None:
    schemas = [f"test_{uuid.uuid4().hex}" for _ in range(5)]
    with psycopg.connect(text(postgres)) as connection:
        for schema in schemas:
            connection.execute(f"CREATE SCHEMA {schema}")
    urls = [f"sqlite:///{tmp_path}/{i}/ledger.sqlite" for i in range(20)] + [
        text(postgres.update_query_dict({"options": f"-csearch_path={schema}"}))
        for schema in schemas
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CREATE_MANY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(" ".join(urls) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate()[1] for process in processes] == ["", ""]


def test_reading_waits_for_no_writer(file: Path, small: Database) -> None:
    job = queued(small)
    stored = small.configurations.store("MSFT", {"a": 1})
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        small.check()
        assert small.jobs.get(job.id) == job
        assert small.jobs.newest() == [job]
        assert small.configurations.newest("MSFT") == stored


# -- when it cannot be used ---------------------------------------------------------------------


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/data/ledger.sqlite").close()
    Database("postgresql://127.0.0.1:1/nowhere").close()
    assert list(tmp_path.iterdir()) == []


ADVICE = "POST /predict goes on. Free space, check permissions, or move a damaged file away"

ways = pytest.mark.parametrize(
    "ask",
    [
        lambda database: database.check(),
        lambda database: database.jobs.newest(),
        lambda database: database.jobs.submit("train", "MSFT", {}),
        lambda database: database.jobs.claim("me"),
        lambda database: database.configurations.store("MSFT", {}),
    ],
    ids=["check", "newest", "submit", "claim", "store"],
)


@ways
def test_a_damaged_file_is_named_with_advice(file: Path, small: Database, ask: Ask) -> None:
    file.parent.mkdir()
    file.write_bytes(b"this is no database " * 1000)
    with pytest.raises(StorageFailed) as caught:
        ask(small)
    assert str(file) in str(caught.value)
    assert ADVICE in str(caught.value)
    assert file.read_bytes() == b"this is no database " * 1000


def test_once_a_damaged_file_was_moved_away_the_ledger_goes_on(file: Path, small: Database) -> None:
    file.parent.mkdir()
    file.write_bytes(b"this is no database " * 1000)
    with pytest.raises(StorageFailed):
        small.check()
    file.rename(file.with_name("damaged"))
    job = queued(small)
    assert small.jobs.newest() == [job]


@pytest.mark.parametrize("with_journal", [True, False])
def test_a_file_that_is_moved_away_while_in_use_is_left_alone(
    file: Path, small: Database, with_journal: bool
) -> None:
    """All processes go on in the new file; none writes where nobody looks any more."""
    before = queued(small)
    away = file.parent / "away"
    away.mkdir()
    for part in sorted(file.parent.glob("ledger.sqlite*" if with_journal else "ledger.sqlite")):
        part.rename(away / part.name)
    elsewhere = Database(f"sqlite:///{file}")
    job, created = small.jobs.submit("train", "MSFT", {"epochs": 2})
    assert created
    claimed = elsewhere.jobs.claim("me")
    assert claimed is not None
    assert claimed.id == job.id != before.id
    assert small.jobs.get(job.id).state == "running"
    elsewhere.close()


def test_a_file_that_is_put_back_is_read_again(file: Path, small: Database) -> None:
    before = queued(small)
    small.close()
    file.rename(file.with_name("away"))
    assert small.jobs.newest() == []
    small.close()
    file.with_name("away").rename(file)
    assert small.jobs.newest() == [before]


def test_a_damage_that_comes_while_in_use_is_named_with_advice(file: Path, small: Database) -> None:
    queued(small)
    small.close()
    with file.open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\xff" * (file.stat().st_size - 100))
    with pytest.raises(StorageFailed, match=r"malformed|not a database") as caught:
        small.jobs.newest()
    assert ADVICE in str(caught.value)


def test_a_folder_where_the_file_should_be_is_named(file: Path, small: Database) -> None:
    file.mkdir(parents=True)
    with pytest.raises(StorageFailed, match=r"ledger\.sqlite cannot be used"):
        small.check()
    file.rmdir()
    small.check()


def test_a_file_where_the_folder_should_be_is_named(file: Path, small: Database) -> None:
    file.parent.write_text("I am a file")
    with pytest.raises(StorageFailed, match=r"ledger\.sqlite cannot be used"):
        small.check()
    file.parent.unlink()
    small.check()


def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(StorageFailed, match=r"/proc/nope/ledger\.sqlite cannot be used"):
        Database("sqlite:////proc/nope/ledger.sqlite").check()


_WITH_A_LIMIT = """
import resource, signal, sys
from closecast.errors import StorageFailed
from closecast.database import Database
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = Database(sys.argv[1])
print(database.jobs.submit("train", "MSFT", {})[0].id)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    database.jobs.submit("train", "AAPL", {"notes": "x" * 1_000_000})
except StorageFailed as error:
    print(error)
"""


def test_a_full_disk_loses_the_change_and_not_the_ledger(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _WITH_A_LIMIT, f"sqlite:///{tmp_path}/ledger.sqlite"],
        capture_output=True,
        text=True,
        check=True,
    )
    database = Database(f"sqlite:///{tmp_path}/ledger.sqlite")
    stored, refused = run.stdout.splitlines()
    assert ADVICE in refused
    assert [job.id for job in database.jobs.newest()] == [stored]
    database.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data/ledger.sqlite",
        "nosuch://x/y",
        "sqlite+nosuch:///x",
        "postgresql://a:b@db:54x2/l",
        "postgresql://somebody:secret/ledger",
    ],
)
def test_what_is_no_address_of_a_database_is_a_bad_setting(url: str) -> None:
    with pytest.raises(BadSetting, match="CLOSECAST_LEDGER_URL: ") as caught:
        Database(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "seconds", "milliseconds"),
    [("", 5, 10_000), ("?connect_timeout=60&tcp_user_timeout=7000", "60", "7000")],
)
def test_a_server_is_not_waited_for_longer_than_seconds_unless_the_url_says_so(
    monkeypatch: pytest.MonkeyPatch, query: str, seconds: object, milliseconds: object
) -> None:
    asked: list[dict[str, Any]] = []

    def connect(*_: Any, **parameters: Any) -> None:
        asked.append(parameters)
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(psycopg, "connect", connect)
    database = Database(f"postgresql://somebody@127.0.0.1:1/ledger{query}")
    with pytest.raises(StorageFailed):
        database.check()
    assert asked[0]["connect_timeout"] == seconds
    assert asked[0]["tcp_user_timeout"] == milliseconds


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    database = Database("postgresql://somebody:secret@127.0.0.1:1/ledger")
    with pytest.raises(StorageFailed, match=r"somebody:\*\*\*@127\.0\.0\.1:1/ledger") as caught:
        database.check()
    assert ADVICE in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_server_that_dropped_the_connection_is_asked_again(
    postgres: sa.URL, on_postgres: sa.URL
) -> None:
    database = Database(text(on_postgres))
    job = queued(database)
    with psycopg.connect(text(postgres)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert database.jobs.get(job.id).id == job.id
    database.close()
