"""Several API processes at once: they follow one pointer, and end together."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest

from closecast.database import Database
from closecast.infra.processes import is_alive
from closecast.registry.registry import Registry
from closecast.settings import Settings
from tests.api.test_predict import WINDOW
from tests.jobs.test_service import ENDLESS, start, training
from tests.support.service_process import ServiceProcess


@pytest.fixture
def service(published: Settings, tmp_path: Path) -> Iterator[ServiceProcess]:
    """Two processes that answer, behind one port."""
    made = ServiceProcess(
        published, tmp_path / "service.log", CLOSECAST_WORKERS="2", CLOSECAST_DRAIN_S="2"
    )
    made.until(lambda: len(workers(made)) == 2, "two processes report themselves")
    yield made
    made.stop()


def workers(service: ServiceProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/model")["workers"]
    return found


def generations(service: ServiceProcess) -> list[int]:
    return [worker["generation"] for worker in workers(service)]


def test_every_process_follows_a_pointer_and_readiness_never_dips(
    service: ServiceProcess, published: Settings
) -> None:
    ready, over = [], threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.http.base_url, timeout=60) as http:
            while not over.is_set():
                ready.append(http.get("/health/ready").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    moved = Registry(published.models_url).rollback("MSFT", "behind their backs")
    service.until(lambda: generations(service) == [moved.generation] * 2, "both follow")
    answer = service.http.post(
        "/model/promote", json={"version": moved.history[-1].rolled_back, "reason": "a test"}
    ).json()
    assert answer["followed"] is True
    assert [w["generation"] for w in answer["workers"]] == [moved.generation + 1] * 2
    assert len({w["process"] for w in answer["workers"]}) == 2
    over.set()
    asking.join()
    assert set(ready) == {200}


def test_kill_9_of_one_process_leaves_no_ghost_and_another_takes_its_place(
    service: ServiceProcess,
) -> None:
    before = {worker["process"] for worker in workers(service)}
    dead = min(before)
    psutil.Process(int(dead.rsplit(":", 2)[1])).kill()

    def replaced() -> bool:
        try:
            now = {worker["process"] for worker in workers(service)}
        except httpx.TransportError:  # the connection was to the one that is gone
            return False
        return dead not in now and len(now) == 2

    service.until(replaced, "two processes again")


def test_kill_9_of_the_server_leaves_no_orphan_and_no_job_that_runs_for_ever(
    service: ServiceProcess, published: Settings
) -> None:
    job = training(service, start(service, ENDLESS))
    family = psutil.Process(service.pid).children(recursive=True)
    assert len(family) >= 3, "two that answer, one that trains"
    service.kill()
    _, left = psutil.wait_procs(family, timeout=60)
    assert left == []
    service.start()
    assert training(service, job)["attempts"] == 2
    service.until(lambda: len(workers(service)) == 2, "nobody is counted who is gone")


def test_sigterm_answers_what_has_begun_and_ends_everything(
    service: ServiceProcess, published: Settings
) -> None:
    job = training(service, start(service, ENDLESS))
    family = psutil.Process(service.pid).children(recursive=True)
    body = json.dumps({"prices": WINDOW}).encode()
    head = (
        f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n"
        "content-type: application/json\r\n\r\n"
    ).encode()
    with (
        socket.create_connection(("127.0.0.1", service.port)) as late,
        socket.create_connection(("127.0.0.1", service.port)) as never,
    ):
        late.sendall(head + body[:-1])  # begun; its end comes after the signal
        never.sendall(head + body[:-1])  # and one that never comes
        service.get("/health/live")
        finishing = threading.Timer(0.5, lambda: late.sendall(body[-1:]))
        finishing.start()
        status = service.terminate()
        answer = late.recv(65536)
        finishing.join()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert status == 0
    _, left = psutil.wait_procs(family, timeout=60)
    assert left == []
    database = Database(published.ledger_url)
    left_job = database.jobs.get(job["id"])
    assert (left_job.state, left_job.owner) == ("queued", None)
    assert database.processes.living(["MSFT"], is_alive)["MSFT"] == []
