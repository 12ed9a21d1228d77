"""Rate limit per client: a bucket of requests that refills evenly."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_EVERYBODY_ELSE = "*"


class RateLimit:
    """Limit on the requests of each client per period, all at once or spread.

    The generic cell rate algorithm (ITU-T I.371): of each client one time is kept, when its
    bucket will be full again. A time that has passed carries no information and is dropped.

    Parameters
    ----------
    text : str
        As in the settings: ``"600/minute"``.
    most_clients : int
        Number of clients counted separately. When more come within a period, the newest
        of them share one bucket: memory stays bounded, and many addresses do not evade the limit.
    clock : callable
        Seconds, never going back.
    """

    def __init__(
        self,
        text: str,
        most_clients: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        count, _, period = text.partition("/")
        self.text = text
        self._interval_s = _SECONDS[period] / int(count)
        self._burst_s = _SECONDS[period] - self._interval_s
        self._most = most_clients
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._clear_at = 0.0

    def wait_s(self, client: str) -> float:
        """Count a request: 0 if it may pass, else the seconds until one may.

        A request that may not pass is not counted.
        """
        now = self._clock()
        full_at = self._full_at.get(client)
        if full_at is None and len(self._full_at) >= self._most:
            self._forget_full(now)
            if len(self._full_at) >= self._most:
                client = _EVERYBODY_ELSE
                full_at = self._full_at.get(client)
        start = now if full_at is None or full_at < now else full_at
        if (wait_s := start - self._burst_s - now) > 0:
            return wait_s
        self._full_at[client] = start + self._interval_s
        return 0.0

    def __len__(self) -> int:
        """Number of clients remembered."""
        return len(self._full_at)

    def _forget_full(self, now: float) -> None:
        if now >= self._clear_at:  # not for every one of a flood of newcomers
            self._clear_at = now + 1.0
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
