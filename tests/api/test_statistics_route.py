"""``/statistics`` and ``/mlflow``: what the worker read from MLflow, and the way to more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.settings import Settings
from closecast.tracking.exported import experiments_path
from tests.conftest import settings_in

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def run(name: str) -> dict[str, Any]:
    return {
        "run_id": f"id-{name}",
        "name": name,
        "status": "FINISHED",
        "started_at": "2026-01-02T11:00:00.000+00:00",
        "ended_at": "2026-01-02T11:01:00.000+00:00",
        "duration_s": 60.0,
        "training_seconds": 50.0,
        "best_valid_loss": 0.25,
        "params": {"hidden_size": "64"},
        "tags": {"gate": "promoted"},
        "metrics": {"overall_mape": None},
        "steps": [{"step": 1, "mape": 1.25, "mae": 0.4, "mse": 0.25, "rmse": 0.5, "r2": 0.9}],
        "steps_with_history": [],
        "steps_as_trained": [],
        "curves": {"valid_loss": [[1, 0.5], [2, None]]},
    }


def write(settings: Settings, *names: str, at: str = "2026-01-02T11:30:00.000+00:00") -> None:
    experiments = [
        {"experiment_id": "1", "name": "closecast/MSFT", "runs": list(map(run, names))},
        {"experiment_id": "2", "name": "closecast/KO", "runs": []},
    ]
    content = {"written_at": at, "experiments": [{**e, "has_more": False} for e in experiments]}
    path = experiments_path(settings)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings, clock=lambda: NOW)) as made:
        yield made


def test_what_was_recorded_is_served_with_its_age(client: TestClient, settings: Settings) -> None:
    write(settings, "v1", "v0")
    answer = client.get("/statistics").json()
    assert (answer["age_s"], answer["written_at"]) == (1800.0, "2026-01-02T11:30:00Z")
    msft, ko = answer["experiments"]
    assert (msft["name"], msft["has_more"], ko["runs"]) == ("closecast/MSFT", False, [])
    shown = {**run("v1"), "started_at": "2026-01-02T11:00:00Z", "ended_at": "2026-01-02T11:01:00Z"}
    assert msft["runs"][0] == shown


def test_a_file_of_an_earlier_version_has_scores_that_are_not_known(
    client: TestClient, settings: Settings
) -> None:
    write(settings, "v0")
    path = experiments_path(settings)
    stored = json.loads(path.read_text())
    former = stored["experiments"][0]["runs"][0]
    del former["steps_as_trained"]
    former["steps"] = [{"step": 1, "mape": 1.25, "rmse": 0.5}]
    path.write_text(json.dumps(stored))
    [shown] = client.get("/statistics").json()["experiments"][0]["runs"]
    assert shown["steps_as_trained"] == []
    assert (shown["steps"][0]["rmse"], shown["steps"][0]["mse"]) == (0.5, None)


def test_one_experiment_and_some_of_its_runs(client: TestClient, settings: Settings) -> None:
    write(settings, "v2", "v1", "v0")
    answer = client.get("/statistics?experiment=closecast/MSFT&limit=2").json()
    [only] = answer["experiments"]
    assert [r["name"] for r in only["runs"]] == ["v2", "v1"]
    assert only["has_more"] is True
    assert client.get("/statistics?experiment=nothing").json()["experiments"] == []


PANEL = {"key": "AAPL+2.ba3658", "symbols": ["AAPL", "KO", "VALE3.SA"]}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("MSFT", {"closecast/MSFT"}),
        ("msft", {"closecast/MSFT"}),
        ("1", {"closecast/MSFT"}),
        ("closecast/KO", {"closecast/KO"}),
        ("KO", {"closecast/KO", "closecast/AAPL and 2 more"}),
        ("vale3", {"closecast/AAPL and 2 more"}),
        ("VALE3.SA", {"closecast/AAPL and 2 more"}),
        ("AAPL and 2 more", {"closecast/AAPL and 2 more"}),
        ("closecast/aapl and 2 more", {"closecast/AAPL and 2 more"}),
        ("AAPL+2.ba3658", {"closecast/AAPL and 2 more"}),
        ("closecast/AAPL+2.ba3658", {"closecast/AAPL and 2 more"}),
        ("ACME", set()),
    ],
)
def test_an_experiment_is_found_by_the_names_that_people_know(
    client: TestClient, settings: Settings, asked: str, found: set[str]
) -> None:
    write(settings, "v0")
    path = experiments_path(settings)
    stored = json.loads(path.read_text())
    panel = {"experiment_id": "3", "name": "closecast/AAPL and 2 more", "runs": []}
    stored["experiments"].append({**panel, **PANEL, "has_more": False})
    path.write_text(json.dumps(stored))
    answer = client.get("/statistics", params={"experiment": asked}).json()
    assert {one["name"] for one in answer["experiments"]} == found
    if "/" in asked:
        return
    by_path = client.get(f"/statistics/{asked}")
    if found:
        assert by_path.json()["experiments"] == answer["experiments"]
    else:
        assert (by_path.status_code, by_path.json()["code"]) == (404, "nothing_recorded")


def test_who_has_seen_it_is_told_so_until_it_is_renewed(
    client: TestClient, settings: Settings
) -> None:
    write(settings, "v0")
    first = client.get("/statistics")
    seen = {"if-none-match": first.headers["etag"]}
    again = client.get("/statistics", headers=seen)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get("/statistics?limit=1", headers=seen).status_code == 200
    write(settings, "v1", "v0")
    assert client.get("/statistics", headers=seen).status_code == 200


def test_before_anything_was_recorded_it_says_what_to_do(client: TestClient) -> None:
    answer = client.get("/statistics")
    assert (answer.status_code, answer.json()["code"]) == (404, "nothing_recorded")
    assert "closecast statistics" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"written_at": "2026-01-02T11:30:00", "experiments": []}',
        b'{"written_at": "2026-01-02T11:30:00Z", "experiments": [{"name": "no runs"}]}',
        b'{"written_at": NaN, "experiments": []}',
    ],
)
def test_a_damaged_file_is_a_problem_that_says_what_to_do(
    client: TestClient, settings: Settings, content: bytes
) -> None:
    write(settings)
    experiments_path(settings).write_bytes(content)
    answer = client.get("/statistics")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
    assert "closecast statistics" in answer.json()["detail"]


def test_a_folder_in_its_place_is_a_problem_too(client: TestClient, settings: Settings) -> None:
    experiments_path(settings).mkdir(parents=True)
    assert client.get("/statistics").status_code == 503


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "experiment=" + "x" * 501])
def test_what_makes_no_sense_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/statistics?{query}").status_code == 422


# -- the MLflow UI ------------------------------------------------------------------------------


def test_it_leads_to_the_mlflow_ui(tmp_path: Path) -> None:
    address = "https://mlflow.example/ui?a=b"
    with TestClient(create_app(settings_in(tmp_path, mlflow_ui_url=address))) as client:
        answer = client.get("/mlflow", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, address)


def test_where_no_ui_is_configured_it_says_how_to_start_one(tmp_path: Path) -> None:
    uri = "postgresql://ann:secret@db/mlflow"
    with TestClient(create_app(settings_in(tmp_path, mlflow_tracking_uri=uri))) as client:
        answer = client.get("/mlflow", follow_redirects=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_configured")
    assert "mlflow ui --backend-store-uri" in answer.json()["detail"]
    assert "secret" not in answer.text
