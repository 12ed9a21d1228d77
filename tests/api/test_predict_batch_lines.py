"""``POST /predict/batch`` with a body, or an answer, of one JSON text per line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

from api.middleware.body_limit import MOST_JSON_OF_A_BATCH
from api.routes.predict_batch import _windows_of_lines
from tests.api.test_predict_batch import ask, mixed, walk

NDJSON = "application/x-ndjson"
WINDOW = {"prices": walk(0)}


def lines_of(windows: list[Any]) -> bytes:
    return b"".join(orjson.dumps(window) + b"\n" for window in windows)


def post(client: TestClient, body: bytes, query: str = "", **headers: str) -> Any:
    headers = {"content-type": NDJSON, **headers}
    return client.post(f"/predict/batch{query}", content=body, headers=headers)


def without_request_id(answer: dict[str, Any]) -> dict[str, Any]:
    for result in answer["results"]:
        result.get("problem", {}).pop("request_id", None)
    return answer


def test_lines_are_answered_as_the_items_of_a_json_body(client: TestClient) -> None:
    windows = [*mixed(40), {"prices": walk(3), "as_of": "2022-12-28", "symbol": "AAPL"}]
    answer = post(client, lines_of(windows))
    assert answer.status_code == 200, answer.text
    assert answer.json() == ask(client, windows)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n \n"])
def test_the_last_line_may_end_in_any_white_space(client: TestClient, end: str) -> None:
    body = "\r\n".join([json.dumps(WINDOW)] * 3) + end
    assert post(client, body.encode()).json()["answered"] == 3


def test_json_of_more_than_256_kb_is_refused_and_taken_as_lines(client: TestClient) -> None:
    windows = mixed(800)
    body = orjson.dumps({"windows": windows})
    assert len(body) > MOST_JSON_OF_A_BATCH
    refused = client.post(
        "/predict/batch", content=body, headers={"content-type": "application/json"}
    )
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert NDJSON in refused.json()["detail"]
    answer = post(client, lines_of(windows)).json()
    assert (answer["answered"], answer["refused"]) == (800, 0)


def test_a_window_without_an_answer_is_named_by_its_line(client: TestClient) -> None:
    windows = [WINDOW, {"prices": walk(1), "symbol": "A B"}, {"prices": walk(2, length=59)}]
    answer = post(client, lines_of(windows)).json()
    assert (answer["answered"], answer["refused"]) == (1, 2)
    pointers = [r["problem"]["errors"][0]["pointer"] for r in answer["results"][1:]]
    assert pointers == ["/line 2/symbol", "/line 3/prices"]
    assert answer["results"][1]["problem"]["detail"].startswith("/line 2: 'A B' is not a ticker")


@pytest.mark.parametrize(
    ("line", "pointer", "code"),
    [
        ({"prices": [*walk(1)[:3], -1]}, "/line 1235/prices/3", "greater_than_equal"),
        ({"prices": [1, "5"]}, "/line 1235/prices/1", "float_type"),
        ({"symbol": "MSFT"}, "/line 1235/prices", "missing"),
        ({"prices": [1], "levels": [0.8]}, "/line 1235/levels", "extra_forbidden"),
        ([], "/line 1235", "model_type"),
        ({"prices": [1], "symbol": "x" * 33}, "/line 1235/symbol", "string_too_long"),
        ({"prices": [1], "symbol": "x" * 263_000}, "/line 1235", "line_too_long"),
    ],
)
def test_a_wrong_line_is_refused_and_named(
    client: TestClient, line: Any, pointer: str, code: str
) -> None:
    answer = post(client, lines_of([*[WINDOW] * 1234, line, *[WINDOW] * 99]))
    assert answer.status_code == 422
    [item] = answer.json()["errors"]
    assert (item["pointer"], item["code"]) == (pointer, code)


@pytest.mark.parametrize("line", [b"{", b'{"prices": [NaN]}', b"", b'{"prices": [1]} 5', b"\xff"])
def test_a_line_that_is_no_json_is_named(client: TestClient, line: bytes) -> None:
    answer = post(client, lines_of([WINDOW] * 2) + line + b"\n" + lines_of([WINDOW]))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert answer.json()["detail"].startswith("the body is not JSON: line 3: ")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [(lines_of([{"prices": [1]}] * 4097), "/line 4097"), (b" \n", "/line 1")],
    ids=["too many", "none"],
)
def test_a_batch_has_1_to_4096_lines(client: TestClient, body: bytes, pointer: str) -> None:
    answer = post(client, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_lines_that_nest_deep_are_refused(client: TestClient) -> None:
    body = lines_of([*[WINDOW] * 200, json.loads("[" * 20 + "]" * 20)])
    answer = post(client, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "json_too_deep")


def test_levels_of_lines_are_in_the_query(client: TestClient) -> None:
    answer = post(client, lines_of(mixed(4)), "?levels=0.9,0.5").json()
    assert [i["level"] for i in answer["results"][0]["intervals"]] == [0.5, 0.9]
    for wrong in ("0.2", "high"):
        answer = post(client, lines_of(mixed(1)), f"?levels={wrong}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_levels")


def test_levels_of_a_json_body_go_before_those_of_the_query(client: TestClient) -> None:
    for more, levels in (({}, [0.9]), ({"levels": [0.6]}, [0.6])):
        body = {"windows": [WINDOW], **more}
        answer = client.post("/predict/batch?levels=0.9", json=body).json()
        assert [i["level"] for i in answer["results"][0]["intervals"]] == levels


@pytest.mark.parametrize(
    ("accept", "in_lines"),
    [
        (NDJSON, True),
        (f"{NDJSON}, application/json;q=0.5", True),
        (f"application/json, {NDJSON};q=0.5", False),
        ("*/*", False),
    ],
)
def test_an_answer_in_lines_has_the_results_of_the_json_answer(
    client: TestClient, accept: str, in_lines: bool
) -> None:
    windows = [*mixed(40), {"prices": walk(3), "symbol": "A B"}]
    answer = post(client, lines_of(windows), accept=accept)
    expected = without_request_id(ask(client, windows))["results"]
    expected[-1]["problem"] = json.loads(
        json.dumps(expected[-1]["problem"]).replace("/windows/40", "/line 41")
    )
    if in_lines:
        assert answer.headers["content-type"] == NDJSON
        results = [json.loads(line) for line in answer.text.splitlines()]
    else:
        assert answer.headers["content-type"] == "application/json"
        results = answer.json()["results"]
    assert "Accept" in answer.headers["vary"].split(", ")
    assert without_request_id({"results": results})["results"] == expected


def test_others_have_their_turn_while_lines_are_parsed() -> None:
    body = lines_of([{"prices": [x + 0.25 for x in range(220)]}] * 3000)
    assert len(body) > 4_000_000

    async def count() -> int:
        turns, stop = 0, False

        async def run() -> None:
            nonlocal turns
            while not stop:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(run())
        windows = await _windows_of_lines(body)
        stop = True
        await task
        assert len(windows) == 3000
        return turns

    assert asyncio.run(count()) >= len(body) // 65_536
