"""Clocks of other machines are compared with the one of this machine."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from closecast.database import ApiProcesses, Database
from closecast.infra.latency import Latencies
from closecast.infra.processes import owner_name
from closecast.serving import FleetReporter, ModelManager
from closecast.settings import Settings
from tests.database.test_database import NOON, Clock, Place

pytest_plugins = ["tests.support.database_url"]

THERE = "elsewhere/1-2:11:100"
SECOND = timedelta(seconds=1)


class Pair:
    """Two machines on one file."""

    def __init__(self, url: str, ahead: timedelta) -> None:
        self.here, self.there = Clock(), Clock()
        self.there.now += ahead
        self.database = Database(url, self.here, self.here.monotonic)
        self.other = Database(url, self.there, self.there.monotonic)

    def go_on(self, seconds: float) -> None:
        self.here.go_on(seconds * SECOND)
        self.there.go_on(seconds * SECOND)


@pytest.mark.parametrize("job", [False, True], ids=["API process", "job"])
@pytest.mark.parametrize("ahead_s", [-7200, -30, -6, -4, 0, 4, 6, 30, 7200])
def test_a_clock_that_is_another_is_found_by_the_next_heartbeat(
    settings: Settings, ahead_s: int, job: bool
) -> None:
    pair = Pair(settings.ledger_url, ahead_s * SECOND)
    if job:
        made, _ = pair.other.jobs.submit("train", "MSFT", {})
        pair.other.jobs.claim(THERE, made.id)
    else:
        pair.other.processes.report(THERE, NOON, {}, whole=True)
    assert pair.database.other_clocks.look() is None  # it may have been silent for long
    pair.go_on(5)
    if job:
        pair.other.jobs.heartbeat(made.id, THERE, {})
    else:
        pair.other.processes.beat(THERE, None)
    found = pair.database.other_clocks.look()
    pair.database.close()
    pair.other.close()
    # A heartbeat may be as old as the last look: that of a clock that is behind shows less.
    shown_s = ahead_s if ahead_s > 0 else min(0, ahead_s + 5)
    assert (found and (found.owner, found.ahead_s)) == (
        (THERE, shown_s) if abs(shown_s) > 5 else None
    )


def test_a_process_of_this_machine_has_no_other_clock(settings: Settings) -> None:
    """Its heartbeat and the look may lie on both sides of the moment at which it was set."""
    pair = Pair(settings.ledger_url, timedelta(0))
    pair.database.processes.report(owner_name(), NOON, {}, whole=True)
    pair.database.other_clocks.look()
    pair.database.processes.beat(owner_name(), None)
    pair.here.now += timedelta(hours=1)
    assert pair.database.other_clocks.look() is None
    pair.database.close()
    pair.other.close()


@pytest.mark.parametrize("hours", [0, 1, -1])
def test_the_server_of_a_database_has_a_clock(place: Place, hours: int) -> None:
    away = timedelta(hours=hours)
    database = Database(place.url, lambda: datetime.now(UTC) + away)
    place.opened.append(database)
    found = database.other_clocks.look()
    if hours and place.url.startswith("postgresql"):
        assert found is not None
        assert found.owner == "database"
        assert found.ahead_s == pytest.approx(-3600 * hours, abs=60)
    else:
        assert found is None


def test_another_clock_is_one_warning(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair(settings.ledger_url, timedelta(hours=2))

    class NoModels:
        def loaded(self) -> list[object]:
            return []

        def failures(self) -> dict[str, str]:
            return {}

    processes: ApiProcesses = pair.database.processes
    models: ModelManager = NoModels()  # type: ignore[assignment]
    reporter = FleetReporter(models, processes, Latencies(), pair.database.other_clocks)
    pair.other.processes.report(THERE, NOON, {}, whole=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            reporter._forgotten = -1000.0
            reporter.look()
            pair.go_on(2)
            pair.other.processes.beat(THERE, None)
    pair.database.close()
    pair.other.close()
    [said] = [record for record in caplog.records if record.msg.startswith("another clock")]
    assert said.__dict__["of"] == THERE
    assert said.__dict__["ahead_s"] == 7200
