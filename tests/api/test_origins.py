"""Origins: pages of other sites, those that a setting allows, and the headers of CORS."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from pydantic import ValidationError

from api.main import create_app
from api.security.sites import EXPOSED
from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from tests.api.test_security import CONFIG, bearer, code_of
from tests.support.live_server import live_server
from tests.support.local_client import LocalClient

APP = "https://app.example"
FOREIGN = {
    "another site": {"origin": "https://evil.example"},
    "no origin that has a name": {"origin": "null"},
    "another port of this machine": {"origin": "http://127.0.0.1:3000"},
    "another name of this machine": {"origin": "http://localhost:8000"},
    "another scheme": {"origin": "https://127.0.0.1:8000"},
    "a name that looks like this one": {"origin": "http://127.0.0.1:8000.evil.example"},
    "an extension": {"origin": "chrome-extension://abcdefgh"},
    "what is no origin": {"origin": "127.0.0.1:8000"},
    "an empty one": {"origin": ""},
    "as new browsers have it": {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    "of the same site": {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
}
OWN = {
    "none": {},
    "the service's own": {"origin": "http://127.0.0.1:8000"},
    "own behind a proxy that rewrites Host": {
        "origin": "https://api.example",
        "sec-fetch-site": "same-origin",
    },
    "a person's own doing": {"sec-fetch-site": "none"},
}
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/config", CONFIG),
    ("POST", "/train", {}),
    ("POST", "/model/reload", {}),
    ("POST", "/predict", {"json": {"prices": [100.0] * 60}}),
    ("DELETE", "/train/nothing", {}),
]


def shared(settings: Settings, origins: str) -> Settings:
    """Settings with origins, checked as they are at the start."""
    checked = Settings(cors_origins=origins, _env_file=None)  # type: ignore[call-arg]
    return settings.model_copy(update={"cors_origins": checked.cors_origins})


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_a_page_of_another_origin_changes_and_reads_nothing(
    settings: Settings, headers: dict[str, str]
) -> None:
    with LocalClient(create_app(settings), headers=headers) as client:
        for method, path, body in [*CHANGES, ("GET", "/config", {}), ("GET", "/docs", {})]:
            answer = client.request(method, path, **body)
            assert (answer.status_code, code_of(answer)) == (403, "cross_site_request"), path
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert client.options("/config").status_code == 403
    with LocalClient(create_app(settings)) as client:
        assert client.get("/config").json()["changed"] == {}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_with_a_key_it_changes_nothing_either(settings: Settings, headers: dict[str, str]) -> None:
    admin = bearer(KeyStore(settings.keys_path).create("ops", "admin"))
    with LocalClient(create_app(settings), headers={**admin, **headers}) as client:
        for method, path, body in CHANGES:
            answer = client.request(method, path, **body)
            assert (answer.status_code, code_of(answer)) == (403, "cross_site_request"), path
        got = client.get("/config")
        assert got.status_code == 200  # as any program with the key; no browser shows it
        assert "access-control-allow-origin" not in got.headers
        assert got.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
def test_programs_and_own_pages_read_and_change(
    settings: Settings, headers: dict[str, str]
) -> None:
    with LocalClient(create_app(settings), headers=headers) as client:
        assert client.get("/config").status_code == 200
        assert client.post("/config", **CONFIG).status_code == 200


def test_a_link_on_another_site_may_lead_here(settings: Settings) -> None:
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    with LocalClient(create_app(settings), headers=followed) as client:
        assert client.get("/docs").status_code == 200


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        ("127.0.0.1", {"x-forwarded-host": "api.example", "x-forwarded-proto": "https"}, 422),
        ("127.0.0.1", {"x-forwarded-host": "x, api.example", "x-forwarded-proto": "https"}, 422),
        ("127.0.0.1", {"x-forwarded-host": "api.example"}, 403),
        ("127.0.0.1", {"x-forwarded-host": "a b", "x-forwarded-proto": "https"}, 403),
        ("", {"x-forwarded-host": "api.example", "x-forwarded-proto": "https"}, 403),
        ("10.0.0.7", {"x-forwarded-host": "api.example", "x-forwarded-proto": "https"}, 403),
    ],
)
def test_own_pages_behind_a_trusted_proxy_are_known_without_sec_fetch_site(
    settings: Settings, proxies: str, forwarded: dict[str, str], status: int
) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxies": proxies}))
    headers = {"origin": "https://api.example", **forwarded}
    with LocalClient(app, headers=headers) as client:
        assert client.post("/predict", json={}).status_code == status


# -- with the setting ---------------------------------------------------------------------------


PREFLIGHT = {
    "origin": APP,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-b3-trace",
}


@pytest.mark.parametrize("path", ["/predict", "/train", "/config", "/nowhere"])
@pytest.mark.parametrize("keyed", [False, True])
def test_a_preflight_needs_no_key(settings: Settings, path: str, keyed: bool) -> None:
    if keyed:
        KeyStore(settings.keys_path).create("ops", "admin")
    with LocalClient(create_app(shared(settings, APP))) as client:
        answer = client.options(path, headers=PREFLIGHT)
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == APP
    assert (
        answer.headers["access-control-allow-headers"]
        == (PREFLIGHT["access-control-request-headers"])
    )
    if path != "/nowhere":
        assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers
    vary = ", ".join(answer.headers.get_list("vary"))
    assert {"Origin", "Access-Control-Request-Headers"} <= set(vary.split(", "))


def test_a_preflight_of_a_cancellation_allows_delete(settings: Settings) -> None:
    asked = {"origin": APP, "access-control-request-method": "DELETE"}
    with LocalClient(create_app(shared(settings, APP))) as client:
        answer = client.options("/train/nothing", headers=asked)
    assert "DELETE" in answer.headers["access-control-allow-methods"]


def test_a_preflight_names_no_header_that_is_none(settings: Settings) -> None:
    asked = {**PREFLIGHT, "access-control-request-headers": "x-a: 1; é".encode()}
    with LocalClient(create_app(shared(settings, APP))) as client:
        answer = client.options("/predict", headers=asked)
    assert answer.status_code == 204
    assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{APP}:444", f"{APP}.evil"])
@pytest.mark.parametrize("keyed", [False, True])
def test_a_preflight_of_another_origin_is_refused(
    settings: Settings, origin: str, keyed: bool
) -> None:
    if keyed:
        KeyStore(settings.keys_path).create("ops", "admin")
    with LocalClient(create_app(shared(settings, APP))) as client:
        answer = client.options("/predict", headers={**PREFLIGHT, "origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert "CLOSECAST_CORS_ORIGINS" in answer.json()["detail"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "Origin" in answer.headers["vary"]


def test_with_a_key_a_page_of_an_allowed_origin_predicts_and_trains(published: Settings) -> None:
    admin = KeyStore(published.keys_path).create("page", "admin")
    chosen = shared(published, f"{APP}, http://localhost:3000")
    headers = {"origin": APP, "sec-fetch-site": "cross-site", **bearer(admin)}
    with (
        live_server(create_app(chosen)) as address,
        httpx.Client(base_url=address, headers=headers, timeout=60) as page,
    ):
        predicted = page.post("/predict", json={"prices": [100.0 + n % 7 for n in range(60)]})
        trained = page.post("/train", json={"symbol": "MSFT"})
    assert (predicted.status_code, trained.status_code) == (200, 202)
    for answer in (predicted, trained):
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    exposed = predicted.headers["access-control-expose-headers"].split(", ")
    assert {"X-Model-Version", "X-Request-ID", "Location", "ETag", "Retry-After"} <= set(exposed)


def test_every_header_of_an_answer_in_the_document_is_exposed(settings: Settings) -> None:
    safelisted = {"Content-Language", "Cache-Control", "Vary"}
    document = create_app(settings).openapi()
    named = {
        name
        for operations in document["paths"].values()
        for operation in operations.values()
        for answer in operation["responses"].values()
        for name in answer.get("headers", {})
    }
    assert named - safelisted <= set(EXPOSED)


def test_errors_carry_the_headers_too(published: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.health.HealthAnswer", None)
    key = bearer(KeyStore(published.keys_path).create("page", "read"))
    chosen = shared(published, APP).model_copy(
        update={"rate_limit": "6/day", "max_body_bytes": 1_000}
    )
    app = create_app(chosen)
    with LocalClient(app, headers={"origin": APP}, raise_server_exceptions=False) as page:
        answers = [
            page.post("/predict", json={}),
            page.get("/health", headers=key),
            page.post("/predict", json={}, headers=key),
            page.get("/nowhere", headers=key),
            page.put("/predict", headers=key),
            page.post("/predict", content=b"x" * 2_000, headers=key),
            page.post("/predict", content=b"x", headers=key),
            page.get("/config", headers=key),
        ]
    statuses = [answer.status_code for answer in answers]
    assert statuses[:3] == [401, 500, 422]
    assert {403, 404, 413, 429} <= set(statuses)
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == APP, answer.status_code
        assert answer.headers["access-control-expose-headers"]
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_named_origin_counts_without_keys_for_what_the_machine_s_programs_may(
    settings: Settings,
) -> None:
    chosen = shared(settings, "HTTP://LocalHost:3000/")
    with LocalClient(create_app(chosen), headers={"origin": "http://localhost:3000"}) as page:
        assert page.get("/config").headers["access-control-allow-origin"] == "http://localhost:3000"
        assert page.post("/config", **CONFIG).status_code == 200


def test_any_page_reads_and_predicts_but_changes_only_with_a_key(settings: Settings) -> None:
    chosen = shared(settings, "*")
    with LocalClient(create_app(chosen), headers={"origin": "null"}) as page:
        got, predicted = page.get("/config"), page.post("/predict", json={})
        changed = page.post("/config", **CONFIG)
    assert (got.status_code, predicted.status_code, changed.status_code) == (200, 422, 403)
    assert code_of(changed) == "admin_needs_key"
    for answer in (got, predicted, changed):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    admin = KeyStore(settings.keys_path).create("page", "admin")
    with LocalClient(create_app(chosen), headers={"origin": "null", **bearer(admin)}) as page:
        assert page.post("/config", **CONFIG).status_code == 200


def test_an_allowed_origin_does_not_make_a_foreign_name_known(settings: Settings) -> None:
    headers = {"origin": APP, "host": "rebound.example"}
    with LocalClient(create_app(shared(settings, APP)), headers=headers) as page:
        assert page.get("/config").status_code == 421


def test_without_an_origin_pictures_may_be_shown_by_allowed_pages(settings: Settings) -> None:
    with LocalClient(create_app(shared(settings, APP))) as client:
        answer = client.get("/config")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]


def test_without_the_setting_answers_are_as_they_were(settings: Settings) -> None:
    with LocalClient(create_app(settings)) as client:
        answer = client.get("/config")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    "value", ["app.example", "null", "https://", "https://a/b", "https://*.a", "https://u@a", "//a"]
)
def test_what_is_no_origin_ends_the_start(value: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        Settings(cors_origins=value, _env_file=None)  # type: ignore[call-arg]


def test_origins_are_spelt_as_browsers_spell_them() -> None:
    written = "HTTPS://App.Example:443/, http://localhost:3000,http://[::1]:80, *"
    chosen = Settings(cors_origins=written, _env_file=None)  # type: ignore[call-arg]
    assert chosen.cors_origins == "https://app.example,http://localhost:3000,http://[::1],*"
