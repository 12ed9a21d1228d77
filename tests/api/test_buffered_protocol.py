"""Answers leave in one piece, and whole, however they are sent."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from api.middleware.buffered_protocol import BufferedProtocol


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain")]
    if scope["path"] == "/small":
        headers.append((b"content-length", b"5"))
    if scope["path"] == "/nothing":
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        return
    if scope["path"] == "/echo":
        body = (await receive())["body"]
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/slow":
        await asyncio.sleep(0.05)
    if scope["path"] == "/echo":
        await send({"type": "http.response.body", "body": body})
    elif scope["path"] == "/small":
        await send({"type": "http.response.body", "body": b"hello"})
    else:
        for part in (b"HTTP/1.1 of a body\r\n\r\n", b"and more"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


class _Recorded(BufferedProtocol):
    writes: list[bytes] = []  # noqa: RUF012

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Recording(transport))


class _Recording:
    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        _Recorded.writes.append(data)
        self._transport.write(data)


async def _answers(request: bytes) -> tuple[bytes, list[bytes]]:
    """All that a server answers until it closes, and the pieces that it wrote."""
    _Recorded.writes = []
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_app, log_config=None, lifespan="off", http=_Recorded)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request)
        answer = await reader.read()
        writer.close()
    finally:
        server.should_exit = True
        await serving
    return answer, _Recorded.writes


def _get(path: str, close: bool = True) -> bytes:
    end = "connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n{end}\r\n".encode()


def test_a_small_answer_is_one_write() -> None:
    answer, writes = asyncio.run(_answers(_get("/small")))
    assert writes == [answer]
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


def test_answers_to_pipelined_requests_are_whole_and_in_order() -> None:
    sent = _get("/small", close=False) + _get("/nothing", close=False) + _get("/small")
    answer, writes = asyncio.run(_answers(sent))
    assert b"".join(writes) == answer
    assert answer.count(b"hello") == 2
    assert [answer.find(s) for s in (b"200 OK", b"204 No")] == sorted(
        answer.find(s) for s in (b"200 OK", b"204 No")
    )


@pytest.mark.parametrize("path", ["/parts", "/slow"])
def test_what_is_sent_in_parts_arrives_whole(path: str) -> None:
    answer, _ = asyncio.run(_answers(_get(path)))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"16\r\nHTTP/1.1 of a body\r\n\r\n\r\n8\r\nand more\r\n0\r\n\r\n"


def test_a_head_does_not_wait_for_a_slow_body() -> None:
    _, writes = asyncio.run(_answers(_get("/slow")))
    assert writes[0].endswith(b"\r\n\r\n")
    assert writes[0].startswith(b"HTTP/1.1 200 OK")


def test_a_caller_who_asks_whether_to_go_on_is_told() -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\n"
    answer, _ = asyncio.run(_answers(head + b"content-length: 2\r\n\r\nhi"))
    assert answer.endswith(b"\r\n\r\nhi")
