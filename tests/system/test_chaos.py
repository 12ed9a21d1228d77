"""Chaos, a short one: nothing that was promised is lost; and what is lost would be seen."""

from __future__ import annotations

import random
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from closecast.database import Database
from closecast.registry.bundles import MANIFEST
from closecast.serving.dated.refresh import Refresh
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.system.chaos.blows import How, all_battered, batter
from tests.system.chaos.clocks import jump_clocks
from tests.system.chaos.damage import Damage, damage_bundles, damage_others, damaged, damages
from tests.system.chaos.operations import (
    OPERATIONS,
    Absorbing,
    Collecting,
    Committing,
    MakingKeys,
    Publishing,
    Working,
)
from tests.system.chaos.siege import _differs, besiege
from tests.system.chaos.starved import starve
from tests.system.chaos.tally import Tally

SEED = 20260102


@pytest.mark.parametrize(
    ("how", "blows"),
    [
        ("kill -9", 12),
        ("kill -9 at a step", 12),
        ("no space at a step", 9),
        ("no space after some bytes", 12),
    ],
)
def test_writes_are_whole_or_not_there_and_what_was_acknowledged_stays(
    published: Settings, how: How, blows: int
) -> None:
    tally = Tally()
    batter(all_battered(published), blows, how, random.Random(SEED), tally)
    assert tally.violations == []
    assert tally.blows.total() >= blows // 3
    assert how != "kill -9" or tally.kills == blows


@pytest.mark.filterwarnings("ignore")  # of MLflow, in the processes that are started
def test_a_service_whose_processes_are_killed_keeps_what_it_answered(
    published: Settings, tmp_path: Path
) -> None:
    tally = Tally()
    besiege(
        published,
        tmp_path,
        kills=2,
        until=time.monotonic() + 30,
        seed=SEED,
        tally=tally,
        workers=1,
    )
    assert tally.violations == []
    assert tally.kills >= 1
    assert tally.kept["forecasts that were answered"] >= 1
    assert tally.kept["different answers of /predict: the same bytes"] >= 1


def test_a_service_without_disk_space_predicts_on_and_refuses_what_it_cannot_keep(
    published: Settings, tmp_path: Path
) -> None:
    tally = Tally()
    starve(published, tmp_path, 1, tally)
    assert tally.violations == []


def test_a_damaged_bundle_is_refused_and_the_model_before_serves_on(published: Settings) -> None:
    tally = Tally()
    damage_bundles(published, 0, random.Random(SEED), tally)
    assert tally.violations == []
    assert ("gone: bundle", MANIFEST) in tally.blows


def test_damage_to_any_other_file_is_a_problem_and_no_crash(published: Settings) -> None:
    tally = Tally()
    damage_others(published, 0, random.Random(SEED), tally)
    assert tally.violations == []


def test_a_clock_that_jumps_stops_no_job_and_dates_no_forecast_before_its_close(
    published: Settings,
) -> None:
    tally = Tally()
    jump_clocks(published, 12, random.Random(SEED), tally)
    assert tally.violations == []


# -- what is broken is seen ---------------------------------------------------------------------


def test_half_a_bundle_and_a_pointer_that_fell_behind_are_seen(published: Settings) -> None:
    publishing = Publishing(published)
    assert [*publishing.broken([])] == []
    version, generation = publishing.once(1)
    assert [*publishing.broken([[version, generation]])] == []
    [behind] = publishing.broken([[version, generation + 1]])
    assert f"{generation + 1} was promised" in behind
    (Path(published.models_url) / "bundles" / version / MANIFEST).unlink()
    found = " ".join(publishing.broken([[version, generation]]))
    assert f"{version} is visible and not whole" in found
    assert "the pointer leads nowhere" in found


def test_what_was_acknowledged_and_is_not_there_is_seen(published: Settings) -> None:
    for operation, lost in (
        (Committing, 7),
        (Absorbing, [7, "2026-01-08"]),
        (Collecting, 7),
        (MakingKeys, 7),
    ):
        one = operation(published)
        done = one.once(1)
        assert [*one.broken([done])] == [], one.name
        assert [*one.broken([done, lost])] != [], one.name


def test_a_job_that_did_not_end_is_seen(published: Settings) -> None:
    working = Working(published)
    done = working.once(1)
    assert [*working.broken([done])] == []
    with closing(Database(published.ledger_url)) as database:
        job, _ = database.jobs.submit("chaos", "MSFT", {})
        database.jobs.claim("elsewhere/0-1:1:1")
    [seen] = working.broken([])
    assert seen == f"job {job.id} runs for ever"


def test_every_operation_has_a_name_of_its_own() -> None:
    assert len(OPERATIONS) == 6


def said(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "MSFT",
        "model_version": "a",
        "calibration_revision": 3,
        "origin": "x",
        "basis": "adjusted",
        "last_close": 1.0,
        "path": [{"session": "y", "price": 2.0}],
        **changes,
    }


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, None),
        ({"calibration_revision": 4}, "calibration_revision"),
        ({"origin_close": 1.5}, "last_close"),
        ({"path": [{"session": "y", "price": 2.5, "quantiles": [0.0] * 41}]}, "path"),
        ({"path": [{"session": "y", "price": 2.0, "quantiles": [0.0]}]}, "quantiles"),
    ],
)
def test_a_forecast_that_became_another_is_seen(change: dict[str, Any], what: str | None) -> None:
    row = {"session": "y", "price": 2.0, "quantiles": [0.0] * 41}
    found = _differs(said(), said(**{"origin_close": 1.0, "path": [row], **change}))
    assert found is None if what is None else what in str(found)


def test_damage_is_put_right_again_and_always_another(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"whole content")
    kinds = damages(path.read_bytes(), 3, random.Random(1))
    assert all(one.content != b"whole content" for one in kinds)
    assert {one.kind for one in kinds} == {"a bit flipped", "cut short", "gone"}
    with damaged(path, Damage("gone", None)):
        assert not path.exists()
    assert path.read_bytes() == b"whole content"


def test_the_table_tells_kills_from_other_blows_and_shows_every_violation() -> None:
    tally = Tally()
    tally.blow("kill -9: trainer", "training: publish")
    tally.blow("gone: bundle", MANIFEST)
    tally.blame("somewhere", ["something"])
    assert tally.kills == 1
    text = tally.text()
    assert "VIOLATION: somewhere: something" in text
    assert text.endswith("kill -9: 1; violations: 1")


# -- what chaos has found -----------------------------------------------------------------------


def test_a_clock_that_was_set_back_keeps_no_dead_job_alive(tmp_path: Path) -> None:
    now, passed_s = datetime(2026, 1, 2, 12, tzinfo=UTC), 0.0
    lease = timedelta(seconds=30)
    url = settings_in(tmp_path).ledger_url
    with closing(Database(url, lambda: now, lambda: passed_s)) as database:
        job, _ = database.jobs.submit("train", "MSFT", {})
        database.jobs.claim("elsewhere/0-1:1:1")
        now -= timedelta(days=1)
        assert database.jobs.bury_dead(lease, lambda _: None) == []  # it may just have spoken
        passed_s += 31
        assert [one.id for one in database.jobs.bury_dead(lease, lambda _: None)] == [job.id]


def test_a_clock_that_was_set_back_keeps_nobody_from_newer_closes(tmp_path: Path) -> None:
    right = now = datetime(2026, 1, 2, 12, tzinfo=UTC)
    passed_s = 0.0
    settings = settings_in(tmp_path, forecast_wait_s=0)
    with closing(Database(settings.ledger_url, lambda: now)) as database:
        asking = {"has_worker": True, "monotonic": lambda: passed_s}
        refresh = Refresh(database, settings, lambda: now, **asking)  # type: ignore[arg-type]
        now = right + timedelta(days=365)
        ahead = refresh.request_update("version", ["MSFT"])
        assert ahead is not None
        database.jobs.cancel(ahead.id)
        now = right
        assert refresh.request_update("version", ["MSFT"]) == database.jobs.get(ahead.id)
        passed_s += settings.refresh_after_s
        again = refresh.request_update("version", ["MSFT"])
        assert again is not None
        assert again.id != ahead.id
        database.jobs.cancel(again.id)
        now += timedelta(seconds=1)
        passed_s += 1
        refresh.request_update("version", ["MSFT"])
        assert len(database.jobs.newest()) == 2, "no third one so soon"
        other = Refresh(database, settings, lambda: now, **asking)  # type: ignore[arg-type]
        third = other.request_update("version", ["MSFT"])
        assert third is not None
        assert third.id not in (ahead.id, again.id), "a new process trusts no time ahead of its own"
        database.jobs.cancel(third.id)
        other.request_update("version", ["MSFT"])
        assert len(database.jobs.newest()) == 3
