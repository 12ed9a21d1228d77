"""Clients as people have them, each as it is by default, on a real service: predict and train."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from closecast.infra.api_keys import KeyStore
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.support.debian import needs
from tests.support.service_process import ServiceProcess

PROGRAMS = Path(__file__).parent / "clients"
WINDOW = json.dumps({"prices": list(range(201, 261)), "symbol": "MSFT"})
TRAINING = json.dumps({"symbol": "KO", "forecaster": "ewma", "source": "sample"})
CALLS = (("/predict", WINDOW), ("/train", TRAINING))


@pytest.fixture(scope="module")
def service(_published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Without keys, on loopback; its worker is off, so that trainings stay queued."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(_published, folder / "published")
    with served(settings_in(folder / "published"), folder) as process:
        yield process


@contextmanager
def served(settings: Settings, folder: Path, **environment: str) -> Iterator[ServiceProcess]:
    chosen = {"CLOSECAST_WORKER_ENABLED": "false", **environment}
    process = ServiceProcess(settings, folder / "service.log", **chosen)
    try:
        yield process
    finally:
        process.stop()


def check(lines: list[str], service: ServiceProcess) -> None:
    """The two answers that every client is to print: a forecast, and a job of KO."""
    statuses, bodies = zip(*(line.split(" ", 1) for line in lines), strict=True)
    assert statuses == ("200", "202"), lines
    forecast, job = map(json.loads, bodies)
    asked = service.http.post("/predict", content=WINDOW, headers=_HEADERS).json()
    assert forecast["predicted_price"] == asked["predicted_price"]
    assert job["symbol"] == "KO"
    assert job["request"]["forecaster"] == "ewma"


_HEADERS = {"content-type": "application/json"}


def run(*command: str | Path, **environment: str) -> list[str]:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def told(service: ServiceProcess) -> list[str]:
    """Arguments of a client: the address, then path and body of each call."""
    return [f"http://127.0.0.1:{service.port}", *(part for call in CALLS for part in call)]


@needs("java", "default-jdk-headless")
def test_java_as_it_is_by_default(service: ServiceProcess) -> None:
    check(run("java", PROGRAMS / "Caller.java", *told(service)), service)


@needs("go", "golang-go")
def test_go_as_it_is_by_default(service: ServiceProcess, tmp_path: Path) -> None:
    own = {"GOCACHE": str(tmp_path / "cache"), "GO111MODULE": "off", "GOPATH": str(tmp_path)}
    check(run("go", "run", PROGRAMS / "caller.go", *told(service), **own), service)


@needs("node", "nodejs")
def test_node_as_it_is_by_default(service: ServiceProcess) -> None:
    check(run("node", PROGRAMS / "caller.mjs", *told(service)), service)


@needs("curl", "curl")
@pytest.mark.parametrize("version", ["--http2", "--http1.1", "--http1.0"])
def test_curl_of_any_version_of_http(service: ServiceProcess, version: str) -> None:
    address = f"http://127.0.0.1:{service.port}"
    lines = []
    for path, body in CALLS:
        command = ["curl", "-sS", version, "-H", "content-type: application/json", "-d", body]
        status = ["-w", "\n%{http_code}"]
        *answer, code = run(*command, *status, address + path)
        lines.append(f"{code} {''.join(answer)}")
    check(lines, service)


@needs("curl", "curl")
def test_curl_that_waits_for_leave_to_send_a_body(service: ServiceProcess) -> None:
    address = f"http://127.0.0.1:{service.port}/predict"
    command = ["curl", "-sS", "--expect100-timeout", "60", "-H", "expect: 100-continue"]
    [answer] = run(*command, "-H", "content-type: application/json", "-d", WINDOW, address)
    assert "predicted_price" in json.loads(answer)


def test_requests_as_it_is_by_default(service: ServiceProcess) -> None:
    program = (
        "import json, requests, sys\n"
        "for path, body in zip(sys.argv[2::2], sys.argv[3::2]):\n"
        "    answer = requests.post(sys.argv[1] + path, json=json.loads(body))\n"
        "    print(answer.status_code, answer.text)\n"
    )
    check(run(sys.executable, "-c", program, *told(service)), service)


# -- a page of another origin, in a browser -------------------------------------------------------


@pytest.fixture
def page() -> Iterator[str]:
    """Origin of a server of pages."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(PROGRAMS))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def seen_in_a_browser(page: str, service: ServiceProcess, key: str, profile: Path) -> list[str]:
    told = {"address": f"http://127.0.0.1:{service.port}", "key": key, "calls": CALLS}
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--disable-dev-shm-usage"]  # containers have little shared memory
    command += ["--virtual-time-budget=30000", f"--user-data-dir={profile}"]
    text = "\n".join(run(*command, f"{page}/caller.html#{quote(json.dumps(told))}"))
    answers = text.partition('<pre id="answers">')[2].partition("</pre>")[0]
    return unescape(answers).splitlines()


@needs("chromium", "chromium")
def test_a_page_of_another_origin_predicts_and_trains_with_a_key_where_it_may(
    published: Settings, tmp_path: Path, page: str
) -> None:
    keys = tmp_path / "keys.json"
    key = KeyStore(keys).create("page", "admin")
    may = {"CLOSECAST_CORS_ORIGINS": page, "CLOSECAST_API_KEYS_FILE": str(keys)}
    with served(published, tmp_path, **may) as service:
        service.http.headers["x-api-key"] = key
        lines = seen_in_a_browser(page, service, key, tmp_path / "profile")
        assert lines[1::2] == ["headers", "headers"], lines
        check(lines[::2], service)


@needs("chromium", "chromium")
def test_a_page_of_another_origin_gets_nothing_where_it_may_not(
    service: ServiceProcess, page: str, tmp_path: Path
) -> None:
    lines = seen_in_a_browser(page, service, "", tmp_path / "profile")
    assert lines == ["refused TypeError", "refused TypeError"]
