"""Answers as CSV: chosen by the query or the header, read by pandas and by Python's reader."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from api.main import create_app
from api.services.csv_tables import csv_headers, csv_text, row_of
from closecast.core.records import Outcome
from closecast.settings import Settings
from tests.support.calibration_state import FakeCalibrations, live_state
from tests.support.local_client import LocalClient

TABLES = (
    *("/prices/MSFT", "/forecast/MSFT", "/forecast/MSFT/today", "/forecasts"),
    *("/performance/MSFT", "/predictions", "/fechamento/hoje", "/fechamento/proximos"),
)


@pytest.fixture
def dated(published: Settings) -> Iterator[LocalClient]:
    """The API on the day after the newest close."""
    noon = datetime(2022, 12, 29, 12, tzinfo=UTC)
    with LocalClient(create_app(published, clock=lambda: noon)) as made:
        service = made.app.state.service  # type: ignore[attr-defined]
        state = live_state("2022-12-28", 100 / 3)
        service.forecasting.calibrations.state = FakeCalibrations(state).state
        yield made


def read(client: TestClient, path: str) -> list[dict[str, str]]:
    """Rows of a table, by Python's own reader."""
    answer = client.get(path, headers={"accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text, newline=""), strict=True))


@pytest.mark.parametrize("path", TABLES)
def test_every_table_is_chosen_by_query_and_header(dated: LocalClient, path: str) -> None:
    dated.get("/forecast/MSFT")
    by_header = dated.get(path, headers={"accept": "text/csv"})
    by_query = dated.get(f"{path}?format=csv", headers={"accept": "application/json"})
    assert by_header.text == by_query.text
    for answer in (by_header, by_query):
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].startswith('attachment; filename="')
        assert answer.text.endswith("\r\n")
        assert "\n" not in answer.text.replace("\r\n", "")
    for answer in (by_header, by_query, dated.get(path)):
        assert "Accept" in answer.headers["vary"].split(", ")
    assert dated.get(f"{path}?format=json", headers={"accept": "text/csv"}).json()


@pytest.mark.parametrize(
    ("accept", "table"),
    [
        ("text/csv", True),
        ("TEXT/CSV", True),
        ("text/csv;q=0.9, application/json;q=0.8", True),
        ("application/json, text/csv", False),
        ("text/csv;q=0.8, application/json", False),
        ("text/csv, */*;q=0.1", True),
        ("*/*", False),
        ("text/*", True),
        ("text/csv;q=0, text/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/csv;q=high", False),
        ("text/csv; header=present", True),
        ("", False),
    ],
)
def test_weights_of_the_header_count(dated: LocalClient, accept: str, table: bool) -> None:
    answer = dated.get("/prices/MSFT", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/csv") == table


def test_closes_are_those_of_the_json_answer(client: TestClient) -> None:
    newest = client.get("/prices/MSFT?limit=300").json()["newest"]
    rows = read(client, "/prices/MSFT?limit=300")
    assert [row["session"] for row in rows] == [one["session"] for one in newest]
    assert [float(row["close"]) for row in rows] == pytest.approx(
        [one["close"] for one in newest], rel=1e-5
    )
    assert list(rows[0]) == ["symbol", "basis", "session", "close", "change", "held", "accepted"]
    assert {row["symbol"] for row in rows} == {"MSFT"}


def test_pandas_reads_dates_numbers_and_truth(client: TestClient) -> None:
    text = client.get("/prices/MSFT?format=csv&limit=20000").text
    frame = pd.read_csv(io.StringIO(text), parse_dates=["session"])
    assert len(frame) == client.get("/prices/MSFT").json()["sessions"]
    assert frame["close"].dtype == float
    assert frame["held"].dtype == bool
    assert frame["session"].is_monotonic_decreasing
    assert frame["change"].isna().sum() == 1  # the first close has none before


def test_a_forecast_is_a_row_per_session_with_rounded_prices(dated: LocalClient) -> None:
    answer = dated.get("/forecast/MSFT?levels=0.5,0.9").json()
    rows = read(dated, "/forecast/MSFT?levels=0.5,0.9")
    assert [row["session"] for row in rows] == [row["session"] for row in answer["path"]]
    first = rows[0]
    assert first["naive_price"] == "33.3333"
    assert answer["path"][0]["naive_price"] == 100 / 3
    assert first["closes_at"] == answer["path"][0]["closes_at"]
    assert {row["forecast_id"] for row in rows} == {answer["forecast_id"]}
    lower = answer["path"][0]["intervals"][1]["lower"]
    assert float(first["intervals_0.9_lower"]) == pytest.approx(lower, rel=1e-5)
    assert len(first["intervals_0.9_lower"]) <= 8
    assert float(first["path_band_level"]) == answer["path"][0]["path_band"]["level"]


def test_headers_of_the_model_stay(dated: LocalClient) -> None:
    for path in ("/forecast/MSFT", "/performance/MSFT", "/fechamento/hoje"):
        plain, table = dated.get(path), dated.get(f"{path}?format=csv")
        assert table.headers["x-model-version"] == plain.headers["x-model-version"]
    assert "Accept-Language" in dated.get("/forecast/MSFT?format=csv").headers["vary"]


def test_outcomes_stand_beside_the_steps_that_have_them(dated: LocalClient) -> None:
    identifier = dated.get("/forecast/MSFT").json()["forecast_id"]
    before = read(dated, f"/forecasts/{identifier}")
    assert {row["outcome_actual"] for row in before} == {""}
    outcome = Outcome(
        actual=34.123456,
        log_return=0.02,
        error=0.02,
        naive_error=0.02,
        hits=(False, True, True, True, True),
        crps=0.01,
        pit=0.7,
        scored_at=datetime(2022, 12, 29, 22, tzinfo=UTC),
    )
    service = dated.app.state.service  # type: ignore[attr-defined]
    service.database.forecasts.score([(identifier, 1, outcome)])
    first, second, *_ = read(dated, "/forecasts")
    assert (first["outcome_actual"], first["outcome_hits_0.9"]) == ("34.1235", "True")
    assert first["outcome_scored_at"] == "2022-12-29T22:00:00Z"
    assert (second["outcome_actual"], second["outcome_hits_0.9"]) == ("", "")
    assert [row["step"] for row in before] == [str(step) for step in range(1, 11)]
    assert "quantiles_0.050" in before[0]
    overall, one_step = read(dated, "/performance/MSFT")
    assert (overall["step"], one_step["step"], one_step["n"]) == ("", "1", "1")
    assert one_step["coverage_0.9_observed_value"] == "1.0"


def test_an_empty_table_has_its_header(empty_client: TestClient) -> None:
    for path in ("/forecasts", "/predictions"):
        answer = empty_client.get(f"{path}?format=csv")
        assert answer.status_code == 200
        assert answer.text.count("\r\n") == 1
        assert "price" in answer.text


def test_an_empty_table_repeats_the_columns_of_its_answer(client: TestClient) -> None:
    for path, about in (("/forecasts", "forecast_id,kind,symbol"), ("/performance/MSFT", "symbol")):
        table = client.get(f"{path}?format=csv").text
        assert table.startswith(f"{about},"), table
        assert table.count("\r\n") == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/prices/ACME?format=csv", 404),
        ("/prices/MSFT?format=xlsx", 422),
        ("/prices/MSFT?format=CSV", 422),
        ("/forecast/MSFT?format=csv&horizon=99", 422),
        ("/forecast/MSFT/today?format=csv", 409),
        ("/forecasts/none?format=csv", 404),
        ("/predictions?format=csv&limit=0", 422),
    ],
)
def test_errors_stay_problem_documents(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path, headers={"accept": "text/csv"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_pages_of_the_log_follow_each_other_as_tables(client: TestClient) -> None:
    window = [round(200 + 0.3 * (i % 7), 2) for i in range(60)]
    for _ in range(5):
        assert client.post("/predict", json={"prices": window}).status_code == 200
    client.app.state.service.predictions.close()  # type: ignore[attr-defined]
    path, seen = "/predictions?format=csv&limit=2", []
    while path:
        answer = client.get(path)
        seen += [row["id"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))]
        link = answer.headers.get("link", "")
        assert link.endswith('>; rel="next"') or not link
        path = link.partition(">")[0].removeprefix("<")
    assert seen == ["5", "4", "3", "2", "1"]


# -- cells ----------------------------------------------------------------------------------------


class Inner(BaseModel):
    value: float | None
    text: str = "-1"


class Level(BaseModel):
    level: float
    lower: float


class Made(BaseModel):
    text: str
    inner: Inner | None
    bands: list[Level] = []
    words: list[str] = []
    hits: dict[str, bool] | None = None


def made(**values: Any) -> dict[str, object]:
    return row_of(Made(**{"text": "a", "inner": None, **values}))


def test_nested_members_have_columns_of_their_own() -> None:
    row = made(inner=Inner(value=1.5), bands=[Level(level=0.8, lower=2)], hits={"0.9": True})
    assert row == {
        "text": "a",
        "inner_value": 1.5,
        "inner_text": "'-1",
        "bands_0.8_lower": 2.0,
        "words": "",
        "hits_0.9": True,
    }
    assert list(made()) == ["text", "inner_value", "inner_text", "words"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert made(text=text, words=[text])["text"] == f"'{text}"
    assert made(words=[text])["words"] == f"'{text}"


def test_negative_numbers_stay_numbers() -> None:
    assert csv_text(["a"], [{"a": -1.5}]) == "-1.5\r\n"


def test_commas_quotes_and_lines_stay_inside_their_cells() -> None:
    text = csv_text(["a", "b"], [{"a": 'x,"y"\r\nz', "b": ""}])
    assert list(csv.reader(io.StringIO(text, newline=""))) == [['x,"y"\r\nz', ""]]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("VALE3.SA", "prices-VALE3.SA.csv"),
        ("^BVSP", "prices-BVSP.csv"),
        ("EURUSD=X", "prices-EURUSD-X.csv"),
        ('x";\r\ny', "prices-x-y.csv"),
        ("..", "prices.csv"),
    ],
    ids=["suffix", "index", "pair", "header", "dots"],
)
def test_names_of_files_are_safe_in_a_header(symbol: str, name: str) -> None:
    assert csv_headers("prices", symbol)["Content-Disposition"] == f'attachment; filename="{name}"'
