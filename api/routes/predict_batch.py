"""``POST /predict/batch``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import FailFast, TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from api.middleware.fast_route import FastRoute, in_body, json_body
from api.middleware.json_stream import parsed
from api.middleware.negotiation import AcceptLanguage, language_headers, request_language
from api.problems.documents import UNEXPECTED, document_of, problem_document
from api.problems.openapi import responses
from api.schemas.batches import (
    BatchAnswer,
    BatchEnvelope,
    BatchRequest,
)
from api.schemas.predictions import Window
from api.service import Service
from api.services.prediction import asked_levels, members, question, settled
from closecast.drift import Language
from closecast.errors import ClosecastError
from closecast.serving import BatchForecast, Prediction, Snapshot, unknown
from closecast.serving.batching import PredictionQuery, answer_all

log = logging.getLogger(__name__)

router = APIRouter(tags=["forecasts"], route_class=FastRoute)

# To tell what is wrong with each of many windows takes seconds: the first wrong one will do.
_WINDOWS = TypeAdapter(Annotated[list[Window], FailFast()])
_VALIDATED_AT_ONCE = 32

# Windows of one network call: few at the beginning and at the end, so that neither the event loop
# nor the network waits long for the other; never so many that they hold the event loop for 5 ms.
_FEW, _MANY = 16, 64
_AHEAD = 2  # parts that the network has been given: it need not wait for the event loop

_Network = tuple[Future[Any], Callable[[Any], BatchForecast]]


@router.post(
    "/predict/batch",
    response_model=BatchAnswer,
    responses={200: {"description": "One result per window."}, **responses(400, 413, 415, 422)},
)
async def predict_batch(
    request: Request,
    _body: Annotated[BatchRequest, Body()],
    _accept_language: AcceptLanguage = None,
) -> Response:
    """Forecast from many windows at once, up to 4,096, of any symbols.

    Each is answered as `POST /predict` answers it, or has a `problem` in its place: a symbol
    without a model does not keep the others from their answers. One symbol is answered by one
    version throughout. The answer is sent as it is made; many windows are taken a few at a time,
    so that other requests are not kept waiting.
    """
    started = time.perf_counter()
    batch = _Batch(
        service=request.app.state.service,
        request=request,
        language=request_language(request),
        started=started,
    )
    async with parsed(await json_body(request)) as said:
        envelope = _envelope(said)
        batch.levels = asked_levels(envelope.levels)
        windows = await _windows(envelope.windows)
    await batch.find_models(windows)
    return StreamingResponse(
        batch.answer(windows), 200, language_headers(batch.language), "application/json"
    )


def _envelope(said: Any) -> BatchEnvelope:
    try:
        return BatchEnvelope.model_validate(said)
    except ValidationError as error:
        raise in_body(error) from error


async def _windows(sent: Sequence[Any]) -> list[Window]:
    found: list[Window] = []
    for first in range(0, len(sent), _VALIDATED_AT_ONCE):
        part = sent[first : first + _VALIDATED_AT_ONCE]
        try:
            found += _WINDOWS.validate_python(part)
        except ValidationError as error:
            problems = in_body(error, "windows").errors()
            for item in problems:
                body, windows, row, *rest = item["loc"]
                item["loc"] = (body, windows, first + row, *rest)
            while found:  # all at once would take long
                del found[-_VALIDATED_AT_ONCE:]
                await asyncio.sleep(0)
            raise RequestValidationError(problems) from error
        await asyncio.sleep(0)
    return found


@dataclass
class _Batch:
    """One request on its way."""

    service: Service
    request: Request
    language: Language
    started: float
    levels: tuple[float, ...] = ()

    async def find_models(self, windows: Sequence[Window]) -> None:
        """One snapshot per symbol for the whole batch, or why there is none."""
        self._models: dict[str | None, Snapshot | ClosecastError] = {}
        missing = []
        for symbol in dict.fromkeys(window.symbol for window in windows):
            try:
                found = self.service.models.serving(self.service.models.canonical(symbol))
            except ClosecastError as error:
                self._models[symbol] = error
                continue
            if found is None:
                missing.append(symbol)
            else:
                self._models[symbol] = found
        if missing:
            self._models |= await run_in_threadpool(self._load, missing)

    def _load(self, symbols: Sequence[str | None]) -> dict[str | None, Snapshot | ClosecastError]:
        models = self.service.models
        found: dict[str | None, Snapshot | ClosecastError] = {}
        known: list[str] | None = None
        for symbol in symbols:
            try:
                wanted = models.canonical(symbol)
                # Of thousands of names that callers make up, each would look into the store.
                known = models.registry.symbols() if known is None else known
                if wanted not in known and wanted != models.default_symbol:
                    raise unknown(wanted, known)
                found[symbol] = models.get(symbol)
            except ClosecastError as error:
                found[symbol] = error
        return found

    async def answer(self, windows: list[Window]) -> AsyncIterator[bytes]:
        """The body of the answer, piece by piece; what is answered leaves ``windows``.

        A thread of its own is ahead with the network, which needs no lock of Python's; so the
        event loop has half of the work, and others their turn between two parts.
        """
        answered, count = 0, len(windows)
        parts = self._parts(windows)
        ahead = deque([await self._begun(*part) for part in islice(parts, _AHEAD)])
        while ahead:
            part = ahead.popleft()
            if (following := next(parts, None)) is not None:
                ahead.append(await self._begun(*following))
            results = await self._ended(part)
            answered += sum("problem" not in result for result in results)
            yield (b"," if part.first else b'{"results":[') + orjson.dumps(results)[1:-1]
            await asyncio.sleep(0)
        counts = {"answered": answered, "refused": count - answered}
        yield b"]," + orjson.dumps(counts)[1:]

    def _parts(self, windows: list[Window]) -> Iterator[tuple[int, Sequence[Window]]]:
        """As many windows as go through the network together, and where they begin."""
        first, count = 0, _FEW
        while windows:
            part = windows[:count]
            del windows[:count]  # not all at once in the end, which would take long
            yield first, part
            first += len(part)
            count = min(_MANY, max(_FEW, len(windows) // 2))

    async def _begun(self, first: int, windows: Sequence[Window]) -> _Part:
        """What is known beside some windows; the network begins with them."""
        refused: dict[int, ClosecastError] = {}
        kinds: dict[object, list[tuple[int, PredictionQuery]]] = {}
        for row, window in enumerate(windows):
            snapshot = self._models[window.symbol]
            if isinstance(snapshot, Snapshot):
                asked = await question(self.service, window, snapshot, self.levels)
                kinds.setdefault(asked.kind, []).append((row, asked))
            else:
                refused[row] = snapshot
        groups = []
        for numbered in kinds.values():
            rows, questions = zip(*numbered, strict=True)
            groups.append(_Group(rows, questions, *self._steps(questions)))
        return _Part(first, len(windows), groups, refused)

    def _steps(self, questions: Sequence[PredictionQuery]) -> _Network | tuple[None, None]:
        """The network begins with questions of one kind; not if one of them cannot be asked."""
        first = questions[0]
        try:
            closes = first.snapshot.closes([asked.closes for asked in questions])
            steps = first.snapshot.steps(closes, self.levels, first.state)
        except Exception:  # whose it is shows when each is asked alone
            return None, None
        return self.service.network.submit(steps.run), steps.finish

    async def _ended(self, part: _Part) -> list[dict[str, Any]]:
        """One result for each window of a part."""
        results: list[dict[str, Any]] = [{} for _ in range(part.count)]
        for row, error in part.refused.items():
            results[row] = self._refused(error, part.first + row)
        for group in part.groups:
            answers = await group.answers()
            for row, asked, answer in zip(group.rows, group.questions, answers, strict=True):
                try:
                    if isinstance(answer, Exception):
                        raise answer
                    said = settled(self.service, self.request, asked, answer, self.started)
                    results[row] = members(asked, said, self.language)
                except ClosecastError as error:
                    results[row] = self._refused(error, part.first + row)
                except Exception:  # the answer has begun: its end must not be missing
                    about = {"window": part.first + row}
                    log.exception("a window of a batch failed", extra=about)
                    request_id = self.request.scope.get("request_id")
                    results[row] = {"problem": problem_document(*UNEXPECTED, request_id)}
        return results

    def _refused(self, error: ClosecastError, row: int) -> dict[str, Any]:
        document, _ = document_of(self.request, error, f"/windows/{row}")
        return {"problem": document}


@dataclass(frozen=True, slots=True)
class _Group:
    """Questions of one kind, and what the network will say of them."""

    rows: Sequence[int]
    questions: Sequence[PredictionQuery]
    network: Future[Any] | None
    finish: Callable[[Any], BatchForecast] | None

    async def answers(self) -> Sequence[Prediction | Exception]:
        """For each question its answer, or why there is none."""
        if self.network is not None and self.finish is not None:
            with suppress(Exception):  # whose it is shows when each is asked alone
                foretold = self.finish(await asyncio.wrap_future(self.network))
                snapshot = self.questions[0].snapshot
                found = snapshot.judged(foretold, [asked.context for asked in self.questions])
                await asyncio.sleep(0)  # others have their turn before all this is written down
                return found
        return await run_in_threadpool(answer_all, self.questions)


@dataclass(frozen=True, slots=True)
class _Part:
    """Some windows of a batch, from ``first`` on."""

    first: int
    count: int
    groups: list[_Group]
    refused: dict[int, ClosecastError]
