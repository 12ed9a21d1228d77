"""A job pauses while predictions are slow, and not for ever."""

from __future__ import annotations

import pytest

from closecast.jobs.latency_budget import LatencyBudget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("limit_ms", "p95_ms", "pauses"),
    [
        (25.0, 25.1, True),
        (25.0, 25.0, False),
        (25.0, None, False),  # hardly anybody asks
        (0.0, 1e9, False),  # never
    ],
)
def test_a_job_pauses_while_predictions_take_longer_than_the_limit(
    limit_ms: float, p95_ms: float | None, pauses: bool
) -> None:
    assert LatencyBudget(limit_ms, 300.0, Clock()).pauses(p95_ms) is pauses


def test_a_job_goes_on_once_predictions_are_fast_again() -> None:
    budget = LatencyBudget(25.0, 300.0, Clock())
    assert [budget.pauses(p95_ms) for p95_ms in (30.0, 40.0, 20.0, 30.0)] == [
        True,
        True,
        False,
        True,
    ]


def test_after_the_longest_pause_a_job_goes_on_for_a_while_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    budget = LatencyBudget(25.0, 300.0, clock)
    assert budget.pauses(99.0)
    clock.now += 299.0
    assert budget.pauses(99.0)
    clock.now += 1.0
    assert not budget.pauses(99.0)
    assert "predictions stay slow; the job goes on for a while" in caplog.text
    clock.now += LatencyBudget.GO_ON_S - 1
    assert not budget.pauses(99.0)
    clock.now += 1.0
    assert budget.pauses(99.0), "and then makes room again"


def test_pauses_that_end_by_themselves_do_not_add_up() -> None:
    clock = Clock()
    budget = LatencyBudget(25.0, 300.0, clock)
    for _ in range(10):
        assert budget.pauses(99.0)
        clock.now += 200.0
        assert not budget.pauses(1.0)
