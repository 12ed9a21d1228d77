"""How much, how deep, how slow, how often: each limit with what is just inside of it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.main import create_app
from api.middleware.body_limit import BodyLimit
from api.security.rate_limit import RateLimit
from closecast.infra import json_depth
from closecast.infra.api_keys import KeyStore
from closecast.infra.json_depth import NestingScanner, nests_deeper
from closecast.settings import Settings
from tests.support.live_server import live_server
from tests.support.local_client import LocalClient
from tests.support.synthetic_prices import patiently

CONFIG: dict[str, Any] = {"json": {"hyperparameters": {"num_epochs": 3}}}
ELSEWHERE = ("203.0.113.7", 5)


# -- depth --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@patiently
@given(JSON, st.booleans(), st.integers(0, 6))
def test_the_depth_of_any_json_is_what_a_parser_finds(
    value: object, ascii_only: bool, limit: int
) -> None:
    for indent in (None, 1):
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        assert nests_deeper(text, limit) == (depth_of(value) > limit)


def depth_before_the_first_error(text: bytes) -> int:
    """Byte by byte, as a parser of UTF-8 goes; beyond its first error nothing is promised."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in text:
        if escaped:
            escaped = False
        elif byte == ord("\\"):
            escaped = True
        elif byte == ord('"'):
            in_string = not in_string
        elif not in_string and byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif not in_string and byte in b"]}":
            depth = max(0, depth - 1)
    return deepest


PIECES = st.lists(
    st.lists(st.sampled_from([*'[]{}"\\,a', "[[", "]]", '""', '\\"', '["']), max_size=12).map(
        lambda parts: "".join(parts).encode()
    ),
    max_size=8,
)


@patiently
@given(PIECES, st.integers(0, 5), st.booleans())
def test_however_a_text_is_cut_it_nests_the_same(
    pieces: list[bytes], limit: int, arrays: bool
) -> None:
    text = b"".join(pieces)
    # No parser gets past a backslash before one of these; here it would hide them.
    if not any(b"\\" + bytes([bracket]) in text for bracket in b"[]{}"):
        assert nests_deeper(text, limit) == (depth_before_the_first_error(text) > limit)
    with pytest.MonkeyPatch.context() as patch:
        if arrays:
            patch.setattr(json_depth, "_FEW", -1)
        for cut in (pieces, [bytes([byte]) for byte in text], [text]):
            nesting = NestingScanner(limit)
            assert any(nesting.feed(piece) for piece in cut) == nests_deeper(text, limit)


@pytest.mark.parametrize("cut", [1, 2, 5, 1000])
def test_wide_characters_are_found_whenever_they_come(cut: int) -> None:
    """Strings end elsewhere: brackets that seem to be closed may not be."""
    deep = ('["]",' * 40 + "1" + "]" * 40).encode("utf-16-le")
    late = b"[" + b'"]",["[",' * 20 + b'"\0"'
    for text in (deep, late):
        nesting = NestingScanner(16)
        pieces = [text[i : i + cut] for i in range(0, len(text), cut)]
        assert any(nesting.feed(piece) for piece in pieces)
        assert nests_deeper(text, 16)


@pytest.mark.parametrize("depth", [1, 4, 16, 17, 200])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"]":', "}]")])
def test_the_limit_is_the_deepest_that_passes(opening: str, closing: str, depth: int) -> None:
    text = (opening * depth + "1" + closing * depth).encode()
    depth *= opening.count("[") + opening.count("{")
    assert not nests_deeper(text, depth)
    assert nests_deeper(text, depth - 1)


@pytest.mark.parametrize(
    "text",
    [b"[" * 1000, b'{"a":' * 1000, b"]" * 1000 + b"[" * 1000, b'"x"' + b"[" * 1000],
)
def test_what_is_no_json_is_not_handed_to_a_parser_that_would_go_deep(text: bytes) -> None:
    assert nests_deeper(text, 16)


@pytest.mark.parametrize(
    "text",
    [
        b'["' + b"[" * 1000 + b'"]',
        b'["\\"' + b"[" * 1000 + b'"]',
        b'["\\\\", "' + b"{" * 1000 + b'"]',
        b"[" + b"[]," * 1000 + b"[]]",
        b'"' + b'\\"[' * 1000,  # a string without an end: no JSON, and nothing nests
    ],
)
def test_brackets_in_strings_and_beside_each_other_do_not_count(text: bytes) -> None:
    assert not nests_deeper(text, 16)


@pytest.mark.parametrize(
    "part", [b'"', b'\\"', b'"\\', b"[]", b"{}", b'[""]', b"][", b'["\\', b"[[]"], ids=repr
)
def test_a_text_made_to_be_slow_to_search_comes_back(part: bytes) -> None:
    """The suite's own patience is the limit: what grows with the square of this takes hours."""
    assert nests_deeper(b"[" * 20 + part * 300_000, 16) in (True, False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"prices": ' + b"[" * 15 + b"]" * 15 + b"}", "invalid_request"),
        (b'{"prices": ' + b"[" * 16 + b"]" * 16 + b"}", "json_too_deep"),
        (b"[" * 100_000, "json_too_deep"),
    ],
    ids=["just inside", "just outside", "far outside"],
)
def test_a_deep_body_is_refused_before_it_is_parsed(
    settings: Settings, text: bytes, code: str
) -> None:
    with LocalClient(create_app(settings)) as client:
        answer = client.post("/predict", content=text, headers={"content-type": "application/json"})
    assert answer.json()["code"] == code


def test_wide_characters_do_not_hide_brackets(settings: Settings) -> None:
    """JSON is UTF-8; Python's parser would take UTF-16, whose strings end elsewhere."""
    text = ('["\\""' + "," + "[" * 2000 + "]" * 2000 + ', "\\""]').encode("utf-16")
    with LocalClient(create_app(settings)) as client:
        answer = client.post("/predict", content=text, headers={"content-type": "application/json"})
    assert answer.json()["code"] == "json_too_deep"


# -- size ---------------------------------------------------------------------------------------


class Reached(Exception):
    """The application was called."""


def through(
    messages: list[dict[str, Any]], path: str = "/predict", headers: Any = (), **limits: Any
) -> bytes | int:
    """The body that the application gets, or the status of the refusal."""
    got: list[bytes] = []
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append((await receive())["body"])

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()  # a client that sends nothing more
        return messages.pop(0)

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    chosen = {"max_bytes": 10, "max_batch_bytes": 20, "max_depth": 4, "timeout_s": 60.0} | limits
    scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}
    asyncio.run(BodyLimit(app, **chosen)(scope, receive, send))  # type: ignore[arg-type]
    return got[0] if got else statuses[0] if statuses else 0


def parts(*bodies: bytes) -> list[dict[str, Any]]:
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": i < last}
        for i, body in enumerate(bodies)
    ]


@pytest.mark.parametrize(
    ("path", "size", "passes"),
    [
        ("/predict", 10, True),
        ("/predict", 11, False),
        ("/predict/batch", 20, True),
        ("/predict/batch", 21, False),
        ("/predict/batch/", 11, False),
        ("/train", 11, False),
    ],
)
@pytest.mark.parametrize("split", ["whole", "by byte", "announced"])
def test_a_body_passes_up_to_the_limit_of_its_path(
    path: str, size: int, passes: bool, split: str
) -> None:
    body = b"1" * size
    headers = [(b"content-length", str(size).encode())] if split == "announced" else []
    chunks = [b"1"] * size if split == "by byte" else [body]
    assert through(parts(*chunks), path, headers) == (body if passes else 413)


@pytest.mark.parametrize(
    ("kind", "passes"),
    [(b"application/json", False), (b"application/x-ndjson", True), (b"", False)],
)
def test_a_batch_of_more_than_256_kb_passes_in_lines(kind: bytes, passes: bool) -> None:
    body = b" " * 262_145
    sent = through(parts(body), "/predict/batch", [(b"content-type", kind)], max_batch_bytes=10**6)
    assert sent == (body if passes else 413)


@pytest.mark.parametrize("length", [b"9" * 30, b"9" * 5000])
def test_a_length_of_many_digits_is_large(length: bytes) -> None:
    assert through(parts(b"1"), headers=[(b"content-length", length)]) == 413


class Turns:
    """Counts how often others have their turn while something runs."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> Turns:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


def test_others_have_their_turn_while_a_large_body_is_looked_at() -> None:
    body = b"[1]" * 1_400_000

    async def count() -> int:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            assert (await receive())["body"] == body

        async def receive() -> Any:
            return parts(body)[0]

        limit = BodyLimit(app, len(body), len(body), 4, 60.0)
        headers = [(b"content-type", b"application/x-ndjson")]
        scope = {"type": "http", "method": "POST", "path": "/predict/batch", "headers": headers}
        async with Turns() as turns:
            await limit(scope, receive, None)  # type: ignore[arg-type]
        return turns.count

    assert asyncio.run(count()) >= len(body) // 65_536


@pytest.mark.parametrize("size", [65_536, 10_000_000], ids=["as a server sends", "whole"])
def test_a_deep_body_is_refused_without_waiting_for_its_end(size: int) -> None:
    body = b'{"windows": ' + b"[" * 200_000
    messages = parts(*(body[i : i + size] for i in range(0, len(body), size)))
    messages[-1]["more_body"] = True
    sizes = {"max_bytes": 10**7, "max_batch_bytes": 10**7}
    assert through(messages, "/predict/batch", **sizes) == 400
    assert len(messages) == max(0, len(body) // size)


@pytest.mark.parametrize("size", [1, 7, 65_536, 65_537])
def test_a_body_in_parts_arrives_as_it_was_sent(size: int) -> None:
    body = (b'{"windows": [["a[\\"[", [1]]' + b', "[[[[\\\\"' * 20_000)[: size * 300] + b"]}"
    sent = parts(*(body[i : i + size] for i in range(0, len(body), size)))
    assert through(sent, "/predict/batch", max_batch_bytes=10**7) == body


def test_a_client_that_goes_away_is_not_answered() -> None:
    gone = [{"type": "http.request", "body": b"1", "more_body": True}, {"type": "http.disconnect"}]
    assert through(gone) == 0


# -- speed --------------------------------------------------------------------------------------


def test_a_body_that_never_ends_is_given_up() -> None:
    assert through(parts(b"1", b"")[:1], timeout_s=0.05) == 408


def test_one_that_comes_in_time_is_not() -> None:
    assert through(parts(b"1", b"2")) == b"12"


def test_a_slow_client_holds_up_nobody_else(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"body_timeout_s": 0.5}))
    with live_server(app) as address:
        host, port = address.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(50)]
        try:
            for connection in slow:
                connection.sendall(
                    b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\n{"
                )
            assert httpx.get(f"{address}/health/live", timeout=60).status_code == 200
            for connection in slow:
                answered = connection.recv(65_536)
                assert b" 408 " in answered.split(b"\r\n", 1)[0]
                assert b"connection: close" in answered.lower()
        finally:
            for connection in slow:
                connection.close()


# -- rates --------------------------------------------------------------------------------------


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_pass_at_once_and_then_one_each_interval() -> None:
    clock = Clock()
    rate = RateLimit("6/minute", clock=clock)
    assert [rate.wait_s("a") for _ in range(6)] == [0.0] * 6
    assert rate.wait_s("a") == pytest.approx(10)
    clock.now += 9.99
    assert rate.wait_s("a") == pytest.approx(0.01)
    clock.now += 0.02
    assert rate.wait_s("a") == 0.0
    assert rate.wait_s("a") > 9


def test_whoever_waits_as_told_passes() -> None:
    clock = Clock()
    rate = RateLimit("7/hour", clock=clock)
    for _ in range(50):
        if wait_s := rate.wait_s("a"):
            clock.now += wait_s + 1e-6
            assert rate.wait_s("a") == 0.0


@patiently
@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=200),
    st.integers(1, 20),
    st.sampled_from(["second", "minute", "hour"]),
)
def test_over_any_time_no_more_pass_than_a_full_bucket_and_its_refill(
    pauses: list[float], count: int, period: str
) -> None:
    clock = Clock()
    rate = RateLimit(f"{count}/{period}", clock=clock)
    interval = {"second": 1, "minute": 60, "hour": 3600}[period] / count
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += rate.wait_s("a") == 0.0
    assert passed <= count + (clock.now - 1000) / interval + 1e-6


def test_clients_do_not_count_for_each_other() -> None:
    rate = RateLimit("1/hour", clock=Clock())
    assert [rate.wait_s(name) for name in ("a", "b", "c")] == [0.0] * 3
    assert rate.wait_s("a") > 0


def test_a_million_clients_need_bounded_memory_and_are_limited_together() -> None:
    clock = Clock()
    rate = RateLimit("2/hour", most_clients=1000, clock=clock)
    passed = sum(rate.wait_s(str(n)) == 0.0 for n in range(1_000_000))
    assert len(rate) <= 1001
    assert passed == 1000 + 2
    clock.now += 3600
    assert rate.wait_s("new") == 0.0
    assert len(rate) <= 2, "whose buckets are full again is forgotten"


@pytest.mark.parametrize(
    "identify", [lambda n: {"x-api-key": n}, lambda n: {"authorization": f"Bearer {n}"}]
)
def test_a_key_has_its_rate_and_then_is_told_when_to_come_back(
    settings: Settings, identify: Callable[[str], dict[str, str]]
) -> None:
    keys = KeyStore(settings.keys_path)
    one, other = (identify(keys.create(name, "read")) for name in ("one", "other"))
    with LocalClient(create_app(settings.model_copy(update={"rate_limit": "3/hour"}))) as client:
        statuses = [client.get("/config", headers=one).status_code for _ in range(4)]
        refused = client.get("/config", headers=one)
        assert client.get("/config", headers=other).status_code == 200
    assert statuses == [200, 200, 200, 429]
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 1200


def test_without_keys_an_address_has_its_rate(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"rate_limit": "2/hour"}))
    with LocalClient(app) as here:
        there = LocalClient(app, client=ELSEWHERE)
        assert [here.get("/config").status_code for _ in range(3)] == [200, 200, 429]
        assert there.get("/config").status_code == 200


def test_addresses_of_one_ipv6_network_count_together(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"rate_limit": "2/hour"}))
    with LocalClient(app):
        same = [LocalClient(app, client=(f"2001:db8::{n}", 5)) for n in range(3)]
        assert [client.get("/config").status_code for client in same] == [200, 200, 429]
        assert LocalClient(app, client=("2001:db8:0:1::1", 5)).get("/config").status_code == 200


def test_ipv4_clients_of_a_socket_of_both_kinds_count_each_alone(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"rate_limit": "1/hour"}))
    with LocalClient(app):
        each = [LocalClient(app, client=(f"::ffff:192.0.2.{n}", 5)) for n in (1, 2)]
        assert [client.get("/config").status_code for client in each] == [200, 200]
        assert LocalClient(app, client=("192.0.2.1", 5)).get("/config").status_code == 429


def test_guesses_at_keys_count_for_the_address(settings: Settings) -> None:
    token = KeyStore(settings.keys_path).create("ops", "read")
    with LocalClient(create_app(settings.model_copy(update={"rate_limit": "2/hour"}))) as client:
        guessed = [client.get("/config", headers={"x-api-key": str(n)}) for n in range(3)]
        assert [answer.status_code for answer in guessed] == [401, 401, 429]
        assert client.get("/config", headers={"x-api-key": token}).status_code == 200


def test_health_is_never_limited(settings: Settings) -> None:
    with LocalClient(create_app(settings.model_copy(update={"rate_limit": "1/day"}))) as client:
        assert {client.get("/health/live").status_code for _ in range(5)} == {200}
        assert [client.get("/openapi.json").status_code for _ in range(2)] == [200, 429]


def test_trainings_have_a_rate_of_their_own(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"rate_limit_train": "2/hour"}))
    with LocalClient(app, raise_server_exceptions=False) as client:
        statuses = [client.post("/train", json={}).status_code for _ in range(3)]
        assert 429 not in statuses[:2]
        assert statuses[2] == 429
        assert client.get("/train").status_code == 200
        assert client.post("/config", **CONFIG).status_code == 200


def test_pages_of_other_sites_use_up_nobody_s_trainings(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"rate_limit_train": "1/hour"}))
    with LocalClient(app) as client:
        for _ in range(3):
            answer = client.post("/train", headers={"sec-fetch-site": "cross-site"})
            assert answer.json()["code"] == "cross_site_request"
        assert client.post("/train").status_code != 429


def test_who_may_not_train_uses_up_nobody_s_trainings(settings: Settings) -> None:
    keys = KeyStore(settings.keys_path)
    read, admin = keys.create("r", "read"), keys.create("a", "admin")
    app = create_app(settings.model_copy(update={"rate_limit_train": "1/hour"}))
    with LocalClient(app) as client:
        for _ in range(3):
            assert client.post("/train", headers={"x-api-key": read}).status_code == 403
        assert client.post("/train", headers={"x-api-key": admin}).status_code != 429


def test_by_default_reading_has_no_limit_and_training_has(settings: Settings) -> None:
    assert settings.rate_limit == ""
    assert settings.rate_limit_train == "60/hour"
    with LocalClient(create_app(settings)) as client:
        assert {client.get("/config").status_code for _ in range(100)} == {200}


def test_of_a_long_path_the_log_has_the_beginning(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with LocalClient(create_app(settings)) as client, caplog.at_level(logging.INFO):
        client.get("/" + "a://" * 5_000)
    [line] = [record for record in caplog.records if record.name == "closecast.access"]
    assert len(line.path) == 500  # type: ignore[attr-defined]
