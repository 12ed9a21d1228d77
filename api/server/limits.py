"""Limits on connections and on the heads of requests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from closecast.infra.descriptors import raise_descriptor_limit
from closecast.settings import Settings, get_settings

MOST_OF_A_HEAD = 65_536
"""Bytes of a request line and its headers together."""
MOST_HEADERS = 256

_KEPT_BACK = 256
"""Descriptors for the ledger, models, calendars, the worker's pipes and the log."""


@dataclass(frozen=True)
class Limits:
    """Limits of one API process on its connections.

    Attributes
    ----------
    head_s : float
        Seconds from the connection, or from the first byte of a later request, to the end of the
        request's head. A body that the application did not want has as long to pass by.
    stalled_s : float
        Seconds without any progress until an answer that its caller does not read is given up.
    grace_s : float
        Seconds that an idle connection is still listened to when the process ends: a request may
        be on its way.
    connections : int
        Open at once.
    """

    head_s: float = 15.0
    stalled_s: float = 60.0
    grace_s: float = 1.0
    connections: int = 7_000

    @classmethod
    def of(cls, settings: Settings, descriptors: int) -> Limits:
        """Limits by the settings, and below the number of descriptors of the process."""
        kept_back = min(_KEPT_BACK, descriptors // 2)
        return cls(
            head_s=settings.head_timeout_s,
            stalled_s=settings.answer_timeout_s,
            grace_s=min(1.0, settings.drain_s / 2),
            connections=min(settings.max_connections, descriptors - kept_back),
        )


@lru_cache(maxsize=1)
def process_limits() -> Limits:
    """Limits of this process; its soft limit on open files is raised on the way."""
    return Limits.of(get_settings(), raise_descriptor_limit())
