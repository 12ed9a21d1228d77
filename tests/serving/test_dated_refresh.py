"""Dated forecasts ask the worker for newer closes when theirs are old, and wait a little."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from closecast.database import Job
from closecast.errors import (
    CalendarTooShort,
    NotCollected,
)
from closecast.serving.dated import UPDATE, UpdateAttempt
from closecast.serving.dated.refresh import _MOST_WAITING
from tests.support.calibration_state import live_state
from tests.support.dated_forecasts import (
    VERSION,
    World,
    answered,
    at,
)


def test_fresh_closes_are_not_collected_again(world: World) -> None:
    world.forecasting(worker=True).answer("MSFT")
    assert world.updates() == []


def test_older_closes_are_asked_for_and_answered_with_their_age(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    answer = answered(world.forecasting(worker=True).answer("MSFT"))
    assert answer.age == 1
    [job] = world.updates()
    assert (job.state, dict(job.arguments)) == (
        "queued",
        {"version": VERSION},
    )
    assert world.published == [job.id]


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_an_attempt_is_not_repeated_at_once_however_it_ended(world: World, state: Any) -> None:
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True)
    forecasting.answer("MSFT")
    job = world.database.jobs.claim("me")
    assert job is not None
    world.database.jobs.finish(job.id, "me", state)
    world.now += timedelta(seconds=899)
    forecasting.answer("MSFT")
    assert len(world.updates()) == 1
    world.now += timedelta(seconds=1)
    forecasting.answer("MSFT")
    assert len(world.updates()) == 2


def test_two_models_of_one_panel_asked_in_turn_collect_once_each(world: World) -> None:
    """A rollback of one symbol leads there; readers must not keep the worker collecting."""
    refresh = world.forecasting(worker=True)._refresh
    for _ in range(5):
        for version in (VERSION, "20260103T030405Z-0a1b2c3d"):
            refresh.request_update(version, ["MSFT", "AAPL"])
            if (job := world.database.jobs.claim("me")) is not None:
                world.database.jobs.finish(job.id, "me", "succeeded")
            world.now += timedelta(seconds=1)
    assert len(world.database.jobs.newest(task=UPDATE)) == 2


def test_the_attempts_of_other_symbols_and_tasks_do_not_count(world: World) -> None:
    world.database.jobs.submit("train", "MSFT", {})
    world.database.jobs.submit(UPDATE, "AAPL", {"symbol": "AAPL"})
    world.now = at("2022-12-23T23:00")
    world.forecasting(worker=True).answer("MSFT")
    assert len(world.updates()) == 1


def test_another_update_in_the_way_is_waited_for(world: World) -> None:
    job, _ = world.database.jobs.submit(UPDATE, "MSFT", {"symbol": "MSFT", "source": "yahoo"})
    world.now = at("2022-12-23T23:00")
    assert answered(world.forecasting(worker=True).answer("MSFT")).age == 1
    assert [update.id for update in world.updates()] == [job.id]


def test_a_replay_never_collects(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    answer = answered(world.forecasting(kind="replay", worker=True).answer("MSFT"))
    assert answer.age == 1
    assert world.updates() == []


def test_it_waits_for_the_closes_and_answers_with_them(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True, forecast_wait_s=60.0)

    def collect() -> None:
        while (job := world.database.jobs.claim("me")) is None:
            pass
        world.calibrations.now = live_state("2022-12-23", last_close=101.0)
        world.database.jobs.finish(job.id, "me", "succeeded")

    worker = threading.Thread(target=collect)
    worker.start()
    answer = answered(forecasting.answer("MSFT"))
    worker.join()
    assert (answer.age, answer.last_close) == (0, 101.0)


def test_who_asks_while_many_wait_is_answered_at_once(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True, forecast_wait_s=300.0)
    for _ in range(_MOST_WAITING):
        forecasting._refresh._places.acquire()
    assert answered(forecasting.answer("MSFT")).age == 1  # and not in five minutes


def test_a_job_that_waits_for_long_is_waited_for_once(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    world.database.jobs.submit(UPDATE, "MSFT", {"symbol": "MSFT"})
    world.now += timedelta(seconds=301)
    forecasting = world.forecasting(worker=True, forecast_wait_s=300.0)
    assert answered(forecasting.answer("MSFT")).age == 1  # and not in five minutes


def test_where_nothing_was_collected_the_job_is_the_answer(world: World) -> None:
    world.calendars.path("XNYS").unlink()
    for found in (
        world.forecasting(worker=True).answer("MSFT"),
        world.forecasting(worker=True).today("MSFT"),
    ):
        assert isinstance(found, Job)
        assert (found.task, found.symbol) == (UPDATE, "MSFT")
    assert len(world.updates()) == 1


def test_where_nothing_was_collected_and_after_a_failure_the_reason_is_said(world: World) -> None:
    world.calendars.path("XNYS").unlink()
    forecasting = world.forecasting(worker=True)
    forecasting.answer("MSFT")
    job = world.database.jobs.claim("me")
    assert job is not None
    world.database.jobs.finish(job.id, "me", "failed", reason="source_unavailable: HTTP 429")
    with pytest.raises(NotCollected, match="the last attempt: failed, source_unavailable"):
        forecasting.answer("MSFT")


def test_where_nothing_was_collected_it_is_said_what_to_run(
    world: World,
) -> None:
    world.calendars.path("XNYS").unlink()
    forecasting = world.forecasting()
    with pytest.raises(NotCollected, match=r"scripts\.01_collect_data --symbol MSFT"):
        forecasting.answer("MSFT")
    assert world.updates() == []


def test_a_calendar_that_has_ended_is_asked_for_as_well(world: World) -> None:
    world.now = at("2024-02-01T12:00")
    with pytest.raises(CalendarTooShort):
        world.forecasting(worker=True).answer("MSFT")
    assert len(world.updates()) == 1


# -- the newest attempt -------------------------------------------------------------------------


def ended(world: World, state: Any, **end: Any) -> UpdateAttempt | None:
    """The newest attempt in an answer of the next session, after its job has ended."""
    world.now = at("2022-12-23T23:00")
    forecasting = world.forecasting(worker=True)
    forecasting.answer("MSFT")
    job = world.database.jobs.claim("me")
    assert job is not None
    world.now += timedelta(seconds=5)
    world.database.jobs.finish(job.id, "me", state, **end)
    return answered(forecasting.answer("MSFT")).last_update


def test_a_fresh_forecast_names_no_attempt(world: World) -> None:
    assert answered(world.forecasting(worker=True).answer("MSFT")).last_update is None


def test_an_attempt_that_waits_is_named(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    answer = answered(world.forecasting(worker=True).answer("MSFT"))
    [job] = world.updates()
    assert answer.last_update == UpdateAttempt(job.id, "queued", world.now, None)


def test_a_failed_attempt_is_named_with_its_reason(world: World) -> None:
    attempt = ended(world, "failed", reason="source_unavailable: HTTP 429")
    assert attempt is not None
    assert (attempt.state, attempt.at) == ("failed", world.now)
    assert attempt.reason == "source_unavailable: HTTP 429"


def test_an_attempt_that_left_out_the_symbol_is_named_with_its_reason(world: World) -> None:
    failed = {"MSFT": "a close in another unit", "AAPL": "HTTP 429"}
    attempt = ended(world, "succeeded", result={"failed": failed})
    assert attempt is not None
    assert (attempt.state, attempt.reason) == ("succeeded", "a close in another unit")


def test_an_attempt_that_found_nothing_new_says_so(world: World) -> None:
    attempt = ended(world, "succeeded", result={"failed": {}})
    assert attempt is not None
    assert attempt.reason == "the source had no close after 2022-12-22"


def test_without_a_worker_there_is_no_attempt(world: World) -> None:
    world.now = at("2022-12-23T23:00")
    assert answered(world.forecasting().answer("MSFT")).last_update is None
