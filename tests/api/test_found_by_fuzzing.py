"""What `make fuzz` found once, each with the request that showed it."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from closecast.registry.registry import Registry
from closecast.serving import Snapshot
from closecast.settings import Settings
from tests.support.live_server import live_server

JSON = {"content-type": "application/json"}
HALVES = [b'"\\ud800"', b'"a\\udc00\\ud800b"', b'"\xed\xa0\x80"']


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", b'{"prices": [1], "symbol": %s}'),
        ("/predict/batch", b'{"windows": [{"prices": [1], "symbol": %s}]}'),
        ("/drift", b'{"windows": [{"prices": [1], "symbol": %s}]}'),
        ("/train", b'{"symbol": %s}'),
        ("/config", b'{"hyperparameters": {%s: 1}}'),
        ("/model/reload", b'{"symbol": %s}'),
        ("/model/promote", b'{"version": "x", "reason": %s}'),
        ("/model/rollback", b'{"reason": "r", "by": %s}'),
    ],
)
def test_half_a_surrogate_pair_is_no_json(
    client: TestClient, path: str, body: bytes, half: bytes
) -> None:
    """In the reason of a promotion it was a 500: the pointer could not be written."""
    answer = client.post(path, content=body % half, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_a_whole_pair_is_a_character(client: TestClient, published: Settings) -> None:
    pointer = Registry(published.models_url).pointer("AAPL")
    assert pointer is not None
    body = b'{"symbol": "AAPL", "version": "%s", "reason": "\\ud83d\\ude00"}'
    answer = client.post("/model/promote", content=body % pointer.version.encode(), headers=JSON)
    assert answer.json()["steps"]["AAPL"]["reason"] == "\N{GRINNING FACE}"


def test_fine_tuning_what_has_no_model_is_a_documented_404(client: TestClient) -> None:
    answer = client.post("/train", json={"symbol": "ACME", "fine_tune": True})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_symbol")
    document = client.get("/openapi.json").json()
    assert "404" in document["paths"]["/train"]["post"]["responses"]


@pytest.mark.parametrize("path", ["/predict/", "/health/", "/train/", "/docs/"])
def test_no_redirect_follows_the_host_header(client: TestClient, path: str) -> None:
    refused = client.get(path, headers={"host": "evil.example"}, follow_redirects=False)
    assert (refused.status_code, refused.json()["code"]) == (421, "unknown_host")
    known = client.get(path, headers={"host": "evil.localhost"}, follow_redirects=False)
    assert (known.status_code, known.json()["code"]) == (404, "not_found")
    assert "evil" not in str(refused.headers) + str(known.headers)


def test_a_websocket_is_answered_by_the_application(published: Settings) -> None:
    """It was refused by the server, without an id and without the security headers."""
    upgrade = (
        b"GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\n"
        b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with live_server(create_app(published)) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(upgrade)
            head = connection.recv(4_000).lower()
    assert head.startswith(b"http/1.1 200 ")
    assert b"x-request-id: " in head
    assert b"content-security-policy: " in head


@pytest.mark.parametrize(("path", "wrong"), [("/drift", 255), ("/predict/batch", 150)])
def test_of_many_windows_the_first_wrong_one_is_described(
    client: TestClient, path: str, wrong: int
) -> None:
    """All of them were 131,072 errors, and four seconds in which nobody else was answered."""
    good, bad = {"prices": [100.0] * 60}, {"prices": [""] * 512}
    answer = client.post(path, json={"windows": [good, *[bad] * wrong]})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert {e["pointer"].rpartition("/")[0] for e in answer.json()["errors"]} == {
        "/windows/1/prices"
    }


def test_a_window_that_fails_unexpectedly_leaves_the_batch_whole(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer ended in the middle of its JSON, with the status 200."""
    real = Snapshot.steps

    def failing(self: Snapshot, windows: Any, *rest: Any) -> Any:
        if any(window[0] == 13 for window in windows):
            raise ZeroDivisionError
        return real(self, windows, *rest)

    monkeypatch.setattr(Snapshot, "steps", failing)
    windows = [{"prices": [first, *[100.0] * 59]} for first in (100.0, 13.0, 101.0)]
    answer = client.post("/predict/batch", json={"windows": windows}).json()
    assert (answer["answered"], answer["refused"]) == (2, 1)
    assert answer["results"][1]["problem"]["code"] == "internal_error"
