"""What API processes report of themselves, on a SQLite file and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from closecast.database import Ledger, ProcessState, Serving
from tests.database.test_database import NOON, Clock

pytest_plugins = ["tests.support.database_url"]

HERE = "web/1-2:11:100"
THERE = "web/3-4:11:100"
MODEL = Serving("v1", 3)
SECONDS = timedelta(seconds=1)


def alive(*names: str) -> Mapping[str, bool | None]:
    """Processes of this machine that live; one that is not named here cannot be known."""
    return dict.fromkeys(names, True)


def living(ledger: Ledger, known: Mapping[str, bool | None], symbol: str = "MSFT") -> list[str]:
    return [state.id for state in ledger.processes.living([symbol], known.get)[symbol]]


def test_a_process_is_listed_with_what_it_serves(ledger: Ledger, clock: Clock) -> None:
    started = NOON - SECONDS
    ledger.processes.report(HERE, started, {"MSFT": MODEL}, 4.5, whole=True)
    assert ledger.processes.living(["MSFT"], alive(HERE).get)["MSFT"] == [
        ProcessState(HERE, started, NOON, 4.5, MODEL, NOON)
    ]
    assert ledger.processes.living(["AAPL"], alive(HERE).get)["AAPL"] == [
        ProcessState(HERE, started, NOON, 4.5, None, None)
    ]


def test_a_change_of_one_symbol_leaves_the_others(ledger: Ledger, clock: Clock) -> None:
    ledger.processes.report(HERE, NOON, {"MSFT": MODEL, "AAPL": MODEL}, whole=True)
    clock.now += SECONDS
    failed = Serving("v1", 3, "bundle v2: predictor.json is missing", 4)
    ledger.processes.report(HERE, NOON, {"AAPL": failed}, whole=False)
    [microsoft] = ledger.processes.living(["MSFT"], alive(HERE).get)["MSFT"]
    [apple] = ledger.processes.living(["AAPL"], alive(HERE).get)["AAPL"]
    assert (microsoft.serving, microsoft.since, microsoft.seen_at) == (MODEL, NOON, clock.now)
    assert (apple.serving, apple.since) == (failed, clock.now)


def test_a_whole_report_forgets_what_is_not_in_it(ledger: Ledger) -> None:
    ledger.processes.report(HERE, NOON, {"MSFT": MODEL, "AAPL": MODEL}, whole=True)
    ledger.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    [apple] = ledger.processes.living(["AAPL"], alive(HERE).get)["AAPL"]
    assert apple.serving is None


def test_a_heartbeat_changes_nothing_but_the_time_and_the_latency(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    clock.now += SECONDS
    assert ledger.processes.beat(HERE, 12.5)
    [state] = ledger.processes.living(["MSFT"], alive(HERE).get)["MSFT"]
    assert state == ProcessState(HERE, NOON, clock.now, 12.5, MODEL, NOON)


def test_whoever_is_not_known_is_told_so_by_its_heartbeat(ledger: Ledger) -> None:
    assert not ledger.processes.beat(HERE, None)
    assert living(ledger, alive(HERE)) == []


@pytest.mark.parametrize(
    ("known", "silence_s", "listed"),
    [(True, 1000, True), (False, 0, False), (None, 10, True), (None, 11, False)],
)
def test_who_is_dead_or_cannot_be_heard_is_left_out_and_forgotten(
    ledger: Ledger, clock: Clock, known: bool | None, silence_s: int, listed: bool
) -> None:
    ledger.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    ledger.processes.report(THERE, NOON, {"MSFT": MODEL}, whole=True)
    clock.now += silence_s * SECONDS
    ledger.processes.beat(THERE, None)
    names = [HERE, THERE] if listed else [THERE]
    assert living(ledger, {HERE: known}) == names
    gone = ledger.processes.forget_dead({HERE: known}.get)
    assert gone == ([] if listed else [HERE])
    assert living(ledger, alive(HERE, THERE)) == names
    assert ledger.processes.beat(HERE, None) is listed


def test_a_process_that_ends_takes_itself_off_the_list(ledger: Ledger) -> None:
    ledger.processes.report(HERE, NOON, {"MSFT": MODEL}, whole=True)
    ledger.processes.report(THERE, NOON, {"MSFT": MODEL}, whole=True)
    ledger.processes.forget(HERE)
    assert living(ledger, alive(HERE, THERE)) == [THERE]


def test_the_slowest_process_of_a_machine_is_found(ledger: Ledger, clock: Clock) -> None:
    place = "web/1-2"
    for i, p95_ms in enumerate([3.0, None, 40.0, 90.0]):
        ledger.processes.report(f"{place}:{i}:1", NOON, {}, p95_ms, whole=True)
    ledger.processes.report(f"{place}_:1:1", NOON, {}, 500.0, whole=True)  # another machine's
    ledger.processes.report(THERE, NOON, {}, 600.0, whole=True)
    known = {f"{place}:3:1": False}
    assert ledger.processes.slowest_p95_ms(place, known.get) == 40.0
    assert ledger.processes.slowest_p95_ms("elsewhere", known.get) is None
    clock.now += 11 * SECONDS  # what nobody has repeated since is no news
    assert ledger.processes.slowest_p95_ms(place, alive(f"{place}:2:1").get) is None
