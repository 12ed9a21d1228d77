"""Load of the machine and of this process, measured by a thread once a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)


_FIRST_AFTER_S = 0.1
"""Until the first measurement of the CPU; in much less, a count in 1/100 s has too few steps."""


class Machine:
    """A thread that measures once a second; a request reads an attribute.

    Attributes
    ----------
    cpu_percent : float or None
        Of the machine over the last second, in [0, 100]; ``None`` in the first 0.1 s, when there
        is nothing to compare with yet.
    memory_percent : float
        Of the machine, in [0, 100].
    resident_bytes : int
        Memory of this process.
    cpu_seconds : float
        User and system time of this process since it began.

    Parameters
    ----------
    folder : Path
        The disk that is looked at is the one that holds it.
    each : callable
        Called after every measurement.
    """

    def __init__(
        self,
        folder: Path,
        each: Callable[[Machine], None] = lambda _: None,
        interval_s: float = 1.0,
    ) -> None:
        self._folder = folder
        self._each = each
        self._interval_s = interval_s
        self._process = psutil.Process()
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine", daemon=True)
        self.cpu_percent: float | None = None
        self.memory_percent = 0.0
        self.resident_bytes = 0
        self.cpu_seconds = 0.0

    @property
    def uptime_s(self) -> float:
        """Seconds since this process began to serve."""
        return time.monotonic() - self._began

    def start(self) -> None:
        """Measure now, then once a second."""
        self.measure()
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(timeout=5)

    def measure(self) -> None:
        """Measure once, then call the observer."""
        self.memory_percent = psutil.virtual_memory().percent
        self.resident_bytes = self._process.memory_info().rss
        times = self._process.cpu_times()
        self.cpu_seconds = times.user + times.system
        self._each(self)

    def disk(self) -> tuple[int, int]:
        """Free and total bytes of the disk, read at each call, since it may be a network's.

        For a folder that was removed, those of the disk of its nearest existing parent.
        """
        folder = self._folder.resolve()
        for place in (folder, *folder.parents):
            with suppress(FileNotFoundError, NotADirectoryError):
                usage = psutil.disk_usage(str(place))
                return usage.free, usage.total
        raise FileNotFoundError(folder)

    def _run(self) -> None:
        psutil.cpu_percent()  # psutil compares with the last call of the same thread
        pause_s = min(_FIRST_AFTER_S, self._interval_s)
        while not self._stop.wait(pause_s):
            pause_s = self._interval_s
            try:
                self.cpu_percent = psutil.cpu_percent()
                self.measure()
            except Exception:  # figures that stand still would look like a quiet machine
                log.exception("the machine could not be measured")
