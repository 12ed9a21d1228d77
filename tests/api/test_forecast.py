"""``/forecast``, ``/performance`` and ``/`` as a caller sees them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.core.records import SCORED_PROBABILITIES, HeldCloses, Kind, Outcome
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache
from tests.support.calibration_state import FakeCalibrations, live_state
from tests.support.local_client import LocalClient
from tests.support.logged_predictions import newest_predictions

ORIGIN, CLOSE = "2022-12-28", 234.53


class Service:
    """The API over trained models, a made calibration and a clock to set."""

    def __init__(self, settings: Settings, kind: Kind = "live") -> None:
        self.now = datetime(2022, 12, 28, 23, tzinfo=UTC)
        self.calibrations = FakeCalibrations(live_state(ORIGIN, CLOSE))
        self.app = create_app(settings, clock=lambda: self.now, kind=kind)
        self.http = LocalClient(self.app, raise_server_exceptions=False)

    def __enter__(self) -> Service:
        self.http.__enter__()
        self.parts = self.app.state.service
        self.parts.forecasting.calibrations.state = self.calibrations.state
        return self

    def __exit__(self, *ended: object) -> None:
        self.http.__exit__(*ended)

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        answer = self.http.get(path, headers=headers)
        assert answer.status_code == status, answer.text
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
        return answer.json()


@pytest.fixture
def service(published: Settings) -> Iterator[Service]:
    with Service(published) as made:
        yield made


def test_a_forecast_has_one_row_per_session(service: Service) -> None:
    answer = service.get("/forecast/MSFT")
    assert (answer["origin"], answer["last_close"]) == (ORIGIN, CLOSE)
    assert (answer["age"], answer["stale"]) == (0, False)
    assert answer["exchange"] == "XNYS"
    assert [row["session"] for row in answer["path"][:4]] == [
        *("2022-12-29", "2022-12-30"),
        *("2023-01-03", "2023-01-04"),  # the new year was observed on the 2nd
    ]
    assert len(answer["path"]) == 10
    first = answer["path"][0]
    assert first["closes_at"] == "2022-12-29T21:00:00Z"
    assert [i["level"] for i in first["intervals"]] == [0.8, 0.95]
    assert first["naive_price"] == CLOSE
    assert first["path_band"]["lower"] < first["intervals"][1]["lower"]


def test_a_published_model_answers_from_the_end_of_its_data(published: Settings) -> None:
    app = create_app(published, clock=lambda: datetime(2022, 12, 29, 12, tzinfo=UTC))
    with LocalClient(app) as client:
        for symbol in ("MSFT", "AAPL"):
            answer = client.get(f"/forecast/{symbol}?levels=0.5,0.99").json()
            closes = app.state.service.models.closes.of(symbol)
            assert (answer["origin"], answer["age"]) == (closes.span[1], 0)
            assert answer["last_close"] == closes.closes[-1]
            today = client.get(f"/forecast/{symbol}/today").json()
            assert today["forecast_id"] == answer["forecast_id"]
            assert today["today"]["session"] == "2022-12-29"


def test_headers_name_version_and_revision(service: Service) -> None:
    for path in ("/forecast/MSFT", "/forecast/MSFT/today"):
        answer = service.http.get(path)
        assert answer.headers["x-model-version"] == answer.json()["model_version"]
        assert answer.headers["x-calibration-revision"] == "400"


def test_any_spelling_of_a_symbol_and_its_own_model(service: Service) -> None:
    assert service.get("/forecast/aapl")["symbol"] == "AAPL"
    both = {service.get(f"/forecast/{s}")["model_version"] for s in ("MSFT", "AAPL")}
    assert len(both) == 2


def test_horizon_and_levels_are_what_was_asked_for(service: Service) -> None:
    path = service.get("/forecast/MSFT?horizon=2&levels=.9,%200.50,0.90")["path"]
    assert len(path) == 2
    assert [i["level"] for i in path[0]["intervals"]] == [0.5, 0.9]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("levels=abc", "invalid_levels"),
        ("levels=", "invalid_request"),
        ("levels=0.8,,0.9", "invalid_levels"),
        ("levels=80", "invalid_levels"),
        ("levels=nan", "invalid_levels"),
        ("levels=inf", "invalid_levels"),
        ("levels=1e-1", "invalid_levels"),
        ("levels=-0.8", "invalid_levels"),
        ("levels=0.49", "invalid_levels"),
        ("levels=0.995", "invalid_levels"),
        ("levels=٠.٨", "invalid_levels"),
        ("levels=0.8;0.9", "invalid_levels"),
        ("levels=0.8%00", "invalid_levels"),
        (f"levels={','.join(f'0.{i}' for i in range(51, 62))}", "invalid_levels"),
        (f"levels={'0.8,' * 60}0.8", "invalid_request"),
        ("horizon=0", "invalid_request"),
        ("horizon=-1", "invalid_request"),
        ("horizon=1e9", "invalid_request"),
        ("horizon=1.5", "invalid_request"),
        ("horizon=x", "invalid_request"),
        ("horizon=11", "beyond_horizon"),
        ("horizon=1000000000", "beyond_horizon"),
        (f"horizon={10**400}", "beyond_horizon"),
    ],
)
def test_what_does_not_fit_is_a_422_problem(service: Service, query: str, code: str) -> None:
    assert service.get(f"/forecast/MSFT?{query}", 422)["code"] == code


@pytest.mark.parametrize(
    ("symbol", "status"),
    [
        ("%2e%2e%2fx", 404),  # no such route
        ("..%5Cx", 422),
        ("%CE%9CSFT", 422),  # a Greek capital mu
        ("%F0%9F%93%88", 422),
        ("MS%00FT", 422),
        ("x" * 33, 422),
        ("%20", 422),
        ("MSFT.ZZ", 404),
    ],
)
@pytest.mark.parametrize(
    "path", ["/forecast/{}", "/forecast/{}/today", "/performance/{}", "/performance/{}/plot.png"]
)
def test_a_symbol_that_is_none_leads_nowhere(
    service: Service, path: str, symbol: str, status: int
) -> None:
    service.get(path.format(symbol), status)


@pytest.mark.parametrize("path", ["/", "/forecast/MSFT", "/forecasts/x", "/performance/MSFT"])
def test_other_methods_are_problems(service: Service, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = service.http.request(method, path)
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"


def test_today_is_the_session_that_closes_next(service: Service) -> None:
    answer = service.get("/forecast/MSFT/today?levels=0.9")
    assert answer["today"]["session"] == "2022-12-29"
    assert answer["today"]["step"] == 1
    assert [i["level"] for i in answer["today"]["intervals"]] == [0.9]
    service.now = datetime(2022, 12, 30, 21, tzinfo=UTC)
    later = service.get("/forecast/MSFT/today")
    assert (later["today"]["session"], later["today"]["step"]) == ("2023-01-03", 3)
    assert (later["age"], later["stale"]) == (1, True)


def test_today_of_old_closes_is_a_409_that_says_how_old_and_what_to_do(service: Service) -> None:
    service.now = datetime(2023, 6, 1, tzinfo=UTC)
    problem = service.get("/forecast/MSFT/today", 409)
    assert problem["code"] == "stale_prices"
    assert (problem["origin"], problem["age"]) == (ORIGIN, 105)
    assert "scripts.05_score_forecasts --symbols MSFT" in problem["detail"]
    forecast = service.get("/forecast/MSFT")
    assert forecast["age"] == 105
    assert all(row["elapsed"] for row in forecast["path"])


# -- what to think of the closes ----------------------------------------------------------------


def spoil(settings: Settings) -> None:
    """The newest known close of MSFT is a hundred times what it was."""
    cache = PriceCache(settings.data_dir / "prices")
    prices = cache.get("MSFT")
    assert prices is not None
    closes = prices.closes.copy()
    closes[-1] *= 100
    cache.put(replace(prices, closes=closes))


def test_what_is_odd_is_told_in_the_callers_language(service: Service, published: Settings) -> None:
    spoil(published)
    for path in ("/forecast/MSFT", "/forecast/MSFT/today"):
        for asked, language, start in (
            ("pt-BR,pt;q=0.9", "pt", "Um fechamento é 100 vezes"),
            ("en-US", "en", "A close is 100 times"),
        ):
            answer = service.http.get(path, headers={"accept-language": asked})
            assert answer.headers["content-language"] == language
            assert "Accept-Language" in answer.headers["vary"]
            said = answer.json()
            assert said["drift_warning"] is True
            assert said["drift_details"][0].startswith(start)
            assert said["drift_findings"][0]["sentence"] == said["drift_details"][0]
            assert said["drift_findings"][0]["row"] == 59


@pytest.mark.parametrize("path", ["/forecast/MSFT", "/forecast/MSFT/today"])
def test_closes_with_a_fault_are_refused_where_that_is_wanted(
    published: Settings, path: str
) -> None:
    spoil(published)
    with Service(published.model_copy(update={"drift_on_fault": "refuse"})) as service:
        problem = service.get(path, 409)
        assert problem["code"] == "data_fault"
        assert problem["findings"][0]["code"] == "unit_error"
        assert "collect them again" in problem["detail"]
        assert service.get("/forecasts") == {"forecasts": []}  # nothing was committed


@pytest.mark.parametrize("policy", ["warn", "fallback"])
def test_collected_closes_with_a_fault_are_warned_of_otherwise(
    published: Settings, policy: str
) -> None:
    """A fallback is for what callers send; what the service collects is its own to mend."""
    spoil(published)
    with Service(published.model_copy(update={"drift_on_fault": policy})) as service:
        assert service.get("/forecast/MSFT")["drift_warning"] is True


def test_held_closes_are_a_member_of_the_answer_and_a_finding_in_the_callers_language(
    service: Service,
) -> None:
    assert service.get("/forecast/MSFT")["held"] is None
    held = HeldCloses(
        since=date(2022, 12, 29),
        code="suspected_split",
        reason="2022-12-29: a move like an unadjusted 2:1 split",
        ends="A corrected close ends it.",
        noticed_at=datetime(2022, 12, 29, 23, tzinfo=UTC),
    )
    service.parts.database.close_decisions.hold("MSFT", held)
    service.now = datetime(2022, 12, 30, 23, tzinfo=UTC)
    for path in ("/forecast/MSFT", "/forecast/MSFT/today"):
        answer = service.get(path, **{"accept-language": "pt"})
        assert answer["held"] == {
            "since": "2022-12-29",
            "code": held.code,
            "reason": held.reason,
            "ends": held.ends,
            "noticed_at": "2022-12-29T23:00:00Z",
        }
        assert (answer["stale"], answer["drift_warning"]) == (True, True)
        [finding] = answer["drift_findings"]
        assert (finding["code"], finding["level"]) == ("split", "fault")
        assert finding["sentence"].startswith("Os fechamentos desde 2022-12-29 estão retidos")
    assert service.get("/forecast/AAPL")["held"] is None


def test_sound_closes_are_never_refused(published: Settings) -> None:
    with Service(published.model_copy(update={"drift_on_fault": "refuse"})) as service:
        assert service.get("/forecast/MSFT")["drift_warning"] is False


# -- what was committed -------------------------------------------------------------------------


def test_a_forecast_is_found_again_as_it_was_said(service: Service) -> None:
    said = service.get("/forecast/MSFT?horizon=1&levels=0.9")
    kept = service.get(f"/forecasts/{said['forecast_id']}")
    assert kept["model_version"] == said["model_version"]
    assert kept["origin"] == ORIGIN
    assert kept["issued_at"] == "2022-12-28T23:00:00Z"
    assert len(kept["path"]) == 10
    first = kept["path"][0]
    assert first["price"] == said["path"][0]["price"]
    assert len(first["quantiles"]) == len(SCORED_PROBABILITIES)
    assert first["quantiles"]["0.050"] < 0 < first["quantiles"]["0.950"]
    assert first["outcome"] is None


def test_outcomes_are_shown_once_they_are_known(service: Service) -> None:
    forecast_id = service.get("/forecast/MSFT")["forecast_id"]
    service.parts.database.forecasts.score([(forecast_id, 1, outcome())])
    first, second, *_ = service.get(f"/forecasts/{forecast_id}")["path"]
    assert first["outcome"]["hits"] == {
        "0.5": False,
        "0.8": True,
        "0.9": True,
        "0.95": True,
        "0.99": True,
    }
    assert first["outcome"]["actual"] == 236.0
    assert second["outcome"] is None


@pytest.mark.parametrize("forecast_id", ["0" * 32, "x", "%2e%2e%2fx", "%00", "é"])
def test_an_unknown_forecast_is_a_404(service: Service, forecast_id: str) -> None:
    service.get(f"/forecasts/{forecast_id}", 404)


def test_twenty_at_once_are_one_forecast(service: Service) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: service.get("/forecast/MSFT"), range(20)))
    assert len({answer["forecast_id"] for answer in answers}) == 1
    assert len(service.parts.database.forecasts.newest("MSFT")) == 1


def test_a_ledger_that_cannot_be_written_is_a_503(service: Service, tmp_path: Path) -> None:
    service.get("/forecast/MSFT")
    for file in (tmp_path / "data").glob("ledger.sqlite*"):
        file.unlink()
    (tmp_path / "data" / "ledger.sqlite").mkdir()
    answer = service.http.get("/forecast/MSFT")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
    assert int(answer.headers["retry-after"]) > 0


def test_a_replay_says_so(published: Settings) -> None:
    with Service(published, kind="replay") as service:
        said = service.get("/forecast/MSFT")
        assert said["kind"] == "replay"
        assert service.get(f"/forecasts/{said['forecast_id']}")["kind"] == "replay"
        assert service.get("/")["kind"] == "replay"


# -- without a model, without closes ------------------------------------------------------------


@pytest.mark.parametrize("path", ["/forecast/KO", "/forecast/KO/today"])
def test_a_symbol_without_a_model_says_how_to_train_one(service: Service, path: str) -> None:
    problem = service.get(path, 404)
    assert problem["code"] == "unknown_symbol"
    assert 'POST /train {"symbol": "KO"}' in problem["detail"]
    assert service.get("/train")["jobs"] == []


def test_the_default_symbol_without_a_model_is_a_503_until_there_is_one(
    empty_client: TestClient,
) -> None:
    answer = empty_client.get("/forecast/MSFT")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")
    assert answer.headers["retry-after"]


def forget_closes(settings: Settings) -> None:
    CalendarCache(settings.data_dir / "calendars").path("XNYS").unlink()


def test_where_nothing_was_collected_and_nobody_collects_it_is_a_503(
    service: Service, published: Settings
) -> None:
    forget_closes(published)
    answer = service.http.get("/forecast/MSFT")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_collected")
    assert int(answer.headers["retry-after"]) > 0


def test_where_nothing_was_collected_the_job_that_does_is_the_answer(
    service: Service, published: Settings
) -> None:
    forget_closes(published)
    published_jobs: list[str] = []
    service.parts.database.jobs.publish_with(lambda job_id, _: published_jobs.append(job_id))
    service.parts.forecasting._refresh._has_worker = True
    service.parts.forecasting._refresh._wait_s = 0.0
    answer = service.http.get("/forecast/MSFT")
    job = answer.json()
    assert answer.status_code == 202
    assert published_jobs == [job["id"]]
    assert (job["task"], job["symbol"]) == ("update", "MSFT")
    assert service.get(answer.headers["location"]) == job
    assert service.get("/train?task=train")["jobs"] == []
    assert service.get("/train")["jobs"] == [job]


# -- performance --------------------------------------------------------------------------------


def outcome(error: float = 0.004) -> Outcome:
    return Outcome(
        actual=236.0,
        log_return=0.006,
        error=error,
        naive_error=0.006,
        hits=(False, True, True, True, True),
        crps=0.002,
        pit=0.7,
        scored_at=datetime(2022, 12, 29, 22, tzinfo=UTC),
    )


def test_performance_stands_beside_the_promise(service: Service) -> None:
    said = service.get("/forecast/MSFT")
    service.parts.database.forecasts.score([(said["forecast_id"], 1, outcome())])
    answer = service.get("/performance/msft")
    assert (answer["symbol"], answer["kind"]) == ("MSFT", "live")
    assert answer["overall"]["n"] == 1
    assert answer["overall"]["relative_mae"]["value"] == pytest.approx(4 / 6)
    assert answer["overall"]["relative_mae"]["lower"] is None  # one origin is no evidence
    assert answer["overall"]["enough"] is False
    coverage = {row["level"]: row for row in answer["steps"][0]["coverage"]}
    assert (coverage[0.5]["observed"]["value"], coverage[0.8]["observed"]["value"]) == (0, 1)
    rows = service.parts.models.get("MSFT").evaluation["rows"]
    [promised] = [r for r in rows if (r["forecaster"], r["mode"]) == ("lstm", "with history")]
    assert answer["promise"] == promised["overall"]
    assert coverage[0.8]["promised"] == promised["steps"][0]["coverage_80"]
    assert answer["promise_version"] == said["model_version"]


def test_kinds_and_versions_are_not_mixed(service: Service) -> None:
    said = service.get("/forecast/MSFT")
    service.parts.database.forecasts.score([(said["forecast_id"], 1, outcome())])
    assert service.get("/performance/MSFT?kind=replay")["overall"] is None
    mine = service.get(f"/performance/MSFT?version={said['model_version']}")
    assert (mine["overall"]["n"], mine["model_version"]) == (1, said["model_version"])
    versions = service.get("/model/versions?symbol=MSFT")["versions"]
    newest, before, *_ = [v["version"] for v in versions]
    assert newest == said["model_version"]
    other = service.get(f"/performance/MSFT?version={before}")
    assert (other["overall"], other["promise_version"]) == (None, before)
    assert service.get(f"/performance/AAPL?version={newest}", 404)["code"] == "unknown_symbol"


@pytest.mark.parametrize("version", ["x", "20200101T000000Z-00000000", "..%2F..%2Fx"])
def test_performance_of_an_unknown_version_is_a_404(service: Service, version: str) -> None:
    assert service.get(f"/performance/MSFT?version={version}", 404)["code"] == "unknown_version"


def test_performance_of_what_has_no_model_is_a_404(service: Service) -> None:
    assert service.get("/performance/KO", 404)["code"] == "unknown_symbol"
    assert service.get("/performance/MSFT?kind=dreamt", 422)["code"] == "invalid_request"


def test_the_picture_is_what_the_worker_drew(service: Service, published: Settings) -> None:
    problem = service.get("/performance/MSFT/plot.png", 404)
    assert problem["code"] == "not_drawn_yet"
    assert "make replay" in problem["detail"]
    png = b"\x89PNG\r\n\x1a\n drawn"
    folder = published.results_dir / "MSFT"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "performance-live.png").write_bytes(png)
    answer = service.http.get("/performance/msft/plot.png?kind=live")
    assert (answer.content, answer.headers["content-type"]) == (png, "image/png")
    as_bytes = {"accept": "application/octet-stream, */*;q=0.1"}
    same = service.http.get("/performance/msft/plot.png", headers=as_bytes)
    assert same.headers["content-type"] == "application/octet-stream"
    assert same.content == answer.content
    assert service.get("/performance/MSFT/plot.png?kind=replay", 404)["code"] == "not_drawn_yet"


def test_a_prediction_is_logged_apart(service: Service) -> None:
    closes = [100.0 + 0.1 * (i % 7) for i in range(60)]
    answer = service.http.post(
        "/predict", json={"prices": closes}, headers={"x-request-id": "abc-1"}
    ).json()
    service.parts.predictions.close()
    [logged] = newest_predictions(service.parts.database)
    assert (logged.request_id, logged.symbol) == ("abc-1", "MSFT")
    assert (logged.version, logged.last_close) == (answer["model_version"], closes[-1])
    assert logged.predicted_price == answer["predicted_price"]
    assert logged.at == service.now
    assert service.parts.database.forecasts.newest("MSFT") == []


# -- the service at a glance --------------------------------------------------------------------


def test_the_root_sums_up_the_service(service: Service) -> None:
    answer = service.get("/", accept="application/json")
    assert [s["symbol"] for s in answer["symbols"]] == ["MSFT", "AAPL"]  # the default one first
    first = answer["symbols"][0]
    assert first["model_version"] == service.get("/model")["version"]
    assert first["newest_close"] == "2022-12-28"
    assert (first["age"], first["problem"]) == (0, None)
    for symbol in answer["symbols"]:
        for name in ("forecast", "today", "performance", "drift", "model"):
            assert service.http.get(symbol["links"][name]).status_code == 200, name
    for link in answer["links"].values():
        assert service.http.get(link).status_code == 200
    for path in ("/forecast/MSFT", "/drift/MSFT"):
        assert any(line.endswith(path) or f"{path}?" in line for line in answer["try_next"])


def test_before_any_training_the_root_says_how_to_train(empty_client: TestClient) -> None:
    answer = empty_client.get("/").json()
    assert answer["symbols"] == []
    assert "/train" in answer["try_next"][0]
    page = empty_client.get("/", headers={"accept": "text/html"}).text
    assert "No symbol has a model yet" in page


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/html;q=0.9, application/json;q=0.5", True),
        ("application/json", False),
        ("application/json, text/html", False),
        ("application/json, text/html;q=0.5", False),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        ("text/html;q=²", False),
        ("*/*", False),
        ("", False),
        (",;,", False),
    ],
)
def test_who_prefers_html_gets_a_page(service: Service, accept: str, html: bool) -> None:
    answer = service.http.get("/", headers={"accept": accept.encode("latin-1")})
    assert answer.status_code == 200
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind == ("text/html" if html else "application/json")
    assert answer.headers["vary"] == "Accept"


def test_the_page_loads_nothing_from_elsewhere(service: Service) -> None:
    answer = service.http.get("/", headers={"accept": BROWSER})
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for mark in ("<script", "src=", "@import", "url(", "<link"):
        assert mark not in answer.text
    for link in (
        "/docs",
        "/health",
        "/drift",
        "/forecast/MSFT",
        "/performance/AAPL",
        "/drift/AAPL",
    ):
        assert f'href="{link}"' in answer.text


def test_what_a_page_shows_is_escaped(service: Service, published: Settings) -> None:
    pointer = Path(published.models_url) / "current" / "AAPL.json"
    pointer.write_text('{"symbol": "<script>alert(1)</script>"}')
    service.http.post("/model/reload", json={"symbol": "AAPL"})
    page = service.http.get("/", headers={"accept": BROWSER}).text
    assert "unreadable" in page
    assert "<script" not in page


def test_the_page_says_the_age_that_the_forecast_says(
    service: Service, published: Settings
) -> None:
    """Newer closes that nothing has learned from yet make no forecast younger."""
    (published.data_dir / "prices" / "MSFT.npz").write_bytes(b"damaged")
    for found in service.get("/")["symbols"]:
        answer = service.get(f"/forecast/{found['symbol']}")
        assert (found["newest_close"], found["age"]) == (answer["origin"], answer["age"])
        assert found["problem"] is None


def test_committed_forecasts_are_listed_newest_first(service: Service) -> None:
    ids = [service.get(f"/forecast/{symbol}")["forecast_id"] for symbol in ("MSFT", "AAPL")]
    [found] = service.get("/forecasts?symbol=aapl")["forecasts"]
    assert found == service.get(f"/forecasts/{ids[1]}")
    [default] = service.get("/forecasts?kind=live")["forecasts"]
    assert default["forecast_id"] == ids[0]
    assert service.get("/forecasts?kind=replay") == {"forecasts": []}
    assert service.http.get("/forecasts?limit=0").status_code == 422
