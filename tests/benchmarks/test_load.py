"""The load generator: what it counts as answered, as failed, and as late."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from benchmarks.serving import load
from benchmarks.serving.answers import BITWISE, DIFFERENT, Expected
from benchmarks.serving.load import (
    Load,
    LoadProcess,
    Measured,
    UnreadableAnswer,
    first_answer,
    measure,
    post,
    run_load,
)
from tests.support.live_server import live_server

app = FastAPI()


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body())


@app.post("/broken")
async def broken() -> Response:
    return Response(b"no", status_code=500)


@app.post("/chunked")
async def chunked() -> StreamingResponse:
    return StreamingResponse(iter([b"one ", b"two"]))


def run(asked: Load, classify: Callable[[int, bytes], str] | None = None) -> Measured:
    return asyncio.run(measure(asked, classify))


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A socket that does ``answer`` with every connection, one after the other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def test_answers_are_counted_and_requests_are_sent_in_turn() -> None:
    bodies = [b'{"model_version": "v", "x": %d}' % i for i in range(3)]
    with live_server(app) as address:
        asked = Load(port_of(address), [post("/echo", body) for body in bodies], 4, count=300)
        found = run_load(asked, Expected({"v": [bodies[0], bodies[1], bodies[0]]}))
    assert not found.errors
    assert len(found.latencies_ms) >= 300
    assert (found.latencies_ms > 0).all()
    assert found.rate == len(found.latencies_ms) / found.seconds
    right, wrong = found.kinds[f"v\t{BITWISE}"], found.kinds[f"v\t{DIFFERENT}"]
    assert right + wrong == len(found.latencies_ms)
    assert abs(right - 2 * wrong) <= 8  # those of four connections may be under way at the end


def test_other_statuses_are_errors_and_have_no_latency() -> None:
    with live_server(app) as address:
        requests = [post("/echo", b"x"), post("/broken", b""), post("/nowhere", b"")]
        found = run(Load(port_of(address), requests, 2, count=30))
    assert set(found.errors) == {"status 500", "status 404"}
    assert abs(found.errors["status 500"] - len(found.latencies_ms)) <= 2


def test_chunks_are_joined() -> None:
    with live_server(app) as address:
        asked = Load(port_of(address), [post("/chunked", b"")], 1, count=5)
        found = run(asked, lambda request, body: body.decode())
    assert set(found.kinds) == {"one two"}
    assert not found.errors


def test_a_connection_that_ends_before_the_answer_is_an_error_and_opened_again() -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.recv(1000)

    with raw_server(hang_up) as port:
        found = run(Load(port, [post("/", b"{}")], 1, count=5))
    assert found.errors["connection closed"] >= 5
    assert len(found.latencies_ms) == 0
    assert np.isnan(found.percentile(50))


def test_a_connection_that_ends_after_the_answer_is_none() -> None:
    def answer_once(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")

    with raw_server(answer_once) as port:
        found = run(Load(port, [post("/", b"{}")], 1, count=5, rate=50))
    assert len(found.latencies_ms) >= 5
    assert set(found.errors) <= {"connection closed"}  # a request may meet the end


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    found = run(Load(port, [post("/", b"{}")], 1, seconds=0.05))
    assert found.errors["connection refused"] >= 1


def test_a_server_that_hangs_does_not_hold_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_SILENCE_S", 0.1)
    monkeypatch.setattr(load, "_LAST_ANSWERS_S", 0.1)

    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(1000):
            pass

    with raw_server(say_nothing) as port:
        found = run(Load(port, [post("/", b"{}")], 1, count=5))
    assert found.errors == {"never answered": 1}


def test_what_is_no_http_is_an_error() -> None:
    with raw_server(lambda connection: connection.sendall(b"SSH-2.0-x\r\n\r\n")) as port:
        found = run(Load(port, [post("/", b"{}")], 1, count=2))
    assert found.errors.total() >= 2


def test_paced_latencies_count_from_the_moment_at_which_a_request_was_due() -> None:
    stood_still = threading.Event()

    def stand_still_once(connection: socket.socket) -> None:
        while connection.recv(1000):
            if not stood_still.is_set():
                stood_still.wait(0.3)
                stood_still.set()
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    with raw_server(stand_still_once) as port:
        found = run(Load(port, [post("/", b"{}")], 1, seconds=0.5, rate=100))
    late = found.latencies_ms[:25]
    assert not found.errors
    assert len(found.latencies_ms) >= 40  # those that waited were asked all the same
    assert (np.diff(late) < 0).mean() > 0.8  # each waited less than the one before
    assert late[0] >= 300


def test_it_goes_on_until_it_is_released() -> None:
    with live_server(app) as address:
        process = LoadProcess(Load(port_of(address), [post("/echo", b"x")], 1, count=1))
        try:
            with pytest.raises(Exception, match="timed out"):
                process._process.wait(timeout=1)
        finally:
            found = process.release()
    assert len(found.latencies_ms) > 1


@pytest.mark.parametrize(
    ("received", "found"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-le", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nabcHTTP", (404, b"abc", 41)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", None),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
            (200, b"abc", 69),
        ),
    ],
)
def test_the_first_whole_answer(received: bytes, found: tuple[int, bytes, int] | None) -> None:
    assert first_answer(received) == found


@pytest.mark.parametrize("received", [b"HTTP/1.1 200 OK\r\n\r\n", b"hello\r\n\r\n"])
def test_an_answer_without_a_length_is_refused(received: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        first_answer(received)
