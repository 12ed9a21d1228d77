"""Bodies of ``POST /predict/batch`` that are parsed in pieces: they are answered as small ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from hypothesis import assume, given
from hypothesis import strategies as st

from api.middleware import json_stream as json_in_pieces
from api.middleware.json_stream import parsed
from tests.api.test_predict_batch import mixed, walk
from tests.support.synthetic_prices import patiently

JSON_HEADERS = {"content-type": "application/json"}
WINDOW = {"prices": walk(0)}


def padded(windows: list[Any], size: int = 300_000) -> bytes:
    """With so much white space after each comma that the body is large."""
    commas = json.dumps(windows).count(",")
    text = json.dumps({"windows": windows}, separators=("," + " " * (size // commas), ":"))
    return text.encode()


def post(client: TestClient, body: bytes) -> Any:
    return client.post("/predict/batch", content=body, headers=JSON_HEADERS)


def read(body: bytes) -> Any:
    """What a body says, or the items of its refusal."""

    async def run() -> Any:
        try:
            async with parsed(body) as said:
                return orjson.loads(orjson.dumps(said))  # it is let go of at the end
        except RequestValidationError as error:
            return error.errors()

    return asyncio.run(run())


def refused(body: bytes) -> tuple[str, tuple[Any, ...], str]:
    [item] = read(body)
    return item["type"], item["loc"][1:], item.get("ctx", {}).get("error", item["msg"])


@pytest.fixture(name="in_small_pieces")
def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_in_pieces, "_LARGE", 0)
    monkeypatch.setattr(json_in_pieces, "_PIECE", 64)


# -- parsing ----------------------------------------------------------------------------------

_SHORT = st.text(max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _SHORT,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(_SHORT, inner, max_size=6),
    max_leaves=40,
)


@patiently
@given(VALUES, st.booleans())
def test_any_json_is_read_as_in_one_go(value: Any, ascii_only: bool) -> None:
    value = [value, "\U0001f600\\\U0001f600", *range(99), value]
    for indent in (None, 1):
        body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_in_pieces, "_LARGE", 0)
            patch.setattr(json_in_pieces, "_PIECE", 400)
            found = read(body)
        # Names inside each other may be as long, without a comma, as these small pieces are.
        assume(not (isinstance(found[0], dict) and found[0].get("type") == "no_batch"))
        assert repr(found) == repr(orjson.loads(body))


@patiently
@given(VALUES, st.data())
def test_what_is_no_json_is_refused_as_in_one_go(value: Any, data: st.DataObject) -> None:
    body = bytearray(json.dumps({"a": [value, 1.5, "\ud83d\ude00"]}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        change = data.draw(st.sampled_from([*b'[]{}",:\\ud8ac0-.e\xff\xed\xa0\n\0', -1]))
        body[at : at + data.draw(st.integers(0, 2))] = [] if change < 0 else [change]
    try:
        said = orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        said = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_in_pieces, "_LARGE", 0)
        patch.setattr(json_in_pieces, "_PIECE", 256)
        found = read(bytes(body))
    if said is None:
        assert found[0]["type"] in ("json_invalid", "integer_too_large", "no_batch")
    elif isinstance(found, list):
        assert found[0]["type"] in ("integer_too_large", "no_batch")
    else:
        assert repr(found) == repr(said)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (b'{"prices": [1', "it ends too early"),
        (b"1,", "it ends too early"),
        (b"1]}]", "something follows its end"),
        (b"1]} 5", "something follows its end"),
        (b"NaN]}", "invalid char in json text"),
        (b"nan]}", "invalid string in json text"),
        (b"1e400]}", "a number is too large"),
        (b"/* a */ 1]}", "probable comment found in input text, comments are not enabled"),
        (b'"\xff"]}', "invalid bytes in UTF8 string"),
        (b'"\xed\xa0\x80"]}', "invalid bytes in UTF-8 string"),
        (b'"\\ud800"]}', "half of a surrogate pair"),
        (b'"\\ud83d\\u0041"]}', "half of a surrogate pair"),
        (b'"\\ude00\\ud83d"]}', "half of a surrogate pair"),
        (b'"\\ud83d\\\\\\ude00"]}', "half of a surrogate pair"),
        (b"1,]}", "unallowed token at this point in JSON text"),
        (b"1 2]}", "after array element, I expect ',' or ']'"),
    ],
)
def test_what_is_no_json_is_called_so_in_one_line(
    client: TestClient, end: bytes, reason: str
) -> None:
    body = padded([WINDOW] * 50)[:-2] + b"," + end
    answer = post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert answer.json()["detail"] == f"the body is not JSON: {reason}"
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)


@pytest.mark.usefixtures("in_small_pieces")
@pytest.mark.parametrize(
    "text", ["\\ud83d\\ude00", "\\\\ud800", "\\\\\\\\ud800", "\\\\\\ud83d\\ude00\\\\ud83d"]
)
def test_whole_surrogate_pairs_are_characters(text: str) -> None:
    body = f'{{"a": [1, 2, "{text}", 3]}}'.encode()
    assert read(body) == orjson.loads(body)


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (b'{"windows": [1, "' + b"a," * 150_000 + b'"]}', "no_batch", ("windows",)),
        (b'{"windows": ["' + b"a" * 300_000 + b'"]}', "no_batch", ()),
        (b'{"windows": [' + b"1" * 300_000 + b"]}", "no_batch", ()),
        (b'{"windows": [1,' + b" " * 300_000 + b"2]}", "no_batch", ("windows",)),
        (b'{"windows": [' + b"1," * 150_000 + b"1]}", "too_long", ("windows",)),
        (padded([{}] * 3 + [{"prices": [1] * 5000}]), "too_long", ("windows", 3, "prices")),
        (padded([{}, {f"a{i}": i for i in range(65)}]), "too_long", ("windows", 1)),
        (
            b'{"windows": [' + b",".join([b"[%s[]]" % (b"[],  " * 20)] * 4000) + b"]}",
            "no_batch",
            (),
        ),
        (padded([{"prices": [1, 2**64 + 1, 5]}] * 40), "integer_too_large", None),
    ],
    ids=str,
)
def test_what_no_batch_is_is_not_read_to_its_end(
    client: TestClient, body: bytes, kind: str, path: tuple[Any, ...] | None
) -> None:
    assert len(body) > 262_144
    found, where, _ = refused(body + b"this is not looked at")
    path = ("windows", 0, "prices", 1) if path is None else path
    assert (found, where) == (kind, path)
    answer = post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    pointer = "".join(f"/{step}" for step in path)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_what_is_just_a_batch_is_read(client: TestClient) -> None:
    window = {"prices": [1.5] * 512, "symbol": "MSFT", "volume": [1] * 512}
    window["sessions"] = ["2022-01-03"] * 512
    answer = post(client, padded([window] * 100))
    assert answer.status_code == 200
    assert answer.json()["refused"] == 100
    body = padded([{"prices": [5], "volume": [], "sessions": []}] * 4096)
    assert read(body) == orjson.loads(body)


def test_without_the_c_code_a_large_body_is_read_in_one_go(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_in_pieces, "_PARSER", None)
    assert post(client, padded(mixed(5))).json()["answered"] == 5
    assert post(client, padded(mixed(5))[:-1]).json()["code"] == "invalid_json"


# -- as a caller sees it ------------------------------------------------------------------------


def test_windows_have_the_same_answers_in_a_small_and_in_a_large_body(client: TestClient) -> None:
    windows = [*mixed(40), {"prices": [1, 2]}, {"prices": walk(3), "symbol": "ACME"}]
    small, large = orjson.dumps({"windows": windows}), padded(windows)
    assert len(small) < 262_144 < len(large)
    one, other = post(client, small).json(), post(client, large).json()
    for answer in (one, other):
        for result in answer["results"]:
            result.get("problem", {}).pop("request_id", None)
    assert one == other
    assert (one["answered"], one["refused"]) == (40, 2)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"prices": [*walk(1)[:3], -1]}, "/windows/1234/prices/3"),
        ({"prices": [1, "5"]}, "/windows/1234/prices/1"),
        ({"symbol": "MSFT"}, "/windows/1234/prices"),
        ({"prices": [1], "level": 1}, "/windows/1234/level"),
        ([], "/windows/1234"),
        ({"prices": [1], "symbol": "x" * 33}, "/windows/1234/symbol"),
    ],
)
def test_a_wrong_window_in_the_middle_is_pointed_at(
    client: TestClient, wrong: Any, pointer: str
) -> None:
    answer = post(client, orjson.dumps({"windows": [*[WINDOW] * 1234, wrong, *[WINDOW] * 99]}))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_large_body_that_nests_deep_is_refused(client: TestClient) -> None:
    body = padded([WINDOW] * 50)[:-2] + b"," + b"[" * 20 + b"]" * 20 + b"]}"
    answer = post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "json_too_deep")


def test_others_have_their_turn_while_a_large_body_is_parsed_and_let_go() -> None:
    body = orjson.dumps({"windows": [{"prices": [x + 0.25 for x in range(220)]}] * 3000})
    assert len(body) > 4_000_000

    async def count() -> tuple[int, int]:
        turns, stop = 0, False

        async def run() -> None:
            nonlocal turns
            while not stop:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(run())
        async with parsed(body) as said:
            while_parsed = turns
            assert len(said["windows"]) == 3000
        stop = True
        await task
        assert said == {}
        return while_parsed, turns - while_parsed

    while_parsed, while_freed = asyncio.run(count())
    assert while_parsed >= len(body) // 16_384
    assert while_freed >= 6000 // 32
