"""The serving benchmarks: every wrong answer is found, every target is judged by what it says."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks.peers import runner
from benchmarks.serving import reload
from benchmarks.serving.against import Ratio
from benchmarks.serving.answers import BITWISE, CLOSE, DIFFERENT, UNKNOWN, Expected
from benchmarks.serving.contenders import FLOOR, LITSERVE, MLSERVER, NAMES, OURS, USUAL, USUAL_EQUAL
from benchmarks.serving.load import Measured
from benchmarks.serving.serve import named
from benchmarks.serving.serve_table import (
    Measurement,
    Point,
    batch_line,
    quiet_line,
    tables,
    targets,
)
from benchmarks.serving.served_model import LENGTH, Served, asked_windows
from benchmarks.serving.server_process import ServerFailed, ServerProcess, free_port
from benchmarks.serving.training_latency import Pair, summary
from closecast.registry.registry import Registry
from closecast.settings import Settings, as_environment


def measured(ms: float, count: int = 100, **more: object) -> Measured:
    return Measured(1.0, np.full(count, ms), **more)  # type: ignore[arg-type]


# --- answers -------------------------------------------------------------------------------


def answer(version: str, price: float) -> bytes:
    return json.dumps({"predicted_price": price, "model_version": version}).encode()


EXPECTED = Expected({"a": [answer("a", 1.0), answer("a", 2.0)], "b": [answer("b", 3.0)] * 2})


@pytest.mark.parametrize(
    ("window", "body", "kind"),
    [
        (1, answer("a", 2.0), f"a\t{BITWISE}"),
        (1, answer("a", 2.000001), f"a\t{CLOSE}"),
        (1, answer("a", 1.0), f"a\t{DIFFERENT}"),  # of another window
        (0, answer("a", 3.0), f"a\t{DIFFERENT}"),  # a mixture: the price is the other version's
        (0, answer("a", 1.0)[:-1] + b', "more": 1}', f"a\t{DIFFERENT}"),
        (0, answer("c", 1.0), f"c\t{UNKNOWN}"),
        (0, b"{}", f"none\t{UNKNOWN}"),
    ],
)
def test_what_became_of_an_answer(window: int, body: bytes, kind: str) -> None:
    assert EXPECTED(window, body) == kind


def test_versions_that_answer_alike_hide_a_mixture() -> None:
    assert EXPECTED.tells_versions_apart()
    alike = Expected({"a": [answer("a", 1.0)], "b": [answer("b", 1.0)]})
    assert not alike.tells_versions_apart()


def test_windows_are_all_different() -> None:
    windows = asked_windows(20)
    assert {len(window) for window in windows} == {LENGTH}
    assert len({tuple(window) for window in windows}) == 20


# --- reloads -------------------------------------------------------------------------------


def test_a_real_service_is_reloaded_under_load(published: Settings, tmp_path: Path) -> None:
    environment = as_environment(published)
    manifests = [*Registry(published.models_url).versions("MSFT")]
    versions = tuple(manifest.version for manifest in reversed(manifests))
    assert len(versions) >= 3
    served = Served(environment, versions, manifests[0].info.forecaster)
    report = reload.run(
        served, tmp_path, requests=300, reloads=6, rollbacks=2, workers=1, pairs=2, connections=4
    )
    assert (report.failures, report.wrong) == (0, 0)
    assert report.moves == {"reload": 6, "rollback": 2}
    assert report.kinds.total() >= 600
    assert set(report.kinds) <= {f"{version}\t{BITWISE}" for version in versions}
    assert len(report.kinds) >= 2
    assert report.readiness.answers["status 200"] >= 1
    assert "failures: 0: ok" in report.text()


def test_what_was_lost_or_differed_is_counted() -> None:
    quiet = measured(1.0, kinds=Counter({f"a\t{BITWISE}": 9, f"a\t{DIFFERENT}": 1}))
    moved = measured(
        2.0,
        errors=Counter({"status 503": 2}),
        kinds=Counter({f"c\t{UNKNOWN}": 3, f"b\t{CLOSE}": 4}),
    )
    readiness = reload.Readiness(Counter({"status 200": 5, "status 503": 1}))
    report = reload.Report([quiet], [moved], Counter(reload=1), readiness)
    assert (report.failures, report.wrong) == (3, 4)
    printed = report.text()
    for part in (
        "over without: 2.00 (target <= 1.5: MISSED)",
        "status 503: 2",
        "failures: 3: MISS",
    ):
        assert part in printed


@pytest.mark.parametrize(("reloads", "rollbacks", "pairs"), [(500, 5, 4), (3, 5, 2), (0, 1, 4)])
def test_every_move_is_made_once(reloads: int, rollbacks: int, pairs: int) -> None:
    moves = [
        m for pair in range(pairs) for m in reload._shared_out(reloads, rollbacks, pair, pairs)
    ]
    assert Counter(moves) == Counter(reload=reloads, rollback=rollbacks)


# --- the table -----------------------------------------------------------------------------


def made(rate: float, *, p50: float = 1.0, cpu: float = 100.0, **more: object) -> Measurement:
    point = Point(rate, p50, 2 * p50, cpu, errors=0, generator_cpu=0.1, others_cpu=0.0)
    return Measurement(dict.fromkeys((1, 16, 64), point), 1.0, 50.0, 1, **more)  # type: ignore[arg-type]


def results(ours: float = 400.0, two: float = 700.0, cpu: float = 105.0, batch: object = 90.0):
    """Two rounds; the machine is half as fast in the second."""
    found = {}
    for number, speed in enumerate((1.0, 0.5)):
        found |= {
            (number, OURS, 1): made(ours * speed, p50=0.4 / speed, batch=batch),
            (number, OURS, 2): made(two * speed, cpu=cpu),
            (number, USUAL_EQUAL, 1): made(100.0 * speed, p50=1.0 / speed),
            (number, LITSERVE, 1): made(130.0 * speed),
            (number, MLSERVER, 1): "not installed: no network",
        }
    return found


def verdicts(**changes: object) -> dict[str, str]:
    lines = targets(results(**changes)).splitlines()  # type: ignore[arg-type]
    return {line.split(":")[0].strip(): " ".join(line.split()[-2:]) for line in lines}


def test_targets_are_judged_by_ratios_within_a_round() -> None:
    found = verdicts()
    assert found["requests/s over the usual service at equal work, 16 connections"] == "4.00 ok"
    assert found["requests/s with everything over the best peer's network alone"] == "3.08 ok"
    assert found["p50 at one connection over the usual service's"] == "0.40 ok"
    assert found["requests/s of two workers over one, 16 connections"] == "1.75 ok"
    assert found["CPU per request of two workers over one, 16 connections"] == "1.05 ok"
    assert found["batch of 512, us a window"] == "90.00 ok"
    assert found["errors of this service"] == "0.00 ok"


def test_what_is_missed_or_not_measured_is_called_so() -> None:
    found = verdicts(ours=350.0, two=400.0, cpu=80.0, batch="not there yet")
    assert found["requests/s over the usual service at equal work, 16 connections"] == "3.50 ok"
    assert found["the same, wanted"] == "3.50 MISSED"
    assert found["requests/s with everything over the best peer's network alone"] == "2.69 MISSED"
    assert found["requests/s of two workers over one, 16 connections"] == "1.14 MISSED"
    assert found["CPU per request of two workers over one, 16 connections"] == "0.80 MISSED"
    assert found["batch of 512, us a window"] == "not measured"
    assert "not there yet" in batch_line(results(batch="not there yet"))


def test_a_peer_that_is_missing_has_a_row_that_says_why() -> None:
    printed = tables(results()).splitlines()
    assert any(line.startswith(MLSERVER) and "no network" in line for line in printed)
    ours = [line for line in printed if line.startswith(OURS)]
    assert len(ours) == 4  # two tables, one worker and two
    assert "4.00" in ours[2]


def test_a_machine_that_is_not_quiet_is_told() -> None:
    found = results()
    assert quiet_line(found).endswith("at most 0.00")
    point = replace(found[0, OURS, 1].points[1], others_cpu=0.7)
    found[2, OURS, 1] = Measurement({1: point}, 1.0, 50.0, 1)
    assert "at most 0.70: the machine was not quiet" in quiet_line(found)


def test_servers_are_chosen_by_parts_of_their_names() -> None:
    assert named(None) == list(NAMES)
    assert named("litserve, USUAL") == [USUAL, LITSERVE, USUAL_EQUAL]
    assert named("bare") == [FLOOR]


# --- training ------------------------------------------------------------------------------


def test_the_median_pair_decides_and_idle_trainings_are_told() -> None:
    pairs = [Pair(measured(1.0), measured(ms), epochs) for ms, epochs in ((1, 2), (1.2, 0), (9, 3))]
    printed = summary(pairs)
    assert "median of 3 pairs: 1.20 (target <= 1.3: ok)" in printed
    assert "got nothing done: 1" in printed
    slow = summary([Pair(measured(1.0), measured(1.4), 1.0)])
    assert "1.40 (target <= 1.3: MISSED)" in slow


# --- servers -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # torch's exporter, joblib
def test_the_servers_run_one_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = pytest.importorskip("benchmarks.serving.servers.network")
    from benchmarks.serving.servers import bare, usual

    network.write_weights(tmp_path)
    monkeypatch.setenv("BENCHMARK_WEIGHTS", str(tmp_path))
    [window] = asked_windows(1)
    expected = network.Predictor()(window)[0]
    with TestClient(usual.network_only) as client:
        assert client.post("/predict", json={"prices": window}).json() == {
            "predicted_price": pytest.approx(expected)
        }
        assert client.post("/predict", json={"prices": window[1:]}).status_code == 422
    with TestClient(usual.equal_work) as client:
        everything = client.post("/predict", json={"prices": window}).json()
    assert [step["step"] for step in everything["path"]] == list(range(1, 11))
    for step in everything["path"]:
        assert [interval["level"] for interval in step["intervals"]] == [0.8, 0.95]
        assert all(i["lower"] < step["price"] < i["upper"] for i in step["intervals"])
    assert everything["drift_warning"] == bool(everything["drift_details"])
    assert asyncio.run(asked(bare.make(), window)) == pytest.approx(expected, rel=1e-5)


async def asked(application: object, window: list[float]) -> float:
    sent: list[dict[str, bytes]] = []

    async def receive() -> dict[str, object]:
        body = json.dumps({"prices": window}).encode()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, bytes]) -> None:
        sent.append(message)

    await application({"type": "http"}, receive, send)  # type: ignore[operator]
    return float(json.loads(sent[1]["body"])["predicted_price"])


def test_a_server_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(1)"]
    port = free_port()
    with (
        ServerProcess(command, port, tmp_path / "log") as server,
        pytest.raises(ServerFailed, match="no such model"),
    ):
        server.wait_until(lambda: server.call("GET", "/")[0] == 200)


def test_usage_is_that_of_the_whole_family_and_all_of_it_ends(tmp_path: Path) -> None:
    spin = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while 1: 1'])"
    with ServerProcess([sys.executable, "-c", spin], free_port(), tmp_path / "log") as server:
        server.wait_until(lambda: server.cpu_s() > 0.5)
        pss_mb, processes = server.pss_mb()
        family = server._family()
    assert processes == 2
    assert pss_mb > 1
    assert not any(process.is_running() for process in family)


def test_an_environment_may_see_the_packages_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "serving_litserve" / "lib" / "python3.11" / "site-packages"
    runs = []

    def run(command: list[str], log: Path) -> bool:
        packages.mkdir(parents=True, exist_ok=True)
        runs.append(command)
        return True

    monkeypatch.setattr(runner, "_run", run)
    for _ in range(2):
        runner.environment("serving_litserve", tmp_path, Path("/somewhere"))
    assert len(runs) == 2  # venv and pip, once
    assert (packages / "beside.pth").read_text() == "/somewhere\n"
    runner.environment("serving_litserve", tmp_path, Path("/elsewhere"))
    assert len(runs) == 4


def test_a_ratio_of_pairs_has_an_interval_that_holds_it() -> None:
    same = Ratio.of([400.0] * 7, [400.0] * 7)
    assert (same.median, same.lower, same.upper) == (1.0, 1.0, 1.0)
    slower = Ratio.of([400, 410, 390, 405, 395, 400, 402], [440, 430, 420, 450, 440, 445, 430])
    assert 1.0 < slower.lower <= slower.median <= slower.upper
