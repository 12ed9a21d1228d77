"""A real ``closecast serve`` in its own process group, as a user would run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx

from closecast.settings import Settings, as_environment


class ServiceProcess:
    """Start, ask, kill."""

    def __init__(self, settings: Settings, log: Path, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        chosen = as_environment(settings)
        chosen |= {"CLOSECAST_WORKER_ENABLED": "true", "CLOSECAST_PORT": str(self.port)}
        self._environment = {**os.environ, **chosen, **environment}
        self._log = log
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120)
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "closecast.cli", "serve"],
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(self._answers, "the service answers")

    @property
    def pid(self) -> int:
        """Of the API process."""
        return self._process.pid

    def kill(self) -> None:
        """``kill -9`` of the API process alone."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; answers the exit status."""
        self._process.terminate()
        return self._process.wait(timeout=60)

    def stop(self) -> None:
        """End whatever is left of the process group."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self.http.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON answer of a GET."""
        answer: dict[str, Any] = self.http.get(path).raise_for_status().json()
        return answer

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 300) -> Any:
        """Wait for a condition; only a machine that stands still makes it fail."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            if self._process.poll() is not None:
                raise AssertionError(f"the service ended while waiting: {self.log()}")
            time.sleep(0.1)
        raise AssertionError(f"never: {what}\n{self.log()}")

    def log(self) -> str:
        """What it wrote so far, the end of it."""
        return self._log.read_text()[-4000:]

    def whole_log(self) -> str:
        """All that it wrote."""
        return self._log.read_text()

    def _answers(self) -> bool:
        try:
            return self.http.get("/health/live").status_code == 200
        except httpx.TransportError:
            return False
