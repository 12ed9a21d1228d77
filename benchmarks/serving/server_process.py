"""A server in a process group of its own: started, waited for, looked at, ended."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.serving.load import ROOT

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

_START_LIMIT_S = 120.0
_END_LIMIT_S = 20.0


class ServerFailed(Exception):
    """A server ended, or did not become ready; the text is what a table prints."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


class ServerProcess:
    """A command that serves on a port of 127.0.0.1; a context in which it lives."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        self.port = port
        self._last_answer = "no answer"
        self._log = log
        self._started = time.perf_counter()
        with log.open("wb") as output:
            self._process = psutil.Popen(
                command,
                cwd=folder,
                env={**os.environ, **ONE_THREAD, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until(self, ready: Callable[[], bool]) -> float:
        """Seconds from the start until ``ready`` answers true; a refused connection is false.

        Raises
        ------
        ServerFailed
        """
        while time.perf_counter() - self._started < _START_LIMIT_S:
            with contextlib.suppress(OSError):
                if ready():
                    return time.perf_counter() - self._started
            if self._process.poll() is not None:
                raise ServerFailed(f"ended at once: {self.last_line()}")
            time.sleep(0.02)
        raise ServerFailed(f"not ready after {_START_LIMIT_S:.0f} s: {self._last_answer}")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and body of one call, on a connection of its own.

        Parameters
        ----------
        body : optional
            Bytes are sent as they are, anything else as JSON.

        Raises
        ------
        OSError
            If nobody listens, or the connection ends before the answer.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            as_is = body is None or isinstance(body, bytes)
            content = body if as_is else json.dumps(body).encode()
            sent = {"content-type": "application/json", **(headers or {})}
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            found = answer.status, answer.read()
            self._last_answer = f"{found[0]} {found[1][:100].decode(errors='replace')}"
            return found
        except http.client.HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()

    def cpu_s(self) -> float:
        """User and system time of the whole family so far, in seconds."""
        total = 0.0
        for process in self._family():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def pss_mb(self) -> tuple[float, int]:
        """Memory of the whole family, what is shared counted in parts, 10**6 bytes; its size."""
        total, family = 0.0, self._family()
        for process in family:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total / 1e6, len(family)

    def stop(self) -> None:
        """Ask it to end, then make it."""
        family = self._family()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=_END_LIMIT_S)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()

    def last_line(self) -> str:
        """The last that it wrote."""
        lines = self._log.read_text(errors="replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:160] if said else "it said nothing"

    def _family(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return [self._process]
