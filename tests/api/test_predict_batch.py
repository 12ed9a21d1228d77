"""``POST /predict/batch`` as a caller sees it, and what comes at once on ``POST /predict``."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.main import create_app
from api.schemas.batches import BatchAnswer
from api.schemas.predictions import PredictAnswer
from api.services import batch_prediction
from closecast.database import Database
from closecast.serving import Snapshot
from closecast.serving.batching import Batcher, PredictionQuery
from closecast.settings import Settings
from closecast.sources.sample import SampleSource
from tests.support.logged_predictions import newest_predictions

MSFT = SampleSource().fetch("MSFT").closes
AAPL = SampleSource().fetch("AAPL").closes


def walk(seed: int, scale: float = 0.015, length: int = 60) -> list[float]:
    moves = scale * np.random.default_rng(seed).standard_normal(length)
    return (100 * np.exp(np.cumsum(moves))).round(2).tolist()


def mixed(n: int) -> list[dict[str, Any]]:
    """Real and made windows of two symbols, wild and wrong ones, some with dates."""
    found: list[dict[str, Any]] = []
    for i in range(n):
        symbol = (None, "MSFT", "AAPL")[i % 3]
        closes = AAPL if symbol == "AAPL" else MSFT
        window = (walk(i), closes[i : i + 60].tolist(), walk(i, 0.1), closes[-60:].tolist())[i % 4]
        if i % 7 == 3:
            window[30:] = [c / 2 for c in window[30:]]
        about = {"symbol": symbol} if symbol else {}
        found.append({"prices": window, **about, **({"as_of": "2022-12-28"} if i % 5 == 1 else {})})
    return found


def ask(client: TestClient, windows: list[Any], **more: Any) -> dict[str, Any]:
    answer = client.post("/predict/batch", json={"windows": windows, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_each_window_is_answered_as_alone_to_the_last_bit(client: TestClient) -> None:
    windows = mixed(60)
    answer = ask(client, windows)
    assert (answer["answered"], answer["refused"]) == (60, 0)
    for window, result in zip(windows, answer["results"], strict=True):
        alone = client.post("/predict", json=window).json()
        models = client.app.state.service.models  # type: ignore[attr-defined]
        if models.get(window.get("symbol")).speed.same_together:
            assert result == alone
        else:
            assert result["predicted_price"] == pytest.approx(alone["predicted_price"], rel=1e-6)
    assert {r["drift_level"] for r in answer["results"]} == {"ok", "regime", "fault"}
    assert {r["mode"] for r in answer["results"]} == {"window only", "with history"}


def test_the_answer_is_the_documented_one(client: TestClient) -> None:
    answer = client.post("/predict/batch", json={"windows": [*mixed(8), {"prices": [1.0]}]})
    BatchAnswer.model_validate_json(answer.content, strict=True)
    answer = client.post("/predict/batch", json={"windows": mixed(8)})
    BatchAnswer.model_validate_json(answer.content, strict=True, extra="forbid")
    one = client.post("/predict", json={**mixed(8)[3], "timing": True})
    read = PredictAnswer.model_validate_json(one.content, strict=True, extra="forbid")
    assert read.model_dump(mode="json") == one.json()


def test_one_that_cannot_be_answered_does_not_stop_the_others(client: TestClient) -> None:
    windows = mixed(3)
    windows += [{"prices": walk(2, length=59)}, {"prices": walk(3), "symbol": "../../etc"}]
    answer = ask(client, windows)
    assert (answer["answered"], answer["refused"]) == (3, 2)
    problems = [r["problem"] for r in answer["results"] if "problem" in r]
    assert [p["status"] for p in problems] == [422, 422]
    assert [p["code"] for p in problems] == ["wrong_window_length", "invalid_symbol"]
    pointers = [p["errors"][0]["pointer"] for p in problems]
    assert pointers == ["/windows/3/prices", "/windows/4/symbol"]


def test_thousands_of_names_that_callers_make_up_are_one_look_into_the_store(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = client.app.state.service.models.registry  # type: ignore[attr-defined]
    looks, real = [], registry.symbols

    def symbols() -> Any:
        looks.append(1)
        return real()

    monkeypatch.setattr(registry, "symbols", symbols)
    monkeypatch.setattr(registry, "pointer", lambda symbol: looks.append(symbol))
    windows = [{"prices": walk(i), "symbol": f"X{i:03}"} for i in range(300)]
    answer = ask(client, windows)
    assert [r["symbol"] for r in answer["results"]] == [w["symbol"] for w in windows]
    assert {r["calibration"] for r in answer["results"]} == {"pooled"}
    for window in windows[:20]:
        client.post("/predict", json=window)
    assert [look for look in looks if look != "MSFT"] == [1]  # the follower looks at MSFT, too


def test_a_refused_fault_is_refused_in_its_place(published: Settings) -> None:
    split = MSFT[-60:].tolist()
    split[30:] = [c / 2 for c in split[30:]]
    changed = published.model_copy(update={"drift_on_fault": "refuse"})
    with TestClient(create_app(changed)) as client:
        answer = ask(client, [{"prices": split}, {"prices": MSFT[-60:].tolist()}])
    refused, answered = answer["results"]
    assert refused["problem"]["code"] == "data_fault"
    assert refused["problem"]["findings"][0]["code"] == "split"
    assert answered["drift_level"] == "ok"


@pytest.mark.parametrize(
    ("windows", "pointer"),
    [
        ([], "/windows"),
        ([{"prices": [1]}] * 4097, "/windows"),
        (
            [{"prices": walk(0)}] * 200 + [{"prices": [*walk(1)[:3], -1, *walk(1)[4:]]}],
            "/windows/200/prices/3",
        ),
        ([{"prices": walk(0)}, {"prices": ["5"] * 60}], "/windows/1/prices/0"),
        ([{"prices": walk(0), "level": 1}], "/windows/0/level"),
        ([{"prices": walk(0)}, {"symbol": "MSFT"}], "/windows/1/prices"),
        ([walk(0)], "/windows/0"),
        ("MSFT", "/windows"),
    ],
)
def test_what_does_not_fit_is_refused_whole_and_pointed_at(
    published: Settings, windows: Any, pointer: str
) -> None:
    changed = published.model_copy(update={"max_body_bytes": 10_000_000})
    with TestClient(create_app(changed)) as client:
        answer = client.post("/predict/batch", json={"windows": windows})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"windows": [{"prices": [NaN]}]}', "application/json", 400),
        (b"", "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"\xff\xfe", "application/json", 400),
    ],
)
def test_what_is_no_json(client: TestClient, content: bytes, kind: str, status: int) -> None:
    answer = client.post("/predict/batch", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_levels_are_asked_for_once(client: TestClient) -> None:
    answer = ask(client, mixed(4), levels=[0.9, 0.5])
    assert [i["level"] for i in answer["results"][0]["intervals"]] == [0.5, 0.9]
    answer = client.post("/predict/batch", json={"windows": mixed(1), "levels": [0.2]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_levels")


def test_every_answer_is_logged(published: Settings) -> None:
    with TestClient(create_app(published)) as client:
        ask(client, mixed(40))
    database = Database(published.ledger_url)
    assert len(newest_predictions(database, 100)) == 40
    database.close()


def test_a_large_answer_is_compressed_for_who_wants_it_and_a_small_one_is_not(
    client: TestClient,
) -> None:
    body = {"windows": mixed(40)}
    with client.stream(
        "POST", "/predict/batch", json=body, headers={"accept-encoding": "gzip"}
    ) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        raw = b"".join(answer.iter_raw())
    plain = client.post("/predict/batch", json=body, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 3
    one = client.post("/predict", json=mixed(1)[0], headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in one.headers


def test_one_symbol_is_answered_by_one_version_though_a_model_is_swapped_meanwhile(
    published: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_prediction, "_FEW", 2)
    app = create_app(published)
    with TestClient(app) as client:
        models = app.state.service.models
        before = client.get("/model").json()
        real, moved = models.closes.context, []

        def context(*about: Any) -> Any:
            if not moved:  # in the middle of the first part
                models.registry.rollback("MSFT", "for a test", by="tests")
                moved.append(models.look("MSFT"))
            return real(*about)

        monkeypatch.setattr(models.closes, "context", context)
        answer = ask(client, [{"prices": walk(i)} for i in range(10)])
        assert moved[0].outcome == "swapped"
        after = client.post("/predict", json={"prices": walk(1)}).json()
    versions = {(r["model_version"], r["model_generation"]) for r in answer["results"]}
    assert versions == {(before["version"], before["generation"])}
    assert after["model_version"] != before["version"]


# -- what comes at once on POST /predict ----------------------------------------------------------


async def _at_once(app: FastAPI, bodies: list[dict[str, Any]]) -> list[Any]:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        return await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))


def test_requests_that_come_at_once_get_their_own_answers(
    published: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    real = Snapshot.predict_batch

    def counting(self: Snapshot, windows: Any, *about: Any) -> Any:
        sizes.append(len(windows))
        return real(self, windows, *about)

    bodies = mixed(48)
    bodies[5] = {"prices": walk(2, length=59)}
    bodies[9] = {**bodies[9], "levels": [0.9]}
    alone = [client.post("/predict", json=body) for body in bodies]
    monkeypatch.setattr(Snapshot, "predict_batch", counting)
    together = asyncio.run(_at_once(create_app(published), bodies))
    assert max(sizes) > 1
    for one, other in zip(alone, together, strict=True):
        assert one.status_code == other.status_code
        drop = {"request_id"}
        assert {k: v for k, v in one.json().items() if k not in drop} == {
            k: v for k, v in other.json().items() if k not in drop
        }


def test_one_that_fails_does_not_fail_its_neighbours(client: TestClient) -> None:
    service = client.app.state.service  # type: ignore[attr-defined]
    snapshot = service.models.get("MSFT")
    windows = [walk(1), walk(2, length=59), [float("nan")] * 60, walk(3)]

    async def run() -> list[Any]:
        together = Batcher()
        asked = [
            together.ask(PredictionQuery(snapshot, closes, None, (0.8, 0.95), None))  # type: ignore[arg-type]
            for closes in windows
        ]
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(run())
    assert [type(a).__name__ for a in answers] == [
        "Prediction",
        "WrongWindowLength",
        "InvalidPrices",
        "Prediction",
    ]


def test_a_caller_who_left_is_passed_over(client: TestClient) -> None:
    snapshot = client.app.state.service.models.get("MSFT")  # type: ignore[attr-defined]

    async def run() -> Any:
        together = Batcher()
        asked = [
            together.ask(PredictionQuery(snapshot, walk(i), None, (0.8,), None))  # type: ignore[arg-type]
            for i in range(3)
        ]
        asked[1].cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = asyncio.run(run())
    assert [type(a).__name__ for a in answers] == ["Prediction", "CancelledError", "Prediction"]
