"""Calls of other systems, under the names of their members."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.core.records import Kind
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from tests.support.calibration_state import FakeCalibrations, live_state
from tests.support.local_client import LocalClient

WINDOW = [round(210 + 3 * (i % 5) - 0.7 * (i % 3), 2) for i in range(60)]
NOON = datetime(2022, 12, 29, 12, tzinfo=UTC)


@pytest.fixture
def dated(published: Settings) -> Iterator[LocalClient]:
    """The API on a Thursday before its session; the newest close is of Wednesday."""
    with LocalClient(create_app(published, clock=lambda: NOON)) as made:
        service = made.app.state.service  # type: ignore[attr-defined]
        service.forecasting.calibrations.state = FakeCalibrations(
            live_state("2022-12-28", 234.5)
        ).state
        yield made


def post(client: TestClient, path: str, body: object, status: int = 200) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


# -- a monitored prediction service: {"predict": [closes]} ------------------------------------


def test_closes_sent_as_predict_are_answered_with_time_and_memory(client: TestClient) -> None:
    ours = post(client, "/predict", {"prices": WINDOW})
    theirs = post(client, "/predict", {"predict": WINDOW})
    assert theirs["response_time_sec"] > 0
    assert 0 < theirs["memory_usage_percent"] <= 100
    assert theirs.keys() - ours.keys() == {"response_time_sec", "memory_usage_percent"}
    assert {name: theirs[name] for name in ours} == ours


@pytest.mark.parametrize(
    "beside",
    [
        {"symbol": "aapl"},
        {"symbol": "MSFT", "as_of": "2022-12-28"},
        {"levels": [0.9]},
        {"timing": True},
        {"volume": [1000] * 60},
    ],
    ids=lambda beside: "-".join(beside),
)
def test_all_other_members_may_stand_beside_it(client: TestClient, beside: dict[str, Any]) -> None:
    ours = post(client, "/predict", {"prices": WINDOW, **beside})
    theirs = post(client, "/predict", {"predict": WINDOW, **beside})
    assert (theirs["timing"] is None) == (ours["timing"] is None)
    assert theirs["path"] == ours["path"]
    assert theirs["symbol"] == ours["symbol"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"predict": WINDOW[:3]}, "/predict"),
        ({"predict": [*WINDOW[:-1], -1.0]}, "/predict/59"),
        ({"predict": [*WINDOW[:-1], "12"]}, "/predict/59"),
        ({"predict": WINDOW[-1]}, "/predict"),
        ({"predict": None}, "/predict"),
        ({"predict": WINDOW, "horizon": 3}, "/horizon"),
        ({"predict": WINDOW, "sessions": ["2022-12-28"]}, "/sessions"),
    ],
    ids=["short", "negative", "text", "number", "null", "unknown", "sessions"],
)
def test_its_errors_point_to_the_names_that_were_sent(
    client: TestClient, body: dict[str, Any], pointer: str
) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/predict", {"stock": "MSFT", "horizon": 3}, "there are: stock, levels"),
        ("/predict", {"predict": WINDOW, "sybol": "KO"}, "'symbol'? There are: predict, symbol"),
        ("/train", {"stok": "MSFT"}, "did you mean 'stock'?"),
        ("/train", {"stock": "KO", "symbols": ["KO"]}, "send either stock or symbols"),
        ("/train", {"hyperparameters": {"epochs": 3}}, "did you mean 'num_epochs'?"),
        ("/config", {"hyperparameters": {"epochs": 3}}, "did you mean 'num_epochs'?"),
    ],
)
def test_a_member_that_does_not_fit_is_answered_with_those_of_the_form_that_was_sent(
    client: TestClient, path: str, body: dict[str, Any], named: str
) -> None:
    assert named in post(client, path, body, 422)["detail"]


@pytest.mark.parametrize(
    "names",
    [("prices", "predict"), ("prices", "stock"), ("predict", "stock")],
    ids="-".join,
)
def test_names_that_mean_different_calls_are_refused(
    client: TestClient, names: tuple[str, ...]
) -> None:
    values = {"prices": WINDOW, "predict": WINDOW, "stock": "MSFT"}
    problem = post(client, "/predict", {name: values[name] for name in names}, 422)
    assert [item["pointer"] for item in problem["errors"]] == [f"/{name}" for name in names]
    assert "send one of" in problem["detail"]


@pytest.mark.parametrize("body", ["{}", "[]", "3", '{"symbol": "MSFT"}', '{"x": 1}'])
def test_a_body_without_their_names_is_refused_as_ever(client: TestClient, body: str) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "/predict" not in answer.json()["detail"].replace("POST /predict", "")


def test_a_broken_body_with_their_names_is_no_json(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    answer = client.post("/predict", content='{"predict": [1, 2', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("name", ["prices", "predict"])
@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400"])
def test_an_impossible_close_is_refused_at_its_place(
    client: TestClient, name: str, number: str
) -> None:
    text, headers = f'{{"{name}": [1, 2, {number}]}}', {"content-type": "application/json"}
    answer = client.post("/predict", content=text, headers=headers)
    assert answer.status_code == 422
    assert [item["pointer"] for item in answer.json()["errors"]] == [f"/{name}/2"]


# -- ten-day forecasts of a ticker: {"stock": "VALE3"} ----------------------------------------


@pytest.mark.parametrize("stock", ["MSFT", "msft", " MSFT "])
def test_a_stock_is_answered_with_the_prices_of_its_forecast(
    dated: LocalClient, stock: str
) -> None:
    forecast = dated.get("/forecast/MSFT").json()
    answer = dated.post("/predict", json={"stock": stock})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["preco"] == [row["price"] for row in forecast["path"]]
    assert len(found["preco"]) == 10
    assert {name: found[name] for name in forecast} == forecast
    assert answer.headers["x-model-version"] == forecast["model_version"]
    assert answer.headers["content-language"] == "en"


def test_its_intervals_have_the_levels_that_are_asked_for(dated: LocalClient) -> None:
    found = post(dated, "/predict", {"stock": "MSFT", "levels": [0.9]})
    assert [one["level"] for one in found["path"][0]["intervals"]] == [0.9]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"stock": "VALE3.SA"}, 404, "unknown_symbol"),
        ({"stock": ""}, 422, "invalid_request"),
        ({"stock": None}, 422, "invalid_request"),
        ({"stock": "a b?"}, 422, "invalid_symbol"),
        ({"stock": "MSFT", "inicio": "2015-01-01"}, 422, "invalid_request"),
        ({"stock": "MSFT", "levels": [0.2]}, 422, "invalid_levels"),
    ],
    ids=["unknown", "empty", "null", "no_symbol", "dates", "levels"],
)
def test_a_stock_that_cannot_be_answered_is_a_problem(
    dated: LocalClient, body: dict[str, Any], status: int, code: str
) -> None:
    assert post(dated, "/predict", body, status)["code"] == code


def test_a_stock_without_closes_here_is_503_and_never_a_202(published: Settings) -> None:
    for file in (published.data_dir / "calendars").iterdir():
        file.unlink()
    collecting = published.model_copy(update={"forecast_wait_s": 0.0})
    app = create_app(collecting, clock=lambda: NOON)
    with LocalClient(app, raise_server_exceptions=False) as client:
        service = app.state.service
        service.forecasting._refresh._has_worker = True
        assert client.get("/forecast/MSFT").status_code == 202
        for answer in (client.post("/predict", json={"stock": "MSFT"}), client.get(HOJE)):
            assert (answer.status_code, answer.json()["code"]) == (503, "not_collected")
            assert answer.headers["retry-after"]
            assert "GET /train/" in answer.json()["detail"]


# -- POST /train {"stock", "inicio", "fim"} ----------------------------------------------------


def test_a_stock_between_two_dates_is_trained_like_ours(client: TestClient) -> None:
    theirs = post(
        client, "/train", {"stock": "ko", "inicio": "2015-01-01", "fim": "2021-12-31"}, 202
    )
    ours = post(client, "/train", {"symbol": "KO", "start": "2015-01-01", "end": "2021-12-31"}, 202)
    assert theirs == ours
    assert theirs["symbol"] == "KO"
    assert (theirs["request"]["start"], theirs["request"]["end"]) == ("2015-01-01", "2021-12-31")
    assert theirs["id"] in theirs["message"]


def test_our_members_may_stand_beside_theirs(client: TestClient) -> None:
    body = {"stock": "KO", "start": "2015-01-01", "forecaster": "ewma", "source": "sample"}
    job = post(client, "/train", body, 202)
    assert job["request"]["forecaster"] == "ewma"
    assert job["request"]["start"] == "2015-01-01"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"inicio": "2015-01-01"}, ["/stock"]),
        ({"stock": "KO", "inicio": "01/01/2015"}, ["/inicio"]),
        ({"stock": "KO", "fim": 20241231}, ["/fim"]),
        ({"stock": "KO", "fim": "2024-13-31"}, ["/fim"]),
        ({"stock": "KO", "symbol": "KO"}, [""]),
        ({"stock": "KO", "inicio": "2015-01-01", "start": "2015-01-01"}, [""]),
        ({"stock": "KO", "symbols": ["KO", "MSFT"]}, [""]),
        ({"stock": "KO", "inicio": "2024-01-01", "fim": "2015-01-01"}, [""]),
        ({"stock": "KO", "epochs": 3}, ["/epochs"]),
        ({"stock": 7}, ["/stock"]),
    ],
    ids=str,
)
def test_a_training_that_does_not_fit_is_refused(
    client: TestClient, body: dict[str, Any], pointers: list[str]
) -> None:
    problem = post(client, "/train", body, 422)
    assert [item["pointer"] for item in problem["errors"]] == pointers


def test_the_same_key_repeats_a_training_under_either_name(client: TestClient) -> None:
    key = {"Idempotency-Key": "monday"}
    bodies: list[dict[str, str]] = [{"stock": "KO"}, {"symbol": "KO"}]
    jobs = [client.post("/train", json=body, headers=key).json()["id"] for body in bodies]
    assert jobs[0] == jobs[1]


# -- /fechamento -------------------------------------------------------------------------------

HOJE, PROXIMOS = "/fechamento/hoje", "/fechamento/proximos"


def test_the_close_of_today_is_the_next_session_of_the_default_symbol(dated: LocalClient) -> None:
    ours = dated.get("/forecast/MSFT/today").json()
    answer = dated.get(HOJE)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert {name: found[name] for name in ours} == ours
    assert (found["dia"], found["data"]) == ("D+0", "2022-12-29")
    assert found["preco"] == ours["today"]["price"]
    assert answer.headers["x-model-version"] == found["model_version"]


def test_the_next_closes_are_those_of_five_sessions(dated: LocalClient) -> None:
    path = dated.get("/forecast/MSFT").json()["path"]
    found = dated.get(PROXIMOS).json()
    assert found["hoje"]["data"] == "2022-12-29"
    assert [(row["dia"], row["data"]) for row in found["proximos"]] == [
        ("D+1", "2022-12-30"),
        ("D+2", "2023-01-03"),  # a week-end, and the new year was observed on the 2nd
        ("D+3", "2023-01-04"),
        ("D+4", "2023-01-05"),
        ("D+5", "2023-01-06"),
    ]
    assert [row["preco"] for row in found["proximos"]] == [row["price"] for row in path[1:6]]


def test_another_symbol_may_be_named_in_any_spelling(dated: LocalClient) -> None:
    for path in (HOJE, PROXIMOS):
        assert dated.get(f"{path}?symbol=aapl&levels=0.9").json()["symbol"] == "AAPL"
        assert dated.get(f"{path}?symbol=ACME").json()["code"] == "unknown_symbol"
        assert dated.get(f"{path}?levels=2").json()["code"] == "invalid_levels"


def test_fewer_sessions_are_answered_where_the_model_looks_less_far(dated: LocalClient) -> None:
    service = dated.app.state.service  # type: ignore[attr-defined]
    service.forecasting.calibrations.state = FakeCalibrations(live_state("2022-12-20", 230.0)).state
    found = dated.get(PROXIMOS).json()
    assert found["hoje"]["step"] == 6
    assert [row["step"] for row in found["proximos"]] == [7, 8, 9, 10]


def test_closes_too_old_for_today_are_a_problem(client: TestClient) -> None:
    for path in (HOJE, PROXIMOS):
        assert client.get(path).json()["code"] == "stale_prices"


def test_without_any_model_they_are_problems(empty_client: TestClient) -> None:
    for answer in (
        empty_client.get(HOJE),
        empty_client.get(PROXIMOS),
        empty_client.post("/predict", json={"predict": WINDOW}),
        empty_client.post(
            "/predict", json={"stock": empty_client.get("/").json()["default_symbol"]}
        ),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "no_model")


# -- who may call ------------------------------------------------------------------------------


def test_their_calls_need_the_scope_of_ours(published: Settings) -> None:
    reader = KeyStore(published.keys_path).create("reader", "read")
    with LocalClient(create_app(published), raise_server_exceptions=False) as client:
        key = {"X-API-Key": reader}
        for path in (HOJE, PROXIMOS):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=key).status_code != 403
        assert client.post("/predict", json={"predict": WINDOW}, headers=key).status_code == 200
        assert client.post("/predict", json={"predict": WINDOW}).status_code == 401
        assert client.post("/train", json={"stock": "KO"}, headers=key).status_code == 403


def test_our_own_calls_are_answered_without_their_members(client: TestClient) -> None:
    body = client.post("/predict", json={"prices": WINDOW}).json()
    assert not {"preco", "response_time_sec", "memory_usage_percent", "message"} & body.keys()


KINDS: tuple[Kind, ...] = ("live", "replay")


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_answers_them_at_its_clock(published: Settings, kind: Kind) -> None:
    with LocalClient(create_app(published, clock=lambda: NOON, kind=kind)) as client:
        assert client.get(HOJE).json()["kind"] == kind
