"""Renew the examples of the OpenAPI document: requests to a real service, and its answers.

A small model is trained in a temporary folder, served, and called. `api/schemas/examples/` then
holds one file per operation; the application reads them when it makes the document.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from api.main import create_app
from api.schemas.examples import FOLDER
from closecast.core.data_quality import find_faults
from closecast.core.records import HeldCloses
from closecast.database import Database
from closecast.forecasters import BOOTSTRAP
from closecast.pipeline import TrainRequest, run_training, update
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache
from scripts.replaying import Clock

TRAINED_UNTIL = date(2022, 10, 31)
FIRST_DAY = datetime(2022, 11, 1, 12, tzinfo=UTC)
NOW = datetime(2022, 12, 29, 12, tzinfo=UTC)
RECIPE = {"symbols": ["MSFT", "KO"], "forecaster": BOOTSTRAP, "start": "2016-01-04"}
_NAMES = {"host": "server-1", "process": "server-1:4711", "process_id": 4711}
_MOST_MEMBERS = 40
_KEPT_MEMBERS = 8

Examples = dict[str, dict[str, dict[str, Any]]]
"""Operation id to ``request`` or a status to the name of an example to its body."""


class Recorder:
    """Calls operations and keeps what was sent and answered."""

    def __init__(self, client: TestClient, examples: Examples) -> None:
        self._client = client
        self._examples = examples
        self._operations = {
            (method.upper(), path): operation["operationId"]
            for path, methods in client.get("/openapi.json").json()["paths"].items()
            for method, operation in methods.items()
        }

    def call(
        self,
        method: str,
        template: str,
        name: str,
        body: object = None,
        language: str = "en",
        **values: str,
    ) -> Any:
        """Answer of one call, kept under a name; an error is kept under its code."""
        answer = self._client.request(
            method, template.format(**values), json=body, headers={"Accept-Language": language}
        )
        operation = self._operations[method, template.partition("?")[0]]
        kept, content = self._examples.setdefault(operation, {}), answer.json()
        if answer.is_success:
            if body is not None:
                kept.setdefault("request", {})[name] = body
        else:
            name = content["code"]
        kept.setdefault(str(answer.status_code), {})[name] = shortened(content)
        return content


def shortened(value: Any) -> Any:
    """Answer for a reader: two items of a list of objects, no names of the machine."""
    if isinstance(value, dict):
        members = list(value.items())
        members = members[:_KEPT_MEMBERS] if len(members) > _MOST_MEMBERS else members
        return {
            key: _NAMES[key] if key in _NAMES and part is not None else shortened(part)
            for key, part in members
        }
    if isinstance(value, list):
        kept = value[:2] if value and isinstance(value[0], dict | list) else value
        return [shortened(part) for part in kept]
    return round(value, 6) if isinstance(value, float) else value


def record(folder: Path) -> Examples:
    """Examples of all operations, from a service whose files lie in a folder."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        source="sample",
        default_symbol="MSFT",
        models_url=str(folder / "models"),
        data_dir=folder / "data",
        results_dir=folder / "results",
        ledger_url=f"sqlite:///{folder}/ledger.sqlite",
        mlflow_tracking_uri=f"sqlite:///{folder}/mlflow.sqlite",
        mlflow_artifact_dir=folder / "artifacts",
        worker_enabled=False,
        log_level="ERROR",
    )
    examples: Examples = {}
    with serving(settings, Clock(FIRST_DAY)) as client:
        Recorder(client, examples).call("GET", "/health/ready", "")
        Recorder(client, examples).call("GET", "/drift", "nothing is watched yet")
    for _ in range(2):
        request = TrainRequest.model_validate({**RECIPE, "source": "sample", "end": TRAINED_UNTIL})
        run_training(settings, request)
    with serving(settings, Clock(FIRST_DAY)) as client:
        client.get("/forecast/MSFT")
    database = Database(settings.ledger_url, Clock(NOW))
    update(settings, "MSFT", database)
    database.close()
    with serving(settings, Clock(NOW)) as client:
        forecasts(Recorder(client, examples), settings)
        drift(Recorder(client, examples), closes(settings))
        models(Recorder(client, examples))
    with serving(settings, Clock(NOW + timedelta(days=1))) as client:
        faulty_closes(client, examples, settings)
    working = settings.model_copy(update={"worker_enabled": True})
    for reaction in ("refuse", "fallback"):
        careful = settings.model_copy(update={"drift_on_fault": reaction})
        with serving(careful, Clock(NOW)) as client:
            body = {"prices": in_cents(closes(settings))}
            Recorder(client, examples).call("POST", "/predict", f"a fault: {reaction}", body)
    with serving(working, Clock(NOW), real_time=True) as client:
        trainings(Recorder(client, examples))
        state(Recorder(client, examples))
    return examples


@contextmanager
def serving(settings: Settings, clock: Clock, *, real_time: bool = False) -> Iterator[TestClient]:
    """Service of this process, called from the same machine."""
    app = create_app(settings) if real_time else create_app(settings, clock=clock)
    here = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000"}
    with TestClient(app, raise_server_exceptions=False, **here) as client:  # type: ignore[arg-type]
        yield client


def closes(settings: Settings, count: int = 60) -> list[float]:
    """The newest closes of MSFT."""
    prices = PriceCache(settings.data_dir / "prices").get("MSFT")
    assert prices is not None
    return [round(float(close), 2) for close in prices.closes[-count:]]


def in_cents(window: list[float]) -> list[float]:
    """The closes, the last one in another unit."""
    return [*window[:-1], round(100 * window[-1], 2)]


def forecasts(service: Recorder, settings: Settings) -> None:
    """Forecasts of windows, and of symbols with a date."""
    window = closes(settings)
    call = service.call
    call("POST", "/predict", "60 closes", {"prices": window})
    dated = {"prices": window, "symbol": "MSFT", "as_of": "2022-12-28"}
    call("POST", "/predict", "a symbol, with the date of its last close", dated)
    call("POST", "/predict", "other levels", {"prices": window, "levels": [0.5, 0.9]})
    call("POST", "/predict", "the last close in cents", {"prices": in_cents(window)})
    call(
        "POST", "/predict", "closes as predict, answered with time and memory", {"predict": window}
    )
    call("POST", "/predict", "a stock by its name, answered with preco", {"stock": "MSFT"})
    call("POST", "/predict", "", {"prices": window[:3]})
    call("POST", "/predict", "", {"prices": window, "sessions": ["2022-12-28"]})
    own = {"prices": [round(close / 5, 2) for close in closes(settings, 80)], "symbol": "ACME"}
    call("POST", "/predict", "80 closes of a symbol without a model", own)
    batch = {"windows": [{"prices": window}, {"prices": window[:3], "symbol": "KO"}]}
    call("POST", "/predict/batch", "one answered, one refused", {**batch, "levels": [0.8, 0.95]})
    given = call("GET", "/forecast/{symbol}?horizon=2", "two sessions", symbol="MSFT")
    call("GET", "/forecast/{symbol}", "", symbol="ACME")
    call("GET", "/forecast/{symbol}?horizon=30", "", symbol="MSFT")
    call("GET", "/forecast/{symbol}?levels=0.4", "", symbol="MSFT")
    call("GET", "/forecast/{symbol}/today", "the next session", symbol="MSFT")
    call("GET", "/fechamento/hoje", "the next session")
    call("GET", "/fechamento/proximos", "the five sessions after it")
    first = call("GET", "/forecasts?limit=2", "two")["forecasts"][1]["forecast_id"]
    call("GET", "/forecasts/{forecast_id}", "scored", forecast_id=first)
    identifier = given["forecast_id"]
    call("GET", "/forecasts/{forecast_id}", "not scored yet", forecast_id=identifier)
    call("GET", "/forecasts/{forecast_id}", "", forecast_id="0f1e2d3c4b5a6978")
    call("GET", "/performance/{symbol}", "scored forecasts of one origin", symbol="MSFT")
    time.sleep(1.5)  # the prediction log is written behind the answer
    call("GET", "/predictions?limit=1", "the last logged")


def drift(service: Recorder, window: list[float]) -> None:
    """Verdicts on windows, on a symbol over time, and on all symbols."""
    call = service.call
    one = {"prices": window, "symbol": "MSFT", "as_of": "2022-12-28"}
    body = {"windows": [one, {"prices": in_cents(window)}]}
    call("POST", "/drift", "two windows, the second with its last close in cents", body)
    foreign = {"windows": [{"prices": window, "symbol": "KO"}]}
    call("POST", "/drift", "closes of another symbol, in Portuguese", foreign, language="pt-BR")
    call("POST", "/drift", "", {"windows": [one, {"prices": window[:3]}]})
    call("GET", "/drift/{symbol}?limit=1", "a model that fits", symbol="MSFT")
    call("GET", "/drift", "models that fit")


def faulty_closes(client: TestClient, examples: Examples, settings: Settings) -> None:
    """A close that is held back as faulty, and its acceptance."""
    call, cache = Recorder(client, examples).call, PriceCache(settings.data_dir / "prices")
    prices = cache.get("MSFT")
    assert prices is not None
    halved = np.append(prices.closes, prices.closes[-1] / 2)
    session = np.append(prices.sessions, np.datetime64(NOW.date()))
    cache.put(replace(prices, sessions=session, closes=halved))
    [fault] = find_faults(replace(prices, sessions=session, closes=halved))
    held = HeldCloses(
        since=NOW.date(),
        code=fault.rule,
        reason=str(fault),
        ends="A corrected close ends it, or POST /prices/MSFT/accept where it is right.",
        noticed_at=NOW + timedelta(hours=10),
    )
    database: Database = client.app.state.service.database  # type: ignore[attr-defined]
    database.close_decisions.hold("MSFT", held)
    call("GET", "/forecast/{symbol}?horizon=1", "closes are held back", symbol="MSFT")
    call("GET", "/prices/{symbol}?limit=2", "a close is held back", symbol="MSFT")
    call("GET", "/prices/{symbol}", "", symbol="ACME")
    path = "/prices/{symbol}/accept"
    body = {"session": str(NOW.date()), "reason": "a real halving: see the filing", "by": "ana"}
    done = call("POST", path, "a close that is held back", body, symbol="MSFT")
    database.jobs.cancel(done["job"]["id"])
    database.close_decisions.hold("MSFT", None)
    call("POST", path, "the same after its update", body, symbol="MSFT")
    call("POST", path, "", {**body, "session": "2022-12-28"}, symbol="MSFT")
    call("POST", path, "", body, symbol="ACME")
    cache.put(prices)


def models(service: Recorder) -> None:
    """The served model, its versions, and moves of its pointer."""
    call = service.call
    call("GET", "/model", "a model of two symbols")
    newest, before = call("GET", "/model/versions", "two versions")["versions"][:2]
    call("POST", "/model/reload", "one symbol", {"symbol": "MSFT"})
    override = {
        "symbol": "MSFT",
        "version": newest["version"],
        "reason": "rejected for one bad week in March, better ever since",
        "by": "ana",
    }
    moved = call("POST", "/model/promote", "a version that the gate rejected", override)
    generation = moved["steps"]["MSFT"]["generation"]
    call("POST", "/model/rollback", "to the version before", {"reason": "intervals too narrow"})
    named = {**override, "expected_generation": generation + 1}
    call("POST", "/model/promote", "only if nobody else was faster", named)
    wrong = {**override, "expected_generation": generation}
    call("POST", "/model/promote", "", wrong)
    call("POST", "/model/promote", "", {**override, "version": "20260102T030405Z-0a1b2c3d"})
    back = {**override, "version": before["version"], "reason": "trained on wrong closes"}
    call("POST", "/model/rollback", "to a named version", back)


def trainings(service: Recorder) -> None:
    """Trainings by the worker, and the hyper-parameters of the next one."""
    call = service.call
    change = {"hyperparameters": {"hidden_size": 32}}
    call("POST", "/config", "one hyper-parameter", change)
    call("GET", "/config", "one hyper-parameter changed")
    recipe = {**RECIPE, "source": "sample"}
    job = call("POST", "/train", "two symbols", recipe)
    path = "/train/{job_id}"
    while call("GET", path, "ended", job_id=job["id"])["state"] in ("queued", "running"):
        time.sleep(0.5)
    call("GET", path, "", job_id="0123456789abcdef")
    call("GET", "/train?limit=1", "one job")
    other = service.call("POST", "/train", "another span", {**recipe, "start": "2017-01-03"})
    between = {"stock": "KO", "inicio": "2016-01-04", "fim": "2021-12-31"}
    stock = call("POST", "/train", "a stock between two dates", between)
    call("DELETE", path, "a job that waited or ran", job_id=stock["id"])
    call("POST", "/train", "", recipe)
    call("DELETE", path, "a job that waited or ran", job_id=other["id"])
    call("GET", "/statistics", "one experiment")
    call("GET", "/statistics/{experiment}", "by a symbol", experiment="ko")
    call("GET", "/statistics/{experiment}", "of nothing", experiment="ACME")


def state(service: Recorder) -> None:
    """The service at a glance, its health and its requests."""
    for path in ("/", "/health", "/health/live", "/health/ready", "/monitor?limit=1"):
        service.call("GET", path, "a service with a model")


def main() -> None:
    """Write one file per operation."""
    with TemporaryDirectory() as folder:
        examples = record(Path(folder))
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for operation, kept in sorted(examples.items()):
        text = json.dumps(kept, indent=1, ensure_ascii=False)
        (FOLDER / f"{operation}.json").write_text(text + "\n", encoding="utf-8")
    print(f"wrote examples of {len(examples)} operations")


if __name__ == "__main__":
    main()
