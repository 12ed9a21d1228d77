"""Who may do what. Every test that something passes has a twin in which it does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route

from api.main import create_app
from api.security.access import CHANGING, OPEN, needed_scope
from api.security.proxies import SIGNS, SIGNS_BEGIN
from closecast.infra import api_keys as keys_module
from closecast.infra.api_keys import KeyStore
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.support.local_client import LocalClient

READING = {"GET", "HEAD", "OPTIONS"}
VALUES = {"{symbol}": "MSFT"}
DOCUMENT = create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]
ADMIN = sorted(
    (method, path.replace("{job_id}", "nothing").replace("{symbol}", "MSFT"))
    for (method, path), scope in CHANGING.items()
    if scope == "admin"
)
OPERATIONS = [
    (method.upper(), re.sub(r"{\w+}", lambda name: VALUES.get(name[0], "nothing"), path))
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if path not in OPEN
]
READ = [
    *(one for one in OPERATIONS if one not in ADMIN),
    *(("GET", "/nowhere"), ("HEAD", "/model"), ("OPTIONS", "/train")),
]
CONFIG: dict[str, Any] = {"json": {"hyperparameters": {"num_epochs": 3}}}
ELSEWHERE = ("203.0.113.7", 50_000)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def code_of(answer: Any) -> str:
    """Of a problem document; every refusal is one."""
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["code"]


class Keyed:
    """The API with a key of each scope."""

    def __init__(self, settings: Settings) -> None:
        self.store = KeyStore(settings.keys_path)
        self.read = self.store.create("dashboard", "read")
        self.admin = self.store.create("ops", "admin")
        self.http = LocalClient(create_app(settings), raise_server_exceptions=False)


@pytest.fixture
def keyed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyed]:
    monkeypatch.setattr(keys_module, "_LOOK_S", 0.0)
    made = Keyed(settings)
    with made.http:
        yield made


# -- the table ----------------------------------------------------------------------------------


def routes_in(routes: Any) -> Iterator[Route | Mount]:
    """All of them; FastAPI keeps those of included routers in their routers."""
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from routes_in(included.routes)
        else:
            assert isinstance(route, Route | Mount)
            yield route


def test_every_route_that_may_change_something_is_classed(settings: Settings) -> None:
    app = create_app(settings)
    found = list(routes_in(app.routes))
    assert {route.path for route in found} >= set(app.openapi()["paths"]), "not all were found"
    for route in found:
        if isinstance(route, Mount):
            assert needed_scope("POST", f"{route.path}/x") == "admin"
            continue
        for method in set(route.methods or ()) - READING:
            assert (method, route.path) in CHANGING, (
                f"class {method} {route.path} in api/security/access.py"
            )


def test_what_is_tried_with_a_reading_key_reads_or_only_computes() -> None:
    computing = {("POST", path) for path in ("/predict", "/predict/batch", "/drift")}
    assert {one for one in READ if one[0] not in READING} == computing
    assert {one for one in ADMIN if one[0] in READING} == set()


def test_every_changing_route_needs_admin_but_for_those_that_only_compute() -> None:
    computing = {path for (_, path), scope in CHANGING.items() if scope == "read"}
    assert computing == {"/predict", "/predict/batch", "/drift"}


def test_what_is_open_exists_and_only_reads(settings: Settings) -> None:
    paths = {route.path for route in routes_in(create_app(settings).routes)}
    assert paths >= OPEN
    for path in OPEN:
        assert needed_scope("GET", path) == "nothing"
        assert needed_scope("POST", path) == "admin"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY", "get"])
def test_a_method_that_nobody_thought_of_needs_admin(method: str) -> None:
    assert needed_scope(method, "/predict") == "admin"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_method_that_reads_needs_read(method: str) -> None:
    assert needed_scope(method, "/train") == "read"


# -- with keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [*READ, *ADMIN])
def test_without_a_key_nothing_but_what_is_open_is_answered(
    keyed: Keyed, method: str, path: str
) -> None:
    answer = keyed.http.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if method != "HEAD":
        assert code_of(answer) == "key_needed"


@pytest.mark.parametrize("path", sorted({*OPEN, "/static-offline-docs/swagger-ui.css"}))
def test_what_is_open_is_answered_without_a_key(keyed: Keyed, path: str) -> None:
    assert keyed.http.get(path).status_code in (200, 503)  # 503: no model, said by readiness


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_is_open_is_open_to_reading_only(keyed: Keyed, path: str) -> None:
    assert keyed.http.post(path).status_code == 401


@pytest.mark.parametrize(("method", "path"), READ)
@pytest.mark.parametrize("scope", ["read", "admin"])
def test_either_key_may_read(keyed: Keyed, method: str, path: str, scope: str) -> None:
    answer = keyed.http.request(method, path, headers=bearer(getattr(keyed, scope)))
    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_an_admin_may_change(keyed: Keyed, method: str, path: str) -> None:
    answer = keyed.http.request(method, path, headers=bearer(keyed.admin))
    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_a_reader_may_not_change(keyed: Keyed, method: str, path: str) -> None:
    answer = keyed.http.request(method, path, headers=bearer(keyed.read))
    assert answer.status_code == 403
    assert code_of(answer) == "scope_too_small"
    assert "dashboard" in answer.json()["detail"]


def test_a_change_by_an_admin_happens_and_one_by_a_reader_does_not(keyed: Keyed) -> None:
    refused = keyed.http.post("/config", **CONFIG, headers=bearer(keyed.read))
    before = keyed.http.get("/config", headers=bearer(keyed.read)).json()
    done = keyed.http.post("/config", **CONFIG, headers=bearer(keyed.admin))
    assert (refused.status_code, done.status_code) == (403, 200)
    assert before["changed"] == {}
    assert done.json()["changed"] == {"num_epochs": 3}


@pytest.mark.parametrize(
    "header",
    [
        *("Bearer {}", "bearer {}", "BEARER   {}"),
    ],
)
def test_a_key_may_come_as_a_bearer_however_it_is_written(keyed: Keyed, header: str) -> None:
    headers = {"authorization": header.format(keyed.read)}
    assert keyed.http.get("/config", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "header", ["{}", "Basic {}", "Bearer", "Bearer ", "Bearer{}", "Bearer x{}", "Bearer {}, x", "é"]
)
def test_another_header_is_no_key(keyed: Keyed, header: str) -> None:
    headers = {"authorization": header.format(keyed.read).encode()}
    assert keyed.http.get("/config", headers=headers).status_code == 401


def test_a_key_may_come_in_a_header_of_its_own(keyed: Keyed) -> None:
    assert keyed.http.get("/config", headers={"x-api-key": keyed.read}).status_code == 200


def test_a_proxy_s_own_credentials_beside_it_hide_no_key(keyed: Keyed) -> None:
    headers = {"authorization": "Basic YW5uOnNlY3JldA==", "x-api-key": keyed.read}
    assert keyed.http.get("/config", headers=headers).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "closecast_" + "A" * 43, "ops", "é", "x" * 5000])
def test_an_unknown_key_in_it_is_refused(keyed: Keyed, token: str) -> None:
    answer = keyed.http.get("/config", headers={"x-api-key": token.encode()})
    assert answer.status_code == 401
    assert code_of(answer) == ("unknown_key" if token else "key_needed")


def test_a_key_in_the_address_is_no_key(keyed: Keyed) -> None:
    """It would stay in logs and histories."""
    for name in ("api_key", "key", "token", "x-api-key"):
        assert keyed.http.get("/config", params={name: keyed.admin}).status_code == 401


def test_of_two_headers_the_bearer_counts(keyed: Keyed) -> None:
    admin_last = {**bearer(keyed.read), "x-api-key": keyed.admin}
    assert keyed.http.post("/config", **CONFIG, headers=admin_last).status_code == 403
    admin_first = {**bearer(keyed.admin), "x-api-key": keyed.read}
    assert keyed.http.post("/config", **CONFIG, headers=admin_first).status_code == 200


def test_a_key_counts_as_soon_as_it_is_made(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(keys_module, "_LOOK_S", 0.0)
    with LocalClient(create_app(settings)) as client:
        assert client.get("/config").status_code == 200
        token = KeyStore(settings.keys_path).create("ops", "read")
        assert client.get("/config").status_code == 401
        assert client.get("/config", headers=bearer(token)).status_code == 200


def test_a_key_counts_until_it_is_revoked(keyed: Keyed) -> None:
    assert keyed.http.get("/config", headers=bearer(keyed.read)).status_code == 200
    keyed.store.revoke("dashboard")
    assert keyed.http.get("/config", headers=bearer(keyed.read)).status_code == 401
    assert keyed.http.get("/config", headers=bearer(keyed.admin)).status_code == 200


VARIANTS = [
    *("//train", "/train/", "/TRAIN", "/Train", "/./train", "/x/../train", "/%74rain", "/train%2f"),
    *("/train;x=1", "/train?x", "/train%00", "/train%20", "//config", "/config/", "/model//reload"),
    *("/model/reload/", "/predict/../train", "/static-offline-docs/../train", "/docs/../train"),
    *("/health/live/../../train", "/predict%2f..%2ftrain", "/static-offline-docs/..%2ftrain"),
]


@pytest.mark.parametrize("path", VARIANTS)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_no_spelling_of_a_path_lets_a_reader_change(keyed: Keyed, method: str, path: str) -> None:
    target = f"http://127.0.0.1:8000{path}"
    answer = keyed.http.request(method, target, headers=bearer(keyed.read))
    assert answer.status_code == 403
    assert keyed.http.get("/train", headers=bearer(keyed.read)).json()["jobs"] == []


@pytest.mark.parametrize("path", ["/train", "/train?", "/%74rain"])
def test_spellings_that_the_router_knows_let_an_admin(keyed: Keyed, path: str) -> None:
    target = f"http://127.0.0.1:8000{path}"
    assert keyed.http.post(target, headers=bearer(keyed.admin)).status_code == 202


def test_below_a_prefix_the_same_table_counts(settings: Settings) -> None:
    keys = KeyStore(settings.keys_path)
    read, admin = keys.create("r", "read"), keys.create("a", "admin")
    with LocalClient(create_app(settings), root_path="/api") as client:
        assert client.get("/api/health/live").status_code == 200
        assert client.get("/api/config").status_code == 401
        assert client.post("/api/predict", json={}, headers=bearer(read)).status_code == 422
        assert client.post("/api/config", **CONFIG, headers=bearer(read)).status_code == 403
        assert client.post("/api/config", **CONFIG, headers=bearer(admin)).status_code == 200


def test_below_a_prefix_bodies_pages_and_counts_are_as_without(published: Settings) -> None:
    chosen = published.model_copy(update={"max_body_bytes": 5_000})
    window = {"prices": [100.0] * 60}
    with LocalClient(create_app(chosen), root_path="/api") as client:
        batch = client.post("/api/predict/batch", json={"windows": [window] * 20})
        alone = client.post("/api/predict", json={**window, "symbol": "x" * 9_000})
        page = client.get("/api/docs")
        counted = client.get("/api/metrics").text
    assert (batch.status_code, alone.status_code) == (200, 413)
    assert "script-src" in page.headers["content-security-policy"]
    assert 'route="/predict/batch"' in counted
    assert 'route="unmatched"' not in counted


def test_who_moved_a_model_is_the_key_and_not_only_what_was_said(published: Settings) -> None:
    admin = KeyStore(published.keys_path).create("ops", "admin")
    left = Registry(published.models_url).pointer("MSFT")
    assert left is not None
    with LocalClient(create_app(published), headers=bearer(admin)) as client:
        back = client.post("/model/rollback", json={"reason": "a test", "by": "ann"})
        again = client.post("/model/promote", json={"reason": "a test", "version": left.version})
    assert back.json()["steps"]["MSFT"]["by"] == "ann (key ops)"
    assert again.json()["steps"]["MSFT"]["by"] == "key:ops"


# -- without keys -------------------------------------------------------------------------------


def test_a_program_on_this_machine_may_change(settings: Settings) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        chosen = settings.model_copy(update={"host": host})
        with LocalClient(create_app(chosen)) as client:
            assert client.post("/config", **CONFIG).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_a_process_on_another_address_refuses_changes_even_from_here(
    settings: Settings, host: str, method: str, path: str
) -> None:
    with LocalClient(create_app(settings.model_copy(update={"host": host}))) as client:
        answer = client.request(method, path)
    assert answer.status_code == 403
    assert code_of(answer) == "admin_needs_key"
    assert "closecast keys create" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize(("method", "path"), READ)
def test_reading_stays_open_to_everybody(
    settings: Settings, host: str, method: str, path: str
) -> None:
    app = create_app(settings.model_copy(update={"host": host}))
    with LocalClient(app, client=ELSEWHERE, base_url="http://example.org") as client:
        assert client.request(method, path).status_code not in (401, 403)


LOCAL: dict[str, dict[str, Any]] = {
    "by address": {},
    "by name": {"base_url": "http://localhost:8000"},
    "by name in capitals with a last dot": {"headers": {"host": "LOCALHOST.:8000"}},
    "by a name below localhost": {"headers": {"host": "closecast.localhost:8000"}},
    "by IPv6": {"base_url": "http://[::1]:8000", "client": ("::1", 5)},
    "by mapped IPv6": {"client": ("::ffff:127.0.0.1", 5)},
}
NOT_LOCAL: dict[str, dict[str, Any]] = {
    "another client": {"client": ELSEWHERE},
    "another client, IPv6": {"client": ("2001:db8::1", 5)},
    "a name for a client": {"client": ("testclient", 5)},
    "another address of this machine": {"base_url": "http://192.0.2.1:8000"},
    "no name": {"headers": {"host": ""}},
    "Forwarded": {"headers": {"forwarded": "for=127.0.0.1"}},
    "X-Forwarded-For": {"headers": {"x-forwarded-for": "127.0.0.1"}},
    "X-Forwarded-Host": {"headers": {"x-forwarded-host": "localhost"}},
    "X-Forwarded-Proto": {"headers": {"x-forwarded-proto": "https"}},
    "X-Real-IP": {"headers": {"x-real-ip": "127.0.0.1"}},
    "Via": {"headers": {"via": "1.1 proxy"}},
    **{
        name: {"headers": {name: "203.0.113.7"}}
        for name in sorted(sign.decode() for sign in SIGNS - {b"forwarded", b"via", b"x-real-ip"})
    },
    **{
        f"{name}…": {"headers": {f"{name}something": "203.0.113.7"}}
        for name in sorted(sign.decode() for sign in SIGNS_BEGIN)
    },
}


@pytest.mark.parametrize("changes", LOCAL.values(), ids=LOCAL)
def test_what_comes_straight_from_here_may_change(
    settings: Settings, changes: dict[str, Any]
) -> None:
    with LocalClient(create_app(settings), **changes) as client:
        assert client.post("/config", **CONFIG).status_code == 200


@pytest.mark.parametrize("changes", NOT_LOCAL.values(), ids=NOT_LOCAL)
def test_what_may_have_come_from_elsewhere_may_not(
    settings: Settings, changes: dict[str, Any]
) -> None:
    with LocalClient(create_app(settings), **changes) as client:
        answer = client.post("/config", **CONFIG)
    assert answer.status_code == 403
    assert code_of(answer) == "admin_needs_key"


@pytest.mark.parametrize("changes", NOT_LOCAL.values(), ids=NOT_LOCAL)
def test_with_a_key_it_may_from_anywhere(settings: Settings, changes: dict[str, Any]) -> None:
    admin = KeyStore(settings.keys_path).create("ops", "admin")
    headers = changes.get("headers", {})
    with LocalClient(create_app(settings), **{**changes, "headers": {}}) as client:
        answer = client.post("/config", **CONFIG, headers={**headers, **bearer(admin)})
    assert answer.status_code == 200


# -- proxies ------------------------------------------------------------------------------------


def seen_from(settings: Settings, proxies: str, peer: str, forwarded: str) -> str:
    """The address of the client, as routes see it, when a peer says it forwards for another."""
    app = create_app(settings.model_copy(update={"trusted_proxies": proxies}))

    @app.get("/who")
    def who(request: Request) -> str:
        assert request.client is not None
        return request.client.host

    with LocalClient(app, client=(peer, 5)) as client:
        return client.get("/who", headers={"x-forwarded-for": forwarded}).json()


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first may be made up
        ("10.0.0.7", "203.0.113.9, 10.1.2.3", "203.0.113.9"),  # two proxies in a row
    ],
)
def test_a_configured_proxy_says_who_the_client_is(
    settings: Settings, peer: str, forwarded: str, client: str
) -> None:
    assert seen_from(settings, "10.0.0.7,10.1.0.0/16", peer, forwarded) == client


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [("", "127.0.0.1"), ("", "10.0.0.7"), ("10.0.0.7", "10.0.0.8"), ("10.1.0.0/16", "10.2.0.1")],
)
def test_nobody_else_does(settings: Settings, proxies: str, peer: str) -> None:
    assert seen_from(settings, proxies, peer, "203.0.113.9") == peer


def test_a_configured_proxy_does_not_make_its_clients_local(settings: Settings) -> None:
    chosen = settings.model_copy(update={"trusted_proxies": "127.0.0.1"})
    with LocalClient(create_app(chosen)) as client:
        said = client.post("/config", **CONFIG, headers={"x-forwarded-for": "127.0.0.1"})
        straight = client.post("/config", **CONFIG)
    assert (said.status_code, straight.status_code) == (403, 200)


# -- headers of every answer --------------------------------------------------------------------

SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/predict", 403),
        ("POST", "/predict", 422),
        ("GET", "/docs", 200),
        ("GET", "/", 200),
        ("GET", "/static-offline-docs/swagger-ui.css", 200),
        ("GET", "/health", 500),
    ],
)
def test_every_answer_says_how_it_may_be_used(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, method: str, path: str, status: int
) -> None:
    if status == 500:
        monkeypatch.setattr("api.routes.health.HealthAnswer", None)
    app = create_app(settings)
    outside = {"client": ELSEWHERE} if status == 403 else {}
    with LocalClient(app, raise_server_exceptions=False, **outside) as client:
        answer = client.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in SAFE} == SAFE
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert len(answer.headers.get_list("content-security-policy")) == 1


def test_what_the_documentation_loads_has_the_documentation_s_policy(
    empty_client: TestClient,
) -> None:
    policy = "content-security-policy"
    page = empty_client.get("/docs")
    assets = re.findall(r'(?:src|href)="(/static-offline-docs/[^"]+)"', page.text)
    assert assets
    for path in assets:
        answer = empty_client.get(path)
        assert answer.status_code == 200
        assert answer.headers[policy] == page.headers[policy]


def test_only_the_documentation_may_run_scripts(empty_client: TestClient) -> None:
    policies = {
        path: empty_client.get(path).headers["content-security-policy"]
        for path in ("/docs", "/redoc", "/", "/health", "/openapi.json", "/nowhere")
    }
    assert {path for path, policy in policies.items() if "script-src" in policy} == {
        "/docs",
        "/redoc",
    }


def test_what_was_answered_to_a_key_is_kept_by_nobody(keyed: Keyed) -> None:
    answer = keyed.http.get("/config", headers={"x-api-key": keyed.read})
    assert answer.headers["cache-control"] == "no-store"


def test_what_is_open_may_be_kept(keyed: Keyed) -> None:
    assert "cache-control" not in keyed.http.get("/openapi.json").headers


# -- the document -------------------------------------------------------------------------------


def test_the_document_says_which_operations_need_a_key(settings: Settings) -> None:
    document = create_app(settings).openapi()
    assert set(document["components"]["securitySchemes"]) == {"key", "key_header"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = needed_scope(method.upper(), path)
            statuses = set(operation["responses"])
            assert ("security" in operation) == (needed != "nothing"), path
            assert ({"401", "403", "421", "429"} <= statuses) == (needed != "nothing"), path
            if needed == "admin":
                shown = json.dumps(operation["responses"]["403"])
                assert "admin_needs_key" in shown
                assert "scope_too_small" in shown
