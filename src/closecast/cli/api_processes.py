"""Several API processes on one socket: started, watched, replaced one by one, ended."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from socket import socket
from typing import Any

from closecast.cli.api_process import make_server, server_options
from closecast.cli.hangup import on_hangup
from closecast.settings import Settings

log = logging.getLogger(__name__)

_FAILED_TO_START = 3
"""Exit status of uvicorn where the application refuses to start: another attempt would, too."""
_SIGN_EVERY_S = 2
_LOOK_EVERY_S = 0.5
_PAUSED_S = 5.0
"""A look that takes longer was no look: the processes were paused, by `docker pause` or Ctrl+Z."""
_LINE_EVERY_S = 10.0
_LONGEST_PAUSE_S = 30.0
_KILLED_AFTER_S = 10.0
"""On top of the time in which running requests may finish."""


def serve_together(settings: Settings, listener: socket, checked: Callable[[], Settings]) -> None:
    """Serve with several processes until a signal; on SIGHUP replace them one by one.

    Parameters
    ----------
    checked : callable
        Reads the settings again, or raises what would keep a new start from working.
    """
    processes = ApiProcesses(settings, listener)
    on_hangup(checked, processes.replace_all, processes.end)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: processes.end())
    if not processes.run():
        sys.exit(1)


@dataclass(eq=False)
class _Member:
    """One process, and the end of the pipe on which it gives signs of life."""

    process: SpawnProcess
    signs: Connection
    replaces: _Member | None = None
    started: float = field(default_factory=time.monotonic)
    last_sign: float | None = None
    last_line: float = field(default_factory=time.monotonic)
    excused: float = 0.0

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self.started

    @property
    def silence(self) -> float:
        """Seconds since the last sign of life, the start, or the end of a pause of all."""
        return time.monotonic() - max(self.last_sign or self.started, self.excused)

    def read_signs(self) -> bool:
        """Take what has come; answer whether it is the first."""
        came = False
        with suppress(EOFError, OSError):
            while self.signs.poll():
                self.signs.recv_bytes()
                came = True
        first = came and self.last_sign is None
        if came:
            self.last_sign = time.monotonic()
        return first


class ApiProcesses:
    """Keeps as many API processes serving as the settings say.

    One that does not answer within ``worker_start_s`` is replaced: the time is long, since a
    process on a throttled machine is slow, and one that dies is noticed at once.
    """

    def __init__(self, settings: Settings, listener: socket) -> None:
        self._settings = settings
        self._listener = listener
        self._members: list[_Member] = []
        self._leaving: list[_Member] = []
        self._due: deque[_Member] = deque()  # to be replaced
        self._pause_s = 0.0
        self._not_before = 0.0
        self._has_served = False
        self._ending = False
        self._failed = False

    def end(self) -> None:
        """Let :meth:`run` end all processes and return."""
        self._ending = True

    def replace_all(self, settings: Settings) -> None:
        """Replace each process by one with these settings, which serves before the old one ends."""
        self._settings = settings
        self._due = deque(self._members)

    def run(self) -> bool:
        """Serve until :meth:`end`; answer false if the application refused to start."""
        try:
            while not self._ending:
                self._fill()
                everyone = [*self._members, *self._leaving]
                looked = time.monotonic()
                wait([m.process.sentinel for m in everyone], timeout=_LOOK_EVERY_S)
                if time.monotonic() - looked > _PAUSED_S:
                    for member in everyone:
                        member.excused = time.monotonic()
                for member in everyone:
                    self._look_at(member)
        finally:
            self._end_all()
        return not self._failed

    def _fill(self) -> None:
        if time.monotonic() < self._not_before:
            return
        places = [member for member in self._members if member.replaces is None]
        for surplus in places[self._settings.workers :]:
            self._retire(surplus)
        for _ in range(self._settings.workers - len(places)):
            if not self._start(None):
                return
        if self._due and all(member.replaces is None for member in self._members):
            old = self._due.popleft()
            if old in self._members and not self._start(old):
                self._due.appendleft(old)

    def _start(self, replaces: _Member | None) -> bool:
        """Start a process; false if the system has no memory or process number left for it."""
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=serve_as_one_of_several,
            args=(server_options(self._settings), self._listener, theirs),
        )
        try:
            process.start()
        except OSError as error:
            ours.close()
            self._pause()
            log.warning(
                "no API process can be started (%s); tried again in %.0f s", error, self._pause_s
            )
            return False
        finally:
            theirs.close()
        self._members.append(_Member(process, ours, replaces))
        log.info("API process %s starts", process.pid)
        return True

    def _pause(self) -> None:
        """Wait before the next start, longer each time."""
        self._pause_s = min(max(1.0, 2 * self._pause_s), _LONGEST_PAUSE_S)
        self._not_before = time.monotonic() + self._pause_s

    def _look_at(self, member: _Member) -> None:
        if member.read_signs():
            log.info("API process %s serves after %.1f s", member.process.pid, member.age)
            self._pause_s, self._has_served = 0.0, True
            if (old := member.replaces) is not None:
                member.replaces = None
                self._retire(old)
        if not member.process.is_alive():
            self._bury(member)
        elif member in self._leaving:
            if member.silence > self._settings.drain_s + _KILLED_AFTER_S:
                self._kill(member, "does not end")
        elif member.silence > self._settings.worker_start_s:
            what = "gave no sign of life" if member.last_sign else "has not started"
            self._kill(
                member, f"{what} for {self._settings.worker_start_s:g} s (CLOSECAST_WORKER_START_S)"
            )
        elif member.last_sign is None and time.monotonic() - member.last_line > _LINE_EVERY_S:
            member.last_line = time.monotonic()
            log.info(
                "API process %s is still starting after %.0f s", member.process.pid, member.age
            )

    def _retire(self, member: _Member) -> None:
        if member in self._members:
            self._members.remove(member)
            self._leaving.append(member)
            member.last_sign = time.monotonic()
            member.process.terminate()

    def _kill(self, member: _Member, reason: str) -> None:
        log.warning("API process %s %s: it is killed", member.process.pid, reason)
        member.process.kill()
        member.process.join()

    def _bury(self, member: _Member) -> None:
        member.process.join()
        member.signs.close()
        if member in self._leaving:
            self._leaving.remove(member)
            return
        self._members.remove(member)
        status = member.process.exitcode
        if status == _FAILED_TO_START and not self._has_served:
            self._failed = self._ending = True
            return
        after = f"after {member.age:.1f} s"
        if member.replaces is not None:
            self._due.clear()
            log.warning(
                "API process %s died %s (%s); process %s goes on, and no other is replaced",
                *(member.process.pid, after, _cause(status), member.replaces.process.pid),
            )
            return
        for other in self._members:
            if other.replaces is member:
                other.replaces = None  # it takes the place that is free now
        if member.last_sign is None:
            self._pause()
        log.warning(
            "API process %s died %s (%s); another one starts in %.0f s",
            *(member.process.pid, after, _cause(status), self._pause_s),
        )

    def _end_all(self) -> None:
        for member in [*self._members]:
            self._retire(member)
        deadline = time.monotonic() + self._settings.drain_s + _KILLED_AFTER_S
        for member in self._leaving:
            member.process.join(max(0.0, deadline - time.monotonic()))
            if member.process.is_alive():
                self._kill(member, "does not end")


def _cause(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        name = signal.Signals(-status).name
        memory = "; the kernel does that where memory runs out" if name == "SIGKILL" else ""
        return f"killed by {name}{memory}"
    return f"killed by signal {-status}"


def serve_as_one_of_several(
    options: Mapping[str, Any], listener: socket, signs: Connection
) -> None:
    """Serve in a process of :class:`ApiProcesses`, and give signs of life from its event loop."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # meant for the process that started this one

    async def give_sign() -> None:
        with suppress(OSError):  # that process is gone, and this one is about to end
            signs.send_bytes(b".")

    signs_of_life = {"callback_notify": give_sign, "timeout_notify": _SIGN_EVERY_S}
    with suppress(KeyboardInterrupt):
        make_server({**options, **signs_of_life}).run(sockets=[listener])
