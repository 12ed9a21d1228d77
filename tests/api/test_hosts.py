"""Known hosts: a name of another site that leads here (DNS rebinding) reads nothing."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from api.main import create_app
from api.security.hosts import KnownHosts
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from tests.api.test_security import CONFIG, bearer, code_of
from tests.support.live_server import live_server
from tests.support.local_client import LocalClient

FOREIGN = [
    *("rebound.example", "rebound.example:8000", "localhost.example", "127.0.0.1.example"),
    *("localhost.rebound.example:8000", "192.0.2.1", "[2001:db8::7]:8000", "0.0.0.0:8000", "x"),
    *("rebound.example.", "REBOUND.example", "user@localhost", "localhost:8000:80", "local host"),
    *(
        "localhost/",
        "[::1",
        "localhost:port",
        "xn--lclhst-6ua.example",
        "localhost,rebound.example",
    ),
]
OURS = [
    *("localhost", "localhost:8000", "LocalHost", "localhost.", "localhost.:8000", "127.0.0.1"),
    *("127.0.0.1:9", "127.1.2.3:8000", "[::1]", "[::1]:8000", "[0:0:0:0:0:0:0:1]"),
    *("[::ffff:127.0.0.1]:8000", "app.localhost", "localhost:"),
]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize(("method", "path"), [("GET", "/model"), ("POST", "/config"), ("GET", "/")])
def test_by_a_foreign_name_nothing_is_answered_on_loopback_without_keys(
    settings: Settings, host: str, method: str, path: str
) -> None:
    with LocalClient(create_app(settings)) as client:
        answer = client.request(method, path, headers={"host": host})
    assert answer.status_code == 421
    assert code_of(answer) == "unknown_host"
    assert "localhost" in answer.json()["detail"]
    assert "CLOSECAST_ALLOWED_HOSTS" in answer.json()["detail"]


@pytest.mark.parametrize("host", OURS)
def test_by_a_loopback_name_all_is_answered(settings: Settings, host: str) -> None:
    with LocalClient(create_app(settings), headers={"host": host}) as client:
        assert client.get("/config").status_code == 200
        assert client.post("/config", **CONFIG).status_code == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"])
def test_documentation_is_not_shown_under_a_foreign_name(settings: Settings, path: str) -> None:
    with LocalClient(create_app(settings)) as client:
        assert client.get(path, headers={"host": "rebound.example"}).status_code == 421


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
@pytest.mark.parametrize("allowed", ["", "closecast"])
def test_probes_ask_by_any_address(settings: Settings, path: str, allowed: str) -> None:
    app = create_app(settings.model_copy(update={"allowed_hosts": allowed}))
    with LocalClient(app, raise_server_exceptions=False) as client:
        assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code in (200, 503)


ALLOWED = {
    "closecast": (
        ["closecast", "closecast:8000", "CLOSECAST.:8000"],
        ["a.closecast", "closecast2"],
    ),
    "closecast:8000": (["closecast:8000"], ["closecast", "closecast:80", "closecast:80000"]),
    "*.example.org": (
        ["a.example.org", "a.b.example.org:443", "A.Example.Org."],
        ["example.org", ".example.org", "aexample.org", "a.example.org.evil.example"],
    ),
    " Api.Example.org. , 192.0.2.7": (
        ["api.example.org", "192.0.2.7:8000"],
        ["192.0.2.8", "x.api.example.org"],
    ),
    "2001:db8::7": (["[2001:db8:0:0:0:0:0:7]:8000", "[2001:DB8::7]"], ["[2001:db8::8]"]),
    "[2001:db8::7]": (["[2001:db8::7]:8000"], ["2001:db8::7"]),
    "my_service": (["my_service:8000"], ["my-service"]),
    "*": (["rebound.example", "192.0.2.1:8000"], ["a b", "x/y"]),
}


@pytest.mark.parametrize(("allowed", "cases"), ALLOWED.items(), ids=ALLOWED)
def test_the_setting_names_other_hosts(
    settings: Settings, allowed: str, cases: tuple[list[str], list[str]]
) -> None:
    known, foreign = cases
    hosts = Settings(allowed_hosts=allowed, _env_file=None).allowed_hosts  # type: ignore[call-arg]
    app = create_app(settings.model_copy(update={"allowed_hosts": hosts}))
    with LocalClient(app) as client:
        for host, status in [*((x, 200) for x in known), *((x, 421) for x in foreign)]:
            for _ in range(2):  # a name is remembered
                got = client.get("/config", headers={"host": host}).status_code
                assert got == status, host


def test_the_refusal_names_what_the_setting_names(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"allowed_hosts": "closecast,*.example.org"}))
    with LocalClient(app, headers={"host": "other"}) as client:
        assert "closecast, *.example.org" in client.get("/model").json()["detail"]


@pytest.mark.parametrize("value", ["http://x", "x/y", "a b", "*.", "*x.org", "[::1", "x:port", "é"])
def test_another_value_ends_the_start(value: str) -> None:
    with pytest.raises(ValidationError, match="is no host"):
        Settings(allowed_hosts=value, _env_file=None)  # type: ignore[call-arg]


USUAL: dict[str, dict[str, Any]] = {
    "a container on all addresses": {"settings": {"host": "0.0.0.0"}},
    "one address of a network": {"settings": {"host": "192.0.2.1"}},
    "a server that was told another address than the settings": {"server": "http://10.1.2.3:8000"},
    "API keys": {"keyed": True},
}


@pytest.mark.parametrize("deployment", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "closecast:8000", "api.example", "[fd00::1]"])
def test_other_deployments_are_called_by_any_name(
    settings: Settings, deployment: dict[str, Any], host: str
) -> None:
    chosen = settings.model_copy(update=deployment.get("settings", {}))
    headers = {"host": host}
    if deployment.get("keyed"):
        headers |= bearer(KeyStore(settings.keys_path).create("dashboard", "read"))
    where = {"base_url": deployment["server"]} if "server" in deployment else {}
    with LocalClient(create_app(chosen), **where) as client:
        assert client.get("/config", headers=headers).status_code == 200


@pytest.mark.parametrize("deployment", USUAL.values(), ids=USUAL)
def test_with_the_setting_they_know_its_names_alone(
    settings: Settings, deployment: dict[str, Any]
) -> None:
    changes = {**deployment.get("settings", {}), "allowed_hosts": "api.example"}
    headers: dict[str, str] = {}
    if deployment.get("keyed"):
        headers |= bearer(KeyStore(settings.keys_path).create("dashboard", "read"))
    with LocalClient(create_app(settings.model_copy(update=changes)), headers=headers) as client:
        statuses = [
            client.get("/config", headers={"host": host}).status_code
            for host in ("api.example", "localhost:8000", "rebound.example")
        ]
    assert statuses == [200, 200, 421]


def test_names_are_forgotten_before_they_fill_the_memory() -> None:
    hosts = KnownHosts("*.example.org")
    assert all(f"{number}.example.org".encode() in hosts for number in range(3_000))
    assert len(hosts._seen) <= 1_000


def raw(address: str, head: str) -> str:
    """Status line of the answer to a request as it is written."""
    end = urlsplit(address)
    with socket.create_connection((end.hostname, end.port), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"connection: close\r\n\r\n")
        return connection.makefile("rb").readline().decode().strip()


HEADS = {
    "HTTP/1.0 without a host": ("GET /config HTTP/1.0\n", 200),
    "HTTP/1.1 without a host": ("GET /config HTTP/1.1\n", 400),
    "two hosts": ("GET /config HTTP/1.1\nhost: localhost\nhost: localhost\n", 400),
    "two hosts, one foreign": (
        "GET /config HTTP/1.1\nhost: rebound.example\nhost: localhost\n",
        400,
    ),
    "an empty host": ("GET /config HTTP/1.1\nhost:\n", 200),
    "a foreign one": ("GET /config HTTP/1.1\nhost: rebound.example\n", 421),
    "HTTP/1.0 with a foreign one": ("GET /config HTTP/1.0\nhost: rebound.example\n", 421),
    "ours": ("GET /config HTTP/1.1\nHOST: localhost:8000\n", 200),
    "HEAD by a foreign one": ("HEAD /config HTTP/1.1\nhost: rebound.example\n", 421),
    "OPTIONS by a foreign one": ("OPTIONS /config HTTP/1.1\nhost: rebound.example\n", 421),
}


def test_on_a_real_server(settings: Settings) -> None:
    with live_server(create_app(settings)) as address:
        got = {name: raw(address, head) for name, (head, _) in HEADS.items()}
    assert {name: int(line.split()[1]) for name, line in got.items()} == {
        name: status for name, (_, status) in HEADS.items()
    }
