"""How long recent answers took."""

from __future__ import annotations

import threading

import pytest

from closecast.infra.latency import Latencies


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_answers_there_is_no_quantile() -> None:
    assert Latencies().quantile(0.95, window_s=60) is None


@pytest.mark.parametrize(
    ("q", "expected"), [(0.01, 1.0), (0.5, 50.0), (0.95, 95.0), (0.951, 96.0), (1.0, 100.0)]
)
def test_a_quantile_is_the_smallest_that_so_large_a_share_kept(q: float, expected: float) -> None:
    recent = Latencies()
    for took in range(100, 0, -1):
        recent.add(took)
    assert recent.quantile(q, window_s=60) == expected


def test_only_answers_within_the_window_count() -> None:
    clock = Clock()
    recent = Latencies(clock=clock)
    recent.add(9.0)
    clock.now += 5.0
    recent.add(1.0)
    assert recent.quantile(1.0, window_s=5.0) == 9.0
    clock.now += 0.5
    assert recent.quantile(1.0, window_s=5.0) == 1.0
    clock.now += 5.0
    assert recent.quantile(1.0, window_s=5.0) is None


def test_of_too_few_answers_nothing_is_said() -> None:
    recent = Latencies()
    for _ in range(19):
        recent.add(1.0)
    assert recent.quantile(0.95, window_s=60, at_least=20) is None
    recent.add(1.0)
    assert recent.quantile(0.95, window_s=60, at_least=20) == 1.0


def test_no_more_than_the_capacity_is_kept() -> None:
    recent = Latencies(capacity=3)
    for took in (9.0, 1.0, 2.0, 3.0):
        recent.add(took)
    assert recent.quantile(1.0, window_s=60) == 3.0


def test_threads_may_add_while_others_look() -> None:
    recent = Latencies()

    def add() -> None:
        for _ in range(500):
            recent.add(1.0)
            recent.quantile(0.95, window_s=60)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recent.quantile(0.95, window_s=60, at_least=2000) == 1.0
