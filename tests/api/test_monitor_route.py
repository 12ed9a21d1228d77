"""``/monitor``, and the id, the time and the memory of each request."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.middleware.route_templates import RouteTemplates
from closecast.infra.logging import JsonFormatter
from closecast.settings import Settings
from tests.conftest import settings_in

CALM = [round(200 + 0.3 * (i % 7), 2) for i in range(60)]


def test_the_recent_requests_come_with_time_duration_and_memory(client: TestClient) -> None:
    before = datetime.now(UTC)
    client.post("/predict", json={"prices": CALM}, headers={"x-request-id": "abc-1"})
    client.get("/train/nothing")
    after = datetime.now(UTC)
    answer = client.get("/monitor").json()
    missing, predicted = answer["recent"]
    assert (missing["method"], missing["route"], missing["status"]) == (
        "GET",
        "/train/{job_id}",
        404,
    )
    assert (predicted["request_id"], predicted["route"], predicted["status"]) == (
        "abc-1",
        "/predict",
        200,
    )
    assert before <= datetime.fromisoformat(predicted["time"]) <= after
    assert 0 < predicted["response_time_sec"] <= (after - before).total_seconds()
    assert 0 < predicted["memory_usage_percent"] <= 100


def test_it_tells_of_this_process_and_its_machine(client: TestClient) -> None:
    answer = client.get("/monitor").json()
    assert answer["process_id"] == os.getpid()
    assert answer["requests_in_flight"] == 1
    assert 0 < answer["memory_percent"] <= 100
    resident_mb = psutil.Process().memory_info().rss / 1e6
    assert answer["process_memory_mb"] == pytest.approx(resident_mb, rel=0.5)
    assert answer["disk_free_gb"] > 0


def test_quantiles_are_of_durations_that_were_measured(client: TestClient) -> None:
    recent = client.app.state.service.telemetry.recent  # type: ignore[attr-defined]
    client.get("/health/live")
    shape = recent.pop()
    for i in range(100):
        recent.append(shape._replace(duration_s=(i + 1) / 1000))
    assert client.get("/monitor").json()["response_times"] == {
        "n": 100,
        "p50_sec": 0.05,
        "p95_sec": 0.095,
        "p99_sec": 0.099,
    }


def test_before_any_request_there_are_no_quantiles(empty_client: TestClient) -> None:
    answer = empty_client.get("/monitor").json()
    assert answer["response_times"] == {"n": 0, "p50_sec": None, "p95_sec": None, "p99_sec": None}
    assert answer["recent"] == []


@pytest.mark.parametrize(("limit", "shown"), [(0, 0), (2, 2), (10_000, 3)])
def test_no_more_are_shown_than_asked_for_and_remembered(
    tmp_path: Path, limit: int, shown: int
) -> None:
    with TestClient(create_app(settings_in(tmp_path, recent_requests=3))) as client:
        for i in range(5):
            client.get("/health/live", headers={"x-request-id": f"r{i}"})
        answer = client.get(f"/monitor?limit={limit}").json()
    assert [r["request_id"] for r in answer["recent"]] == ["r4", "r3", "r2"][:shown]
    assert answer["response_times"]["n"] == 3


@pytest.mark.parametrize("limit", ["-1", "10001", "many"])
def test_a_limit_that_makes_no_sense_is_refused(client: TestClient, limit: str) -> None:
    answer = client.get(f"/monitor?limit={limit}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


# -- the envelope -------------------------------------------------------------------------------


def test_ids_that_are_made_differ_and_fit_the_rule(client: TestClient) -> None:
    made = [client.get("/health/live").headers["x-request-id"] for _ in range(50)]
    assert len(set(made)) == 50
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in made)


def test_every_line_that_is_logged_meanwhile_carries_the_id(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []

    class Sink(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    def look(*_: object) -> None:
        logging.getLogger("closecast.made").warning("deep inside")

    monkeypatch.setattr("closecast.database.jobs.Jobs.get", lambda *_: look() or 1 / 0)
    sink = Sink()
    sink.setFormatter(JsonFormatter())
    with caplog.at_level(logging.INFO):
        logging.getLogger().addHandler(sink)
        client.get("/train/abc", headers={"x-request-id": "abc-7"})
        logging.getLogger("closecast.made").warning("outside")
    found = {line["message"]: line for line in map(json.loads, lines)}
    assert found["deep inside"]["request_id"] == found["request"]["request_id"] == "abc-7"
    assert (found["request"]["status"], found["request"]["path"]) == (500, "/train/abc")
    assert "request_id" not in found["outside"]


def test_a_caller_who_hangs_up_is_no_error_of_the_service(client: TestClient) -> None:
    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def nobody(_: object) -> None:
        raise AssertionError("there is nobody to answer")

    telemetry = client.app.state.service.telemetry  # type: ignore[attr-defined]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [],
        "state": {"telemetry": telemetry},
    }
    client.portal.call(client.app, scope, gone, nobody)  # type: ignore[union-attr]
    assert (telemetry.recent[-1].status, telemetry.in_flight()) == (499, 0)


def test_an_application_that_was_not_started_counts_nothing(settings: Settings) -> None:
    assert TestClient(create_app(settings)).get("/nowhere").status_code == 404


def test_templates_are_known_before_the_application_looks() -> None:
    app = create_app(Settings(_env_file=None))  # type: ignore[call-arg]
    templates = RouteTemplates()
    templates.add(app.routes)
    assert templates.of("/docs") == "/docs"
    assert templates.of("/static-offline-docs/swagger-ui.css") == "/static-offline-docs"
    assert templates.of("/docs/nothing") == "unmatched"
    assert templates.of("") == "unmatched"
