"""Several API processes count as one: each scrape is of all, also after one was killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from filelock import FileLock
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from api.telemetry.worker_files import WorkerFiles
from closecast.errors import StorageFailed
from closecast.infra.shared_counters import VARIABLE, shared_metrics
from closecast.settings import Settings
from tests.support.service_process import ServiceProcess

REQUESTS, CONNECTIONS = 60, 12
CALM = [round(200 + 0.3 * (i % 7), 2) for i in range(60)]


@pytest.fixture
def service(published: Settings, tmp_path: Path) -> Iterator[ServiceProcess]:
    two = published.model_copy(update={"workers": 2})
    made = ServiceProcess(two, tmp_path / "service.log")
    yield made
    made.stop()


def on_a_new_connection(service: ServiceProcess, path: str) -> httpx.Response:
    """Whichever process accepts it."""
    with httpx.Client(timeout=30) as client:
        return client.get(f"http://127.0.0.1:{service.port}{path}").raise_for_status()


def sums(service: ServiceProcess) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(on_a_new_connection(service, "/metrics").text):
        for sample in family.samples:
            if sample.labels.get("route", "/predict") == "/predict":
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def predict(service: ServiceProcess) -> set[int]:
    """Many at once; answers which processes answered."""
    address = f"http://127.0.0.1:{service.port}"

    def ask(_: int) -> int:
        with httpx.Client(timeout=60) as client:
            process: int = client.get(f"{address}/monitor").json()["process_id"]
            for _ in range(REQUESTS // CONNECTIONS):
                client.post(f"{address}/predict", json={"prices": CALM}).raise_for_status()
        return process

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return set(pool.map(ask, range(CONNECTIONS)))


def predict_in_both(service: ServiceProcess) -> tuple[set[int], int]:
    asked, processes = 0, set()

    def ask() -> bool:
        nonlocal asked
        processes.update(predict(service))
        asked += REQUESTS
        return len(processes) > 1

    service.until(ask, "both processes answer")
    return processes, asked


def test_every_scrape_counts_what_all_processes_answered(
    service: ServiceProcess, published: Settings
) -> None:
    service.until(lambda: sums(service)["closecast_processes"] == 2, "both processes have begun")
    processes, asked = predict_in_both(service)
    # A request is counted when its last byte has left: the caller may be faster.
    service.until(
        lambda: sums(service)["closecast_requests_total"] == asked, "all of them are counted"
    )
    for found in [sums(service) for _ in range(10)]:  # whoever answers
        assert found["closecast_requests_total"] == asked
        assert found["closecast_predictions_total"] == asked
        assert found["closecast_request_seconds_count"] == asked
        assert found["closecast_requests_in_flight"] == 0
        assert found["closecast_process_resident_bytes"] > 2 * 10e6

    os.kill(victim := min(processes), signal.SIGKILL)
    service.until(lambda: not psutil.pid_exists(victim), "the dead one is gone")
    service.until(lambda: sums(service)["closecast_processes"] == 2, "another one has taken over")
    for found in [sums(service) for _ in range(10)]:
        assert found["closecast_requests_total"] == asked
        assert found["closecast_requests_in_flight"] == 0
    _, more = predict_in_both(service)
    service.until(
        lambda: sums(service)["closecast_requests_total"] == asked + more, "counting goes on"
    )
    folder = published.data_dir / "metrics"
    assert len(list(folder.iterdir())) == 1
    service.terminate()
    assert list(folder.iterdir()) == []


# -- files of dead processes ----------------------------------------------------------------------

NOBODY = 2**30  # more than any system gives out


def file_of(folder: Path, kind: str, pid: int, **values: float) -> None:
    file = MmapedDict(str(folder / f"{kind}_{pid}.db"))
    metric = kind.partition("_")[0]
    for name, value in values.items():
        sample, _, le = name.partition("_le_")
        labels = (["le"], [le]) if le else ([], [])
        file.write_value(mmap_key(metric, f"{metric}_{sample}", *labels, "said"), value, 0)
    file.close()


def test_many_files_of_dead_processes_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    files = WorkerFiles(tmp_path)
    for times in (1, 2, 3):
        for i in range(20):
            file_of(tmp_path, "counter", NOBODY + i, total=2.0)
            file_of(tmp_path, "histogram", NOBODY + i, bucket_le_1=1.0, bucket_le_2=3.0, sum=5.0)
            file_of(tmp_path, "gauge_livesum", NOBODY + i, now=9.0)
        for _ in range(2):  # the merged file is read as the many were
            told = files.exposition().decode()
            assert f"counter_total {40.0 * times}" in told
            assert f'histogram_bucket{{le="1.0"}} {20.0 * times}' in told
            assert f'histogram_bucket{{le="2.0"}} {80.0 * times}' in told
            assert f"histogram_count {80.0 * times}" in told
            assert f"histogram_sum {100.0 * times}" in told
            assert "gauge" not in told
        left = sorted(path.name for path in tmp_path.glob("*.db"))
        assert left == ["counter_dead.db", "histogram_dead.db"]


def test_what_a_living_process_counts_is_left_alone(tmp_path: Path) -> None:
    files = WorkerFiles(tmp_path)
    file_of(tmp_path, "gauge_livesum", os.getpid(), now=4.0)
    file_of(tmp_path, "gauge_livesum", NOBODY, now=9.0)
    file_of(tmp_path, "gauge_livesum", os.getppid(), now=16.0)  # lives, and serves nobody
    assert "gauge_now 4.0" in files.exposition().decode()
    files.forget_own_gauges()  # of one that had this process's number
    assert "gauge_now" not in files.exposition().decode()


def test_files_that_are_gone_are_an_error_of_the_storage(tmp_path: Path) -> None:
    files = WorkerFiles(tmp_path / "gone")
    with pytest.raises(StorageFailed, match="counters of all processes"):
        files.exposition()


# -- the folder ---------------------------------------------------------------------------------


def test_a_folder_is_there_as_long_as_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with shared_metrics(tmp_path / "metrics", 2):
        folder = Path(os.environ[VARIABLE])
        assert folder.parent == tmp_path / "metrics"
        assert folder.is_dir()
    assert not folder.exists()
    assert VARIABLE not in os.environ


def test_folders_of_dead_services_are_removed_and_those_of_living_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for name in ("dead", "alive", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "counter_1.db").touch()
    (tmp_path / "dead" / ".serve.lock").touch()
    (tmp_path / "file").touch()
    with FileLock(tmp_path / "alive" / ".serve.lock"), shared_metrics(tmp_path, 2):
        names = {path.name for path in tmp_path.iterdir()}
        assert names - {Path(os.environ[VARIABLE]).name} == {"alive", "other", "file"}


@pytest.mark.parametrize(("processes", "before"), [(1, None), (2, "/somewhere")])
def test_no_folder_is_made_where_none_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, before: str | None
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(VARIABLE, before)
    with shared_metrics(tmp_path, processes):
        assert os.environ.get(VARIABLE) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1], ids=["alive", "dead"])
def test_a_file_that_its_process_could_not_fill_spoils_no_scrape(tmp_path: Path, pid: int) -> None:
    files = WorkerFiles(tmp_path)
    (tmp_path / f"counter_{pid}.db").touch()  # no space, or killed at this moment
    (tmp_path / f"histogram_{pid}.db").touch()
    assert files.exposition() == b""
    assert [*tmp_path.glob("*.db")] == [] or pid == os.getpid()
