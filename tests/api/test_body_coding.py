"""Bodies that come compressed or in another charset: read, or refused by the cause's name."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.middleware.body_coding import codings_of, decoded
from api.middleware.body_limit import BodyLimit
from api.problems.not_json import why_not_json
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.support.local_client import LocalClient

CLOSES = [50 + 0.37 * day + (day % 5) for day in range(60)]
BODY = json.dumps({"prices": CLOSES}).encode()
LINES = b"".join(json.dumps({"prices": CLOSES}).encode() + b"\n" for _ in range(40))
RAW = zlib.compressobj(wbits=-15)
BARE = RAW.compress(BODY) + RAW.flush()
JSON = {"content-type": "application/json"}


def sent(client: TestClient, body: bytes, coding: str, path: str = "/predict") -> Any:
    return client.post(path, content=body, headers={**JSON, "content-encoding": coding})


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("GZip", gzip.compress(BODY)),
        ("identity, gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY))),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
        ("deflate", zlib.compress(BODY)),
        ("deflate", BARE),
        ("identity", BODY),
        ("", BODY),
    ],
    ids=[
        *("gzip", "its former name", "any case", "with identity", "two members", "twice"),
        *("two codings", "deflate", "bare deflate", "identity", "empty"),
    ],
)
def test_a_compressed_window_is_answered_like_a_plain_one(
    client: TestClient, coding: str, body: bytes
) -> None:
    plain = client.post("/predict", content=BODY, headers=JSON)
    coded = sent(client, body, coding)
    assert plain.status_code == 200
    assert coded.json() == plain.json()


def test_a_batch_in_lines_and_a_training_may_be_compressed(client: TestClient) -> None:
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    batch = client.post("/predict/batch", content=gzip.compress(LINES), headers=headers)
    job = sent(client, gzip.compress(b'{"symbol": "KO", "forecaster": "ewma"}'), "gzip", "/train")
    assert batch.json()["answered"] == 40
    assert (job.status_code, job.json()["symbol"]) == (202, "KO")


@pytest.mark.parametrize(
    ("coding", "named"),
    [
        ("br", "content-encoding: br,"),
        ("zstd", "content-encoding: zstd,"),
        ("gzip, br", "content-encoding: gzip, br,"),
        ("utf-8", "a charset belongs into content-type"),
        ("gzip, gzip, gzip", "at most 2"),
    ],
)
def test_another_coding_is_named_with_those_that_are_read(
    empty_client: TestClient, coding: str, named: str
) -> None:
    answer = sent(empty_client, BODY, coding)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert named in answer.json()["detail"]


@pytest.mark.parametrize(
    ("coding", "body", "named"),
    [
        ("gzip", BODY, "it is not in the format of gzip"),
        ("gzip", gzip.compress(BODY)[:-1], "it ends too early"),
        ("gzip", gzip.compress(BODY)[:30], "it ends too early"),
        ("gzip", gzip.compress(BODY) + b"{}", "bytes follow after its end"),
        ("gzip", gzip.compress(BODY)[:-5] + b"\0\0\0\0\0", "damaged"),
        ("deflate", zlib.compress(BODY)[:-1], "it ends too early"),
        ("deflate", zlib.compress(BODY) + b"1", "bytes follow after its end"),
        ("deflate", BODY, "it is not in the format of deflate"),
    ],
    ids=[
        *("plain", "without its last byte", "cut", "more", "wrong sum"),
        *("deflate cut", "deflate and more", "plain as deflate"),
    ],
)
def test_a_body_that_cannot_be_inflated_is_400_with_the_reason(
    empty_client: TestClient, coding: str, body: bytes, named: str
) -> None:
    answer = sent(empty_client, body, coding)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_encoding")
    assert named in answer.json()["detail"]


def test_an_empty_body_is_missing_also_where_a_coding_is_named(empty_client: TestClient) -> None:
    assert sent(empty_client, b"", "gzip").json()["errors"][0]["code"] == "missing"


@pytest.mark.parametrize("times", [1, 2])
def test_a_bomb_is_refused_at_the_limit(settings: Settings, times: int) -> None:
    bomb = b" " * 60_000_000
    for _ in range(times):
        bomb = gzip.compress(bomb, 9)
    small = settings.model_copy(update={"max_body_bytes": 100_000})
    with LocalClient(create_app(small)) as client:
        answer = sent(client, bomb, ", ".join(["gzip"] * times))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert "after it is inflated" in answer.json()["detail"]


def test_a_bomb_is_stopped_while_it_is_inflated_and_others_have_their_turn() -> None:
    bomb = gzip.compress(b"1" * 30_000_000, 9)
    turns = 0

    async def count() -> bytes | object:
        nonlocal turns

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(others())
        found = await decoded(bomb, ["gzip"], 10_000_000)
        task.cancel()
        return found

    assert asyncio.run(count()) is None
    assert 10_000_000 // 65_536 <= turns < 30_000_000 // 65_536


def test_many_short_members_take_a_time_that_grows_with_their_number() -> None:
    """The suite's own patience is the limit: copying the rest for each one takes minutes."""
    assert asyncio.run(decoded(gzip.compress(b"") * 100_000, ["gzip"], 10)) == b""


def test_depth_counts_after_the_body_is_inflated(empty_client: TestClient) -> None:
    deep = gzip.compress(b'{"prices": ' + b"[" * 5000)
    assert sent(empty_client, deep, "gzip").json()["code"] == "json_too_deep"


def test_brackets_among_compressed_bytes_do_not_count() -> None:
    async def run() -> bytes:
        got = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            got.append((await receive())["body"])
            assert codings_of(scope) == []
            assert dict(scope["headers"])[b"content-length"] == b"%d" % len(plain)

        plain = b"[" * 3 + b"1"
        stored = zlib.compressobj(0, wbits=31)
        coded = stored.compress(plain) + stored.flush()
        messages = [
            {"type": "http.request", "body": coded[:9], "more_body": True},
            {"type": "http.request", "body": coded[9:], "more_body": False},
        ]
        headers = [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(coded))]
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}

        async def receive() -> Any:
            return messages.pop(0)

        limit = BodyLimit(app, 1000, 1000, 3, 60.0)
        await limit(scope, receive, None)  # type: ignore[arg-type]
        return got[0]

    assert asyncio.run(run()) == b"[[[1"


# -- charsets and habits ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with LocalClient(create_app(settings_in(tmp_path_factory.mktemp("empty")))) as made:
        yield made


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/train", "/drift"])
def test_a_byte_order_mark_of_utf_8_is_passed_over(empty: TestClient, path: str) -> None:
    body = b'{"unheard": 1}'
    plain = empty.post(path, content=body, headers=JSON)
    marked = empty.post(path, content=b"\xef\xbb\xbf" + body, headers=JSON)
    assert (marked.status_code, marked.json()["detail"]) == (422, plain.json()["detail"])


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/train"])
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (BODY.decode().encode("utf-16"), "it is in UTF-16; send it in UTF-8"),
        (BODY.decode().encode("utf-16-be"), "it looks like UTF-16"),
        (BODY.decode().encode("utf-32"), "it is in UTF-32"),
        (BODY.decode().encode("utf-32-le"), "it looks like UTF-32"),
        ('{"symbol": "caf\u00e9"}'.encode("latin-1"), "byte 16 (0xE9) is not UTF-8"),
        (gzip.compress(BODY), "say so with the header content-encoding: gzip"),
        (b"\x28\xb5\x2f\xfd\x00", "it is compressed (zstd)"),
        (b"  ", "there are only blanks in it"),
        (b"<html></html>", "it is HTML"),
        (b"@body.json", "after --data-binary"),
        (b"'{prices:[1]}'", "it begins with a single quote"),
        (b"{'prices': [1]}", "in single quotes"),
        (b"{prices:[1]}", "a name has no quotes"),
        (b'{"prices": [1, None]}', "None is no value in JSON"),
    ],
    ids=[
        *("utf-16", "utf-16 without a mark", "utf-32", "utf-32 without a mark", "latin-1"),
        *("gzip without a header", "zstd", "blanks", "html", "a file's name", "cmd.exe"),
        *("python", "bare names", "none"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_its_cause(
    empty: TestClient, path: str, body: bytes, named: str
) -> None:
    headers = {"content-type": "application/json; charset=latin-1"}
    answer = empty.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert named in answer.json()["detail"]


@pytest.mark.parametrize("text", ['{"a": "None, {\'x\': NaN}"', '{"a": 1,}'])
def test_without_a_known_habit_the_place_is_named(text: str) -> None:
    assert why_not_json(text.encode(), "EOF at line 1") == "EOF at line 1"


@pytest.mark.parametrize("part", ['"', '\\"', ", ", "{a", "'", "[ "])
def test_a_text_made_to_be_slow_to_search_is_answered(part: str) -> None:
    """The suite's own patience is the limit: what grows with the square takes minutes."""
    assert why_not_json(("{" + part * 300_000).encode(), "x")
