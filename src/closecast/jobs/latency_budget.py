"""Latency budget: pauses of a job while predictions are slow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)


class LatencyBudget:
    """The decision at every heartbeat whether a job pauses.

    Parameters
    ----------
    limit_ms : float
        A job pauses while predictions take more milliseconds than this; 0: never.
    most_s : float
        Longest pause in seconds. Then the job goes on for ``GO_ON_S`` seconds even if predictions
        are slow: on a machine that is always busy it would otherwise wait for ever.
    clock : callable
        Seconds on a clock that only goes forward; injected by tests.
    """

    GO_ON_S = 60.0

    def __init__(
        self, limit_ms: float, most_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit_ms = limit_ms
        self._most_s = most_s
        self._clock = clock
        self._paused_at: float | None = None
        self._not_before = -float("inf")

    def pauses(self, p95_ms: float | None) -> bool:
        """Decide whether the job pauses now.

        Parameters
        ----------
        p95_ms : float, optional
            95th percentile of the duration of recent predictions, in milliseconds; ``None`` where
            there were hardly any.
        """
        now = self._clock()
        if not self._limit_ms or p95_ms is None or p95_ms <= self._limit_ms:
            self._paused_at = None
            return False
        if now < self._not_before:
            return False
        if self._paused_at is None:
            self._paused_at = now
            log.info("predictions are slow; the job pauses", extra={"p95_ms": p95_ms})
        if now - self._paused_at < self._most_s:
            return True
        log.warning(
            "predictions stay slow; the job goes on for a while",
            extra={"p95_ms": p95_ms, "paused_s": round(now - self._paused_at, 1)},
        )
        self._paused_at = None
        self._not_before = now + self.GO_ON_S
        return False
