"""``POST /predict`` as a caller sees it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource
from tests.support.local_client import LocalClient
from tests.support.logged_predictions import newest_predictions


def closes(symbol: str = "MSFT", end: int = -1, length: int = 60) -> list[float]:
    rows = SampleSource().read(symbol, None, None)
    return [float(c) for c in rows.closes[end - length : end]]


WINDOW = closes()
WILD = (100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.2, 60)))).tolist()


def predict(client: TestClient, **body: object) -> dict:
    answer = client.post("/predict", json={"prices": WINDOW, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_answer_holds_everything_that_was_promised(client: TestClient) -> None:
    answer = predict(client)
    assert (answer["symbol"], answer["model_symbol"]) == (None, "MSFT")
    assert answer["naive_price"] == WINDOW[-1]
    assert isinstance(answer["predicted_price"], float)
    assert isinstance(answer["drift_warning"], bool)
    assert [i["level"] for i in answer["intervals"]] == [0.8, 0.95]
    assert [step["step"] for step in answer["path"]] == list(range(1, 11))
    assert answer["path"][0]["price"] == answer["predicted_price"]
    assert answer["path"][0]["intervals"] == answer["intervals"]


def test_intervals_hold_the_price_widen_with_level_and_with_time(client: TestClient) -> None:
    path = predict(client)["path"]
    widths = []
    for step in path:
        inner, outer = step["intervals"]
        assert 0 < outer["lower"] < inner["lower"] < step["price"] < inner["upper"] < outer["upper"]
        widths.append(outer["upper"] - outer["lower"])
    assert widths[0] < widths[4] < widths[9]


def test_the_header_names_the_version_that_answered(client: TestClient) -> None:
    answer = client.post("/predict", json={"prices": WINDOW})
    assert answer.headers["x-model-version"] == answer.json()["model_version"]


def test_spelling_of_a_symbol_does_not_matter(client: TestClient) -> None:
    assert predict(client, symbol=" aapl ")["symbol"] == "AAPL"


def test_each_symbol_is_answered_by_its_own_model(client: TestClient) -> None:
    default, apple = predict(client), predict(client, symbol="AAPL")
    assert default["model_version"] != apple["model_version"]


def test_price_level_and_currency_do_not_matter(client: TestClient) -> None:
    answer = client.post("/predict", json={"prices": [p * 5.3 for p in WINDOW]}).json()
    here = predict(client)
    assert answer["predicted_price"] == pytest.approx(5.3 * here["predicted_price"])
    assert answer["drift_details"] == here["drift_details"]


def test_whole_numbers_are_prices(client: TestClient) -> None:
    assert client.post("/predict", json={"prices": list(range(201, 261))}).status_code == 200


def test_a_wild_window_is_warned_of_in_words_and_in_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="closecast.drift"):
        answer = client.post("/predict", json={"prices": WILD}).json()
    assert answer["drift_warning"] is True
    assert any(d.startswith("High volatility detected (") for d in answer["drift_details"])
    records = [r for r in caplog.records if r.name == "closecast.drift"]
    assert [r.sentence for r in records] == answer["drift_details"]  # one line per finding
    high = next(r for r in records if r.code == "volatility_high")
    assert high.levelname == "WARNING"
    assert high.value > high.threshold
    assert high.symbol == "MSFT"


def test_a_calm_known_window_is_not_warned_of(client: TestClient) -> None:
    assert predict(client, prices=closes(end=-900))["drift_details"] == []


@pytest.mark.parametrize(("factor", "found"), [(1.0, False), (100.0, True), (0.01, True)])
def test_a_unit_error_is_found_by_the_known_closes(
    client: TestClient, factor: float, found: bool
) -> None:
    answer = predict(client, prices=[p * factor for p in WINDOW], symbol="MSFT", as_of="2022-12-27")
    assert answer["drift_level"] == ("fault" if found else "ok")
    assert [f["code"] for f in answer["drift_findings"]] == ["unit_error"] * found
    assert answer["provenance"]["match"] == "exact"
    assert answer["provenance"]["factor"] == pytest.approx(factor)


def test_a_memory_of_years_ago_calls_nothing_a_gap(client: TestClient) -> None:
    answer = predict(client, prices=[2 * p for p in WINDOW], symbol="MSFT", as_of="2026-11-20")
    assert "level_gap" not in {f["code"] for f in answer["drift_findings"]}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param('{"prices": [1, 2', id="cut off"),
        pytest.param("", id="empty"),
        pytest.param("\x00\xff", id="bytes"),
        pytest.param("[" * 100_000, id="deep nesting"),
        pytest.param('{"prices":' + "[" * 5000 + "]" * 5000 + "}", id="deep but balanced"),
    ],
)
def test_what_is_no_json_is_a_400_or_422_problem(client: TestClient, body: str) -> None:
    answer = client.post(
        "/predict", content=body.encode("latin-1"), headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "bad",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "-1",
        "0",
        '"5"',
        "true",
        "null",
        "1e-10",
        "1e13",
        "1e400",
        "[]",
    ],
)
def test_one_impossible_close_is_refused_and_pointed_at(client: TestClient, bad: str) -> None:
    numbers = [str(p) for p in WINDOW]
    numbers[7] = bad
    answer = client.post(
        "/predict",
        content=f'{{"prices": [{",".join(numbers)}]}}',
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422, answer.text
    assert "/prices/7" in {error["pointer"] for error in answer.json()["errors"]}


@pytest.mark.parametrize("sent_as", ["application/x-www-form-urlencoded", "text/plain"])
def test_json_under_another_name_is_told_the_header_to_send(
    client: TestClient, sent_as: str
) -> None:
    answer = client.post(
        "/predict", content=json.dumps({"prices": WINDOW}), headers={"content-type": sent_as}
    )
    assert answer.status_code == 415
    assert "content-type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("length", [1, 20, 59])
def test_a_short_window_is_refused_with_the_length_needed(client: TestClient, length: int) -> None:
    answer = client.post("/predict", json={"prices": [100.0] * length})
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["code"] == "wrong_window_length"
    assert problem["expected_length"] == 60
    assert "at least 60" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"prices": []},
        {"prices": [1.0] * 10_001},
        {"prices": "60"},
        {"price": WINDOW},
        {"prices": WINDOW, "extra": 1},
        {"prices": WINDOW, "as_of": "yesterday"},
        {"prices": WINDOW, "sessions": ["2022-12-27"] * 59},
        {"prices": WINDOW, "sessions": "2022-12-27"},
        {"prices": WINDOW, "volume": [1] * 61},
        {"prices": WINDOW, "volume": [-1] * 60},
        {"prices": WINDOW, "volume": ["1"] * 60},
        {"prices": WINDOW, "volume": [1e19] * 60},
        {"prices": WINDOW, "symbol": ""},
        {"prices": WINDOW, "symbol": "x" * 33},
        {"prices": WINDOW, "symbol": "../../etc"},
        {"prices": WINDOW, "symbol": "MS\u0000FT"},
        {"prices": WINDOW, "symbol": "ΜSFT"},  # a Greek capital mu
        [],
        5,
    ],
)
def test_what_does_not_fit_is_a_422_problem(client: TestClient, body: object) -> None:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_model_it_is_a_503_with_retry_after(empty_client: TestClient) -> None:
    answer = empty_client.post("/predict", json={"prices": WINDOW})
    assert answer.status_code == 503
    assert answer.json()["code"] == "no_model"
    assert int(answer.headers["retry-after"]) > 0


def test_ten_megabytes_are_refused_before_they_are_parsed(client: TestClient) -> None:
    answer = client.post("/predict", content=b"[" + b"1," * 5_000_000 + b"1]")
    assert answer.status_code == 413
    assert answer.json()["code"] == "body_too_large"


def test_a_large_body_without_a_length_is_refused_as_well(client: TestClient) -> None:
    answer = client.post("/predict", content=(b"1," * 1000 for _ in range(1000)))
    assert answer.status_code == 413


@pytest.mark.parametrize(("name", "item"), [("sessions", "2022-12-27"), ("volume", 5)])
def test_what_is_not_one_for_each_close_is_pointed_at(
    client: TestClient, name: str, item: object
) -> None:
    for length in (0, 59, 61):
        answer = client.post("/predict", json={"prices": WINDOW, name: [item] * length})
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["pointer"], error["code"]) == (f"/{name}", "wrong_length")
        assert error["detail"] == f"got {length} for 60 closes; one for each is needed"


def test_a_frozen_window_is_answered_and_called_a_fault(client: TestClient) -> None:
    answer = predict(client, prices=[250.0] * 60)
    assert [f["code"] for f in answer["drift_findings"] if f["level"] == "fault"] == ["frozen_feed"]
    lower, upper = answer["intervals"][1]["lower"], answer["intervals"][1]["upper"]
    assert lower < 250 < upper  # the floor under the volatility: never a width of zero


@pytest.mark.parametrize("extreme", [1e-9, 1e12])
def test_prices_at_the_bounds_have_finite_answers(client: TestClient, extreme: float) -> None:
    answer = client.post("/predict", json={"prices": [extreme] * 60})
    assert answer.status_code == 200
    assert "Infinity" not in answer.text
    assert "NaN" not in answer.text


def test_a_jump_over_the_whole_allowed_range_is_still_finite(client: TestClient) -> None:
    answer = client.post("/predict", json={"prices": [1e-9, 1e12] * 30})
    assert answer.status_code == 200
    assert all(np.isfinite(step["price"]) for step in answer.json()["path"])


def test_a_request_id_comes_back_and_is_made_where_missing(client: TestClient) -> None:
    given = client.post("/predict", json={"prices": WINDOW}, headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    made = client.post("/predict", json={"prices": WINDOW}, headers={"x-request-id": "no spaces!"})
    assert made.headers["x-request-id"] not in ("", "no spaces!")
    refused = client.post("/predict", json={}, headers={"x-request-id": "abc-2"})
    assert refused.json()["request_id"] == "abc-2"


def test_the_window_length_comes_from_the_bundle(published: Settings) -> None:
    from closecast.pipeline import TrainRequest, run_training

    values = {"seq_length": 20, "horizon": 5}
    request = TrainRequest(
        symbols=("KO",),
        source="sample",
        forecaster="ewma",
        hyperparameters=values,
        start="2018-01-02",
    )
    run_training(published, request)
    with LocalClient(create_app(published)) as client:
        answer = client.post("/predict", json={"prices": WINDOW[-20:], "symbol": "KO"})
        assert len(answer.json()["path"]) == 5
        longer = client.post("/predict", json={"prices": WINDOW, "symbol": "KO"}).json()
        assert (longer["path"], longer["closes_used"]) == (answer.json()["path"], 20)


def test_numbers_survive_a_round_trip_through_json(client: TestClient) -> None:
    text = client.post("/predict", json={"prices": WINDOW}).text
    assert json.loads(text)["naive_price"] == WINDOW[-1]


# -- what the service is set to do where drift finds something ----------------------------------

SPLIT = [*WINDOW[:40], *(close / 2 for close in WINDOW[40:])]
CALM = closes(end=-900)
LEVELS_OF = {"split": (SPLIT, "fault"), "calm": (CALM, "ok"), "wild": (WILD, "regime")}


def set_to(published: Settings, **changes: str) -> TestClient:
    return LocalClient(create_app(published.model_copy(update=changes)))


@pytest.mark.parametrize("sent", LEVELS_OF)
def test_by_default_everything_is_answered_by_the_model(client: TestClient, sent: str) -> None:
    prices, level = LEVELS_OF[sent]
    answer = predict(client, prices=prices)
    assert (answer["drift_level"], answer["drift_warning"]) == (level, level != "ok")
    assert (answer["degraded"], answer["degraded_reason"]) == (False, None)


def test_a_fault_is_refused_where_that_is_wanted(
    published: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with set_to(published, drift_on_fault="refuse") as client:
        answer = client.post(
            "/predict", json={"prices": SPLIT}, headers={"accept-language": "pt-BR, en;q=0.5"}
        )
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "data_fault")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["content-language"] == "pt"
        assert "accept-language" in answer.headers["vary"].lower()
        assert "(split)" in problem["detail"]
        assert "Correct the closes" in problem["detail"]
        [verdict] = client.post(
            "/drift", json={"windows": [{"prices": SPLIT}]}, headers={"accept-language": "pt"}
        ).json()["verdicts"]
        assert problem["findings"] == verdict["drift_findings"]
        assert problem["findings"][0]["sentence"].startswith("Um movimento de -")
        # What was not answered is no prediction; what was found is in the log all the same.
        parts = client.app.state.service  # type: ignore[attr-defined]
        parts.predictions.close()
        assert newest_predictions(parts.database) == []
    lines = [r for r in caplog.records if r.name == "closecast.drift"]
    assert lines[0].code == "split"  # type: ignore[attr-defined]


@pytest.mark.parametrize("sent", ["calm", "wild"])
def test_what_is_no_fault_is_never_refused(published: Settings, sent: str) -> None:
    with set_to(published, drift_on_fault="refuse") as client:
        answer = predict(client, prices=LEVELS_OF[sent][0])
        assert (answer["degraded"], answer["degraded_reason"]) == (False, None)


@pytest.mark.parametrize(
    ("changes", "sent", "reason"),
    [
        ({"drift_on_fault": "fallback"}, "split", "fault: split"),
        ({"drift_on_fault": "fallback"}, "wild", None),
        ({"drift_on_fault": "fallback"}, "calm", None),
        ({"drift_on_regime": "fallback"}, "wild", "regime: volatility_high"),
        ({"drift_on_regime": "fallback"}, "calm", None),
    ],
)
def test_the_last_close_stands_in_where_that_is_wanted(
    client: TestClient, published: Settings, changes: dict[str, str], sent: str, reason: str | None
) -> None:
    prices, _ = LEVELS_OF[sent]
    usual = predict(client, prices=prices)
    with set_to(published, **changes) as careful:
        answer = predict(careful, prices=prices)
    if reason is None:
        assert answer == usual
        return
    assert answer["degraded"] is True
    assert answer["degraded_reason"].split("; ")[0] == reason
    assert {answer["predicted_price"], *(step["price"] for step in answer["path"])} == {prices[-1]}
    assert (answer["mode"], answer["calibration_revision"]) == ("window only", None)
    for name in ("drift_warning", "drift_findings", "drift_level", "provenance", "model_version"):
        assert answer[name] == usual[name]
    assert len(answer["path"]) == len(usual["path"])
    for step in answer["path"]:
        inner, outer = step["intervals"]
        assert 0 < outer["lower"] < inner["lower"] < step["price"] < inner["upper"] < outer["upper"]
        assert outer["upper"] / outer["lower"] > (inner["upper"] / inner["lower"]) > 1


def test_a_degraded_answer_keeps_to_the_levels_and_names_no_calibration(
    published: Settings,
) -> None:
    cache = PriceCache(published.data_dir / "prices")
    prices = cache.get("MSFT")
    assert prices is not None
    wrong = prices.closes.copy()
    wrong[-1] *= 100
    cache.put(replace(prices, closes=wrong))
    body = {"prices": wrong[-60:].tolist(), "symbol": "MSFT", "levels": [0.9, 0.5]}
    for policy, mode in (("warn", "with history"), ("fallback", "window only")):
        with set_to(published, drift_on_fault=policy) as client:
            answer = client.post("/predict", json=body)
            assert answer.json()["mode"] == mode
            assert [i["level"] for i in answer.json()["intervals"]] == [0.5, 0.9]
            assert ("x-calibration-revision" in answer.headers) == (policy == "warn")
