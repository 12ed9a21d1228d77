"""``/predictions`` and ``/predictions.csv``: the log of answers, in pages and as a table."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from api.routes.prediction_log import CHUNK
from api.schemas.prediction_log import LoggedPrediction
from closecast.database import Database, PredictionRecord
from closecast.errors import StorageFailed
from closecast.settings import Settings

COLUMNS = tuple(LoggedPrediction.model_fields)
FIRST = datetime(2026, 1, 2, tzinfo=UTC)


def answered(i: int, **changes: Any) -> PredictionRecord:
    values: dict[str, Any] = {
        "at": FIRST + timedelta(minutes=i),
        "request_id": f"request-{i}",
        "symbol": "MSFT",
        "version": "v1",
        "last_close": 100.0,
        "predicted_price": 100.0 + i,
        "drift_warning": False,
        "findings": (),
        "duration_ms": 0.25,
        "memory_percent": 41.5,
    }
    return PredictionRecord(**{**values, **changes})


@pytest.fixture
def log(empty_client: TestClient, settings: Settings) -> Callable[..., None]:
    del empty_client  # the same ledger, as another process would write it
    database = Database(settings.ledger_url)

    def write(*rows: PredictionRecord) -> None:
        database.predictions.log(rows)

    return write


Log = Callable[..., None]


def table(client: TestClient, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/predictions.csv{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    reader = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert tuple(reader.fieldnames or ()) == COLUMNS
    return list(reader)


def listed(client: TestClient, query: str = "") -> dict[str, Any]:
    answer = client.get(f"/predictions{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_an_answer_of_predict_is_found_there(client: TestClient) -> None:
    prices = [round(200 + 0.3 * (i % 7), 2) for i in range(60)]
    said = client.post("/predict", json={"prices": prices}, headers={"x-request-id": "abc-1"})
    client.app.state.service.predictions.close()  # type: ignore[attr-defined]
    [found] = listed(client)["predictions"]
    [row] = table(client)
    assert found["request_id"] == row["request_id"] == "abc-1"
    assert found["predicted_price"] == float(row["predicted_price"])
    assert found["predicted_price"] == said.json()["predicted_price"]
    assert found["model_version"] == row["model_version"] == said.headers["x-model-version"]
    codes = [finding["code"] for finding in said.json()["drift_findings"]]
    assert found["drift_findings"] == row["drift_findings"].split() == codes
    assert found["response_time_sec"] > 0
    assert 0 < found["memory_usage_percent"] == float(row["memory_usage_percent"]) <= 100


def test_an_answer_without_a_measured_memory_has_none(empty_client: TestClient, log: Log) -> None:
    log(answered(0, memory_percent=None))
    assert listed(empty_client)["predictions"][0]["memory_usage_percent"] is None
    assert table(empty_client)[0]["memory_usage_percent"] == ""


def test_pages_follow_each_other_without_gap_or_repetition(
    empty_client: TestClient, log: Log
) -> None:
    log(*(answered(i) for i in range(25)))
    path, seen = "/predictions?limit=10&symbol=msft", []
    while path:
        page = empty_client.get(path).json()
        seen += [p["predicted_price"] for p in page["predictions"]]
        log(answered(100 + len(seen)))  # what is logged meanwhile moves no page
        path = page["next"]
    assert seen == [100.0 + i for i in range(25)][::-1]


def test_the_last_page_says_that_it_is(empty_client: TestClient, log: Log) -> None:
    assert listed(empty_client) == {"predictions": [], "next": None}
    log(*(answered(i) for i in range(10)))
    assert listed(empty_client, "?limit=10")["next"] is None
    assert listed(empty_client, "?limit=9")["next"] == "/predictions?limit=9&before_id=2"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?symbol=aapl", [1]),
        ("?version=v2", [2]),
        ("?symbol=MSFT&version=v2", [2]),
        ("?symbol=KO", []),
        (f"?from={quote('2026-01-02T00:02:00Z')}", [3, 2]),
        (f"?to={quote('2026-01-02T00:02:00Z')}", [1, 0]),
        (
            f"?from={quote('2026-01-02T01:01:00+01:00')}&to={quote('2026-01-02T01:02:00+01:00')}",
            [1],
        ),
    ],
)
def test_both_are_filtered_alike(
    empty_client: TestClient, log: Log, query: str, expected: list[int]
) -> None:
    log(answered(0), answered(1, symbol="AAPL"), answered(2, version="v2"), answered(3))
    prices = [100.0 + i for i in expected]
    found = listed(empty_client, query)["predictions"]
    assert [p["predicted_price"] for p in found] == prices
    assert [float(row["predicted_price"]) for row in table(empty_client, query)] == prices


def test_a_next_page_keeps_the_filters(empty_client: TestClient, log: Log) -> None:
    log(*(answered(i, symbol="AAPL" if i % 2 else "MSFT") for i in range(8)))
    query = f"?symbol=AAPL&from={quote('2026-01-02T00:02:00Z')}&limit=2"
    page = listed(empty_client, query)
    rest = empty_client.get(page["next"]).json()
    assert [p["predicted_price"] for p in page["predictions"]] == [107.0, 105.0]
    assert [p["predicted_price"] for p in rest["predictions"]] == [103.0]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=many", "symbol=", "symbol=%3D1%2B1", "version=%00", "version=a%20b"),
        *("from=yesterday", "from=2026-01-02T00:00:00", "from=0001-01-01T00:00:00%2B14:00"),
        *("to=9999-12-31T23:59:59-14:00", "limit=1000001"),
    ],
)
@pytest.mark.parametrize("path", ["/predictions", "/predictions.csv"])
def test_what_makes_no_sense_is_refused(empty_client: TestClient, path: str, query: str) -> None:
    answer = empty_client.get(f"{path}?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


# -- the table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(empty_client: TestClient, log: Log, text: str) -> None:
    log(answered(0, request_id=text, symbol=text, version=text))
    [row] = table(empty_client)
    assert {row["request_id"], row["symbol"], row["model_version"]} == {f"'{text}"}


def test_commas_quotes_and_lines_stay_inside_their_cells(
    empty_client: TestClient, log: Log
) -> None:
    log(answered(0, request_id='a,"b"\r\nc', findings=("spike", "trend"), drift_warning=True))
    [row] = table(empty_client)
    assert row["request_id"] == 'a,"b"\r\nc'
    assert (row["drift_warning"], row["drift_findings"]) == ("True", "spike trend")


def test_prices_are_rounded_in_the_table_and_whole_in_json(
    empty_client: TestClient, log: Log
) -> None:
    log(answered(0, predicted_price=0.1 + 0.2, last_close=1.23e-7 / 3, request_id=None))
    [row] = table(empty_client)
    assert (row["predicted_price"], row["last_close"]) == ("0.3", "4.1e-08")
    assert listed(empty_client)["predictions"][0]["predicted_price"] == 0.1 + 0.2
    assert row["request_id"] == ""
    assert datetime.fromisoformat(row["time"]) == FIRST


@pytest.mark.parametrize("limit", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 500, 10 * CHUNK])
def test_the_whole_log_comes_out_or_as_much_as_was_asked_for(
    empty_client: TestClient, log: Log, limit: int
) -> None:
    n = 2 * CHUNK + 500
    log(*(answered(i) for i in range(n)))
    rows = table(empty_client, f"?limit={limit}")
    expected = [100.0 + i for i in range(n)][::-1][:limit]
    assert [float(row["predicted_price"]) for row in rows] == expected


def test_an_export_holds_no_more_than_a_chunk_in_memory(settings: Settings) -> None:
    from api.routes.prediction_log import _lines
    from closecast.database import PredictionFilter, PredictionLog

    class Endless(PredictionLog):
        def __init__(self) -> None:
            self.asked: list[int] = []

        def page(
            self, wanted: PredictionFilter, limit: int, before_id: int | None = None
        ) -> list[tuple[int, PredictionRecord]]:
            self.asked.append(limit)
            top = 10**9 if before_id is None else before_id
            return [(top - i - 1, answered(0)) for i in range(limit)]

    def peak_of(rows: int) -> int:
        predictions = Endless()
        tracemalloc.start()
        first = predictions.page(PredictionFilter(), CHUNK)
        size = sum(len(text) for text in _lines(predictions, PredictionFilter(), rows, first))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > 50 * rows
        assert max(predictions.asked) <= CHUNK
        return peak

    peak_of(CHUNK)  # whatever is made once
    assert peak_of(8 * CHUNK) < 1.5 * peak_of(2 * CHUNK)


def test_a_ledger_that_is_away_is_a_problem_and_no_empty_table(
    empty_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageFailed("away")

    monkeypatch.setattr("closecast.database.prediction_log.PredictionLog.page", away)
    for path in ("/predictions", "/predictions.csv"):
        answer = empty_client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
        assert answer.headers["retry-after"]
