"""Requests that read change nothing that needs the scope admin.

Two rows may be written to the ledger, and the service decides how often: the forecast that is
answered, and the job that collects newer closes of a published model.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from starlette.routing import Mount

from api.main import create_app
from api.security.access import CHANGING
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache
from tests.api.test_security import ELSEWHERE, bearer, routes_in
from tests.support.local_client import LocalClient

WITH_MODEL, WITHOUT_MODEL = "MSFT", "KO"
CLOSE_OF_DATA = datetime(2022, 12, 28, 23, tzinfo=UTC)
LONG_AFTER = datetime(2023, 3, 1, 12, tzinfo=UTC)
MAY_WRITE = {"forecasts", "processes", "served"}
"""Tables of forecasts, and of what each process serves, which a thread of it reports."""

# Sent to every operation: a parameter by which a change was ordered once must stay without effect.
ORDERS = {"train": "true", "refresh": "true", "reload": "true", "reason": "x", "version": "x"}


def requests_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and address of every route that answers GET, with a model and without.

    GET and HEAD as they are, and GET with everything that sounds like an order and each switch on.
    """
    documented = app.openapi()["paths"]
    for route in routes_in(app.routes):
        if isinstance(route, Mount) or "GET" not in (route.methods or ()):
            continue
        declared = documented.get(route.path, {}).get("get", {}).get("parameters", [])
        switches = {p["name"]: "true" for p in declared if p["schema"].get("type") == "boolean"}
        for symbol in (WITH_MODEL, WITHOUT_MODEL):
            path = route.path.replace("{symbol}", symbol)
            for name in ("{job_id}", "{forecast_id}", "{experiment}"):
                path = path.replace(name, "nothing")
            assert "{" not in path, f"fill the parameter of {route.path} in this test"
            orders = {**ORDERS, **switches, "symbol": symbol}
            yield "HEAD", path
            yield "GET", path
            yield "GET", f"{path}?{urlencode(orders)}"


class Kept:
    """All that is kept: the rows of each table, and the content of each file beside them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        path = settings.ledger_url.removeprefix("sqlite:///")
        with sqlite3.connect(path) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            self.tables = {
                name: connection.execute(f'SELECT * FROM "{name}"').fetchall()
                for (name,) in names.fetchall()
                if name not in MAY_WRITE
            }
            self.jobs = connection.execute("SELECT task, symbol FROM jobs").fetchall()
            self.forecasts = connection.execute("SELECT count(*) FROM forecasts").fetchone()[0]
        connection.close()
        del self.tables["jobs"]  # compared by themselves
        self.files = {
            str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*"))
            # The lock is of the check of the ledger, which begins in the background.
            if file.is_file() and not file.name.startswith(("ledger.sqlite", ".ledger-check.lock"))
        }


@pytest.fixture(params=["no keys, another machine", "a key that may read"])
def caller(request: pytest.FixtureRequest, published: Settings) -> dict[str, Any]:
    """How the client is made; where it needs a key, the key is there."""
    elsewhere: dict[str, Any] = {"client": ELSEWHERE, "base_url": "http://example.org"}
    if request.param.startswith("a key"):
        elsewhere["headers"] = bearer(KeyStore(published.keys_path).create("dashboard", "read"))
    return elsewhere


@pytest.mark.parametrize(
    ("now", "collected"),
    [(CLOSE_OF_DATA, True), (LONG_AFTER, True), (LONG_AFTER, False)],
    ids=["closes are new", "closes are old", "no closes"],
)
def test_no_request_that_reads_trains_configures_or_moves_a_model(
    published: Settings, tmp_path: Path, caller: dict[str, Any], now: datetime, collected: bool
) -> None:
    settings = published.model_copy(update={"host": "0.0.0.0", "forecast_wait_s": 0.0})
    if not collected:
        CalendarCache(settings.data_dir / "calendars").path("XNYS").unlink()
    cache = PriceCache(settings.data_dir / "prices")
    for symbol in cache.symbols():  # as if from a source that may go on, unlike the sample
        prices = cache.get(symbol)
        assert prices is not None
        cache.put(prices)
    app = create_app(settings, clock=lambda: now)
    with LocalClient(app, raise_server_exceptions=False, **caller) as client:
        app.state.service.forecasting._refresh._has_worker = True
        app.state.service.database.check()  # its tables are made at the first use
        client.get("/health")  # so is the identity of the ledger
        assert client.post("/train").status_code == 403
        before = Kept(settings, tmp_path)
        for method, address in requests_of(app):
            answer = client.request(method, address, follow_redirects=False)
            assert answer.status_code not in (401, 403, 500), f"{method} {address}"
        after = Kept(settings, tmp_path)
        assert client.post("/config", json={}).status_code == 403
    assert after.tables == before.tables
    assert after.files == before.files
    assert before.jobs == []
    # Jobs are one for all symbols of a model; of the symbol without a model there is none.
    assert after.jobs == ([] if now == CLOSE_OF_DATA else [("update", WITH_MODEL)])
    assert after.forecasts == (10 if collected else 0)  # of one forecast, a row for each step


@pytest.mark.parametrize("path", ["/forecast/KO", "/forecast/KO/today"])
def test_a_symbol_without_a_model_causes_nothing(
    published: Settings, caller: dict[str, Any], path: str
) -> None:
    app = create_app(published.model_copy(update={"host": "0.0.0.0"}), clock=lambda: LONG_AFTER)
    with LocalClient(app, **caller) as client:
        app.state.service.forecasting._refresh._has_worker = True
        assert client.get(path, params={"train": "true"}).status_code == 422
        answer = client.get(path)
        jobs = app.state.service.database.jobs.newest()
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")
    assert jobs == []


def test_no_operation_that_reads_is_in_the_table_of_changes() -> None:
    assert not {method for method, _ in CHANGING} & {"GET", "HEAD", "OPTIONS"}
