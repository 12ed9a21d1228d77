"""``POST /predict/batch``."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse

from api.middleware.json_routes import FastRoute, json_body, strict_json, validate
from api.middleware.negotiation import (
    NDJSON,
    AcceptLanguage,
    language_headers,
    prefers_ndjson,
    request_language,
)
from api.problems.openapi import responses
from api.schemas.batches import (
    ANSWER_LINES,
    BATCH_LINES,
    BATCH_TOO_LARGE,
    MOST_WINDOWS,
    BatchAnswer,
    BatchRequest,
)
from api.schemas.predictions import LONGEST_OF_A_MODEL, Window, newest_of
from api.services.batch_prediction import BatchPrediction, Located
from api.services.prediction import LEVELS_TEXT, interval_levels, levels_of

router = APIRouter(tags=["forecasts"], route_class=FastRoute)

_MOST_BYTES_OF_A_LINE = 262_144  # 10,000 closes, or half as many with their dates and volumes
_BYTES_AT_ONCE = 32_768  # are parsed in a millisecond, before other requests have their turn


@router.post(
    "/predict/batch",
    response_model=BatchAnswer,
    responses={
        200: {"description": "One result per window.", "content": {NDJSON: ANSWER_LINES}},
        **responses(400, 413, 415, 422, examples=BATCH_TOO_LARGE),
    },
    openapi_extra={"requestBody": {"x-lines": {NDJSON: BATCH_LINES}}},
)
async def predict_batch(
    request: Request,
    _body: Annotated[BatchRequest, Body()],
    _levels: Annotated[
        str | None,
        Query(
            alias="levels",
            description="Levels of the intervals of all windows, with commas between; the member "
            "`levels` of a JSON body goes before it.",
            examples=[LEVELS_TEXT],
        ),
    ] = None,
    _accept_language: AcceptLanguage = None,
) -> Response:
    """Forecast from many windows at once, up to 4,096, of any symbols.

    A JSON body may have 256 kB. A larger batch is sent as `application/x-ndjson`: each line is
    one window, with the members of an item of `windows`; `levels` goes into the query.

    Each window is answered as `POST /predict` answers it, or has a `problem` in its place: a
    symbol without a model does not keep the others from their answers. One symbol is answered by
    one version throughout. The answer is sent while it is made; with `Accept:
    application/x-ndjson` each of its lines is one result. Many windows are taken a few at a time,
    so that other requests are not kept waiting.
    """
    started = time.perf_counter()
    body, language = await json_body(request), request_language(request)
    sent = request.query_params.get("levels")
    levels = None if sent is None else levels_of(sent)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == NDJSON:
        windows = await _windows_of_lines(body)
    else:
        batch = validate(BatchRequest, strict_json(body))
        levels = batch.levels or levels
        windows = deque((f"/windows/{row}", window) for row, window in enumerate(batch.windows))
        del batch  # the windows are freed as they are answered
    prediction = BatchPrediction(
        service=request.app.state.service,
        request=request,
        language=language,
        levels=interval_levels(levels),
        started=started,
    )
    await prediction.find_models(window.symbol for _, window in windows)
    in_lines = prefers_ndjson(request.headers.get("accept", ""))
    encode, media_type = (_lines, NDJSON) if in_lines else (_json, "application/json")
    headers = language_headers(language)
    headers["Vary"] += ", Accept"
    return StreamingResponse(encode(prediction, windows), 200, headers, media_type)


async def _windows_of_lines(body: bytes) -> deque[Located]:
    """Parse one window per line, and let other requests have their turn meanwhile.

    Raises
    ------
    RequestValidationError
        With the number of the first line that is no window.
    """
    windows: deque[Located] = deque()
    body = body.rstrip()
    start, looked_at = 0, 0
    while start < len(body):
        end = body.find(b"\n", start)
        end = len(body) if end < 0 else end
        number, size = len(windows) + 1, end - start
        if number > MOST_WINDOWS:
            raise _refused(number, "too_long", f"a batch has at most {MOST_WINDOWS} windows")
        if size > _MOST_BYTES_OF_A_LINE:
            detail = f"a line has at most {_MOST_BYTES_OF_A_LINE} bytes"
            raise _refused(number, "line_too_long", detail)
        windows.append((f"/line {number}", _window(body[start:end], number)))
        start, looked_at = end + 1, looked_at + size
        if looked_at > _BYTES_AT_ONCE:
            looked_at = 0
            await asyncio.sleep(0)
    if not windows:
        raise _refused(1, "too_short", "a batch has at least one window")
    return windows


def _window(line: bytes, number: int) -> Window:
    window = validate(Window, strict_json(line, f"line {number}: "), f"line {number}")
    if len(window.prices) > LONGEST_OF_A_MODEL:  # thousands of long ones would wait in memory
        return newest_of(window, LONGEST_OF_A_MODEL)
    return window


def _refused(number: int, code: str, detail: str) -> RequestValidationError:
    return RequestValidationError(
        [{"type": code, "loc": ("body", f"line {number}"), "msg": detail}]
    )


async def _json(prediction: BatchPrediction, windows: deque[Located]) -> AsyncIterator[bytes]:
    answered = count = 0
    async for results in prediction.results(windows):
        yield (b"," if count else b'{"results":[') + orjson.dumps(results)[1:-1]
        answered += sum("problem" not in result for result in results)
        count += len(results)
    yield b"]," + orjson.dumps({"answered": answered, "refused": count - answered})[1:]


async def _lines(prediction: BatchPrediction, windows: deque[Located]) -> AsyncIterator[bytes]:
    async for results in prediction.results(windows):
        yield b"".join([orjson.dumps(result) + b"\n" for result in results])
