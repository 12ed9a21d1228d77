"""Watching several API processes: pauses of the whole machine, and starts that fail."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from closecast.cli import api_processes
from closecast.cli.api_processes import ApiProcesses, _Member
from closecast.settings import Settings


class Clock:
    """A clock that stands still until a look at the processes moves it."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Process:
    """A process that lives until it is to end."""

    pid, sentinel, exitcode = 1, 0, 0

    def __init__(self) -> None:
        self.alive = True
        self.killed = False

    def is_alive(self) -> bool:
        return self.alive

    def join(self, timeout: float | None = None) -> None:
        pass

    def terminate(self) -> None:
        self.alive = False

    def kill(self) -> None:
        self.killed, self.alive = True, False


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(api_processes, "time", made)
    return made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def watched(
    settings: Settings, listener: socket.socket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Process]:
    """Run the watch over one process while looks take so long; answer that process."""

    def run(*looks_s: float) -> Process:
        processes, process = ApiProcesses(settings, listener), Process()
        ours, _theirs = multiprocessing.Pipe(duplex=False)
        member: Any = process
        processes._members.append(
            _Member(member, ours, started=clock.now, last_sign=clock.now, last_line=clock.now)
        )
        left = list(looks_s)

        def wait(*_: Any, **__: Any) -> None:
            clock.now += left.pop(0)
            if not left:
                processes.end()

        monkeypatch.setattr(api_processes, "wait", wait)
        processes.run()
        return process

    return run


def test_a_pause_of_all_is_no_silence_of_one(
    settings: Settings, listener: socket.socket, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = watched(settings, listener, clock, monkeypatch)
    assert not run(0.5, 3_600.0).killed
    assert run(*[0.5] * 300).killed, "one that is silent alone is replaced"


def test_a_start_that_fails_is_tried_again(
    settings: Settings,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    started: list[float] = []

    def start(_: Any) -> None:
        started.append(time.monotonic())
        if len(started) == 2:
            processes.end()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    context = SimpleNamespace(Process=lambda **_: SimpleNamespace(start=lambda: start(None)))
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)
    processes = ApiProcesses(settings.model_copy(update={"workers": 2}), listener)
    assert processes.run()
    assert len(started) == 2
    assert "no API process can be started" in caplog.text
