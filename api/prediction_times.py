"""How long predictions take, for the worker, which trains only while they are fast."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from closecast.latency import Latencies


class PredictionTimes:
    """Notes how long each answer of ``POST /predict`` took, in ``app.state.service.latencies``.

    Of those that were answered only: a refusal is fast whatever the machine does. A batch takes
    as long as it is large, so it tells nothing either.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/predict":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                latencies: Latencies = scope["app"].state.service.latencies
                latencies.add(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, send_and_note)
