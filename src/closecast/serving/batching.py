"""Predictions that are asked for at the same time are made together."""

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
    """One window, and by what it is answered.

    Attributes
    ----------
    state : AdaptiveState or None
        Of the history that the window ends.
    """

    snapshot: Snapshot
    closes: Sequence[float]
    context: Context
    levels: tuple[float, ...]
    state: AdaptiveState | None

    @property
    def kind(self) -> tuple[int, tuple[float, ...], int, int]:
        """Questions of one kind can be answered together."""
        return id(self.snapshot), self.levels, id(self.state), len(self.closes)


class Batcher:
    """Answers what comes in at once as one batch.

    Nobody waits for a clock: who came alone is answered at the end of this turn of the event loop,
    several once a turn brings no more. Under load that is as many as there are connections, at
    half the time for each. Where a model would answer a window with other bits among others than
    alone, each is answered alone.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[PredictionQuery, asyncio.Future[Prediction]]] = []

    def ask(self, question: PredictionQuery) -> asyncio.Future[Prediction]:
        """The answer, after this turn of the event loop or the next."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Prediction] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin, 1)
        self._waiting.append((question, future))
        return future

    def _begin(self, before: int) -> None:
        # Where two came at once, others are on their way: they were answered together before, and
        # have sent their next windows while these were read. Each turn takes along who has come.
        now = len(self._waiting)
        if before < now < MOST_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._begin, now)
        else:
            self._answer()

    def _answer(self) -> None:
        first = self._waiting[0][0]
        kind = first.kind
        # The same request has the same answer, whoever asks at the same time.
        most = at_once(first.snapshot) if first.snapshot.speed.same_together else 1
        batch = [asked for asked in self._waiting if asked[0].kind == kind][:most]
        taken = {id(future) for _, future in batch}
        self._waiting = [asked for asked in self._waiting if id(asked[1]) not in taken]
        if self._waiting:  # others have their turn between two batches
            asyncio.get_running_loop().call_soon(self._answer)
        batch = [(question, future) for question, future in batch if not future.done()]
        answers = answer_all([question for question, _ in batch])
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Prediction):
                future.set_result(answer)
            else:
                future.set_exception(answer)


def at_once(snapshot: Snapshot) -> int:
    """How many windows may be answered in one go, so that the event loop is not held too long."""
    return max(1, min(MOST_AT_ONCE, int(_MOST_S / max(snapshot.speed.each, 1e-9))))


def answer_all(questions: Sequence[PredictionQuery]) -> list[Prediction | Exception]:
    """Answers to questions of one kind; where one of them fails, the others do not."""
    try:
        return [*_together(questions)]
    except Exception as error:  # whose it is shows when each is asked alone
        if len(questions) == 1:
            return [error]
        return [answer for question in questions for answer in answer_all([question])]


def _together(questions: Sequence[PredictionQuery]) -> list[Prediction]:
    if not questions:
        return []
    first = questions[0]
    return first.snapshot.predict_batch(
        [question.closes for question in questions],
        [question.context for question in questions],
        first.levels,
        first.state,
    )
