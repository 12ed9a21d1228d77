"""A real service with its processes, which are found again whoever their parent is by now."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import psutil

from benchmarks.serving.served_model import SERVE
from benchmarks.serving.server_process import ServerProcess, free_port

Role = Literal["server", "API worker", "trainer", "other"]

_MARK = "CLOSECAST_CHAOS_FAMILY"
_ROLES: tuple[tuple[str, Role], ...] = (
    ("closecast.cli serve", "server"),
    ("closecast.cli worker", "trainer"),
    ("resource_tracker", "other"),
    ("spawn_main", "API worker"),
)
_GONE_WITHIN_S = 45.0


class Family:
    """``closecast serve`` with its API workers and its trainer, on one port for all its lives."""

    def __init__(self, environment: Mapping[str, str], folder: Path, workers: int) -> None:
        self._mark = uuid.uuid4().hex
        self._environment = {**environment, _MARK: self._mark}
        self._folder = folder
        self._workers = workers
        self._port = free_port()
        self._lives = 0
        self._process: ServerProcess | None = None

    def start(self) -> None:
        """Start, and wait until it is ready.

        Raises
        ------
        ServerFailed
        """
        self._lives += 1
        command = [*SERVE, "--port", str(self._port), "--workers", str(self._workers)]
        log = self._folder / f"service-{self._lives}.log"
        self._process = ServerProcess(command, self._port, log, self._environment)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """As it says.

        Raises
        ------
        ServerFailed
        """
        assert self._process is not None
        self._process.wait_until(lambda: self.call("GET", "/health/ready")[0] == 200)

    def wait_until_whole(self) -> None:
        """As :meth:`wait_until_ready`, of every API worker.

        Raises
        ------
        ServerFailed
        """
        assert self._process is not None
        self._process.wait_until(
            lambda: len(json.loads(self.call("GET", "/model")[1])["workers"]) == self._workers
        )

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        """Status and body.

        Raises
        ------
        OSError
            If nobody answers.
        """
        assert self._process is not None
        return self._process.call(method, path, body, headers)

    def members(self, role: Role | None = None) -> list[psutil.Process]:
        """Living processes of all lives of the service; of one role if named."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) != self._mark:
                    continue
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if role is None or _role_of(process) == role:
                    found.append(process)
        return found

    def kill(self, role: Role, choose: Callable[[list[psutil.Process]], psutil.Process]) -> bool:
        """``kill -9`` of one process of a role; ``False`` if there is none."""
        found = self.members(role)
        if not found:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            choose(found).kill()
        return True

    def kill_group(self) -> bool:
        """``kill -9`` of server, API workers and trainer at once."""
        found = self.members("server")
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return bool(found)

    def orphans(self) -> list[str]:
        """After the server has died: who is still there when everybody had time to go."""
        until = time.monotonic() + _GONE_WITHIN_S
        while (left := self.members()) and time.monotonic() < until:
            time.sleep(0.1)
        return [f"process {process.pid} ({_role_of(process)}) is an orphan" for process in left]

    def end(self) -> None:
        """SIGTERM, as a user would; then make sure."""
        if self._process is not None:
            self._process.stop()
        for process in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _role_of(process: psutil.Process) -> Role:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return "other"
    return next((role for part, role in _ROLES if part in command), "other")
