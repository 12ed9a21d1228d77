"""A few thousand requests of `make fuzz`, and proof that it finds what is there to be found."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from api.main import create_app
from api.problems.documents import problem_document
from closecast.settings import Settings
from tests.system.fuzz import fuzzed_service, over_socket
from tests.system.fuzz.by_document import fuzz_by_document
from tests.system.fuzz.fuzz_case import FuzzCase
from tests.system.fuzz.fuzzed_service import LogListener, MemoryWatch
from tests.system.fuzz.json_texts import OTHERS, spoiled
from tests.system.fuzz.promises import ALWAYS, Answered, Promises
from tests.system.fuzz.running import fuzz_in_process, fuzz_over_socket
from tests.system.fuzz.shrinking import smallest_of

ALIVE = FuzzCase("GET", b"/health/live")
POLICY = (b"content-security-policy", b"default-src 'none'")


@pytest.mark.parametrize("keys", [False, True], ids=["open", "with keys"])
def test_nothing_is_found_in_process(published: Settings, keys: bool) -> None:
    report = fuzz_in_process(published, 1_200, 7, keys=keys)
    assert report.findings == {}, str(report)
    assert {200, 400, 403, 404, 422} <= set(report.statuses), "it did not get around"
    assert (401 in report.statuses) is keys


def test_nothing_is_found_over_a_socket(published: Settings) -> None:
    report = fuzz_over_socket(published, 300, 7)
    assert report.findings == {}, str(report)
    assert report.refused_by_server, "nothing was badly written"
    assert {200, 400, 404, 422} <= set(report.statuses)


def test_a_slow_answer_to_a_request_by_document_is_no_finding(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("core.loaders", "transport.requests"):
        monkeypatch.setattr(f"schemathesis.{module}.DEFAULT_RESPONSE_TIMEOUT", 1e-4)
    report = fuzz_by_document(published, 40, 7)
    assert report.findings == {}, str(report)
    assert {200, 404, 422} <= set(report.statuses), "it did not get around"


# -- what is there is found -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda: 1 / 0, "status 500"),
        (lambda: "no object", "does not fit its schema"),
        (lambda: {"status": "ok", "secret": 1}, "does not fit its schema"),
    ],
)
def test_a_bug_in_a_route_is_found_and_shrunk(
    published: Settings,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[], Any],
    said: str,
) -> None:
    def broken(settings: Settings) -> Any:
        app = create_app(settings)

        @app.get("/planted")
        def route() -> Any:
            return spoil()

        paths = app.openapi()["paths"]
        paths["/planted"] = paths["/health/live"]
        return app

    monkeypatch.setattr(fuzzed_service, "create_app", broken)
    report = fuzz_in_process(published, 150, 1)
    [found] = [wrong for wrong in report.findings if wrong.startswith("GET /planted")]
    assert said in found
    host = "-H 'host: 127.0.0.1:8000'"  # without it another refusal comes first
    assert report.findings[found] == (
        f"curl -sg --path-as-is -X GET {host} http://127.0.0.1:8000/planted"
    )


def answered(status: int, content: Any, *, drop: bytes = b"", **headers: str) -> Answered:
    """An answer as it should be, but for what is dropped or said otherwise."""
    given = {
        **ALWAYS,
        b"x-request-id": b"b6c1",
        b"content-type": b"application/json" if status < 400 else b"application/problem+json",
        **dict([POLICY]),
        **{name.replace("_", "-").encode(): value.encode() for name, value in headers.items()},
    }
    given.pop(drop, None)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answered(status, [*given.items()], body)


@pytest.fixture(scope="module")
def promises() -> Promises:
    app = create_app(Settings(_env_file=None))  # type: ignore[call-arg]
    return Promises(app.openapi(), ["/srv/secret"])


def missing(detail: str = "nothing", **changes: Any) -> dict[str, Any]:
    return {**problem_document(404, "unknown_job", detail, "b6c1"), **changes}


def test_an_answer_as_it_should_be_breaks_nothing(promises: Promises) -> None:
    assert promises.broken(ALIVE, answered(200, {"status": "alive"})) is None
    job = FuzzCase("GET", b"/train/x")
    assert promises.broken(job, answered(404, missing())) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered(500, missing(status=500)), "status 500"),
        (answered(404, missing()), "status 404 is not in the document"),
        (answered(200, {"status": "alive", "more": 1}), "does not fit its schema"),
        (answered(200, {}), "does not fit its schema"),
        (answered(200, b'{"status": NaN}'), "NaN in it"),
        (answered(200, b'{"status": "a", "status": "b"}'), "a name is there twice"),
        (answered(200, b'{"status": "\xff"}'), "no JSON"),
        (answered(200, {"status": "alive"}, drop=b"x-request-id"), "X-Request-ID is []"),
        (answered(200, {"status": "alive"}, drop=b"x-frame-options"), "x-frame-options is []"),
        (answered(200, {"status": "alive"}, drop=POLICY[0]), "policy is []"),
        (answered(200, {"status": "alive"}, x_evil="1"), "a header that was sent in"),
        (answered(200, {"status": "alive"}, location="/srv/secret"), "tells '/srv/secret'"),
    ],
)
def test_each_promise_can_be_broken(promises: Promises, answer: Answered, said: str) -> None:
    assert said in (promises.broken(ALIVE, answer) or "")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered(404, missing(), content_type="application/json"), "is application/json"),
        (answered(404, b"gone", content_type="text/plain"), "no problem document"),
        (answered(404, missing(status=409)), "contradicts itself"),
        (answered(404, missing(request_id="other")), "contradicts itself"),
        (answered(404, missing(title="Gone")), "contradicts itself"),
        (answered(404, {"detail": "Not Found"}), "no whole problem"),
        (answered(404, missing("see /srv/secret")), "tells '/srv/secret'"),
        (answered(429, {**missing(), "status": 429, "title": "Too Many Requests"}), "Retry-After"),
    ],
)
def test_each_promise_of_a_problem_can_be_broken(
    promises: Promises, answer: Answered, said: str
) -> None:
    assert said in (promises.broken(FuzzCase("GET", b"/train/x"), answer) or "")


def test_a_line_of_the_log_that_tells_a_key_is_noted() -> None:
    listener = LogListener(["sesame"])
    for words in ("open", "sesame"):
        listener.handle(logging.makeLogRecord({"msg": words, "levelname": "INFO"}))
    assert ["sesame" in line for line in listener.broken] == [True]


def test_memory_that_grows_is_seen_and_memory_that_filled_up_first_is_not() -> None:
    watch = MemoryWatch()
    watch.measured = [100, 300, *[500] * 18]
    assert watch.grown() == 0
    watch.measured = [100 + i for i in range(20)]
    assert watch.grown() == 17


# -- requests -------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_body_and_another_one_another() -> None:
    value = {"prices": [1.0, 2.0, 3.0], "symbol": "MSFT"}
    made = [[spoiled(Random(seed), value) for _ in range(3)] for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert value == {"prices": [1.0, 2.0, 3.0], "symbol": "MSFT"}


def test_what_was_made_before_changes_nothing() -> None:
    """A request is made from the seed and its number alone, or it could not be made again."""
    others = repr(OTHERS)
    value = {"windows": [{"prices": [1.0, 2.0]}, {"symbol": "MSFT"}], "levels": [0.5]}
    first = spoiled(Random(3), value)
    for seed in range(3_000):
        spoiled(Random(seed), value)
    assert repr(OTHERS) == others
    assert spoiled(Random(3), value) == first


def test_the_smallest_request_is_what_is_wrong_and_nothing_else() -> None:
    case = FuzzCase("POST", b"/x?a=1&b=2&c=3", ((b"h", b"1"), (b"k", b"2")), b"abc-WRONG-def")

    async def wrong_with(tried: FuzzCase) -> str | None:
        found = b"WRONG" in tried.body and b"b=2" in tried.query and tried.header(b"k")
        return "wrong" if found else "something else"

    least = asyncio.run(smallest_of(case, "wrong", wrong_with))
    assert least == FuzzCase("POST", b"/x?b=2", ((b"k", b"2"),), b"WRONG")
    assert least.as_curl() == (
        "printf 'WRONG' | curl -sg --path-as-is -X POST -H 'k: 2' --data-binary @- "
        "'http://127.0.0.1:8000/x?b=2'"
    )


@pytest.mark.parametrize("body", [b"plain", b"'%s' \\n", b"\0\xff\x01\n", bytes(range(256))])
def test_what_is_printed_sends_the_same_bytes(body: bytes) -> None:
    command = FuzzCase("POST", b"/", (), body).as_curl().partition(" | curl")[0]
    printed = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert printed.stdout == body


@pytest.mark.parametrize("by_server", [True, False], ids=["the server", "the application"])
def test_what_the_server_itself_refuses_is_known_without_a_body_too(by_server: bool) -> None:
    ends = b"connection: close\r\n\r\n" + over_socket._REFUSED if by_server else b"\r\n"

    async def asked() -> Answered | None:
        reader = asyncio.StreamReader()
        kind = b"content-type: application/problem+json\r\n"
        reader.feed_data(b"HTTP/1.1 400 Bad Request\r\n" + kind + ends)
        reader.feed_eof()
        return await over_socket._answer(reader, "HEAD")

    if by_server:
        with pytest.raises(over_socket.Refused):
            asyncio.run(asked())
    else:
        answer = asyncio.run(asked())
        assert answer is not None
        assert answer.status == 400
