"""The worker process of one queue, as its supervisor starts and ends it."""

from __future__ import annotations

import logging
import os
import subprocess  # fixed commands, no shell  # nosec B404
import sys
import time
from collections.abc import Callable

from closecast.database import Queue
from closecast.jobs.worker_failures import note_failures, reason_of_exit
from closecast.settings import Settings, as_environment

log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 60.0


class WorkerProcess:
    """At most one process that runs the jobs of one queue; it ends by itself when idle.

    Parameters
    ----------
    clock : callable
        Seconds on a clock that only goes forward; injected by tests.
    """

    def __init__(
        self, settings: Settings, queue: Queue, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.queue = queue
        self._settings = settings
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._failures = 0
        self._not_before = 0.0

    def notice_end(self) -> bool:
        """Look whether the process has ended; ``True`` if it failed, or was killed, since."""
        if self._process is None or (code := self._process.poll()) is None:
            return False
        self._process = None
        if code:
            log.error("worker ended unexpectedly", extra={"exit_code": code, "queue": self.queue})
            self._count_failure(reason_of_exit(code))
        else:
            self._failures = 0
            note_failures(self._settings.data_dir, 0, "", self.queue)
        return bool(code)

    def _count_failure(self, reason: str) -> None:
        """Wait twice as long before the next start as before the last one, a minute at most."""
        self._failures += 1
        self._not_before = self._clock() + min(_LONGEST_PAUSE_S, 0.5 * 2**self._failures)
        note_failures(self._settings.data_dir, self._failures, reason, self.queue)

    @property
    def may_start(self) -> bool:
        """Whether none runs, and the pause after the last failure is over."""
        return self._process is None and self._clock() >= self._not_before

    def start(self) -> None:
        """Start the process; its settings are those of this one."""
        training = self.queue == "train"
        # An update is quick with one thread, and must not take a core from the predictions.
        threads = str(self._settings.training_threads) if training else "1"
        environment = {
            **os.environ,
            **as_environment(self._settings),
            **dict.fromkeys(
                ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
            ),
        }
        command = [
            *(sys.executable, "-m", "closecast.cli", "worker"),
            *("--queue", self.queue, "--parent", str(os.getpid())),
        ]
        try:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)  # nosec B603
        except OSError as error:  # no memory or no process is left for it
            log.error("worker cannot be started", extra={"reason": str(error), "queue": self.queue})
            self._count_failure(str(error))
            return
        log.info("worker started", extra={"pid": self._process.pid, "queue": self.queue})

    def end(self) -> None:
        """End the process, if there is one; killed where it does not end within five seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
