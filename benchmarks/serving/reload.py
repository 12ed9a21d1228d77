"""Reloads and rollbacks under load: what is lost, late, or of two versions at once.

``python -m benchmarks.serving.reload [--requests 200000] [--reloads 500] [--rollbacks 5]
[--workers 2]``

Stretches with reloads and stretches without alternate. Every answer is compared with what the
version that it names answered when it was the only one. Ends with 1 if one was lost or differed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.serving.answers import RIGHT, Expected
from benchmarks.serving.load import Load, LoadProcess, Measured, post
from benchmarks.serving.served_model import SERVE, Served, asked_windows, trained
from benchmarks.serving.server_process import ServerProcess, free_port

WHY = {"reason": "benchmark", "by": "benchmark"}

_READY_EVERY_S = 0.05


class ReloadFailed(Exception):
    """The service refused what the benchmark needs."""


@dataclass
class Readiness:
    """What ``GET /health/ready`` answered, each time on a new connection."""

    answers: Counter[str] = field(default_factory=Counter)

    def watch(self, service: ServerProcess, ended: threading.Event) -> None:
        """Ask until ended."""
        while not ended.wait(_READY_EVERY_S):
            try:
                status, _ = service.call("GET", "/health/ready")
                self.answers[f"status {status}"] += 1
            except OSError as error:
                self.answers[type(error).__name__] += 1

    @property
    def failures(self) -> int:
        """Everything but 200."""
        return self.answers.total() - self.answers["status 200"]


@dataclass(frozen=True)
class Report:
    """What came of all stretches; ``moved`` with reloads, ``quiet`` without."""

    quiet: list[Measured]
    moved: list[Measured]
    moves: Counter[str]
    readiness: Readiness

    @property
    def failures(self) -> int:
        """Requests without a good answer, and looks at readiness that failed."""
        return sum(one.errors.total() for one in self._all) + self.readiness.failures

    @property
    def wrong(self) -> int:
        """Answers that are not what the version that they name gives."""
        return sum(n for kind, n in self.kinds.items() if kind.partition("\t")[2] not in RIGHT)

    @property
    def kinds(self) -> Counter[str]:
        """Answers of both stretches by version and kind."""
        return sum((one.kinds for one in self._all), Counter())

    @property
    def _all(self) -> list[Measured]:
        return [*self.quiet, *self.moved]

    def text(self) -> str:
        """The table."""
        lines = [f"{'':<18}{'requests':>10}{'req/s':>8}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}"]
        for name, stretches in (("without reloads", self.quiet), ("with reloads", self.moved)):
            errors = sum((one.errors for one in stretches), Counter())
            latencies = _latencies(stretches)
            rate = len(latencies) / sum(one.seconds for one in stretches)
            lines.append(
                f"{name:<18}{len(latencies):>10}{rate:>8.0f}{np.percentile(latencies, 50):>9.2f}"
                f"{np.percentile(latencies, 99):>9.2f}{errors.total():>8}"
                + "".join(f"  {what}: {n}" for what, n in errors.items())
            )
        quiet, moved = (np.percentile(_latencies(one), 99) for one in (self.quiet, self.moved))
        ratio = moved / quiet
        pairs = ", ".join(
            f"{with_them.percentile(99) / without.percentile(99):.2f}"
            for without, with_them in zip(self.quiet, self.moved, strict=True)
        )
        lines.append(
            f"p99 with over without: {ratio:.2f} (target <= 1.5: {_verdict(ratio <= 1.5)}); "
            f"by pair: {pairs}"
        )
        lines.append("moves: " + ", ".join(f"{name} {n}" for name, n in self.moves.items()))
        for kind, n in sorted(self.kinds.items()):
            lines.append("{}: {}: {}".format(*kind.split("\t"), n))
        ready = ", ".join(f"{what}: {n}" for what, n in self.readiness.answers.items())
        lines.append(f"GET /health/ready meanwhile: {ready}")
        lines.append(f"failures: {self.failures}: {_verdict(not self.failures)}")
        lines.append(f"answers that differ: {self.wrong}: {_verdict(not self.wrong)}")
        cpu = max(one.own_cpu for one in self._all)
        lines.append(f"the load generator used {cpu:.2f} cores at most")
        return "\n".join(lines)


class Mover:
    """Moves the pointer between versions by the API, as a person would.

    The first version is only ever gone back to: so there always is one before the current one.
    """

    def __init__(self, service: ServerProcess, versions: Sequence[str]) -> None:
        self._service = service
        self._next = cycle(versions[1:])
        self.moves: Counter[str] = Counter()

    def reload(self) -> None:
        """Promote the next version, and tell whichever process answers to look."""
        self._call("/model/promote", {"version": next(self._next), **WHY})
        self._call("/model/reload", {})
        self.moves["reload"] += 1

    def rollback(self) -> None:
        """Go back to the version before."""
        self._call("/model/rollback", WHY)
        self.moves["rollback"] += 1

    def _call(self, path: str, body: dict[str, str]) -> None:
        status, answer = self._service.call("POST", path, body)
        if status != 200:
            raise ReloadFailed(f"{path} answered {status}: {answer[:300].decode()}")


def expected_answers(served: Served, windows: Sequence[Sequence[float]], folder: Path) -> Expected:
    """What each version says, asked of one process while no other version is current."""
    bodies: dict[str, list[bytes]] = {}
    with _service(served, 1, folder / "expected.log") as service:
        for version in served.versions:
            status, answer = service.call("POST", "/model/promote", {"version": version, **WHY})
            if status != 200:
                raise ReloadFailed(f"{version} cannot be promoted: {answer[:300].decode()}")
            asked = [service.call("POST", "/predict", {"prices": window}) for window in windows]
            if bad := [answer for status, answer in asked if status != 200]:
                raise ReloadFailed(f"a window is refused: {bad[0][:300].decode()}")
            bodies[version] = [answer for _, answer in asked]
    expected = Expected(bodies)
    if not expected.tells_versions_apart():
        raise ReloadFailed("two versions give the same answer: nothing could be told apart")
    return expected


def run(
    served: Served,
    folder: Path,
    *,
    requests: int,
    reloads: int,
    rollbacks: int,
    workers: int,
    pairs: int = 4,
    connections: int = 16,
) -> Report:
    """Load in stretches, every other one with its share of the moves.

    Parameters
    ----------
    requests, reloads, rollbacks : int
        Of all stretches with moves together; those without have as many requests.

    Raises
    ------
    ReloadFailed
        If a version cannot be served, or two cannot be told apart.
    """
    windows = asked_windows()
    expected = expected_answers(served, windows, folder)
    asked = [post("/predict", json.dumps({"prices": window}).encode()) for window in windows]
    readiness, ended = Readiness(), threading.Event()
    quiet, moved = [], []
    with _service(served, workers, folder / "service.log") as service:
        mover = Mover(service, served.versions)
        watcher = threading.Thread(target=readiness.watch, args=(service, ended))
        watcher.start()
        try:
            load = Load(service.port, asked, connections, count=max(1, requests // pairs))
            LoadProcess(load).release()  # to warm up
            for pair in range(pairs):
                quiet.append(LoadProcess(load, expected).release())
                moves = _shared_out(reloads, rollbacks, pair, pairs)
                moved.append(_stretch_with(mover, moves, load, expected, quiet[-1].seconds))
                print(f"pair {pair + 1} of {pairs} is done", flush=True)
        finally:
            ended.set()
            watcher.join()
    return Report(quiet, moved, mover.moves, readiness)


def _stretch_with(
    mover: Mover, moves: Sequence[str], load: Load, expected: Expected, seconds: float
) -> Measured:
    """A load with the moves spread over the time that it took without them."""
    process = LoadProcess(load, expected)
    try:
        started = time.perf_counter()
        for i, move in enumerate(moves):
            wait = started + seconds * i / len(moves) - time.perf_counter()
            time.sleep(max(0.0, wait))
            getattr(mover, move)()
    except BaseException:
        process.kill()
        raise
    return process.release()


def _shared_out(reloads: int, rollbacks: int, pair: int, pairs: int) -> list[str]:
    """Moves of one stretch, its rollbacks evenly among its reloads."""
    moves: list[tuple[float, str]] = []
    for name, total in (("reload", reloads), ("rollback", rollbacks)):
        mine = total * (pair + 1) // pairs - total * pair // pairs
        moves += [((i + 1) / mine, name) for i in range(mine)]
    return [name for _, name in sorted(moves)]


def _service(served: Served, workers: int, log: Path) -> ServerProcess:
    """The service, ready."""
    port = free_port()
    command = [*SERVE, "--port", str(port), "--workers", str(workers)]
    service = ServerProcess(command, port, log, served.environment)
    try:
        service.wait_until(lambda: service.call("GET", "/health/ready")[0] == 200)
    except BaseException:
        service.stop()
        raise
    return service


def _latencies(stretches: Sequence[Measured]) -> np.ndarray:
    return np.concatenate([one.latencies_ms for one in stretches])


def _verdict(good: bool) -> str:
    return "ok" if good else "MISSED"


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, answer with an exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--reloads", type=int, default=500)
    parser.add_argument("--rollbacks", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="closecast-bench-") as name:
        served = trained(Path(name), seeds=(1, 2))
        print(f"{arguments.workers} workers, 16 connections, forecaster {served.forecaster}")
        report = run(served, Path(name), **vars(arguments))
    print(report.text())
    sys.exit(1 if report.failures or report.wrong else 0)


if __name__ == "__main__":
    main()
