"""Batching: predictions that are requested at the same time are computed together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from closecast.calibration import AdaptiveState
from closecast.drift import Context
from closecast.serving import Prediction, Snapshot

MOST_AT_ONCE = 32
"""Windows; the network takes longer for each from there on."""

_MOST_S = 0.004  # that the event loop is held for


@dataclass(frozen=True, slots=True)
class PredictionQuery:
    """One window, with the snapshot, context and levels to answer it with.

    Attributes
    ----------
    state : AdaptiveState or None
        Live calibration of the history that the window ends, if there is one.
    symbol : str or None
        Canonical, that the caller named.
    left_out : int
        Older closes that were sent and are not part of the window.
    """

    snapshot: Snapshot
    closes: Sequence[float]
    context: Context
    levels: tuple[float, ...]
    state: AdaptiveState | None
    symbol: str | None = None
    left_out: int = 0

    @property
    def kind(self) -> tuple[int, tuple[float, ...], int, int]:
        """Key of the queries that can be answered in one batch."""
        return id(self.snapshot), self.levels, id(self.state), len(self.closes)


class Batcher:
    """Collects queries that arrive in the same turns of the event loop, and answers them as one.

    No query waits for a clock: a single one is answered at the end of this turn of the event loop,
    several as soon as a turn brings no more. Under load a batch has as many queries as there are
    connections, at half the time for each. If a model answers a window with other bits in a batch
    than alone, each query is answered alone.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[PredictionQuery, asyncio.Future[Prediction]]] = []

    def ask(self, query: PredictionQuery) -> asyncio.Future[Prediction]:
        """Add a query; return a future of its answer, done some turns of the event loop later."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Prediction] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin, 1)
        self._waiting.append((query, future))
        return future

    def _begin(self, before: int) -> None:
        # After two queries at once, more are on their way: their callers were answered together
        # before, and send the next windows while these are read. Each turn adds the new ones.
        now = len(self._waiting)
        if before < now < MOST_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._begin, now)
        else:
            self._answer()

    def _answer(self) -> None:
        first = self._waiting[0][0]
        kind = first.kind
        # The same request has the same answer, with or without others at the same time.
        most = at_once(first.snapshot) if first.snapshot.speed.same_together else 1
        batch = [waiting for waiting in self._waiting if waiting[0].kind == kind][:most]
        taken = {id(future) for _, future in batch}
        self._waiting = [waiting for waiting in self._waiting if id(waiting[1]) not in taken]
        if self._waiting:  # others have their turn between two batches
            asyncio.get_running_loop().call_soon(self._answer)
        batch = [(query, future) for query, future in batch if not future.done()]
        answers = answer_all([query for query, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Prediction):
                future.set_result(answer)
            else:
                future.set_exception(answer)


def at_once(snapshot: Snapshot) -> int:
    """Largest batch of a snapshot that holds the event loop for at most 4 ms."""
    return max(1, min(MOST_AT_ONCE, int(_MOST_S / max(snapshot.speed.each, 1e-9))))


def answer_all(queries: Sequence[PredictionQuery]) -> list[Prediction | Exception]:
    """Answer queries of one kind; one that fails does not fail the others."""
    try:
        return [*_together(queries)]
    except Exception as error:  # answered one by one, the wrong one fails alone
        if len(queries) == 1:
            return [error]
        return [answer for query in queries for answer in answer_all([query])]


def _together(queries: Sequence[PredictionQuery]) -> list[Prediction]:
    if not queries:
        return []
    first = queries[0]
    return first.snapshot.predict_batch(
        [query.closes for query in queries],
        [query.context for query in queries],
        first.levels,
        first.state,
        [query.symbol for query in queries],
    )
