"""HEAD, OPTIONS and ``Allow``: parts of HTTP that FastAPI leaves to the application."""

from __future__ import annotations

import re
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from starlette.routing import Mount

from api.main import create_app
from api.problems.paths import nearest_path
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from tests.api.test_security import bearer, routes_in
from tests.support.live_server import live_server
from tests.support.local_client import LocalClient

VALUES = {"{symbol}": "MSFT", "{job_id}": "nothing", "{forecast_id}": "nothing"}
CHANGES_EACH_TIME = {"date", "x-request-id", "content-length", "etag"}


def filled(path: str) -> str:
    """Path with a value for each parameter."""
    return re.sub(r"{\w+}", lambda name: VALUES.get(name[0], "nothing"), path)


def readable_paths() -> list[str]:
    """Every path that answers GET, and one of the mounted files."""
    app = create_app(Settings(_env_file=None))  # type: ignore[call-arg]
    routes = (route for route in routes_in(app.routes) if not isinstance(route, Mount))
    found = {filled(route.path) for route in routes if "GET" in (route.methods or ())}
    return sorted(found | {"/static-offline-docs/swagger-ui-bundle.js"})


PATHS = readable_paths()


def head_of(answer: Any) -> dict[str, str]:
    """Headers of an answer that are the same each time."""
    return {name: value for name, value in answer.headers.items() if name not in CHANGES_EACH_TIME}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", PATHS)
def test_head_is_the_head_of_get(client: TestClient, path: str, encoding: str) -> None:
    accepted = {"accept-encoding": encoding}
    got = client.get(path, headers=accepted, follow_redirects=False)
    head = client.head(path, headers=accepted, follow_redirects=False)
    assert head.status_code == got.status_code
    assert head.content == b""
    assert head_of(head) == head_of(got)


@pytest.mark.parametrize("path", ["/health/live", "/docs", "/openapi.json", "/redoc"])
def test_head_names_the_length_of_the_body(client: TestClient, path: str) -> None:
    plain = {"accept-encoding": "identity"}
    got, head = client.get(path, headers=plain), client.head(path, headers=plain)
    assert head.headers["content-length"] == str(len(got.content))
    packed = client.head(path), client.get(path)
    assert len({answer.headers["content-length"] for answer in packed}) == 1


def test_on_a_real_server_the_connection_goes_on_after_each_head(published: Settings) -> None:
    with live_server(create_app(published)) as address, httpx.Client(base_url=address) as http:
        for path in PATHS:
            head = http.head(path, follow_redirects=False)
            assert head.content == b""
            assert http.get("/health/live").json() == {"status": "alive"}
            assert head.status_code == http.get(path, follow_redirects=False).status_code, path
            assert "transfer-encoding" not in head.headers


def test_head_of_a_long_export_does_not_read_the_whole_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def rows(*_: Any) -> Any:
        for number in range(1_000):
            made.append(number)
            yield "x" * 10_000

    monkeypatch.setattr("api.routes.prediction_log._lines", rows)
    assert client.head("/predictions.csv").status_code == 200
    assert len(made) < 5
    assert len(client.get("/predictions.csv").content) == 10_000_000


@pytest.mark.parametrize("path", PATHS)
def test_head_needs_the_key_that_get_needs(settings: Settings, path: str) -> None:
    token = KeyStore(settings.keys_path).create("dashboard", "read")
    with LocalClient(create_app(settings), raise_server_exceptions=False) as client:
        for headers in ({}, bearer(token), bearer("closecast_unknown")):
            got = client.get(path, headers=headers, follow_redirects=False)
            head = client.head(path, headers=headers, follow_redirects=False)
            assert head.status_code == got.status_code


def test_the_document_lists_no_head(empty_client: TestClient) -> None:
    paths = empty_client.get("/openapi.json").json()["paths"]
    assert not [path for path, operations in paths.items() if {"head", "options"} & set(operations)]


ALLOWED = {
    "/train": "GET, HEAD, OPTIONS, POST",
    "/train/nothing": "DELETE, GET, HEAD, OPTIONS",
    "/config": "GET, HEAD, OPTIONS, POST",
    "/predict": "OPTIONS, POST",
    "/health/live": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/forecast/MSFT/today": "GET, HEAD, OPTIONS",
    "/static-offline-docs/swagger-ui.css": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items(), ids=ALLOWED)
def test_405_names_all_methods_of_the_path(
    empty_client: TestClient, path: str, allowed: str
) -> None:
    answer = empty_client.put(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(("path", "allowed"), ALLOWED.items(), ids=ALLOWED)
def test_options_names_them_without_a_body(
    empty_client: TestClient, path: str, allowed: str
) -> None:
    answer = empty_client.options(path)
    assert (answer.status_code, answer.headers["allow"]) == (204, allowed)
    assert answer.content == b""


def test_every_method_that_is_named_is_answered_and_no_other(empty_client: TestClient) -> None:
    for path in ALLOWED:
        allowed = empty_client.options(path).headers["allow"].split(", ")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
            status = empty_client.request(method, path).status_code
            assert (status == 405) == (method not in allowed), f"{method} {path}"


def test_options_of_the_whole_service_names_all_methods(settings: Settings) -> None:
    with live_server(create_app(settings)) as address:
        end = urlsplit(address)
        with socket.create_connection((end.hostname, end.port), timeout=30) as connection:
            connection.sendall(
                b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            )
            answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 204 ")
    assert "allow: DELETE, GET, HEAD, OPTIONS, POST\r\n" in answer


def test_where_nothing_is_there_no_method_is_named(empty_client: TestClient) -> None:
    for method in ("HEAD", "OPTIONS", "PUT"):
        answer = empty_client.request(method, "/nowhere")
        assert answer.status_code == 404
        assert "allow" not in answer.headers


def test_a_target_that_is_no_path_resembles_none(settings: Settings) -> None:
    assert nearest_path(create_app(settings).state.operations, "*") is None
