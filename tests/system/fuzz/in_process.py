"""Requests through the application without a server: thousands a second."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from fastapi import FastAPI

from tests.system.fuzz.fuzz_case import FuzzCase
from tests.system.fuzz.promises import Answered

HANGS_S = 30.0


class InProcess:
    """An application that is started, in the running event loop."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._lifespan: AbstractAsyncContextManager[Any] = app.router.lifespan_context(app)

    async def __aenter__(self) -> Self:
        self._state = dict(await self._lifespan.__aenter__() or {})
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._lifespan.__aexit__(*error)

    async def ask(self, case: FuzzCase) -> Answered:
        """The answer.

        Raises
        ------
        TimeoutError
            If there is none for a long time.
        """
        path, _, query = case.target.partition(b"?")
        announced = (b"content-length", str(len(case.body)).encode())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": case.method,
            "scheme": "http",
            "path": case.path,
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [*case.headers, *([announced] if case.body else [])],
            "client": (case.client, 50_000),
            "server": ("127.0.0.1", 8000),
            "state": dict(self._state),
        }
        sent: list[dict[str, Any]] = []
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:  # the caller waits for the end of the answer
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": case.body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async with asyncio.timeout(HANGS_S):
            try:
                await self._app(scope, receive, send)
            except TimeoutError:
                raise
            except Exception as error:
                if not sent:  # with an answer, it is a 500 that Starlette raises again
                    raise AssertionError(f"no answer, but {type(error).__name__}") from error
        start, *parts = sent
        body = b"".join(part.get("body", b"") for part in parts)
        return Answered(start["status"], start["headers"], body)
