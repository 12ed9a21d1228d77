"""HEAD: the head of the answer to GET, without its body (RFC 9110, 9.3.2)."""

from __future__ import annotations

import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def answer_head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer HEAD by the route of GET, and stop where the body begins.

    FastAPI's routes answer only the methods that they name. The application sees a GET, so the
    head is that of the GET, with its length where the route knows it; a long body is not made.
    """

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            return
        await send({"type": "http.response.body", "body": b""})
        raise _HeadIsSent

    with contextlib.suppress(_HeadIsSent):
        await app({**scope, "method": "GET"}, receive, send_head)


class _HeadIsSent(Exception):
    """The end of an answer to HEAD; no error."""
