"""Every way a job can end is written down, whatever the task does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from closecast.errors import NoPrices
from closecast.jobs import worker
from closecast.jobs.tasks import TASKS, Tell
from closecast.ledger import Job, Ledger
from closecast.settings import Settings


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    return Ledger(settings.ledger_url)


def run(settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, task: Any) -> Job:
    monkeypatch.setitem(TASKS, "train", task)
    job, _ = ledger.jobs.submit("train", "MSFT", {"n": 1})
    claimed = ledger.jobs.claim("here")
    assert claimed is not None
    worker.run_job(settings, ledger, claimed, "here")
    return ledger.jobs.get(job.id)


def test_a_result_is_recorded_with_the_last_progress(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(_: Settings, arguments: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        tell({"percent": 50})
        tell({"percent": 100})
        return {"got": arguments["n"]}

    job = run(settings, ledger, monkeypatch, task)
    assert (job.state, job.result, job.progress) == ("succeeded", {"got": 1}, {"percent": 100})
    assert job.finished_at is not None


def test_an_expected_error_is_a_reason_with_its_code(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(*_: Any) -> dict[str, Any]:
        raise NoPrices("nothing there")

    job = run(settings, ledger, monkeypatch, task)
    assert (job.state, job.reason) == ("failed", "no_prices: nothing there")


def test_a_bug_fails_the_job_and_not_the_worker(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("oops")

    job = run(settings, ledger, monkeypatch, task)
    assert (job.state, job.reason) == ("failed", "ZeroDivisionError: oops")


def test_a_running_job_is_cancelled_between_two_batches(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(_: Settings, __: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        [running] = ledger.jobs.newest()
        ledger.jobs.cancel(running.id)
        for _ in range(600):
            tell({"percent": 1})
            time.sleep(0.05)
        return {}

    job = run(settings, ledger, monkeypatch, task)
    assert (job.state, job.reason) == ("cancelled", "cancelled on request")


def test_a_job_that_was_taken_away_ends_without_a_word(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(*_: Any) -> dict[str, Any]:
        [running] = ledger.jobs.newest()
        ledger.jobs.finish(running.id, "here", "failed", reason="its lease ran out")
        return {"late": True}

    job = run(settings, ledger, monkeypatch, task)
    assert (job.state, job.reason, job.result) == ("failed", "its lease ran out", None)
