"""``/drift`` as a caller sees it: verdicts of windows, of a symbol over time, of all symbols."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.schemas.drift import MOST_WINDOWS
from closecast.database import CalibrationChange, DriftDay
from closecast.drift import ARL0, Monitor
from closecast.pipeline import TrainRequest, run_training
from closecast.serving import Snapshot
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource
from tests.support.local_client import LocalClient

Body = dict[str, Any]
VERDICT = ("drift_warning", "drift_details", "drift_findings", "provenance")


def window(symbol: str = "MSFT", end: int = -900) -> tuple[list[float], list[str]]:
    """Sixty closes of the sample, and their dates."""
    rows = SampleSource().read(symbol, None, None)
    return rows.closes[end - 60 : end].tolist(), [str(day) for day in rows.dates[end - 60 : end]]


CLOSES, DATES = window()


def check(client: TestClient, *windows: Body, **headers: str) -> list[dict[str, Any]]:
    answer = client.post("/drift", json={"windows": windows}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["verdicts"]


def check_one(client: TestClient, prices: Sequence[float], **about: object) -> dict[str, Any]:
    [verdict] = check(client, {"prices": prices, **about})
    return verdict


def faults(verdict: dict[str, Any]) -> list[str]:
    return [f["code"] for f in verdict["drift_findings"] if f["level"] == "fault"]


# -- one window ---------------------------------------------------------------------------------


@pytest.mark.parametrize("about", [{}, {"symbol": "msft"}, {"symbol": "MSFT", "sessions": DATES}])
def test_known_closes_are_told_by_symbol_and_dates(client: TestClient, about: Body) -> None:
    verdict = check_one(client, CLOSES, **about)
    assert verdict["level"] == "ok"
    assert (verdict["drift_warning"], verdict["drift_findings"]) == (False, [])
    assert verdict["provenance"] == {
        "match": "exact",
        "symbol": "MSFT",
        "first_session": DATES[0],
        "last_session": DATES[-1],
        "factor": 1.0,
        "rows_that_differ": 0,
        "first_difference": None,
        "difference": None,
    }
    assert verdict["symbol"] == ("MSFT" if "symbol" in about else None)
    assert verdict["model_symbol"] == "MSFT"
    assert verdict["model_version"] == client.get("/model").json()["version"]


def test_closes_that_nobody_knows_are_told_to_be_unknown(client: TestClient) -> None:
    rng = np.random.default_rng(5)
    closes = (80 * np.exp(np.cumsum(rng.normal(0, 0.015, 60)))).tolist()
    undated = check_one(client, closes, symbol="MSFT")
    assert (undated["level"], undated["provenance"]["match"]) == ("ok", "undated")
    assert undated["provenance"]["symbol"] is None


SPOILED = {
    "split": ([*CLOSES[:40], *(c / 2 for c in CLOSES[40:])], 40),
    "unit_error": ([*CLOSES[:-1], 100 * CLOSES[-1]], 59),
    "frozen_feed": ([*CLOSES[:45], *[CLOSES[44]] * 15], 45),
    "spike": ([*CLOSES[:30], 1.25 * CLOSES[30], *CLOSES[31:]], 30),
}


@pytest.mark.parametrize("code", SPOILED)
def test_a_fault_is_named_with_its_row_and_its_evidence(client: TestClient, code: str) -> None:
    closes, row = SPOILED[code]
    verdict = check_one(client, closes)
    finding = verdict["drift_findings"][0]
    assert (verdict["level"], verdict["drift_warning"]) == ("fault", True)
    assert (finding["code"], finding["level"], finding["row"]) == (code, "fault", row)
    assert verdict["drift_details"][0] == finding["sentence"]
    assert finding["value"] > finding["threshold"]
    assert 0 < finding["p_value"] < 0.01
    assert 0 < finding["false_alarm_rate"] < 0.01


def test_the_dates_and_the_memory_name_what_numbers_do_not(client: TestClient) -> None:
    backwards = check_one(client, CLOSES[::-1], symbol="MSFT", sessions=DATES[::-1])
    assert faults(backwards) == ["reversed_order"]
    assert backwards["drift_findings"][0]["p_value"] is None  # a fact has no distribution
    stale = check_one(client, CLOSES, symbol="MSFT", as_of="2022-12-28")
    assert faults(stale) == ["stale_window"]
    assert DATES[-1] in stale["drift_details"][0]
    newest, dates = window(end=-1)
    in_cents = [100 * close for close in newest]
    assert faults(check_one(client, in_cents, symbol="MSFT", as_of=dates[-1])) == ["unit_error"]


@pytest.mark.parametrize("dated", [True, False])
def test_filled_weekends_are_found(client: TestClient, dated: bool) -> None:
    days = np.arange(np.datetime64(DATES[0]), np.datetime64(DATES[0]) + 60)
    known, filled = dict(zip(DATES, CLOSES, strict=True)), []
    for day in days.astype(str):
        filled.append(known.get(day, filled[-1] if filled else 0.0))
    about: Body = {"sessions": days.astype(str).tolist()} if dated else {}
    assert "filled_days" in faults(check_one(client, filled, symbol="MSFT", **about))


def test_days_on_which_nothing_was_traded_are_found(client: TestClient) -> None:
    still = [*CLOSES[:20], CLOSES[19], *CLOSES[21:]]
    volume = [1e6] * 60
    assert faults(check_one(client, still, volume=volume)) == []
    volume[20] = 0
    assert faults(check_one(client, still, volume=volume)) == ["filled_days"]


@pytest.mark.parametrize("about", [{}, {"sessions": window("AAPL")[1]}])
def test_another_symbols_closes_are_a_finding_only_where_one_was_named(
    client: TestClient, about: Body
) -> None:
    apple, dates = window("AAPL")
    client.get("/model?symbol=AAPL")  # looked for among the symbols that are served
    verdict = check_one(client, apple, symbol="MSFT", **about)
    assert faults(verdict) == ["wrong_symbol"]
    assert f"AAPL from {dates[0]} to {dates[-1]}" in verdict["drift_details"][0]
    assert verdict["provenance"]["match"] == "other_symbol"
    assert verdict["provenance"]["symbol"] == "AAPL"
    unnamed = check_one(client, apple, **about)
    assert (unnamed["level"], unnamed["drift_warning"]) == ("ok", False)
    assert unnamed["provenance"] == verdict["provenance"]
    assert check_one(client, apple, symbol="AAPL", **about)["level"] == "ok"


@pytest.mark.parametrize(("ratio", "code"), [(0.82, "level_gap"), (1 / 1.1, "split")])
def test_closes_that_leave_the_known_ones_are_named_with_date_and_ratio(
    client: TestClient, ratio: float, code: str
) -> None:
    """A third of the window is in another price basis, and the service holds the true closes."""
    closes = [*CLOSES[:40], *(ratio * close for close in CLOSES[40:])]
    verdict = check_one(client, closes, symbol="MSFT", sessions=DATES)
    finding = verdict["drift_findings"][0]
    assert (finding["code"], finding["level"], finding["row"]) == (code, "fault", 40)
    assert f"leave ours on {DATES[40]}: × {ratio:.4g}" in verdict["drift_details"][0]
    place = verdict["provenance"]
    assert (place["match"], place["factor"], place["rows_that_differ"]) == ("differs", 1.0, 20)
    assert place["first_difference"] == DATES[40]
    assert place["difference"] == pytest.approx(ratio, abs=1e-6)
    # Without a symbol, closes are only supposed to be those of the default.
    assert check_one(client, closes)["level"] == "regime"


def test_a_week_sent_twice_is_found_although_its_dates_run_on(client: TestClient) -> None:
    closes = [*CLOSES[:30], *CLOSES[25:55]]
    assert faults(check_one(client, closes, symbol="MSFT", sessions=DATES)) == ["filled_days"]


def test_another_currency_is_no_finding(client: TestClient) -> None:
    for prices in (CLOSES, window(end=-1)[0]):
        here, there = check(client, {"prices": prices}, {"prices": [5.3 * p for p in prices]})
        assert there["drift_findings"] == here["drift_findings"]
        assert there["provenance"]["factor"] == 5.3


def test_too_few_closes_to_judge_by_are_said_to_be(published: Settings) -> None:
    sizes = {"seq_length": 10, "horizon": 2}
    request = {"source": "sample", "forecaster": "ewma", "start": "2018-01-02"}
    run_training(
        published,
        TrainRequest.model_validate({**request, "symbols": ["KO"], "hyperparameters": sizes}),
    )
    with LocalClient(create_app(published)) as client:
        verdict = check_one(client, window("KO")[0][:10], symbol="KO")
        assert (verdict["level"], verdict["drift_warning"]) == ("insufficient", False)


# -- many windows -------------------------------------------------------------------------------


def made_windows() -> list[Body]:
    """Of every kind."""
    rng = np.random.default_rng(11)
    apple, apple_dates = window("AAPL")
    wild = (100 * np.exp(np.cumsum(rng.normal(0, 0.08, 60)))).tolist()
    windows: list[Body] = [
        {"prices": CLOSES},
        {"prices": wild, "symbol": "AAPL", "as_of": "2022-12-28"},
        {"prices": apple, "symbol": "MSFT", "sessions": apple_dates},
        {"prices": apple, "sessions": apple_dates, "volume": [0.0] * 60},
        {"prices": CLOSES[::-1], "symbol": "MSFT", "sessions": DATES[::-1]},
        {"prices": [1e-9, 1e12] * 30, "volume": [1e18, 0] * 30},
        *({"prices": closes, "symbol": "MSFT"} for closes, _ in SPOILED.values()),
    ]
    for end in range(-1500, -1, 50):
        closes, dates = window(("MSFT", "AAPL")[end % 100 == 0], end)
        windows.append({"prices": closes, "as_of": dates[-1]})
    return windows


def test_the_verdict_is_that_of_a_prediction_bit_for_bit(client: TestClient) -> None:
    windows = made_windows()
    for body, verdict in zip(windows, check(client, *windows), strict=True):
        said = client.post("/predict", json=body).json()
        assert {name: verdict[name] for name in VERDICT} == {name: said[name] for name in VERDICT}
        assert verdict["level"] == said["drift_level"]
        assert verdict["model_version"] == said["model_version"]
    assert [check(client, body)[0] for body in windows] == check(client, *windows)


def test_as_many_as_are_allowed_and_no_more(client: TestClient) -> None:
    body = {"prices": CLOSES, "sessions": DATES, "volume": [12345678.0] * 60}
    assert len(check(client, *[body] * MOST_WINDOWS)) == MOST_WINDOWS == 256
    for windows in ([body] * (MOST_WINDOWS + 1), []):
        answer = client.post("/drift", json={"windows": windows})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert answer.json()["errors"][0]["pointer"] == "/windows"


def test_many_windows_hold_up_nobody_else(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    usual = Snapshot.check

    def slow(self: Snapshot, *arguments: Any) -> Any:
        begun.set()
        assert go_on.wait(30)
        return usual(self, *arguments)

    monkeypatch.setattr(Snapshot, "check", slow)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(check, client, {"prices": CLOSES})
        assert begun.wait(30)
        assert client.post("/predict", json={"prices": CLOSES}).status_code == 200
        go_on.set()
        assert len(waiting.result(30)) == 1


@pytest.mark.parametrize(
    ("wrong", "status", "code", "pointer"),
    [
        ({"prices": CLOSES, "symbol": "M$"}, 422, "invalid_symbol", "/windows/3/symbol"),
        ({"prices": CLOSES[1:]}, 422, "wrong_window_length", "/windows/3/prices"),
        ({"prices": [*CLOSES[1:], 0.0]}, 422, "invalid_request", "/windows/3/prices/59"),
        ({"prices": [*CLOSES[1:], "1"]}, 422, "invalid_request", "/windows/3/prices/59"),
        ({"prices": []}, 422, "invalid_request", "/windows/3/prices"),
        (
            {"prices": CLOSES, "sessions": DATES[1:]},
            422,
            "invalid_request",
            "/windows/3/sessions",
        ),
        (
            {"prices": CLOSES, "sessions": [*DATES[1:], "soon"]},
            422,
            "invalid_request",
            "/windows/3/sessions/59",
        ),
        ({"prices": CLOSES, "volume": [1.0] * 61}, 422, "invalid_request", "/windows/3/volume"),
        (
            {"prices": CLOSES, "volume": [1.0] * 59 + [-1.0]},
            422,
            "invalid_request",
            "/windows/3/volume/59",
        ),
        ({"prices": CLOSES, "levels": [0.9]}, 422, "invalid_request", "/windows/3/levels"),
        ({"symbol": "MSFT"}, 422, "invalid_request", "/windows/3/prices"),
    ],
)
def test_a_problem_points_to_the_window(
    client: TestClient,
    caplog: pytest.LogCaptureFixture,
    wrong: Body,
    status: int,
    code: str,
    pointer: str,
) -> None:
    odd = {"prices": SPOILED["split"][0]}
    answer = client.post("/drift", json={"windows": [odd, odd, odd, wrong]})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["errors"][0]["pointer"] == pointer
    assert "/windows/3" in problem["detail"]
    # Nothing was answered, so nothing is warned of.
    assert [r for r in caplog.records if r.name == "closecast.drift"] == []


def test_an_impossible_volume_is_refused(client: TestClient) -> None:
    for bad in ("NaN", "Infinity", "-Infinity", "1e400", "-1", "null", "true"):
        volume = ",".join(["1"] * 59 + [bad])
        answer = client.post(
            "/drift",
            content=f'{{"windows": [{{"prices": {CLOSES}, "volume": [{volume}]}}]}}',
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 422, bad
        assert answer.json()["errors"][0]["pointer"] == "/windows/0/volume/59"


def test_windows_are_sent_as_such(client: TestClient) -> None:
    for body in ({"prices": CLOSES}, {"windows": {"prices": CLOSES}}, {}, [], {"windows": [[]]}):
        answer = client.post("/drift", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_without_a_model_it_is_a_503(empty_client: TestClient) -> None:
    answer = empty_client.post("/drift", json={"windows": [{"prices": CLOSES}]})
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")
    assert answer.json()["errors"][0]["pointer"] == "/windows/0/symbol"


def strictly(text: str) -> Any:
    """Parsed, with NaN and infinity refused."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("path", ["/drift", "/predict"])
def test_no_number_is_infinite_or_none(client: TestClient, path: str) -> None:
    for prices in (
        [1e-9] * 60,
        [1e12] * 60,
        [1e-9] * 30 + [1e12] * 30,
        [1e12] + [1e-9] * 59,
        [1.0] * 59 + [1e12],
        [100.0, 100.0 + 1e-12] * 30,
    ):
        for about in (
            {},
            {"symbol": "MSFT", "as_of": "9999-12-31"},
            {"sessions": ["0001-01-01"] * 60},
        ):
            body = {"prices": prices, "volume": [0.0, 1e18] * 30, **about}
            answer = client.post(path, json={"windows": [body]} if path == "/drift" else body)
            assert answer.status_code == 200, answer.text
            strictly(answer.text)


# -- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/drift", "/predict"])
def test_sentences_are_in_the_callers_language_and_the_log_in_english(
    client: TestClient, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    body: Body = {"prices": SPOILED["frozen_feed"][0]}
    sent = {"windows": [body]} if path == "/drift" else body
    said = {}
    for language in ("en", "pt"):
        answer = client.post(path, json=sent, headers={"accept-language": f"{language}, *;q=0.1"})
        assert answer.headers["content-language"] == language
        assert answer.headers["vary"] == "Accept-Language"
        verdict = answer.json() if path == "/predict" else answer.json()["verdicts"][0]
        said[language] = verdict["drift_details"]
        assert [f["sentence"] for f in verdict["drift_findings"]] == said[language]
    assert said["en"][0].endswith("is the feed frozen?")
    assert said["pt"][0].endswith("a fonte travou?")
    logged = [r for r in caplog.records if r.name == "closecast.drift"]
    assert [r.sentence for r in logged] == 2 * said["en"]  # type: ignore[attr-defined]


def test_each_finding_is_one_line_of_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="closecast.drift"):
        verdicts = check(
            client,
            {"prices": CLOSES},
            {"prices": [42.0] * 60},
            **{"x-request-id": "abc-1"},
        )
    lines = [vars(r) for r in caplog.records if r.name == "closecast.drift"]
    findings = verdicts[1]["drift_findings"]
    assert {f["level"] for f in findings} == {"fault", "regime"}
    assert len(lines) == len(findings)
    for line, finding in zip(lines, findings, strict=True):
        assert (line["window"], line["request_id"], line["symbol"]) == (1, "abc-1", "MSFT")
        assert (line["channel"], line["drift_level"]) == (finding["level"], "fault")
        for name in ("code", "statistic", "value", "threshold", "p_value", "row", "sentence"):
            assert line[name] == finding[name]


# -- a symbol over time -------------------------------------------------------------------------

FIRST = date(2022, 11, 1)


def made_day(version: str, n: int, symbol: str = "MSFT", evidence: float | None = None) -> DriftDay:
    monitor = Monitor((float(n), 0.5, 2.0, 1 / 3))
    return DriftDay(
        version=version,
        symbol=symbol,
        session=FIRST + timedelta(days=n),
        monitor=monitor.values,
        evidence=monitor.evidence if evidence is None else evidence,
        miss=n % 5 == 0,
        pit=0.25,
        shock=0.125,
        error=-0.01 if n % 2 else 0.02,
        expected_error=0.0125,
        width=0.05,
        at=datetime(2022, 11, 1, 22, tzinfo=UTC) + timedelta(days=n),
    )


def store(client: TestClient, *days: DriftDay) -> None:
    """Write days down as an update does: with the calibration, which stays as it is."""
    service = client.app.state.service  # type: ignore[attr-defined]
    for day in days:
        state = service.models.get(day.symbol).first_state
        stored = service.database.calibrations.newest(day.version, day.symbol)
        before = stored.revision if stored else None
        change = CalibrationChange(
            day.symbol,
            before,
            (before or 0) + 1,
            day.session,
            state.to_parts(),
            since=day.session - timedelta(days=1),
            drift_days=(day,),
        )
        service.database.calibrations.store(day.version, [change])


def report(client: TestClient, symbol: str = "MSFT", query: str = "") -> dict[str, Any]:
    answer = client.get(f"/drift/{symbol}{query}")
    assert answer.status_code == 200, answer.text
    return strictly(answer.text)


def test_before_the_first_session_the_report_says_what_is_known(client: TestClient) -> None:
    answer = report(client, "msft")
    assert answer["symbol"] == "MSFT"
    assert answer["model_version"] == client.get("/model").json()["version"]
    assert answer["monitor"] == {
        "evidence": 0.0,
        "threshold": ARL0,
        "in_alarm": False,
        "sessions": 0,
        "first_session": None,
        "last_session": None,
    }
    assert (answer["days"], answer["realised"]["spans"]) == ([], [])
    assert 0.005 < answer["realised"]["coming_error"] < 0.05
    baseline = answer["baseline"]
    assert (baseline["basis"], baseline["first_session"]) == ("adjusted", "2016-01-04")
    assert baseline["reference"]["windows"] > 1000
    assert baseline["faults"] == []
    for mode in ("alone", "with_before"):
        for channel in ("fault", "regime"):
            rate = baseline["rates"][mode][channel]
            assert rate["wanted"] == 0.01
            assert 0 < rate["lower"] < rate["reached"] < rate["upper"] < 0.05


def test_the_newest_window_is_judged_as_it_would_be_if_it_were_sent(
    client: TestClient, published: Settings
) -> None:
    newest = report(client)["newest"]
    prices = PriceCache(published.data_dir / "prices").get("MSFT")
    assert prices is not None
    assert newest == check_one(client, prices.closes[-60:].tolist(), symbol="MSFT")
    assert newest["provenance"]["match"] == "exact"
    assert newest["provenance"]["last_session"] == prices.span[1]


@pytest.mark.parametrize("known", [59, 0])
def test_where_too_few_closes_are_known_there_is_no_newest_window(
    published: Settings, known: int
) -> None:
    cache = PriceCache(published.data_dir / "prices")
    prices = cache.get("MSFT")
    assert prices is not None
    cache.path("MSFT").unlink()
    if known:
        cache.put(prices.rows(-known, None))
    with LocalClient(create_app(published)) as client:
        answer = report(client)
        assert answer["newest"] is None
        assert (answer["realised"]["coming_error"] is None) == (known == 0)


def test_a_fault_in_the_newest_closes_is_told_in_the_callers_language(
    published: Settings,
) -> None:
    cache = PriceCache(published.data_dir / "prices")
    prices = cache.get("MSFT")
    assert prices is not None
    closes = prices.closes.copy()
    closes[-1] *= 100
    cache.put(replace(prices, closes=closes))
    with LocalClient(create_app(published)) as client:
        answer = client.get("/drift/MSFT", headers={"accept-language": "pt-BR"})
        assert answer.headers["content-language"] == "pt"
        assert answer.headers["x-model-version"] == answer.json()["model_version"]
        newest = answer.json()["newest"]
        assert (newest["level"], faults(newest)) == ("fault", ["unit_error"])
        assert newest["drift_details"][0].startswith("Um fechamento é 100 vezes o anterior")


def test_sessions_under_watch_are_shown_newest_first(client: TestClient) -> None:
    version = client.get("/model").json()["version"]
    days = [made_day(version, n) for n in range(40)]
    days.append(made_day(version, 40, evidence=ARL0))
    store(client, *days)
    answer = report(client)
    assert [day["session"] for day in answer["days"]] == [str(d.session) for d in days[::-1]]
    assert answer["days"][0] == {
        "session": "2022-12-11",
        "model_version": version,
        "evidence": ARL0,
        "alarm": True,
        "miss": True,
        "shock": 0.125,
        "error": 0.02,
        "expected_error": 0.0125,
    }
    assert answer["days"][1]["alarm"] is False
    assert answer["monitor"] == {
        "evidence": ARL0,
        "threshold": ARL0,
        "in_alarm": True,
        "sessions": 41,
        "first_session": "2022-11-01",
        "last_session": "2022-12-11",
    }
    assert len(report(client, query="?limit=3")["days"]) == 3
    assert report(client, query="?limit=3")["monitor"]["sessions"] == 41
    everything = answer["realised"]["spans"][-1]
    assert (everything["span"], everything["sessions"], everything["enough"]) == (None, 41, True)
    assert everything["misses"]["value"] == pytest.approx(9 / 41)
    assert everything["error_ratio"]["value"] == pytest.approx(
        (21 * 0.02 + 20 * 0.01) / (41 * 0.0125)
    )


def test_a_new_model_has_a_new_monitor_and_the_old_ones_history(client: TestClient) -> None:
    versions = client.get("/model/versions?symbol=MSFT").json()["versions"]
    current, before = (v["version"] for v in versions[:2])
    store(client, *(made_day(before, n, evidence=5000.0) for n in range(10)))
    store(client, made_day(current, 10))
    answer = report(client)
    assert (answer["monitor"]["sessions"], answer["monitor"]["in_alarm"]) == (1, False)
    assert [d["model_version"] for d in answer["days"]] == [current, *[before] * 10]
    assert answer["realised"]["spans"][0]["sessions"] == 11


def test_what_nobody_knew_is_null(client: TestClient) -> None:
    version = client.get("/model").json()["version"]
    unknown = dict.fromkeys(("miss", "pit", "shock", "error", "expected_error", "width"))
    store(client, replace(made_day(version, 0), **unknown))  # type: ignore[arg-type]
    answer = report(client)
    assert [answer["days"][0][n] for n in ("miss", "shock", "error", "expected_error")] == [
        None
    ] * 4
    assert answer["realised"]["spans"] == []


def test_a_limit_that_does_not_fit_is_a_422(client: TestClient) -> None:
    for limit in ("0", "1001", "-1", "x", "1e9"):
        answer = client.get(f"/drift/MSFT?limit={limit}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_symbol_without_a_model_is_a_404(client: TestClient) -> None:
    answer = client.get("/drift/KO")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")
    assert client.get("/drift/..%5Cx").status_code == 422


def test_the_default_symbol_without_a_model_is_a_503_until_there_is_one(
    empty_client: TestClient,
) -> None:
    answer = empty_client.get("/drift/MSFT")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")
    assert answer.headers["retry-after"]


# -- all symbols --------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", ["client", "empty_client"])
def test_before_any_session_nothing_is_watched(caller: str, request: pytest.FixtureRequest) -> None:
    answer = request.getfixturevalue(caller).get("/drift")
    assert answer.json() == {"symbols": [], "discoveries": [], "threshold": ARL0}


@pytest.mark.parametrize(
    ("evidence", "discoveries"),
    [
        ((1999.0, 10.0), []),  # an alarm by itself, and no discovery among two
        ((2000.0, 10.0), ["MSFT"]),
        ((2000.0, 999.0), ["MSFT"]),
        ((1000.0, 1000.0), ["AAPL", "MSFT"]),
        ((10.0, 10.0), []),
    ],
)
def test_discoveries_count_how_many_are_watched(
    client: TestClient, evidence: tuple[float, float], discoveries: list[str]
) -> None:
    pairs = dict(zip(("MSFT", "AAPL"), evidence, strict=True))
    for symbol, value in pairs.items():
        version = client.get(f"/model?symbol={symbol}").json()["version"]
        store(client, made_day(version, 0, symbol, 5e5), made_day(version, 1, symbol, value))
    answer = client.get("/drift").json()
    assert answer["discoveries"] == discoveries
    ordered = [(s["symbol"], s["evidence"]) for s in answer["symbols"]]
    assert ordered == sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    for found in answer["symbols"]:
        assert found["alarm"] == (found["evidence"] >= ARL0)
        assert found["discovery"] == (found["symbol"] in discoveries)


def test_a_model_that_serves_no_more_is_not_watched(client: TestClient) -> None:
    """The second model is of both symbols and serves AAPL only."""
    versions = client.get("/model/versions?symbol=MSFT").json()["versions"]
    store(client, made_day(versions[1]["version"], 0, "MSFT", 5000.0))
    store(client, made_day(versions[1]["version"], 0, "AAPL", 3.0))
    assert [s["symbol"] for s in client.get("/drift").json()["symbols"]] == ["AAPL"]
