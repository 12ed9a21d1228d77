"""Parameters, members, paths and methods that are not there: each answer names what is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.main import create_app
from api.routes import ROUTERS
from tests.conftest import settings_in
from tests.support.local_client import LocalClient

CLOSES = [30 + 0.2 * day for day in range(60)]
OPERATIONS = sorted(
    (method, route.path)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods or ()
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with LocalClient(create_app(settings_in(tmp_path_factory.mktemp("empty")))) as made:
        yield made


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    return found


# -- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "template"), OPERATIONS)
def test_an_unknown_parameter_is_refused_on_every_route(
    empty: TestClient, method: str, template: str
) -> None:
    path = template.replace("{symbol}", "KO")
    found = problem(empty.request(method, f"{path}?unheard_of=3"), 422)
    assert f"{method} {template} has no parameter 'unheard_of'; it takes " in found["detail"]
    assert found["errors"][0]["pointer"] == "query:unheard_of"
    assert found["errors"][0]["code"] == "unknown_parameter"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("/forecast/KO?horzion=3", "did you mean 'horizon'? it takes format, horizon, levels"),
        ("/forecast/KO?Horizon=3", "did you mean 'horizon'?"),
        ("/predictions?fron=2026-01-01", "did you mean 'from'?"),
        ("/train?limt=2", "did you mean 'limit'?"),
        ("/forecast/KO?horizon=3&horizon=5", "horizon is there more than once"),
        ("/forecast/KO?horizon=3&horizon=3", "horizon is there more than once"),
        ("/forecast/KO?horizon=", "horizon is empty; give it a value or leave it out"),
        ("/forecasts?symbol=%20", "symbol is empty"),
        ("/forecast/KO?horizon", "horizon is empty"),
        ("/forecast/KO?=3", "has no parameter ''"),
        ("/train?" + "limit=3&" * 200, "more than 100 parameters"),
    ],
    ids=[
        *("misspelt", "in capitals", "another", "limit", "twice", "twice the same", "empty"),
        *("blank", "no value", "no name", "many"),
    ],
)
def test_a_query_that_would_be_passed_over_is_refused(
    empty: TestClient, query: str, named: str
) -> None:
    assert named in problem(empty.get(query), 422)["detail"]


def test_a_parameter_that_is_a_member_of_the_body_is_named_as_one(empty: TestClient) -> None:
    answer = empty.post("/predict?levels=0.9", json={"prices": CLOSES})
    assert "it is a member of the JSON body" in problem(answer, 422)["detail"]


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/metrics"])
@pytest.mark.parametrize("buster", ["_=1764547200", "uptime_kuma_cachebuster=0.5", "1764547200"])
def test_a_probe_may_carry_a_parameter_against_caches(
    empty: TestClient, path: str, buster: str
) -> None:
    assert empty.get(f"{path}?{buster}").status_code == 200


def test_elsewhere_it_may_not(empty: TestClient) -> None:
    problem(empty.get("/train?_=1764547200"), 422)


def test_a_secret_in_the_place_of_a_name_is_not_repeated(empty: TestClient) -> None:
    token = "closecast_" + "aB3-_" * 8
    assert token not in empty.get(f"/train?{token}").text


# -- members ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/predict", {"prices": CLOSES, "sybol": "KO"}, "did you mean 'symbol'? There are: prices"),
        ("/drift", {"windows": [{"price": CLOSES}]}, "did you mean 'prices'? There are: prices"),
        ("/predict/batch", {"windows": [{"prices": [1], "x": 1}]}, "there are: prices, symbol"),
        ("/predict/batch", {"window": []}, "did you mean 'windows'? There are: windows"),
        ("/train", {"symbls": ["KO"]}, "did you mean 'symbols'? There are: symbol"),
        ("/config", {"hyperparameter": {}}, "did you mean 'hyperparameters'?"),
        ("/model/rollback", {"reasons": "x"}, "did you mean 'reason'?"),
    ],
)
def test_an_unknown_member_names_the_nearest(
    empty: TestClient, path: str, body: dict[str, Any], named: str
) -> None:
    assert named in problem(empty.post(path, json=body), 422)["detail"]


def test_an_unknown_member_of_a_line_names_the_nearest(empty: TestClient) -> None:
    headers = {"content-type": "application/x-ndjson"}
    answer = empty.post("/predict/batch", content=b'{"pries": [1]}\n', headers=headers)
    assert "did you mean 'prices'? There are: prices, symbol" in problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        (
            "/train",
            {"start": "2020-01-02", "end": "2019-01-02"},
            "start 2020-01-02 is after end 2019-01-02",
        ),
        ("/train", {"start": "soon"}, "/start: it should be a date, written as YYYY-MM-DD"),
        (
            "/train",
            {"symbol": "KO", "symbols": ["KO"]},
            "symbol and symbols are both there: send one of them",
        ),
        ("/train", {"symbols": []}, "/symbols: it should have at least 1 symbol, not 0"),
        (
            "/predict",
            {"prices": [1] * 10_001},
            "/prices: it should have at most 10000 closes, not 10001",
        ),
        ("/predict", {}, "/prices: it is missing, and needed"),
        (
            "/predict",
            '{"prices": [1]}',
            "it should be a JSON object, and not one inside a text (JSON that was encoded twice)",
        ),
        (
            "/predict",
            {"prices": ["1"]},
            "/prices/0: Input should be a valid number, without",
        ),
        ("/prices/KO/accept", {"session": 7, "reason": "x"}, "/session: write it as YYYY-MM-DD"),
    ],
)
def test_a_sentence_has_its_place_its_unit_and_no_jargon(
    empty: TestClient, path: str, body: Any, detail: str
) -> None:
    found = problem(empty.post(path, json=body), 422)
    assert found["detail"].startswith(detail)
    for text in (found["detail"], *(item["detail"] for item in found["errors"])):
        assert not text.startswith(":")
        assert "Value error" not in text


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("/forecast/KO?format=xml", "query:format: Input should be 'json' or 'csv'"),
        ("/forecasts?kind=dead", "query:kind: Input should be 'live' or 'replay'"),
        ("/predictions?from=2026-01-02", "query:from: it should be a moment with its time zone"),
        ("/predictions?to=yesterday", "query:to: it should be a moment with its time zone"),
    ],
)
def test_a_value_of_a_parameter_is_refused_by_one_sentence(
    empty: TestClient, query: str, detail: str
) -> None:
    found = problem(empty.get(query), 422)
    assert found["detail"].startswith(detail)
    assert [item["pointer"] for item in found["errors"]] == [detail.rpartition(": ")[0]]


def test_a_bound_of_a_parameter_has_a_unit(empty: TestClient) -> None:
    assert problem(empty.get("/forecast/KO?horizon=0"), 422)["detail"].endswith("to 1 session")
    assert problem(empty.get("/train?limit=501"), 422)["detail"].endswith("to 500 rows")


# -- paths and methods --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "near"),
    [
        ("/health/", "/health"),
        ("/Health", "/health"),
        ("//health", "/health"),
        ("/v1/predictions", "/predictions"),
        ("/FORECAST/ko/", "/forecast/ko"),
        ("/forecast", "/forecast/{symbol}"),
        ("/forecast/BTC/USDT", "/forecast/BTC-USDT"),
        ("/predict/btch", "/predict/batch"),
        ("/healthz", "/health"),
    ],
)
def test_an_unknown_path_names_the_nearest(empty: TestClient, path: str, near: str) -> None:
    found = problem(empty.get(f"http://127.0.0.1:8000{path}"), 404)
    assert f"did you mean {near}?" in found["detail"]


@pytest.mark.parametrize("path", ["/xyzzy", "/" + "a" * 5000, "/%F0%9F%98%80"])
def test_a_path_that_resembles_none_is_answered_with_the_place_to_look(
    empty: TestClient, path: str
) -> None:
    assert problem(empty.get(path), 404)["detail"].endswith("/docs lists what there is")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", {"POST"}),
        ("PUT", "/config", {"GET", "POST"}),
        ("DELETE", "/train", {"GET", "POST"}),
        ("POST", "/forecast/KO", {"GET"}),
        ("PATCH", "/train/0123", {"GET", "DELETE"}),
    ],
)
def test_another_method_names_all_that_are_possible(
    empty: TestClient, method: str, path: str, allowed: set[str]
) -> None:
    answer = empty.request(method, path)
    found = problem(answer, 405)
    assert allowed <= set(answer.headers["allow"].split(", "))
    assert all(name in found["detail"] for name in allowed)


# -- content types ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""],
)
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/train", "/drift"])
def test_a_body_of_another_type_is_named(empty: TestClient, path: str, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    found = problem(empty.post(path, content=b"symbol=KO", headers=headers), 415)
    assert (kind or "sent without a type;") in found["detail"]
    assert "content-type: application/json" in found["detail"]


@pytest.mark.parametrize("accept", ["application/xml", "image/*", "text/csv;q=0", "nonsense"])
def test_an_accept_that_nothing_can_serve_is_answered_in_json(
    empty: TestClient, accept: str
) -> None:
    """RFC 9110, 12.5.1: an answer may be sent as if the header was not there."""
    answer = empty.get("/health", headers={"accept": accept})
    assert answer.headers["content-type"] == "application/json"
