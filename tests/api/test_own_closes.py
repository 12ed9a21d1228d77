"""Closes of callers' own: symbols without a model, without a name, and longer windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.schemas.predictions import PredictAnswer
from closecast.calibration import SplitConformal
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.support.local_client import LocalClient
from tests.support.logged_predictions import newest_predictions

NDJSON = "application/x-ndjson"
MSFT = SampleSource().fetch("MSFT")
NEWEST = MSFT.closes[-60:].tolist()
DATES = [str(day) for day in MSFT.sessions[-60:]]


def walk(seed: int, length: int = 60, scale: float = 0.015) -> list[float]:
    moves = scale * np.random.default_rng(seed).standard_normal(length)
    return (40 * np.exp(np.cumsum(moves))).round(3).tolist()


def predict(client: TestClient, prices: list[float], **more: Any) -> dict[str, Any]:
    answer = client.post("/predict", json={"prices": prices, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def in_batch(client: TestClient, window: dict[str, Any], as_lines: bool) -> dict[str, Any]:
    if as_lines:
        body = orjson.dumps(window)
        answer = client.post("/predict/batch", content=body, headers={"content-type": NDJSON})
    else:
        answer = client.post("/predict/batch", json={"windows": [window]})
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    return dict(result)


# -- symbols without a model --------------------------------------------------------------------


def test_a_symbol_without_a_model_is_answered_by_the_pooled_one(client: TestClient) -> None:
    answer = predict(client, walk(1), symbol="acme")
    assert (answer["symbol"], answer["model_symbol"]) == ("ACME", "MSFT")
    assert answer["calibration"] == "pooled"
    assert answer["mode"] == "window only"
    assert "ACME has no model of its own" in answer["notes"][0]
    PredictAnswer.model_validate_json(orjson.dumps(answer), strict=True, extra="forbid")


@pytest.mark.parametrize("as_lines", [False, True], ids=["json", "lines"])
def test_a_batch_answers_it_as_alone(client: TestClient, as_lines: bool) -> None:
    window = {"prices": walk(2), "symbol": "NEWCO.L"}
    assert in_batch(client, window, as_lines) == predict(client, **window)


def test_its_intervals_are_those_of_all_symbols_of_the_default_model(published: Settings) -> None:
    changed = published.model_copy(update={"default_symbol": "AAPL"})  # trained with MSFT
    with LocalClient(create_app(changed)) as client:
        named, default = (predict(client, walk(3), symbol=s) for s in ("ACME", "AAPL"))
        parts = client.app.state.service.models.serving("AAPL").parts  # type: ignore[attr-defined]
    assert named["predicted_price"] == pytest.approx(default["predicted_price"], rel=1e-6)
    assert (named["model_symbol"], default["model_symbol"]) == ("AAPL", "AAPL")
    assert named["model_version"] == default["model_version"]
    assert named["intervals"] != default["intervals"]
    own = [
        SplitConformal.from_json(parts.document("intervals.json", symbol))
        for symbol in ("AAPL", "MSFT")
    ]
    together = sum(one.scores.shape[1] for one in own)
    assert parts.pooled_calibration.scores.shape == (10, together)


def test_a_model_of_one_symbol_is_a_pool_of_one(client: TestClient) -> None:
    named, default = predict(client, walk(3), symbol="ACME"), predict(client, walk(3))
    assert (named["calibration"], default["calibration"]) == ("pooled", "symbol")
    assert named["intervals"] == default["intervals"]


def test_dates_of_it_are_judged_by_no_calendar(client: TestClient) -> None:
    every_day = [str(day) for day in np.arange("2022-10-30", "2022-12-29", dtype="datetime64[D]")]
    answer = predict(client, walk(4), symbol="ACME", sessions=every_day)
    assert "filled_days" not in [f["code"] for f in answer["drift_findings"]]
    backwards = predict(client, walk(4), symbol="ACME", sessions=every_day[::-1])
    assert "reversed_order" in [f["code"] for f in backwards["drift_findings"]]


def test_closes_of_another_symbol_are_no_fault_of_it(client: TestClient) -> None:
    answer = predict(client, NEWEST, symbol="ACME", sessions=DATES)
    assert answer["provenance"]["match"] == "other_symbol"
    assert (answer["drift_level"], answer["drift_findings"]) == ("ok", [])
    hundred = predict(client, [100 * close for close in NEWEST], symbol="ACME")
    assert hundred["drift_findings"] == []


@pytest.mark.parametrize("scale", [0.0015, 0.06], ids=["calm", "wild"])
def test_its_volatility_is_compared_with_no_other_symbol(client: TestClient, scale: float) -> None:
    for seed in range(5, 15):
        found = predict(client, walk(seed, scale=scale), symbol="ACME")["drift_findings"]
        assert not [f for f in found if f["code"].startswith("volatility")]


def test_a_fault_inside_it_is_found_all_the_same(client: TestClient) -> None:
    split = walk(6)
    split[30:] = [close / 2 for close in split[30:]]
    [finding] = predict(client, split, symbol="ACME")["drift_findings"]
    assert (finding["code"], finding["row"]) == ("split", 30)


def test_degraded_answers_of_it_are_as_wide_as_its_own_moves(published: Settings) -> None:
    changed = published.model_copy(update={"drift_on_fault": "fallback"})
    split = walk(6, scale=0.002)
    split[30:] = [close / 2 for close in split[30:]]
    with LocalClient(create_app(changed)) as client:
        named = predict(client, split, symbol="ACME")
        default = predict(client, split)
    assert named["degraded"]
    assert default["degraded"]
    widths = [a["intervals"][0]["upper"] - a["intervals"][0]["lower"] for a in (named, default)]
    assert widths[0] < widths[1] / 2


@pytest.mark.parametrize(
    "path",
    ["/forecast/ACME", "/drift/ACME", "/performance/ACME", "/model?symbol=ACME", "/prices/ACME"],
)
def test_everything_else_is_a_404_for_it(client: TestClient, path: str) -> None:
    predict(client, walk(1), symbol="ACME")
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("text", ["A B", "../x", "M$", ""])
def test_what_is_no_symbol_is_refused(client: TestClient, text: str) -> None:
    assert client.post("/predict", json={"prices": walk(1), "symbol": text}).status_code == 422


def test_without_any_model_it_is_a_404_that_says_so(empty_client: TestClient) -> None:
    answer = empty_client.post("/predict", json={"prices": walk(1), "symbol": "ACME"})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")


def test_it_is_logged_under_its_name_and_counted_under_one_label(client: TestClient) -> None:
    for name in ("ACME", "NEWCO"):
        predict(client, walk(1), symbol=name)
    service = client.app.state.service  # type: ignore[attr-defined]
    service.predictions.close(timeout_s=5)
    logged = newest_predictions(service.database, 2)
    assert {record.symbol for record in logged} == {"ACME", "NEWCO"}
    counted = service.telemetry.exposition().decode()
    assert 'symbol="unknown"' in counted
    assert "ACME" not in counted


def test_a_model_of_its_own_answers_within_a_second(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalClient(create_app(published)) as client:
        models = client.app.state.service.models  # type: ignore[attr-defined]
        names = [*Registry(published.models_url).symbols()]
        monkeypatch.setattr(models.registry, "symbols", lambda: [n for n in names if n != "AAPL"])
        before = predict(client, walk(1), symbol="AAPL")
        monkeypatch.undo()
        monkeypatch.setattr(models._listed, "_clock", lambda: 1e12)
        after = predict(client, walk(1), symbol="AAPL")
    assert (before["calibration"], before["model_symbol"]) == ("pooled", "MSFT")
    assert (after["calibration"], after["model_symbol"]) == ("symbol", "AAPL")


def test_drift_of_it_is_the_verdict_of_its_prediction(client: TestClient) -> None:
    split = walk(6)
    split[30:] = [close / 2 for close in split[30:]]
    for window in (
        {"prices": split, "symbol": "ACME"},
        {"prices": NEWEST, "symbol": "ACME", "sessions": DATES},
        {"prices": walk(7, 300), "symbol": "ACME"},
    ):
        [verdict] = client.post("/drift", json={"windows": [window]}).json()["verdicts"]
        answer = predict(client, **window)
        for name in ("symbol", "model_symbol", "closes_used", "notes", "drift_findings"):
            assert verdict[name] == answer[name]
        assert verdict["level"] == answer["drift_level"]


def test_no_symbol_is_answered_as_none(client: TestClient) -> None:
    answer = predict(client, walk(1))
    assert (answer["symbol"], answer["model_symbol"]) == (None, "MSFT")
    assert (answer["calibration"], answer["notes"]) == ("symbol", [])


# -- windows longer than the model's ------------------------------------------------------------


@pytest.mark.parametrize("length", [61, 500, 5_000])
@pytest.mark.parametrize("symbol", [None, "MSFT", "ACME"])
def test_of_a_longer_window_the_newest_closes_are_used(
    client: TestClient, length: int, symbol: str | None
) -> None:
    prices, about = walk(8, length), {"symbol": symbol} if symbol else {}
    longer, exact = predict(client, prices, **about), predict(client, prices[-60:], **about)
    assert longer.pop("notes")[-1] == (
        f"{length - 60} older closes were left out: the model reads the newest 60."
    )
    del exact["notes"]
    assert longer["closes_used"] == 60
    assert longer == exact


def test_the_note_is_in_the_callers_language(client: TestClient) -> None:
    headers = {"accept-language": "pt-BR"}
    answer = client.post("/predict", json={"prices": walk(8, 70)}, headers=headers).json()
    assert answer["notes"] == [
        "10 fechamentos mais antigos ficaram de fora: o modelo lê os 60 mais novos."
    ]


def test_dates_and_volumes_are_cut_along(client: TestClient) -> None:
    rows = slice(-400, None)
    window = {
        "prices": MSFT.closes[rows].tolist(),
        "sessions": [str(day) for day in MSFT.sessions[rows]],
        "volume": [1e6] * 400,
        "symbol": "MSFT",
    }
    answer = predict(client, **window)
    assert (answer["drift_level"], answer["provenance"]["match"]) == ("ok", "exact")
    assert answer["provenance"]["first_session"] == DATES[0]
    assert answer["mode"] == "with history"


def test_the_newest_are_kept_where_dates_say_that_they_come_first(client: TestClient) -> None:
    days = [str(day) for day in MSFT.sessions[-300:]][::-1]
    prices = MSFT.closes[-300:][::-1].tolist()
    answer = predict(client, prices, sessions=days, symbol="MSFT")
    assert answer["provenance"]["last_session"] == DATES[-1]
    assert "reversed_order" in [f["code"] for f in answer["drift_findings"]]


@pytest.mark.parametrize("as_lines", [False, True], ids=["json", "lines"])
@pytest.mark.parametrize("length", [61, 512, 3_000])
def test_a_batch_cuts_as_alone(client: TestClient, as_lines: bool, length: int) -> None:
    window = {"prices": walk(9, length), "symbol": "AAPL"}
    assert in_batch(client, window, as_lines) == predict(client, **window)


def test_a_short_window_says_how_many_closes_are_needed(client: TestClient) -> None:
    answer = client.post("/predict", json={"prices": walk(1, 42), "symbol": "ACME"})
    assert answer.status_code == 422
    assert "got 42 closes" in answer.json()["detail"]
    assert answer.json()["expected_length"] == 60
