"""What API processes report of themselves, on a SQLite file and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from closecast.database import Database, ProcessState, ServedModel
from tests.database.test_database import NOON, Clock, Place

pytest_plugins = ["tests.support.database_url"]

HERE = "web/1-2:11:100"
THERE = "web/3-4:11:100"
MODEL = ServedModel("v1", 3)
SECONDS = timedelta(seconds=1)


def alive(*names: str) -> Mapping[str, bool | None]:
    """Processes of this machine that live; one that is not named here cannot be known."""
    return dict.fromkeys(names, True)


def living(database: Database, known: Mapping[str, bool | None], symbol: str = "MSFT") -> list[str]:
    return [state.id for state in database.processes.living([symbol], known.get)[symbol]]


def test_a_process_is_listed_with_what_it_serves(database: Database, clock: Clock) -> None:
    started = NOON - SECONDS
    database.processes.report(HERE, started, {"MSFT": MODEL}, 4.5, whole=True)
    assert database.processes.living(["MSFT"], alive(HERE).get)["MSFT"] == [
        ProcessState(HERE, started, NOON, 4.5, MODEL, NOON)
    ]
    assert database.processes.living(["AAPL"], alive(HERE).get)["AAPL"] == [
        ProcessState(HERE, started, NOON, 4.5, None, None)
    ]


def test_a_change_of_one_symbol_leaves_the_others(database: Database, clock: Clock) -> None:
    database.processes.report(HERE, NOON, {"MSFT": MODEL, "AAPL": MODEL}, whole=True)
    clock.now += SECONDS
    failed = ServedModel("v1", 3, "bundle v2: predictor.json is missing", 4)
    database.processes.report(HERE, NOON, {"AAPL": failed}, whole=False)
    [microsoft] = database.processes.living(["MSFT"], alive(HERE).get)["MSFT"]
    [apple] = database.processes.living(["AAPL"], alive(HERE).get)["AAPL"]
    assert (microsoft.serving, microsoft.since, microsoft.seen_at) == (MODEL, NOON, clock.now)
    assert (apple.serving, apple.since) == (failed, clock.now)


def test_a_whole_report_forgets_what_is_not_in_it(database: Database) -> None:
    database.processes.report(HERE, NOON, {"MSFT": MODEL, "AAPL": MODEL}, whole=True)
    database.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    [apple] = database.processes.living(["AAPL"], alive(HERE).get)["AAPL"]
    assert apple.serving is None


def test_a_heartbeat_changes_nothing_but_the_time_and_the_latency(
    database: Database, clock: Clock
) -> None:
    database.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    clock.now += SECONDS
    assert database.processes.beat(HERE, 12.5)
    [state] = database.processes.living(["MSFT"], alive(HERE).get)["MSFT"]
    assert state == ProcessState(HERE, NOON, clock.now, 12.5, MODEL, NOON)


def test_whoever_is_not_known_is_told_so_by_its_heartbeat(database: Database) -> None:
    assert not database.processes.beat(HERE, None)
    assert living(database, alive(HERE)) == []


@pytest.mark.parametrize(
    ("known", "silence_s", "listed"),
    [(True, 1000, True), (False, 0, False), (None, 10, True), (None, 11, False)],
)
def test_who_is_dead_or_cannot_be_heard_is_left_out_and_forgotten(
    database: Database, clock: Clock, known: bool | None, silence_s: int, listed: bool
) -> None:
    database.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    database.processes.report(THERE, NOON, {"MSFT": MODEL}, whole=True)
    living(database, {HERE: known})
    clock.go_on(silence_s * SECONDS)
    clock.now -= timedelta(hours=3)  # a clock that is set does not count
    database.processes.beat(THERE, None)
    names = [HERE, THERE] if listed else [THERE]
    assert living(database, {HERE: known}) == names
    gone = database.processes.forget_dead({HERE: known}.get)
    assert gone == ([] if listed else [HERE])
    assert living(database, alive(HERE, THERE)) == names
    assert database.processes.beat(HERE, None) is listed


def test_a_process_that_ends_takes_itself_off_the_list(database: Database) -> None:
    database.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    database.processes.report(THERE, NOON, {"MSFT": MODEL}, whole=True)
    database.processes.forget(HERE)
    assert living(database, alive(HERE, THERE)) == [THERE]


def test_the_slowest_process_of_a_machine_is_found(database: Database, clock: Clock) -> None:
    place = "web/1-2"
    for i, p95_ms in enumerate([3.0, None, 40.0, 90.0]):
        database.processes.report(f"{place}:{i}:1", NOON, {}, p95_ms, whole=True)
    database.processes.report(f"{place}_:1:1", NOON, {}, 500.0, whole=True)  # another machine's
    database.processes.report(THERE, NOON, {}, 600.0, whole=True)
    known = {f"{place}:3:1": False}
    assert database.processes.slowest_p95_ms(place, known.get) == 40.0
    assert database.processes.slowest_p95_ms("elsewhere", known.get) is None
    clock.go_on(11 * SECONDS)  # what nobody has repeated since is no news
    assert database.processes.slowest_p95_ms(place, alive(f"{place}:2:1").get) is None


@pytest.mark.parametrize("hours", [-5, 5])
def test_processes_of_machines_whose_clocks_are_hours_apart_see_each_other(
    place: Place, hours: int
) -> None:
    here, ahead = place.database(), Clock()
    ahead.now += timedelta(hours=hours)
    there = Database(place.url, ahead, ahead.monotonic)
    place.opened.append(there)
    here.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    there.processes.report(THERE, NOON, {"MSFT": MODEL}, whole=True)
    for _ in range(5):
        for one in (here, there):
            assert sorted(living(one, {})) == [HERE, THERE]
            assert one.processes.forget_dead({}.get) == []
        place.clock.go_on(6 * SECONDS)
        ahead.go_on(6 * SECONDS)
        assert here.processes.beat(HERE, None)
        assert there.processes.beat(THERE, None)
