"""Calls that may hang, as those of a dead disk do, behind answers that come in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The newest result of a call.

    Attributes
    ----------
    value : T or None
        ``None`` until the call has returned once.
    silent_s : float
        Seconds for which the call under way has not returned; 0 where the value is new.
    """

    value: T | None
    silent_s: float = 0.0


class BoundedCall(Generic[T]):
    """A call in a thread of its own: its newest result, after a limited wait.

    While one call hangs no second one is begun, so a dead disk costs one thread, and only the
    first answer waits for it.

    Parameters
    ----------
    name : str
        Of the thread.
    call : callable
        An error of it is logged, and its last result stays.
    patience_s : float
        Longest wait for a result, in seconds.
    keep_s : float
        Seconds for which a result is answered again without another call.
    """

    def __init__(
        self, name: str, call: Callable[[], T], *, patience_s: float = 1.0, keep_s: float = 0.0
    ) -> None:
        self._name, self._call = name, call
        self._patience_s, self._keep_s = patience_s, keep_s
        self._lock = threading.Lock()
        self._value: T | None = None
        self._returned_at: float | None = None
        self._begun_at: float | None = None
        self._done = threading.Event()

    def begin(self) -> None:
        """Call now, unless a call is under way or the newest result is kept."""
        with self._lock:
            now = time.monotonic()
            kept = self._returned_at is not None and now - self._returned_at < self._keep_s
            if self._begun_at is None and not kept:
                self._done = threading.Event()
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
                self._begun_at = now

    def answer(self) -> Answer[T]:
        """Wait for the call under way, if any, and return the newest result.

        Waits until ``patience_s`` after the call began; one that hangs since long is not waited
        for.
        """
        with self._lock:
            begun_at, done = self._begun_at, self._done
        if begun_at is None:
            return Answer(self._value)
        if done.wait(max(0.0, self._patience_s - (time.monotonic() - begun_at))):
            return Answer(self._value)
        return Answer(self._value, time.monotonic() - begun_at)

    def _run(self) -> None:
        value: T | None
        try:
            value = self._call()
        except Exception:  # else the call would count as hanging for ever
            log.exception("a check failed; its last result stays", extra={"check": self._name})
            value = self._value
        with self._lock:
            self._value, self._returned_at, self._begun_at = value, time.monotonic(), None
            self._done.set()
