"""A thread that keeps a process's models where the pointers lead."""

from __future__ import annotations

import logging
import threading
import time

from closecast.serving.models import Models

log = logging.getLogger(__name__)


class PointerFollower:
    """A thread that looks at the pointers every ``interval_s`` seconds."""

    def __init__(self, models: Models, interval_s: float) -> None:
        self._models = models
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointer-follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End within one interval."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            started = time.monotonic()
            try:
                self._models.look_at_all()
            except Exception:  # a follower that dies silently would freeze every model for good
                log.exception("looking at the pointers failed")
            if time.monotonic() - started > 1:
                log.warning("looking at the pointers is slow")
