"""The memory of many connections goes back to the system behind them."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

from api.server.memory import ConnectionMemory, give_memory_back


class Clock:
    """The parts of an event loop that plan: time passes when the test lets it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.planned: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[..., None], *arguments: Any) -> None:
        self.planned.append((when, lambda: call(*arguments)))

    def pass_to_next(self) -> None:
        self.now, call = self.planned.pop(0)
        call()


def _flood(memory: ConnectionMemory, clock: Clock, most: int) -> None:
    loop = cast("asyncio.AbstractEventLoop", clock)
    for count in range(1, most + 1):
        memory.opened(count)
    for count in reversed(range(most)):
        memory.closed(count, loop)


def test_memory_is_given_back_once_behind_a_flood() -> None:
    given: list[float] = []
    clock = Clock()
    memory = ConnectionMemory(lambda: given.append(clock.now))
    _flood(memory, clock, 5_000)
    assert len(clock.planned) == 1
    clock.pass_to_next()
    assert len(given) == 1
    _flood(memory, clock, 900)
    assert not clock.planned  # an everyday number


def test_a_flood_soon_behind_another_one_waits_its_turn() -> None:
    given: list[float] = []
    clock = Clock()
    memory = ConnectionMemory(lambda: given.append(clock.now))
    for _ in range(3):
        _flood(memory, clock, 2_000)
        clock.pass_to_next()
    assert [after - before for before, after in pairwise(given)] == [20, 20]


def test_many_that_stay_are_no_end_of_a_flood() -> None:
    clock = Clock()
    memory = ConnectionMemory(lambda: None)
    memory.opened(5_000)
    memory.closed(500, cast("asyncio.AbstractEventLoop", clock))
    assert not clock.planned


def test_giving_back_works_on_any_system() -> None:
    async def give() -> None:
        give_memory_back()
        await asyncio.get_running_loop().shutdown_default_executor()

    with warnings.catch_warnings():  # of what other tests left to be collected
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    asyncio.run(give())
