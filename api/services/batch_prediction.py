"""Answers to many windows in one request: models looked up once, the network a part ahead."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.problems.documents import UNEXPECTED, document_of, problem_document
from api.schemas.predictions import Window
from api.service import Service
from api.services.prediction import prediction_members
from closecast.drift import Language
from closecast.errors import ClosecastError
from closecast.serving import BatchForecast, Prediction, Snapshot
from closecast.serving.batching import PredictionQuery, answer_all

log = logging.getLogger(__name__)

# Windows of one network call: few at the beginning and at the end, so that neither the event loop
# nor the network waits long for the other; at most 64, or they hold the event loop for 5 ms.
_FEW, _MANY = 16, 64
_AHEAD = 2  # parts that the network has been given: it need not wait for the event loop

Located = tuple[str, Window]
"""A window, and the JSON pointer to it in the body, for problems."""


@dataclass
class BatchPrediction:
    """One ``POST /predict/batch`` while it is answered.

    A thread of its own runs the network, which needs no lock of Python's, for the parts that come
    next: the event loop has half of the work, and other requests have their turn between two parts.

    Attributes
    ----------
    levels : tuple of float
        Of all intervals.
    started : float
        Of ``time.perf_counter``, when the request came.
    """

    service: Service
    request: Request
    language: Language
    levels: tuple[float, ...]
    started: float
    _models: dict[str | None, Snapshot | ClosecastError] = field(default_factory=dict)

    async def find_models(self, symbols: Iterable[str | None]) -> None:
        """Look up one snapshot per symbol for the whole batch, or the reason why there is none."""
        missing = []
        for symbol in dict.fromkeys(symbols):
            try:
                snapshot = self.service.models.answering(self.service.models.canonical(symbol))
            except ClosecastError as error:
                self._models[symbol] = error
                continue
            if snapshot is None:
                missing.append(symbol)
            else:
                self._models[symbol] = snapshot
        if missing:
            self._models |= await run_in_threadpool(self._load, missing)

    def _load(self, symbols: Sequence[str | None]) -> dict[str | None, Snapshot | ClosecastError]:
        models = self.service.models
        loaded: dict[str | None, Snapshot | ClosecastError] = {}
        for symbol in symbols:
            try:
                loaded[symbol] = models.find_answering(models.canonical(symbol))
            except ClosecastError as error:
                loaded[symbol] = error
        return loaded

    async def results(self, windows: deque[Located]) -> AsyncIterator[list[dict[str, Any]]]:
        """Answer part by part: for each window members of an answer, or ``{"problem": …}``.

        Parameters
        ----------
        windows : deque of (str, Window)
            Emptied as they are answered: to free thousands at once would hold the event loop.
        """
        parts = _parts(windows)
        ahead = deque([await self._begin(part) for part in islice(parts, _AHEAD)])
        while ahead:
            part = ahead.popleft()
            if (following := next(parts, None)) is not None:
                ahead.append(await self._begin(following))
            yield await self._finish(part)
            await asyncio.sleep(0)

    async def _begin(self, windows: Sequence[Located]) -> _Part:
        """Look up what belongs to some windows, and start the network on them."""
        refused: dict[int, ClosecastError] = {}
        kinds: dict[object, list[tuple[int, PredictionQuery]]] = {}
        for row, (_, window) in enumerate(windows):
            snapshot = self._models[window.symbol]
            if isinstance(snapshot, Snapshot):
                query = await self.service.prediction.query(window, snapshot, self.levels)
                kinds.setdefault(query.kind, []).append((row, query))
            else:
                refused[row] = snapshot
        groups = []
        for numbered in kinds.values():
            rows, queries = zip(*numbered, strict=True)
            groups.append(_Group(rows, queries, *self._start_network(queries)))
        return _Part([pointer for pointer, _ in windows], groups, refused)

    def _start_network(
        self, queries: Sequence[PredictionQuery]
    ) -> tuple[Future[Any], Callable[[Any], BatchForecast]] | tuple[None, None]:
        """Start the network on queries of one kind; not if one of them is impossible."""
        first = queries[0]
        try:
            closes = first.snapshot.closes([query.closes for query in queries])
            steps = first.snapshot.steps(closes, self.levels, first.state)
        except Exception:  # answered one by one later, the wrong one fails alone
            return None, None
        return self.service.network.submit(steps.run), steps.finish

    async def _finish(self, part: _Part) -> list[dict[str, Any]]:
        """One result for each window of a part, in order."""
        results: list[dict[str, Any]] = [{} for _ in part.pointers]
        for row, error in part.refused.items():
            results[row] = self._problem(error, part.pointers[row])
        for group in part.groups:
            answers = await group.answers()
            for row, query, answer in zip(group.rows, group.queries, answers, strict=True):
                results[row] = self._result(query, answer, part.pointers[row])
        return results

    def _result(
        self, query: PredictionQuery, answer: Prediction | Exception, pointer: str
    ) -> dict[str, Any]:
        request_id = self.request.scope.get("request_id")
        try:
            if isinstance(answer, Exception):
                raise answer
            prediction = self.service.prediction.settle(query, answer, request_id, self.started)
            return prediction_members(prediction, self.language)
        except ClosecastError as error:
            return self._problem(error, pointer)
        except Exception:  # the answer has begun: its end must not be missing
            log.exception("a window of a batch failed", extra={"window": pointer})
            return {"problem": problem_document(*UNEXPECTED, request_id)}

    def _problem(self, error: ClosecastError, pointer: str) -> dict[str, Any]:
        document, _ = document_of(self.request, error, pointer)
        return {"problem": document}


def _parts(windows: deque[Located]) -> Iterator[list[Located]]:
    """Take as many windows as go through the network together, until none are left."""
    count = _FEW
    while windows:
        yield [windows.popleft() for _ in range(min(count, len(windows)))]
        count = min(_MANY, max(_FEW, len(windows) // 2))


@dataclass(frozen=True, slots=True)
class _Group:
    """Queries of one kind, with the rows of their windows in the part."""

    rows: Sequence[int]
    queries: Sequence[PredictionQuery]
    network: Future[Any] | None
    finish: Callable[[Any], BatchForecast] | None

    async def answers(self) -> Sequence[Prediction | Exception]:
        """One answer per query, or the error that it failed with."""
        if self.network is not None and self.finish is not None:
            with suppress(Exception):  # answered one by one below, the wrong one fails alone
                forecast = self.finish(await asyncio.wrap_future(self.network))
                snapshot = self.queries[0].snapshot
                answers = snapshot.check_forecast(
                    forecast,
                    [query.context for query in self.queries],
                    [query.symbol for query in self.queries],
                )
                await asyncio.sleep(0)  # others have their turn before these are written
                return answers
        return await run_in_threadpool(answer_all, self.queries)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some windows of a batch that the network has begun with."""

    pointers: Sequence[str]
    groups: Sequence[_Group]
    refused: dict[int, ClosecastError]
