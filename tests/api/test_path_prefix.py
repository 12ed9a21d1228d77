"""A prefix of the paths behind a proxy: pages, links, addresses and refusals below it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import ValidationError

from api.main import create_app
from closecast.errors import BadSetting
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from tests.api.test_security import bearer
from tests.support.live_server import live_server
from tests.support.local_client import LocalClient

CLOSE_OF_DATA = datetime(2022, 12, 28, 23, tzinfo=UTC)
PROXY = {"trusted_proxies": "127.0.0.1"}
FORWARDED = {"x-forwarded-prefix": "/closecast"}
BELOW: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "a setting, the proxy removes it": ({"root_path": "/closecast"}, {}, ""),
    "a setting, the proxy leaves it": ({"root_path": "/closecast"}, {}, "/closecast"),
    "a trusted proxy names what it removed": (PROXY, FORWARDED, ""),
    "a setting goes before the header": (
        {**PROXY, "root_path": "/closecast"},
        {"x-forwarded-prefix": "/other"},
        "",
    ),
}


@pytest.fixture(params=BELOW.values(), ids=BELOW)
def below(request: pytest.FixtureRequest, published: Settings) -> Iterator[tuple[Any, str]]:
    """A client behind a proxy, and the beginning of the paths that the service gets."""
    changes, headers, sent = request.param
    app = create_app(published.model_copy(update=changes), clock=lambda: CLOSE_OF_DATA)
    with LocalClient(app, headers=headers, raise_server_exceptions=False) as client:
        yield client, sent


def test_all_that_leads_somewhere_lies_below_the_prefix(below: tuple[Any, str]) -> None:
    client, sent = below
    page = client.get(f"{sent}/", headers={"accept": "text/html"})
    links = re.findall(r'href="([^"]*)"', page.text)
    assert len(links) > 5
    for name in ("docs", "redoc"):
        shown = client.get(f"{sent}/{name}").text
        links += re.findall(r'(?:src|href|spec-url)="(/[^"]*)"', shown)
        assert "/closecast/openapi.json" in shown
    for link in links:
        assert link.startswith("/closecast/"), link
        got = client.get(sent + link.removeprefix("/closecast").replace("&amp;", "&"))
        assert got.status_code == (404 if link.endswith("/plot.png") else 200), link
    assert client.get(f"{sent}/openapi.json").json()["servers"][0] == {"url": "/closecast"}


def test_addresses_in_answers_lie_below_the_prefix(below: tuple[Any, str]) -> None:
    client, sent = below
    summary = client.get(f"{sent}/").json()
    found = [*summary["links"].values()]
    found += [link for symbol in summary["symbols"] for link in symbol["links"].values()]
    queued = client.post(f"{sent}/train", json={"symbol": "MSFT"})
    if queued.status_code == 202:  # what came through a proxy changes something with a key only
        found += [queued.headers["location"], queued.json()["url"]]
        other = client.post(f"{sent}/train", json={"symbol": "MSFT", "forecaster": "ewma"})
        assert other.status_code == 409
        found += [other.headers["location"], other.json()["url"]]
    found.append(client.get(f"{sent}/performance/MSFT").json()["plot"])
    jobs = client.app.state.service.database.jobs
    for symbol in ("KO", "PG"):
        jobs.submit("update", symbol, {})
    found.append(client.get(f"{sent}/train?limit=1").json()["next"])
    assert [path for path in found if not path.startswith("/closecast/")] == []
    assert "/closecast/docs" in client.get(f"{sent}/nowhere").json()["detail"]
    assert all("/closecast/" in command for command in summary["try_next"])


def test_a_prefix_changes_nothing_of_access(published: Settings) -> None:
    keys = KeyStore(published.keys_path)
    read, admin = keys.create("r", "read"), keys.create("a", "admin")
    for changes, headers, sent in BELOW.values():
        app = create_app(published.model_copy(update=changes))
        with LocalClient(app, headers=headers) as client:
            assert client.get(f"{sent}/health/live").status_code == 200
            assert client.get(f"{sent}/config").status_code == 401
            assert client.head(f"{sent}/config", headers=bearer(read)).status_code == 200
            assert client.post(f"{sent}/model/reload", headers=bearer(read)).status_code == 403
            queued = client.post(f"{sent}/train", json={}, headers=bearer(admin))
            assert queued.status_code == 202
            assert queued.headers["location"] == queued.json()["url"]
            assert queued.json()["url"].startswith("/closecast/train/")


HARMFUL = [
    *("//evil.example", "https://evil.example", "/\\evil.example", "/a//b", "/../b", "/..", "/./a"),
    *('/"><script>alert(1)</script>', "/a'b", "/a b", "/%2f%2fevil", "/a;b", "a", "/a?b", "/a#b"),
    *("/" + "a" * 300, "/a\tb", "/é".encode(), "/a,b", ","),
]


@pytest.mark.parametrize("prefix", HARMFUL)
def test_a_header_that_is_no_prefix_is_ignored(settings: Settings, prefix: str | bytes) -> None:
    app = create_app(settings.model_copy(update=PROXY))
    with LocalClient(app) as client:
        for path in ("/", "/docs", "/openapi.json"):
            headers = {"accept": "text/html" if path == "/" else "*/*"}
            plain = client.get(path, headers=headers)
            shown = client.get(path, headers={**headers, "x-forwarded-prefix": prefix})
            assert shown.text == plain.text


@pytest.mark.parametrize("proxies", ["", "10.0.0.7"])
def test_of_another_peer_the_header_is_ignored(settings: Settings, proxies: str) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxies": proxies}))
    with LocalClient(app, headers=FORWARDED) as client:
        assert client.get("/").json()["links"]["documentation"] == "/docs"
        assert client.get("/closecast/docs").status_code == 404


def test_the_header_never_takes_a_part_of_the_path_away(settings: Settings) -> None:
    """Otherwise a client could go around a proxy's rules for paths."""
    app = create_app(settings.model_copy(update=PROXY))
    with LocalClient(app, headers={"x-forwarded-prefix": "/x"}) as client:
        assert client.get("/x/config").status_code == 404


def test_prefixes_of_several_proxies_are_joined(settings: Settings) -> None:
    app = create_app(settings.model_copy(update=PROXY))
    with LocalClient(app, headers={"x-forwarded-prefix": "/apis/, /closecast/"}) as client:
        assert client.get("/").json()["links"]["documentation"] == "/apis/closecast/docs"


def test_without_a_last_slash_the_prefix_is_the_home_page(settings: Settings) -> None:
    with LocalClient(create_app(settings.model_copy(update={"root_path": "/closecast"}))) as client:
        assert client.get("/closecast").json()["name"] == "closecast"


def test_a_connection_carries_no_prefix_to_the_next_request(settings: Settings) -> None:
    app = create_app(settings.model_copy(update=PROXY))
    with live_server(app) as address, httpx.Client(base_url=address) as http:
        for headers, expected in [(FORWARDED, "/closecast/docs"), ({}, "/docs")] * 2:
            assert http.get("/", headers=headers).json()["links"]["documentation"] == expected


def test_a_trusted_proxy_names_the_host_of_the_commands(settings: Settings) -> None:
    app = create_app(settings.model_copy(update=PROXY))
    said = {**FORWARDED, "x-forwarded-host": "api.example", "x-forwarded-proto": "https"}
    with LocalClient(app, headers=said) as client:
        assert "https://api.example/closecast/train" in client.get("/").json()["try_next"][0]


@pytest.mark.parametrize("value", ["closecast", "//x", "/a b", "/..", "http://x", "/a//b", "/é"])
def test_a_setting_that_is_no_prefix_ends_the_start(value: str) -> None:
    with pytest.raises(ValidationError, match="is no prefix"):
        Settings(root_path=value, _env_file=None)  # type: ignore[call-arg]


def test_a_prefix_may_end_with_a_slash_and_the_root_is_none() -> None:
    made = [Settings(root_path=x, _env_file=None).root_path for x in ("/a/b/", "/")]  # type: ignore[call-arg]
    assert made == ["/a/b", ""]


@pytest.mark.parametrize("prefix", ["/model", "/docs", "/forecast", "/train/x"])
def test_a_path_of_the_service_is_no_prefix(settings: Settings, prefix: str) -> None:
    with pytest.raises(BadSetting, match="CLOSECAST_ROOT_PATH"):
        create_app(settings.model_copy(update={"root_path": prefix}))
