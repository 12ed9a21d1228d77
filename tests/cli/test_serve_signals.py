"""Signals and slow starts of ``closecast serve``, alike with one process and with several."""

from __future__ import annotations

import http.client
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from closecast.settings import Settings
from tests.support.raw_http import connect, exchange, request, statuses
from tests.support.service_process import ServiceProcess

END = "connection: close"


@pytest.fixture(params=["1", "2"], ids=["one-worker", "two-workers"])
def service(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> Iterator[ServiceProcess]:
    made = ServiceProcess(
        settings,
        tmp_path / "service.log",
        CLOSECAST_WORKERS=request.param,
        CLOSECAST_DRAIN_S="10",
        CLOSECAST_HEAD_TIMEOUT_S="1",
        CLOSECAST_MAX_CONNECTIONS="50",
    )
    made.until(lambda: _processes(made) >= int(request.param), "all processes run")
    yield made
    made.stop()


def _processes(service: ServiceProcess) -> int:
    """How often an API process has begun to serve."""
    return service.whole_log().count("Application startup complete")


class Load:
    """Callers that keep their connections, and repeat nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self.answers: list[int | str] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(pause,)) for pause in (0.0, 0.02, 0.3)
        ]
        for thread in self._threads:
            thread.start()

    def _ask(self, pause: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        while not self._over.is_set():
            try:
                connection.request("GET", "/health/live")
                with connection.getresponse() as answer:
                    answer.read()
                    self.answers.append(answer.status)
                    if answer.will_close:
                        connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.answers.append(repr(error))
                connection.close()
            time.sleep(pause)
        connection.close()

    def end(self) -> set[int | str]:
        self._over.set()
        for thread in self._threads:
            thread.join()
        return set(self.answers)


def test_sighup_restarts_and_no_request_is_lost(service: ServiceProcess) -> None:
    before = _processes(service)
    load = Load(service.port)
    os.kill(service.pid, signal.SIGHUP)
    service.until(lambda: _processes(service) == 2 * before, "all are replaced")
    so_far = len(load.answers)
    service.until(lambda: len(load.answers) > so_far + 50, "the new ones answer")
    assert load.end() == {200}
    assert service.terminate() == 0


def test_sighup_changes_nothing_where_a_new_start_would_fail(
    service: ServiceProcess, settings: Settings
) -> None:
    before = _processes(service)
    (settings.data_dir / "api_keys.json").write_text("no keys")
    os.kill(service.pid, signal.SIGHUP)
    service.until(lambda: "SIGHUP: not restarted" in service.log(), "it is told")
    assert statuses(exchange(service.port, request("GET /health/live", END))) == [200]
    assert _processes(service) == before


def test_sighup_changes_nothing_where_the_settings_cannot_be_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = ServiceProcess(settings, tmp_path / "service.log")
    try:
        (tmp_path / ".env").symlink_to("/proc/self/mem")  # a file that not even root can read
        os.kill(made.pid, signal.SIGHUP)
        made.until(lambda: "SIGHUP: not restarted" in made.log(), "it is told")
        assert statuses(exchange(made.port, request("GET /health/live", END))) == [200]
        assert made.terminate() == 0
    finally:
        made.stop()


def test_a_sighup_during_a_restart_is_answered_after_it(service: ServiceProcess) -> None:
    for _ in range(12):  # at every moment of a start
        os.kill(service.pid, signal.SIGHUP)
        time.sleep(0.25)
    service.until(lambda: service.get("/health/live"), "it answers")
    assert service.terminate() == 0


def test_limits_hold_in_real_processes(service: ServiceProcess) -> None:
    port = service.port
    assert statuses(exchange(port, b"GET / HTTP/1.1\r\nx: " + b"a" * 300_000)) == [431]
    assert statuses(exchange(port, b"GET / HTTP/1.1\r\nx: ")) == [408]
    assert exchange(port) == b""
    idle = [connect(port) for _ in range(200)]
    assert statuses(exchange(port, request("GET /health/live", END))) == [200]
    for connection in idle:
        connection.close()


def test_a_body_arrives_also_where_another_protocol_is_offered(service: ServiceProcess) -> None:
    body = b'{"symbol": "KO", "forecaster": "none such"}'
    offer = ["connection: Upgrade, HTTP2-Settings, close", "upgrade: h2c", "http2-settings: AAMA"]
    headers = ["content-type: application/json", f"content-length: {len(body)}"]
    answer = exchange(service.port, request("POST /train", *offer, *headers, body=body))
    assert statuses(answer) == [422]
    assert service.get("/train")["jobs"] == []


def test_a_lost_body_trains_nothing(service: ServiceProcess) -> None:
    headers = ["content-type: application/json", "transfer-encoding: chunked", END]
    answer = exchange(service.port, request("POST /train", *headers, body=b"0\r\n\r\n"))
    assert statuses(answer) == [400]
    assert b"urn:closecast:error:body_lost" in answer
    assert service.get("/train")["jobs"] == []


def test_a_process_that_dies_is_named_with_the_reason(settings: Settings, tmp_path: Path) -> None:
    made = ServiceProcess(settings, tmp_path / "service.log", CLOSECAST_WORKERS="2")
    try:
        made.until(lambda: _processes(made) == 2, "both run")
        children = psutil.Process(made.pid).children()
        [one, *_] = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        one.kill()
        made.until(lambda: _processes(made) == 3, "another one takes its place")
        [line] = [line for line in made.whole_log().splitlines() if " died " in line]
        assert f"API process {one.pid} died" in line
        assert "killed by SIGKILL" in line
        assert "WARNING" in line
    finally:
        made.stop()


_SLOW_MACHINE = """
import sys, time
if any("multiprocessing" in argument for argument in sys.orig_argv):
    time.sleep(6)  # longer than uvicorn's patience
"""


def test_a_slow_start_is_awaited(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(_SLOW_MACHINE)
    paths = os.pathsep.join([str(tmp_path / "slow"), os.environ.get("PYTHONPATH", "")])
    made = ServiceProcess(
        settings, tmp_path / "service.log", CLOSECAST_WORKERS="2", PYTHONPATH=paths
    )
    try:
        made.until(lambda: _processes(made) == 2, "both run")
        assert " died " not in made.whole_log()
        assert made.whole_log().count("serves after") <= 2
    finally:
        made.stop()


def test_a_start_that_takes_too_long_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(_SLOW_MACHINE.replace("(6)", "(600)"))
    paths = os.pathsep.join([str(tmp_path / "slow"), os.environ.get("PYTHONPATH", "")])
    log = tmp_path / "service.log"
    environment = {
        **os.environ,
        **{f"CLOSECAST_{k.upper()}": str(v) for k, v in settings.model_dump().items()},
        "CLOSECAST_WORKERS": "2",
        "CLOSECAST_WORKER_START_S": "5",
        "CLOSECAST_PORT": str(_free_port()),
        "PYTHONPATH": paths,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "closecast.cli", "serve"],
            env=environment,
            stdout=output,
            stderr=output,
        )
        deadline = time.monotonic() + 120
        while "has not started for 5 s (CLOSECAST_WORKER_START_S)" not in log.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.terminate()
        assert process.wait(timeout=60) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_terminal_that_closes_ends_the_service(settings: Settings, workers: str) -> None:
    port = _free_port()
    child, terminal = pty.fork()
    if child == 0:  # a session of its own on that terminal, as a shell starts its command
        for name, value in settings.model_dump().items():
            os.environ[f"CLOSECAST_{name.upper()}"] = str(value)
        arguments = ["serve", "--port", str(port), "--workers", workers]
        os.execv(sys.executable, [sys.executable, "-m", "closecast.cli", *arguments])
    deadline = time.monotonic() + 120
    while True:
        try:
            answered = statuses(exchange(port, request("GET /health/live", END))) == [200]
        except ConnectionRefusedError:
            answered = False
        if answered:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.close(terminal)
    assert os.waitpid(child, 0)[0] == child
    with pytest.raises(ConnectionRefusedError):
        exchange(port)
