"""``/metrics``: what is counted, and that the document names all of it."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from api.main import create_app
from api.telemetry.gauges import CachedValue
from api.telemetry.requests import MOST_SERIES, Telemetry
from closecast.core.records import DatedForecast, DatedStep, Outcome
from closecast.database import Database, PredictionRecord
from closecast.errors import CalendarTooShort, StorageFailed
from closecast.registry.registry import Registry
from closecast.serving.dated import DatedForecastService, Freshness
from closecast.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"
CALM = [round(200 + 0.3 * (i % 7), 2) for i in range(60)]
SPLIT = [*CALM[:40], *(close / 2 for close in CALM[40:])]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(client: TestClient) -> dict[str, Any]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(client: TestClient, name: str, **labels: str) -> float | None:
    """The sum of a metric's samples with these labels; ``None`` if there is none."""
    found = [
        sample.value
        for family in families(client).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


def predict(client: TestClient, prices: list[float] = CALM) -> dict[str, Any]:
    answer = client.post("/predict", json={"prices": prices})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


# -- requests -----------------------------------------------------------------------------------


def test_requests_are_counted_by_method_route_status_and_version(client: TestClient) -> None:
    version = predict(client)["model_version"]
    predict(client)
    client.post("/predict", json={"prices": [1.0]})
    counted = {"method": "POST", "route": "/predict"}
    name = "closecast_requests_total"
    assert value(client, name, **counted, status="200", version=version) == 2
    assert value(client, name, **counted, status="422", version="") == 1
    assert value(client, "closecast_request_seconds_count", route="/predict", version=version) == 2
    total = value(client, "closecast_request_seconds_sum", route="/predict", version=version)
    assert total is not None
    assert total > 0


def test_a_path_is_no_label(client: TestClient) -> None:
    for path in ("/train/abc", "/train/def", "/performance/MSFT/plot.png", "/a", "/b", "/docs"):
        client.get(path)
    client.put("/config", json={})
    client.post("/predict", content=b"x" * 2_000_000)
    routes = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families(client)["closecast_requests"].samples
    }
    assert routes == {
        ("GET", "/train/{job_id}", "404"): 2,
        ("GET", "/performance/{symbol}/plot.png", "404"): 1,
        ("GET", "unmatched", "404"): 2,
        ("GET", "/docs", "200"): 1,
        ("PUT", "/config", "405"): 1,
        ("POST", "/predict", "413"): 1,
    }


def test_a_method_that_nobody_knows_is_one_label(client: TestClient) -> None:
    for method in ("BREW", "PROPFIND"):
        client.request(method, "/predict")
    assert value(client, "closecast_requests_total", method="other", status="405") == 2


def test_a_bug_counts_as_an_error_of_the_service(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.routes.model.canonical", lambda _: 1 / 0)
    monkeypatch.setattr("closecast.serving.model_manager.ModelManager.get", lambda *_: 1 / 0)
    assert client.get("/model").status_code == 500
    assert value(client, "closecast_requests_total", route="/model", status="500") == 1


def test_what_is_in_flight_is_counted_until_it_ends(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, free = threading.Event(), threading.Event()

    def wait(*_: object, **__: object) -> list[Any]:
        entered.set()
        assert free.wait(60)
        return []

    monkeypatch.setattr("closecast.database.jobs.Jobs.newest", wait)
    asking = threading.Thread(target=client.get, args=("/train",))
    asking.start()
    assert entered.wait(60)
    telemetry = client.app.state.service.telemetry  # type: ignore[attr-defined]
    assert telemetry.in_flight() == 1
    free.set()
    asking.join()
    monkeypatch.undo()
    assert value(client, "closecast_requests_in_flight", route="/train") == 0
    assert value(client, "closecast_requests_in_flight", route="/metrics") == 1


def test_however_many_versions_there_were_the_series_are_bounded(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, recent_requests=0)
    for i in range(MOST_SERIES + 50):
        telemetry.begin("/predict")
        telemetry.end(0.0, "id", "POST", "/predict", 200, 0.001, f"v{i}")
    [*series] = text_string_to_metric_families(telemetry.exposition().decode())
    [requests] = [family for family in series if family.name == "closecast_requests"]
    assert len(requests.samples) == MOST_SERIES + 1
    assert [s.value for s in requests.samples if s.labels["version"] == "other"] == [50]


def test_predictions_of_however_many_versions_are_bounded(tmp_path: Path) -> None:
    telemetry = Telemetry(tmp_path, recent_requests=0)
    now = datetime.now(UTC)
    for i in range(MOST_SERIES + 50):
        record = PredictionRecord(now, None, "MSFT", f"v{i}", 1.0, 1.0, False, (), 1.0)
        telemetry.predicted(record, "MSFT")
    [*series] = text_string_to_metric_families(telemetry.exposition().decode())
    [counted] = [family for family in series if family.name == "closecast_predictions"]
    assert len(counted.samples) == MOST_SERIES + 1
    assert [s.value for s in counted.samples if s.labels["version"] == "other"] == [50]


def test_applications_of_one_process_count_apart(published: Settings) -> None:
    with TestClient(create_app(published)) as one, TestClient(create_app(published)) as other:
        predict(one)
        assert value(one, "closecast_predictions_total") == 1
        assert value(other, "closecast_predictions_total") is None


# -- predictions --------------------------------------------------------------------------------


def test_answers_and_findings_are_counted_by_symbol(client: TestClient) -> None:
    predict(client)
    answer = predict(client, SPLIT)
    codes = [finding["code"] for finding in answer["drift_findings"]]
    assert "split" in codes
    about = {"symbol": "MSFT", "version": answer["model_version"]}
    name = "closecast_predictions_total"
    assert value(client, name, **about, drift_warning="true") == 1 + bool(
        value(client, name, **about, drift_warning="false") is None
    )
    assert value(client, "closecast_drift_findings_total", symbol="MSFT", code="split") == 1


def test_what_the_log_writes_and_loses_is_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(client)
    service = client.app.state.service  # type: ignore[attr-defined]
    service.predictions.close()
    predict(client)  # nobody writes any more
    assert value(client, "closecast_predictions_logged_total") == 1
    assert value(client, "closecast_predictions_dropped_total") == 1
    assert value(client, "closecast_predictions_waiting") == 0
    predict(client)
    assert value(client, "closecast_predictions_dropped_total") == 2


# -- gauges -------------------------------------------------------------------------------------


def test_models_and_closes_have_ages(published: Settings) -> None:
    now = datetime(2022, 12, 30, 12, tzinfo=UTC)
    with TestClient(create_app(published, clock=lambda: now)) as client:
        registry = Registry(published.models_url)
        for symbol in ("AAPL", "MSFT"):
            pointer = registry.pointer(symbol)
            assert pointer is not None
            made = registry.manifest(pointer.version)
            info = {"symbol": symbol, "version": pointer.version}
            assert value(client, "closecast_model_info", **info) == 1
            age = value(client, "closecast_model_age_seconds", symbol=symbol)
            assert age == pytest.approx((now - made.created_at).total_seconds())
        assert value(client, "closecast_data_age_sessions", symbol="MSFT") == 1
        bell = datetime(2022, 12, 28, 21, tzinfo=UTC)
        expected_s = (now - bell).total_seconds()
        assert value(client, "closecast_data_age_seconds", symbol="MSFT") == expected_s


@pytest.mark.parametrize("damaged", ["pointer", "manifest"])
def test_a_damaged_model_of_one_symbol_hides_nobody_else_s_metrics(
    published: Settings, damaged: str
) -> None:
    now = datetime(2022, 12, 30, 12, tzinfo=UTC)
    with TestClient(create_app(published, clock=lambda: now)) as client:
        registry = Registry(published.models_url)
        pointer = registry.pointer("MSFT")
        assert pointer is not None
        place = "current/MSFT.json" if damaged == "pointer" else f"bundles/{pointer.version}"
        file = Path(published.models_url) / place
        (file if damaged == "pointer" else file / "manifest.json").write_text("{}")
        assert value(client, "closecast_model_age_seconds", symbol="MSFT") is None
        assert value(client, "closecast_model_age_seconds", symbol="AAPL") is not None
        assert value(client, "closecast_data_age_sessions", symbol="AAPL") is not None
        assert value(client, "closecast_scrape_errors_total", part="models") == 1


def test_what_was_refused_is_told_without_the_models(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "symbols", lambda _: 1 / 0)
    assert value(client, "closecast_models_refused") == 0
    assert value(client, "closecast_model_info") is None


def test_a_calendar_that_is_too_short_hides_no_other_symbol(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = DatedForecastService.freshness

    def freshness(self: DatedForecastService, symbol: str) -> Freshness | None:
        if symbol == "AAPL":
            raise CalendarTooShort("it ends")
        return original(self, symbol)

    monkeypatch.setattr(DatedForecastService, "freshness", freshness)
    now = datetime(2022, 12, 30, 12, tzinfo=UTC)
    with TestClient(create_app(published, clock=lambda: now)) as client:
        assert value(client, "closecast_data_age_sessions", symbol="MSFT") == 1
        assert value(client, "closecast_data_age_sessions", symbol="AAPL") is None
        assert value(client, "closecast_scrape_errors_total", part="closes") == 1


def test_live_skill_and_coverage_come_from_the_ledger(published: Settings) -> None:
    now = datetime(2022, 12, 30, 12, tzinfo=UTC)
    database = Database(published.ledger_url)
    for i, (error, naive) in enumerate([(0.01, 0.02), (-0.02, 0.02), (0.0, -0.02)]):
        score(database, now - timedelta(days=9 - i), error, naive, hits=i > 0)
    score(database, now - timedelta(days=800), 0.5, 0.01, hits=False)  # too long ago to count
    database.close()
    with TestClient(create_app(published, clock=lambda: now)) as client:
        assert value(client, "closecast_live_scored", symbol="MSFT") == 3
        assert value(client, "closecast_live_relative_mae", symbol="MSFT") == pytest.approx(0.5)
        assert value(client, "closecast_live_crps", symbol="MSFT") == pytest.approx(0.003)
        coverage = value(client, "closecast_live_coverage_ratio", symbol="MSFT", level="0.8")
        assert coverage == pytest.approx(2 / 3)
        assert value(client, "closecast_live_scored", symbol="AAPL") is None


def score(database: Database, when: datetime, error: float, naive: float, *, hits: bool) -> None:
    origin = when.date()
    session = origin + timedelta(days=1)
    forecast = DatedForecast(
        kind="live",
        symbol="MSFT",
        version="20260102T030405Z-0a1b2c3d",
        revision=1,
        forecaster="ewma",
        origin=origin,
        origin_close=100.0,
        basis="adjusted",
        source="sample",
        issued_at=when,
        steps=(DatedStep(1, session, 100.0, (0.0,) * 41),),
    )
    outcome = Outcome(100.0, 0.0, error, naive, (hits,) * 5, 0.003, 0.5, when)
    assert database.forecasts.score([(database.forecasts.commit(forecast), 1, outcome)]) == 1


def test_a_running_training_shows_how_far_it_is(client: TestClient) -> None:
    jobs = client.app.state.service.database.jobs  # type: ignore[attr-defined]
    assert value(client, "closecast_last_training_succeeded") is None
    failed, _ = jobs.submit("train", "AAPL", {})
    jobs.claim("here")
    jobs.finish(failed.id, "here", "failed", reason="no")
    job, _ = jobs.submit("train", "MSFT", {})
    jobs.submit("update", "MSFT", {})
    jobs.claim("here")
    jobs.heartbeat(job.id, "here", {"percent": 37.5})
    assert value(client, "closecast_training_progress_ratio", symbol="MSFT") == 0.375
    assert value(client, "closecast_jobs", task="train", queue="train", state="running") == 1
    assert value(client, "closecast_jobs", task="train", queue="train", state="queued") == 0
    assert value(client, "closecast_jobs", task="update", queue="fast", state="queued") == 1
    assert value(client, "closecast_last_training_succeeded") == 0


def test_a_ledger_that_is_away_fails_no_scrape_and_is_counted(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert value(client, "closecast_ledger_up") == 1

    def away(*_: object, **__: object) -> None:
        raise StorageFailed("away")

    monkeypatch.setattr("closecast.database.engine.Engine.transaction", away)
    predict(client)
    assert value(client, "closecast_ledger_up") == 0
    assert value(client, "closecast_scrape_errors_total", part="jobs") == 2
    assert value(client, "closecast_requests_total", route="/predict", status="200") == 1


def test_what_is_slow_to_look_up_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("api.telemetry.gauges.time.monotonic", lambda: now[0])
    looked: list[float] = []

    def look() -> int:
        looked.append(now[0])
        now[0] += 3 if len(looked) == 2 else 0  # the second look takes three seconds
        return len(looked)

    kept = CachedValue(look)
    assert (kept.get(), kept.get()) == (1, 1)
    now[0] = 131.0
    assert kept.get() == 2
    now[0] += 149  # a fiftieth of the time may be spent on looking
    assert kept.get() == 2
    now[0] += 2
    assert kept.get() == 3


def test_a_failed_look_is_tried_again_at_once() -> None:
    answers: list[Any] = [ZeroDivisionError(), [1]]

    def look() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kept = CachedValue(look)
    with pytest.raises(ZeroDivisionError):
        kept.get()
    assert kept.get() == [1]


def test_a_process_that_cannot_be_measured_fails_no_scrape(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.telemetry.machine.psutil.virtual_memory", lambda: 1 / 0)
    assert value(client, "closecast_scrape_errors_total", part="process") == 1


# -- the document -------------------------------------------------------------------------------


def test_the_document_lists_exactly_what_is_exposed(client: TestClient) -> None:
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in families(client).values()
    }
    documented = re.findall(r"^\| `(closecast_\w+)", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(exposed)


def test_the_document_names_the_labels(client: TestClient) -> None:
    predict(client, SPLIT)
    told = DOCUMENT.read_text()
    for family in families(client).values():
        for sample in family.samples:
            name = f"{family.name}_total" if family.type == "counter" else family.name
            [row] = re.findall(rf"^\| `{name}` \|.*$", told, re.MULTILINE)
            assert set(re.findall(r"`(\w+)`", row.split(" | ")[2])) == {*sample.labels} - {"le"}
