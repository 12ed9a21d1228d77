"""One connection: its heads, bodies, answers and idle time have limits, and nothing is lost."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from api.server import connection as server_connection
from api.server.connection import Connection
from api.server.limits import MOST_OF_A_HEAD, Limits
from api.server.waiting import Resting, Waiting
from closecast.settings import Settings
from tests.support.raw_http import (
    connect,
    exchange,
    first_answer,
    request,
    send_without_end,
    statuses,
    until_closed,
)

END = "connection: close"
LARGE = 64_000_000
CHUNKED = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
_released = threading.Event()


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answer the path's kind: what arrived, nothing of it, in parts, or a large body."""
    if scope["type"] != "http":
        return
    content = b"hello"
    if scope["path"] == "/echo":
        content, more = b"", True
        while more:
            message = await receive()
            content += message.get("body", b"")
            more = message.get("more_body", False)
    elif scope["path"] == "/headers":
        content = json.dumps([name.decode() for name, _ in scope["headers"]]).encode()
    elif scope["path"] == "/host":
        hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
        content = json.dumps([*hosts, scope["query_string"].decode()]).encode()
    elif scope["path"] == "/large":
        content = bytes(LARGE)
    elif scope["path"] == "/wait":
        while not _released.is_set():
            await asyncio.sleep(0.02)
    elif scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class Served:
    """A server in a thread, and its open connections."""

    def __init__(self, limits: Limits, keep_alive_s: float) -> None:
        self.protocol = type("Limited", (Resting,), {"limits": limits})
        self.waiting = type("LimitedWaiting", (Waiting,), {"protocol": self.protocol})
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.server = uvicorn.Server(
            uvicorn.Config(
                _app,
                log_config=None,
                lifespan="off",
                http=self.waiting,
                ws="none",
                timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
                timeout_graceful_shutdown=20,
            )
        )
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.listener.dup()]}, daemon=True
        )
        self.thread.start()
        self.until(lambda: self.server.started)

    @property
    def open(self) -> list[Any]:
        return [*self.server.server_state.connections]

    @property
    def connections(self) -> int:
        return len(self.open)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextmanager
def serving(limits: Limits = Limits(head_s=30), keep_alive_s: float = 60) -> Iterator[Served]:
    served = Served(limits, keep_alive_s)
    try:
        yield served
    finally:
        served.server.should_exit = True
        served.thread.join()
        served.listener.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as made:
        yield made


def _problem(answer: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


# -- heads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [0, 1])
def test_a_head_may_have_so_many_bytes_and_no_more(served: Served, over: int) -> None:
    smallest = request("GET /", END, "x: ")
    sent = request("GET /", END, "x: " + "a" * (MOST_OF_A_HEAD - len(smallest) + over))
    assert statuses(exchange(served.port, sent)) == [431 if over else 200]


@pytest.mark.parametrize(
    ("start", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nx: ", 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nx", 431, "head_too_large"),
        (b"GET /", 414, "target_too_long"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;", 400, "malformed_request"),
        (
            b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
            400,
            "malformed_request",
        ),
    ],
    ids=["header", "name", "line", "chunk-extension", "trailer"],
)
def test_what_never_ends_is_refused_after_a_little_of_it(
    served: Served, start: bytes, status: int, code: str
) -> None:
    with connect(served.port) as connection:
        connection.sendall(start + b"a" * 200_000)
        answer = until_closed(connection)
    assert statuses(answer)[-1] == status
    assert f"urn:closecast:error:{code}".encode() in answer
    with connect(served.port) as connection:
        connection.sendall(start)
        send_without_end(connection, b"a" * 65_536)


def test_thousands_of_headers_are_refused(served: Served) -> None:
    sent = request("GET /", *(f"x{i}: 1" for i in range(3_000)))
    answer = exchange(served.port, sent)
    assert statuses(answer) == [431]
    assert _problem(answer)["code"] == "head_too_large"


def test_others_are_answered_while_a_head_does_not_end(served: Served) -> None:
    with connect(served.port) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 60_000)
        assert statuses(exchange(served.port, request("GET /", END))) == [200]
        endless.sendall(b"\r\nconnection: close\r\n\r\n")
        assert statuses(until_closed(endless)) == [200]


@pytest.mark.parametrize(
    ("sent", "answered"),
    [(b"", []), (b"\r\n", []), (b"G", [408]), (b"GET / HTTP/1.1\r\nhost: x\r\nx: ", [408])],
    ids=["nothing", "an-empty-line", "one-byte", "half"],
)
def test_a_connection_without_a_whole_head_is_closed(sent: bytes, answered: list[int]) -> None:
    with serving(Limits(head_s=0.3)) as served:
        assert statuses(exchange(served.port, sent)) == answered


def test_one_byte_at_a_time_gains_no_time() -> None:
    with serving(Limits(head_s=1)) as served, connect(served.port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        send_slowly = iter(lambda: (time.sleep(0.05), connection.sendall(b"a")), None)
        with pytest.raises(ConnectionError):
            for _ in send_slowly:
                pass


def test_the_head_of_a_later_request_has_a_deadline_too() -> None:
    with serving(Limits(head_s=0.5)) as served, connect(served.port) as connection:
        connection.sendall(request("GET /"))
        assert b"hello" in first_answer(connection, lambda got: got.endswith(b"hello"))
        time.sleep(1)  # an idle connection has the time of keep-alive
        connection.sendall(request("GET /") + b"GET / HTTP/1.1\r\nho")
        assert statuses(until_closed(connection)) == [200, 408]


def test_idle_connections_are_closed_after_the_time_of_keep_alive() -> None:
    with serving(keep_alive_s=0.3) as served:
        assert statuses(exchange(served.port, request("GET /"))) == [200]


# -- offers of other protocols ------------------------------------------------------------------

UPGRADES = {
    "h2c": ["connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk"],
    "websocket": ["Connection: keep-alive, Upgrade", "Upgrade: websocket"],
    "unknown": ["connection: upgrade", "upgrade: tls/1.0, irc/6.9"],
}


@pytest.mark.parametrize("offer", UPGRADES.values(), ids=UPGRADES.keys())
@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_an_offer_of_another_protocol_changes_nothing(
    served: Served, offer: list[str], size: int
) -> None:
    body = b"b" * size
    sent = request("POST /echo", *offer, f"content-length: {size}", body=body)
    last = request("GET /headers", *offer, END)
    answer = exchange(served.port, sent, last)
    assert statuses(answer) == [200, 200]
    assert answer.partition(b"\r\n\r\n")[2].startswith(body)
    assert b'"upgrade"' not in answer


def test_an_offer_with_a_chunked_body_in_pieces(served: Served) -> None:
    offer = [*UPGRADES["h2c"], "transfer-encoding: chunked"]
    whole = request("POST /echo", *offer, body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    whole += request("GET /", END)
    answer = exchange(served.port, *(whole[i : i + 1] for i in range(len(whole))))
    assert statuses(answer) == [200, 200]
    assert b"\r\n\r\nabcde" in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"CONNECT example:443 HTTP/1.1\r\nhost: example\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"NONSENSE / HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
    ids=["tunnel", "http2", "unknown-method", "tls"],
)
def test_what_is_no_request_is_refused_with_a_problem(
    served: Served, sent: bytes, status: int
) -> None:
    answer = exchange(served.port, sent)
    assert statuses(answer) == [status]
    assert b"content-type: application/problem+json" in answer
    assert f"x-request-id: {_problem(answer)['request_id']}".encode() in answer


# -- order and bodies ---------------------------------------------------------------------------


def test_many_requests_at_once_are_answered_in_order(served: Served) -> None:
    bodies = [f"{i:04d}".encode() for i in range(2_000)]
    sent = b"".join(request("POST /echo", "content-length: 4", body=body) for body in bodies)
    answer = exchange(served.port, sent + request("GET /", END))
    assert [part[-4:] for part in answer.split(b"HTTP/1.1 200 OK")[1:-1]] == bodies


def test_few_of_many_requests_at_once_are_parsed_before_they_are_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 0
    start = Connection._start_asgi_task

    def counted(self: Connection, cycle: Any, app: Any) -> None:
        nonlocal most
        most = max(most, len(self.pipeline))
        start(self, cycle, app)

    monkeypatch.setattr(Connection, "_start_asgi_task", counted)
    one = request("GET /slow"[:5])
    answer = exchange(served.port, one * 5_000 + request("GET /", END))
    assert len(statuses(answer)) == 5_001
    assert most <= server_connection._PIECE // len(one)


def test_a_refusal_comes_after_the_answers_before_it(served: Served) -> None:
    sent = request("GET /slow") + request("GET /") + b"NONSENSE\r\n\r\n" + request("GET /")
    assert statuses(exchange(served.port, sent)) == [200, 200, 400]


def test_a_body_that_goes_wrong_is_refused_at_once(served: Served) -> None:
    sent = request("POST /echo", "transfer-encoding: chunked", body=b"no size\r\n")
    assert statuses(exchange(served.port, sent)) == [400]
    assert statuses(exchange(served.port, request("GET /slow") + sent)) == [200, 400]


def test_trailers_are_no_headers(served: Served) -> None:
    body = b"1\r\na\r\n0\r\nx-api-key: secret\r\n\r\n"
    chunked = request("POST /headers", "transfer-encoding: chunked", END, body=body)
    assert b"x-api-key" not in exchange(served.port, chunked)


def test_a_caller_who_asks_whether_to_send_the_body_is_told_to(served: Served) -> None:
    with connect(served.port) as connection:
        headers = ["expect: 100-continue", "content-length: 2", END]
        connection.sendall(request("POST /echo", *headers))
        assert first_answer(connection, bool) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hi")
        assert until_closed(connection).endswith(b"\r\n\r\nhi")


def test_a_body_that_was_not_wanted_passes_by_or_ends_the_connection() -> None:
    unread = request("GET /", "content-length: 100000", body=b"b" * 10)
    with serving(Limits(head_s=1)) as served:
        assert statuses(exchange(served.port, unread)) == [200]
        rest = b"b" * 99_990 + request("GET /", END)
        assert statuses(exchange(served.port, unread, rest)) == [200, 200]


def test_a_caller_who_still_sends_can_read_the_last_answer(served: Served) -> None:
    with connect(served.port) as connection:
        connection.sendall(request("GET /", END, "content-length: 10000000"))
        send_without_end(connection, b"b" * 65_536)
        # Whether the refusal to take more is seen while sending or while reading: it arrived.
    with connect(served.port) as connection:
        connection.sendall(request("GET /", END, "content-length: 10000000", body=b"b" * 100_000))
        assert statuses(until_closed(connection)) == [200]


# -- answers that are not read, and many connections --------------------------------------------


@pytest.mark.parametrize("last", [[], [END]], ids=["keep-alive", "close"])
def test_an_answer_that_is_never_read_is_given_up(last: list[str]) -> None:
    with serving(Limits(stalled_s=0.3)) as served, connect(served.port) as connection:
        connection.sendall(request("GET /large", *last))
        first_answer(connection, bool)
        served.until(lambda: served.connections == 0)
        assert len(until_closed(connection)) < LARGE


def test_an_answer_that_is_read_slowly_arrives_whole() -> None:
    with serving(Limits(stalled_s=1)) as served, connect(served.port) as connection:
        connection.sendall(request("GET /large", END))
        received = 0
        while part := connection.recv(1 << 20):
            received += len(part)
            time.sleep(0.02)
    assert received > LARGE


def test_idle_connections_make_room_for_those_that_ask() -> None:
    with serving(Limits(head_s=60, connections=20)) as served:
        answered = connect(served.port)
        answered.sendall(request("GET /"))
        first_answer(answered, lambda got: got.endswith(b"hello"))
        idle = [connect(served.port) for _ in range(100)]
        assert statuses(exchange(served.port, request("GET /", END))) == [200]
        served.until(lambda: served.connections <= 20)
        answered.sendall(request("GET /", END))  # it was of use: others go first
        assert statuses(until_closed(answered)) == [200]
        for connection in (answered, *idle):
            connection.close()


def test_half_heads_and_half_bodies_make_room_too() -> None:
    half = [b"GET / HTTP/1.1\r\nho", request("POST /echo", "content-length: 9", body=b"half")]
    for sent in half:
        with serving(Limits(head_s=60, connections=20)) as served:
            held = [connect(served.port) for _ in range(20)]
            for connection in held:
                connection.sendall(sent)
            assert statuses(exchange(served.port, request("GET /", END))) == [200]
            for connection in held:
                connection.close()


def test_where_all_connections_are_at_work_a_new_one_is_told_to_come_again() -> None:
    with serving(Limits(connections=2)) as served:
        busy = [connect(served.port) for _ in range(2)]
        for connection in busy:
            connection.sendall(request("GET /wait", END))
        served.until(lambda: len(served.server.server_state.tasks) == 2)
        answer = exchange(served.port)
        _released.set()
        assert statuses(answer) == [503]
        assert b"retry-after: 1" in answer
        for connection in busy:
            assert statuses(until_closed(connection)) == [200]
            connection.close()


def test_unread_answers_make_room() -> None:
    with serving(Limits(connections=2)) as served:
        unread = [connect(served.port) for _ in range(2)]
        for connection in unread:
            connection.sendall(request("GET /large"))
            first_answer(connection, bool)
        assert statuses(exchange(served.port, request("GET /", END))) == [200]
        for connection in unread:
            connection.close()


def test_connections_stay_below_the_limit_of_open_files(settings: Settings) -> None:
    assert Limits.of(settings, 1_024).connections == 768
    assert Limits.of(settings, 64).connections == 32
    assert Limits.of(settings, 1_000_000).connections == settings.max_connections


def test_a_closed_connection_leaves_nothing_for_the_garbage_collector(served: Served) -> None:
    served.until(lambda: served.connections == 0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            exchange(served.port, request("GET /", END))
            exchange(served.port, request("POST /echo", *UPGRADES["h2c"], END))
        served.until(lambda: served.connections == 0)
        time.sleep(0.2)
        left = [one for one in gc.get_objects() if issubclass(type(one), Connection)]
    finally:
        gc.enable()
    assert len(left) <= 1


def test_an_idle_connection_among_many_waits_without_a_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.server.waiting._MANY", 0)
    with serving(keep_alive_s=1) as served:
        connection = connect(served.port)
        for _ in range(3):
            connection.sendall(request("GET /host", "host: one.example"))
            assert statuses(first_answer(connection, lambda got: got.endswith(b"]"))) == [200]
            served.until(lambda: [*map(type, served.open)] == [served.waiting])
        gc.collect()
        assert not [one for one in gc.get_objects() if issubclass(type(one), served.protocol)]
        assert until_closed(connection) == b""  # by keep-alive
        connection.close()
        served.until(lambda: served.connections == 0)


@pytest.mark.parametrize(
    ("target", "host", "query"),
    [
        ("/host?a=1", "127.0.0.1", "a=1"),
        ("http://in.example/host?a=1", "in.example", "a=1"),
        ("HTTP://in.example:81/host", "in.example:81", ""),
        ("http://[::1]:8000/host", "[::1]:8000", ""),
    ],
    ids=["path", "address", "port", "six"],
)
def test_the_host_of_a_target_outweighs_the_header(
    served: Served, target: str, host: str, query: str
) -> None:
    answer = exchange(served.port, request(f"GET {target}", END))
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == [host, query]


def test_the_host_of_a_target_neither_mends_nor_hides_wrong_headers(served: Served) -> None:
    for version, hosts, seen in [
        ("1.1", "", [""]),
        ("1.0", "", ["in.example", ""]),
        ("1.1", "host: a\r\nhost: b\r\n", ["in.example", "in.example", ""]),
    ]:
        head = f"GET http://in.example/host HTTP/{version}\r\n{hosts}{END}\r\n\r\n"
        answer = exchange(served.port, head.encode())
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == seen


def test_a_target_may_be_a_host_alone_but_name_no_user(served: Served) -> None:
    alone = exchange(served.port, request("GET http://in.example", END))
    assert statuses(alone) == [200]
    user = exchange(served.port, request("GET http://user@in.example/", END))
    assert statuses(user) == [400]


# -- the end ------------------------------------------------------------------------------------


def test_what_is_on_its_way_when_the_server_ends_is_answered() -> None:
    with serving(Limits(grace_s=2)) as served:
        idle, begun, half = (connect(served.port) for _ in range(3))
        idle.sendall(request("GET /"))
        first_answer(idle, lambda got: got.endswith(b"hello"))
        begun.sendall(request("GET /slow"))
        half.sendall(b"GET / HTTP/1.1\r\n")
        served.until(lambda: served.connections == 3)
        time.sleep(0.1)
        served.server.should_exit = True
        time.sleep(0.3)
        idle.sendall(request("GET /"))
        half.sendall(b"host: 127.0.0.1\r\n\r\n")
        for connection in (idle, begun, half):
            answer = until_closed(connection)
            assert statuses(answer) == [200]
            assert b"connection: close" in answer
            connection.close()
