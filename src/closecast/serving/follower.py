"""Pointer follower: a thread that loads the models that the pointers name."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from closecast.errors import StorageFailed
from closecast.registry.object_store import Stamps
from closecast.serving.model_manager import ModelManager

log = logging.getLogger(__name__)

_NEVER = object()
_REMOTE_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class _Retry:
    at: float
    pause_s: float


class PointerFollower:
    """Thread that checks pointers and collected closes every ``interval_s`` seconds.

    A check is cheap for any number of symbols: it reads only the pointers whose time stamp has
    changed, and a few others in turn. Models that could not be loaded are tried again.

    Parameters
    ----------
    interval_s : float
        At least one second on an object store, where every check is a request.
    on_change : callable, optional
        Called after a check that loaded a model or failed to.
    clock : callable
        Seconds on a clock that only goes forward; injected by tests.
    """

    ALL_WITHIN_S = 30.0
    """Every pointer is read once in this time, even if its time stamp is unchanged: a network file
    system may show an old stamp, and a file may be changed in place."""

    ALL_WITHIN_REMOTE_S = 300.0
    """Likewise on an object store, whose listings can be relied on and whose reads take longer."""

    LONGEST_PAUSE_S = 5.0
    """Longest pause between two attempts to load a model that could not be loaded."""

    def __init__(
        self,
        models: ModelManager,
        interval_s: float,
        on_change: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        local = models.registry.is_local
        self._interval_s = interval_s if local else max(interval_s, _REMOTE_INTERVAL_S)
        self._all_within_s = self.ALL_WITHIN_S if local else self.ALL_WITHIN_REMOTE_S
        self._on_change = on_change
        self._clock = clock
        self._stamps: Stamps | None = None
        self._seen: dict[str, object] = {}
        self._retries: dict[str, _Retry] = {}
        self._turn = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pointer-follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End within one interval."""
        self._stop.set()
        self._thread.join(timeout=5)

    def look(self) -> None:
        """Read pointers that changed, those whose turn it is, and those to be tried again."""
        symbols = sorted(
            {self._models.default_symbol, *(s.symbol for s in self._models.loaded())}
            | set(self._models.failures())
        )
        try:
            self._stamps = self._models.registry.pointer_stamps(self._stamps)
        except StorageFailed:
            self._stamps = None  # reading each pointer in turn will report the error
        now = self._clock()
        stamps = self._stamps
        turn = set(self._in_turn(symbols))
        changed = False
        for symbol in symbols:
            retry = self._retries.get(symbol)
            moved = stamps is not None and self._seen.get(symbol, _NEVER) != stamps.of(symbol)
            if moved or (now >= retry.at if retry else symbol in turn):
                changed |= self._look_at(symbol, stamps, now, retry)
        if changed and self._on_change is not None:
            self._on_change()

    def _look_at(
        self, symbol: str, stamps: Stamps | None, now: float, retry: _Retry | None
    ) -> bool:
        outcome = self._models.look(symbol).outcome
        if stamps is not None:
            self._seen[symbol] = stamps.of(symbol)  # read before the pointer was: never too new
        if outcome == "failed":
            pause_s = self._interval_s if retry is None else 2 * retry.pause_s
            pause_s = min(pause_s, self.LONGEST_PAUSE_S)
            self._retries[symbol] = _Retry(now + pause_s, pause_s)
        else:
            self._retries.pop(symbol, None)
        return outcome != "unchanged"

    def _in_turn(self, symbols: list[str]) -> Iterator[str]:
        """Take the next symbols in turn, as many as are needed to read all of them in time."""
        share = math.ceil(len(symbols) * self._interval_s / self._all_within_s)
        first, self._turn = self._turn, (self._turn + share) % len(symbols)
        return itertools.islice(itertools.cycle(symbols), first, first + share)

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            started = time.monotonic()
            try:
                self.look()
                self._models.closes.read()
            except Exception:  # a follower that dies silently would freeze every model for good
                log.exception("looking at the pointers failed")
            if time.monotonic() - started > 1:
                log.warning("looking at the pointers is slow")
