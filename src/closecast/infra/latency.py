"""Latency of recent answers: a training pauses while it is high."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable


class Latencies:
    """The newest durations of one process. Safe for several threads.

    Parameters
    ----------
    capacity : int
        Durations that are kept; older ones make room.
    clock : callable
        Seconds on a clock that only goes forward; injected by tests.

    Examples
    --------
    >>> recent = Latencies()
    >>> for milliseconds in range(1, 101):
    ...     recent.add(milliseconds / 1000)
    >>> recent.quantile(0.95, window_s=60)
    0.095
    """

    def __init__(self, capacity: int = 2000, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: deque[tuple[float, float]] = deque(maxlen=capacity)

    def add(self, duration_s: float) -> None:
        """Take note of an answer that was given now."""
        with self._lock:
            self._kept.append((self._clock(), duration_s))

    def quantile(self, q: float, window_s: float, at_least: int = 1) -> float | None:
        """The q-quantile in seconds, the smallest that a share ``q`` of the answers kept.

        Parameters
        ----------
        q : float
            Above 0, at most 1.
        window_s : float
            Greatest age, in seconds, of the answers that count.
        at_least : int
            With fewer answers than these the quantile is ``None``: its tail is unreliable.
        """
        since = self._clock() - window_s
        with self._lock:
            recent = sorted(took for at, took in self._kept if at >= since)
        if len(recent) < max(1, at_least):
            return None
        return recent[math.ceil(q * len(recent)) - 1]
