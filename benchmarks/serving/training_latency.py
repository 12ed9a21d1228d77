"""Latency of paced predictions while a training runs, beside the same without one.

``python -m benchmarks.serving.training_latency [--pairs 7] [--seconds 5] [--rate 200]``

One worker answers, one connection asks at a steady rate, and a latency counts from the moment at
which its request was due. Of every pair the first stretch is idle; then a training of the served
symbol is started by ``POST /train``, measured once it is between two batches, and cancelled.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.load import Load, Measured, post, run_load
from benchmarks.serving.served_model import FORECASTER, SERVE, SYMBOL, asked_windows, trained
from benchmarks.serving.server_process import ServerProcess, free_port

_EPOCHS = 200
"""More than any stretch lasts: .1 % of progress, the least that is told, is a fifth of an epoch."""

_WAIT_LIMIT_S = 120.0
_TARGET = 1.3


class TrainingFailed(Exception):
    """A training did not start, ended early, or would not be cancelled."""


@dataclass(frozen=True)
class Pair:
    """One stretch without a training, one with it.

    Attributes
    ----------
    epochs : float
        That the training got done in its stretch.
    """

    idle: Measured
    training: Measured
    epochs: float

    @property
    def ratio(self) -> float:
        """99th percentile with training over without."""
        return self.training.percentile(99) / self.idle.percentile(99)


class Training:
    """A training by the API, from its first batch until it is cancelled."""

    def __init__(self, service: ServerProcess) -> None:
        self._service = service
        body = {
            "symbol": SYMBOL,
            "forecaster": FORECASTER,
            "hyperparameters": {"num_epochs": _EPOCHS, "patience": _EPOCHS},
        }
        self._url = "/train"
        self._url = self._asked("POST", body)["url"]
        self._until(lambda job: self._done(job) > 0, "trains")

    def epochs(self) -> float:
        """Done so far.

        Raises
        ------
        TrainingFailed
            If it does not run any more.
        """
        job = self._asked("GET")
        if job["state"] != "running" or job["progress"].get("stage") != "train":
            raise TrainingFailed(f"the training ended: {job['state']}, {job['reason']}")
        return self._done(job)

    def cancel(self) -> None:
        """End it, and wait until it has."""
        self._asked("DELETE")
        self._until(lambda job: job["state"] == "cancelled", "is cancelled")

    def _done(self, job: dict[str, Any]) -> float:
        return float(job["progress"].get("stage_percent", 0.0)) * _EPOCHS / 100

    def _asked(self, method: str, body: Any = None) -> dict[str, Any]:
        status, answer = self._service.call(method, self._url, body)
        if status not in (200, 202):
            raise TrainingFailed(f"{method} {self._url}: {status}: {answer[:300].decode()}")
        job: dict[str, Any] = json.loads(answer)
        return job

    def _until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> None:
        deadline = time.monotonic() + _WAIT_LIMIT_S
        while not condition(job := self._asked("GET")):
            if job["state"] in ("failed", "succeeded") or time.monotonic() > deadline:
                raise TrainingFailed(f"never {what}: {job['state']}, {job['reason']}")
            time.sleep(0.2)


def run(service: ServerProcess, pairs: int, seconds: float, rate: float) -> list[Pair]:
    """Measure a service that is ready and idle.

    Raises
    ------
    TrainingFailed
    """
    asked = [post("/predict", json.dumps({"prices": w}).encode()) for w in asked_windows()]
    load = Load(service.port, asked, seconds=seconds, rate=rate)
    run_load(load)  # to warm up; so does a first training, whose libraries have to be read
    Training(service).cancel()
    found = []
    for _ in range(pairs):
        idle = run_load(load)
        training = Training(service)
        before = training.epochs()
        busy = run_load(load)
        found.append(Pair(idle, busy, training.epochs() - before))
        training.cancel()
        print(_line(str(len(found)), found[-1]), flush=True)
    return found


def heading() -> str:
    """Of the lines that :func:`run` prints."""
    return (
        f"{'pair':<8}{'idle p50':>10}{'p99 ms':>9}{'training p50':>15}{'p99 ms':>9}{'ratio':>8}"
        f"{'epochs done':>13}{'errors':>8}"
    )


def summary(pairs: Sequence[Pair]) -> str:
    """Medians, and whether the target is reached."""
    ratio = median(pair.ratio for pair in pairs)
    idle, busy = (
        [median(one.percentile(q) for one in stretch) for q in (50, 99)]
        for stretch in ([pair.idle for pair in pairs], [pair.training for pair in pairs])
    )
    errors = sum(p.idle.errors.total() + p.training.errors.total() for p in pairs)
    stalled = sum(pair.epochs <= 0 for pair in pairs)
    return "\n".join(
        [
            f"{'median':<8}{idle[0]:>10.2f}{idle[1]:>9.2f}{busy[0]:>15.2f}{busy[1]:>9.2f}"
            f"{ratio:>8.2f}{median(pair.epochs for pair in pairs):>13.1f}{errors:>8}",
            f"p99 while training over idle, median of {len(pairs)} pairs: {ratio:.2f} "
            f"(target <= {_TARGET}: {'ok' if ratio <= _TARGET else 'MISSED'})",
            f"stretches in which the training got nothing done: {stalled}",
        ]
    )


def _line(name: str, pair: Pair) -> str:
    errors = pair.idle.errors.total() + pair.training.errors.total()
    return (
        f"{name:<8}{pair.idle.percentile(50):>10.2f}{pair.idle.percentile(99):>9.2f}"
        f"{pair.training.percentile(50):>15.2f}{pair.training.percentile(99):>9.2f}"
        f"{pair.ratio:>8.2f}{pair.epochs:>13.1f}{errors:>8}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stretch")
    parser.add_argument("--rate", type=float, default=200.0, help="predictions per second")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="closecast-bench-") as name:
        served = trained(Path(name))
        port = free_port()
        command = [*SERVE, "--port", str(port)]
        log = Path(name) / "service.log"
        with ServerProcess(command, port, log, served.environment) as service:
            service.wait_until(lambda: service.call("GET", "/health/ready")[0] == 200)
            print(f"{arguments.rate:.0f} predictions/s, forecaster {served.forecaster}, one worker")
            print(heading())
            pairs = run(service, arguments.pairs, arguments.seconds, arguments.rate)
    print(summary(pairs))


if __name__ == "__main__":
    main()
