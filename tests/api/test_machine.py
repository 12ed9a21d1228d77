"""The CPU share of the machine: one measurement, and the same answer from every thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fastapi.testclient import TestClient

from api.main import create_app
from api.routes.health import get_health
from api.service import Service
from api.telemetry.machine import Machine
from closecast.settings import Settings


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "it did not happen in 20 s"
        time.sleep(0.01)


def test_requests_in_new_threads_report_a_cpu_that_is_busy(client: TestClient) -> None:
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            math.factorial(500)

    burning = threading.Thread(target=compute)
    burning.start()
    try:
        wait_until(lambda: bool(service.telemetry.machine.cpu_percent))
        for _ in range(2):
            with ThreadPoolExecutor(1) as fresh:
                cpu_percent = fresh.submit(get_health, service).result().cpu_percent
            assert cpu_percent is not None
            assert 0 < cpu_percent <= 100
    finally:
        done.set()
        burning.join()


def test_before_the_first_measurement_the_cpu_is_unknown_not_idle(settings: Settings) -> None:
    with TestClient(create_app(settings)) as client:
        machine: Machine = client.app.state.service.telemetry.machine  # type: ignore[attr-defined]
        machine.stop()
        machine.cpu_percent = None
        answers = [client.get(path).json()["cpu_percent"] for path in ("/health", "/monitor")]
        metrics = client.get("/metrics").text
    assert answers == [None, None]
    assert "closecast_machine_cpu_ratio NaN" in metrics


def test_the_first_measurement_does_not_wait_for_the_usual_interval(tmp_path: Path) -> None:
    machine = Machine(tmp_path, interval_s=3600.0)
    assert machine.cpu_percent is None
    machine.start()
    try:
        wait_until(lambda: machine.cpu_percent is not None)
    finally:
        machine.stop()


def test_the_disk_of_a_folder_that_was_never_made_is_that_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    expected = Machine(tmp_path).disk()[1]
    assert Machine(tmp_path / "not" / "there").disk()[1] == expected
    assert Machine(tmp_path / "file" / "below").disk()[1] == expected
