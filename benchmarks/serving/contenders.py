"""Who is measured by ``make bench NAME=serve``: how each is started, asked, and understood."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.runner import HOME, PeerUnavailable, environment
from benchmarks.serving.load import ROOT
from benchmarks.serving.served_model import SERVE, Served
from benchmarks.serving.server_process import ONE_THREAD

OURS, USUAL, USUAL_EQUAL, FLOOR = (
    "closecast, everything",
    "usual service, network only",
    "usual service, equal work",
    "bare ASGI + ONNX Runtime",
)
LITSERVE, MLSERVER, MLFLOW = "LitServe", "MLServer", "mlflow models serve"
PEERS = (LITSERVE, MLSERVER, MLFLOW)
NAMES = (USUAL, *PEERS, FLOOR, OURS, USUAL_EQUAL)


@dataclass(frozen=True)
class Contender:
    """A server that can be started.

    Attributes
    ----------
    command : callable
        Of port and number of workers.
    path : str
        Where windows are posted.
    body : callable
        What is posted for a window of closes.
    price : callable
        The next close, from the JSON of an answer.
    same_network : bool
        Whether that close must be the one of the weights that these servers share.
    missing : str
        Why it cannot be started; empty where it can.
    """

    command: Callable[[int, int], Sequence[str]] = field(default=lambda port, workers: ())
    path: str = "/predict"
    body: Callable[[Sequence[float]], Any] = field(default=lambda prices: {"prices": prices})
    price: Callable[[Any], float] = field(default=lambda answer: answer["predicted_price"])
    same_network: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""

    def payload(self, prices: Sequence[float]) -> bytes:
        """The JSON that is sent."""
        return json.dumps(self.body(prices)).encode()


def contenders(served: Served, folder: Path, wanted: Sequence[str]) -> dict[str, Contender]:
    """Those wanted, by name; environments of peers are made here, weights written to ``folder``."""
    weights = {"BENCHMARK_WEIGHTS": str(folder), "PYTHONPATH": str(ROOT)}
    _python("benchmarks.serving.servers.network", folder, weights)
    makers: dict[str, Callable[[], Contender]] = {
        USUAL_EQUAL: lambda: _usual("equal_work", weights),
        OURS: lambda: _closecast(served),
        USUAL: lambda: _usual("network_only", weights),
        FLOOR: lambda: Contender(_uvicorn("bare:make", "--factory"), environment=weights),
        LITSERVE: lambda: _litserve(weights),
        MLSERVER: lambda: _mlserver(weights, folder),
        MLFLOW: lambda: _mlflow(weights, folder),
    }
    found = {}
    for name, make in makers.items():
        if name not in wanted:
            continue
        try:
            found[name] = make()
        except PeerUnavailable as reason:
            found[name] = Contender(missing=str(reason))
    return found


def _closecast(served: Served) -> Contender:
    return Contender(
        lambda port, workers: [*SERVE, "--port", str(port), "--workers", str(workers)],
        same_network=False,
        environment=served.environment,
    )


def _usual(name: str, weights: Mapping[str, str]) -> Contender:
    return Contender(
        _uvicorn(f"usual:{name}"), same_network=name == "network_only", environment=weights
    )


def _uvicorn(application: str, *more: str) -> Callable[[int, int], Sequence[str]]:
    def command(port: int, workers: int) -> Sequence[str]:
        return [
            *(sys.executable, "-m", "uvicorn", f"benchmarks.serving.servers.{application}", *more),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
            *("--loop", "uvloop", "--http", "httptools", "--no-access-log"),
            *("--log-level", "warning"),
        ]

    return command


def _litserve(weights: Mapping[str, str]) -> Contender:
    python = _peer("litserve")
    server = "benchmarks.serving.servers.litserve_server"
    return Contender(
        lambda port, workers: [python, "-m", server, str(port), str(workers)], environment=weights
    )


def _mlserver(weights: Mapping[str, str], folder: Path) -> Contender:
    python = _peer("mlserver")
    server, place = "benchmarks.serving.servers.mlserver_model", str(folder / "mlserver")

    def tensor(prices: Sequence[float]) -> Any:
        shape = [1, len(prices)]
        return {"inputs": [{"name": "prices", "shape": shape, "datatype": "FP64", "data": prices}]}

    return Contender(
        lambda port, workers: [python, "-m", server, str(port), str(workers), place],
        path="/v2/models/price/infer",
        body=tensor,
        price=lambda answer: answer["outputs"][0]["data"][0],
        environment=weights,
    )


def _mlflow(weights: Mapping[str, str], folder: Path) -> Contender:
    # Trainings are tracked with it, so this environment has it. It looks for uvicorn on the path.
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    model = folder / "mlflow"
    _python("benchmarks.serving.servers.mlflow_model", model, weights)
    serve = (sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model))
    return Contender(
        lambda port, workers: [
            *(*serve, "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)),
            *("--env-manager", "local"),
        ],
        path="/invocations",
        body=lambda prices: {"inputs": [prices]},
        price=lambda answer: answer["predictions"][0],
        environment={**weights, "PATH": scripts},
    )


def _peer(group: str) -> str:
    """Python of a peer's environment; torch and what else is not pinned are this environment's."""
    beside = Path(sysconfig.get_paths()["purelib"])
    return str(environment(f"serving_{group}", HOME, beside))


def _python(module: str, argument: Path, environ: Mapping[str, str]) -> None:
    """Run a module of this repository to its end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, str(argument)],
        cwd=ROOT,
        env={**os.environ, **ONE_THREAD, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise PeerUnavailable(f"{module} failed: {said[-1][:160]}")
