"""One run of the service beside the usual one, three serving frameworks and the floor.

``python -m benchmarks.serving.serve [--rounds 2] [--seconds 4] [--quick] [--only NAME,NAME]``

Every server is started on a port of its own, alone, with one worker and with two, asked by 1, 16
and 64 connections, and ended; the rounds go through them forwards and backwards in turn. Printed
are medians over the rounds, and of ratios within a round. All but this service run the same random
weights of the same network; this one a bundle that ``closecast train`` made, settings as they
ship. MLflow writes its log of requests, as it does by default, this service one, too; nobody else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.serving.contenders import NAMES, OURS, Contender, contenders
from benchmarks.serving.load import Load, post, run_load
from benchmarks.serving.serve_table import (
    BATCH,
    CONNECTIONS,
    WORKERS,
    Measurement,
    Point,
    Result,
    batch_line,
    quiet_line,
    tables,
    targets,
)
from benchmarks.serving.served_model import LENGTH, SYMBOL, asked_windows, trained
from benchmarks.serving.server_process import ServerFailed, ServerProcess, free_port

_SAME_PRICE = 1e-5
NDJSON = "application/x-ndjson"


class Bench:
    """One run over all servers."""

    def __init__(self, servers: Mapping[str, Contender], seconds: float, folder: Path) -> None:
        self._servers = servers
        self._seconds = seconds
        self._folder = folder
        self._windows = asked_windows()
        self._price: float | None = None  # of the shared network, for the first window

    def run(self, rounds: int) -> Iterator[tuple[int, str, int, Result]]:
        """Round, name, workers and what came of it, as they come."""
        order = [(name, workers) for name in self._servers for workers in WORKERS]
        for number in range(rounds):
            for name, workers in order if number % 2 == 0 else order[::-1]:
                try:
                    result: Result = self.measured(name, workers)
                except (ServerFailed, OSError) as reason:  # or it died while it was asked
                    result = str(reason)
                yield number, name, workers, result

    def measured(self, name: str, workers: int) -> Measurement:
        """Start one server, ask it, end it.

        Raises
        ------
        ServerFailed
            If it is not installed, does not start, or answers another price than the others.
        """
        server = self._servers[name]
        if server.missing:
            raise ServerFailed(f"not installed: {server.missing}")
        port = free_port()
        log = self._folder / "server.log"
        with ServerProcess(server.command(port, workers), port, log, server.environment) as process:
            asked = json.loads(server.payload(self._windows[0]))
            start_s = process.wait_until(lambda: process.call("POST", server.path, asked)[0] == 200)
            self._check_price(server, process.call("POST", server.path, asked)[1])
            requests = [post(server.path, server.payload(window)) for window in self._windows]
            run_load(Load(port, requests, 16, seconds=self._seconds / 4))
            points = {}
            for connections in CONNECTIONS:
                before = process.cpu_s()
                found = run_load(Load(port, requests, connections, self._seconds))
                used = process.cpu_s() - before
                answers = len(found.latencies_ms) + found.errors.total()
                points[connections] = Point(
                    rate=found.rate,
                    p50_ms=found.percentile(50),
                    p99_ms=found.percentile(99),
                    cpu_us=1e6 * used / max(answers, 1),
                    errors=found.errors.total(),
                    generator_cpu=found.own_cpu,
                    others_cpu=max(0.0, found.all_cpu - found.own_cpu - used / found.seconds),
                )
            pss_mb, processes = process.pss_mb()
            batch = self._batch(process) if name == OURS and workers == 1 else None
        return Measurement(points, start_s, pss_mb, processes, batch)

    def _check_price(self, server: Contender, answer: bytes) -> None:
        if not server.same_network:
            return
        price = server.price(json.loads(answer))
        if self._price is None:
            self._price = price
        if not abs(price / self._price - 1) < _SAME_PRICE:
            raise ServerFailed(f"answers {price}, where another one answered {self._price}")

    def _batch(self, process: ServerProcess) -> float | str:
        """Microseconds per window of a batch, end to end; or why there are none."""
        many = (self._windows * (BATCH // len(self._windows) + 1))[:BATCH]
        lines = "\n".join(json.dumps({"prices": window}) for window in many).encode()
        status, answer = process.call("POST", "/predict/batch", lines, {"content-type": NDJSON})
        if status in (404, 405):
            return "not there yet"
        if status != 200:
            return f"status {status}: {answer[:160].decode(errors='replace')}"
        request = post("/predict/batch", lines, NDJSON)
        found = run_load(Load(process.port, [request], 1, self._seconds, count=10))
        return 1000 * found.percentile(50) / BATCH


def named(only: str | None) -> list[str]:
    """Names that contain one of the given parts; all without them."""
    parts = [part.strip().lower() for part in only.split(",")] if only else [""]
    return [name for name in NAMES if any(part in name.lower() for part in parts)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of half seconds")
    parser.add_argument("--only", help="parts of names, with commas between them")
    arguments = parser.parse_args(argv)
    rounds, seconds = (1, 0.5) if arguments.quick else (arguments.rounds, arguments.seconds)
    results: dict[tuple[int, str, int], Result] = {}
    with tempfile.TemporaryDirectory(prefix="closecast-bench-") as name:
        folder = Path(name)
        served = trained(folder)
        print(
            f"closecast: forecaster {served.forecaster}, {served.versions[-1]}, asked "
            f'{{"prices": [{LENGTH} closes]}}; half of the windows are closes of {SYMBOL}',
            flush=True,
        )
        bench = Bench(contenders(served, folder, named(arguments.only)), seconds, folder)
        for number, server, workers, result in bench.run(rounds):
            results[number, server, workers] = result
            said = result if isinstance(result, str) else result.summary()
            print(f"round {number + 1}: {server}, workers {workers}: {said}", flush=True)
    print()
    for part in (tables(results), quiet_line(results), batch_line(results), targets(results)):
        print(part, end="\n\n")


if __name__ == "__main__":
    main()
