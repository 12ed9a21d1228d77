"""Processor time per prediction beside that of an earlier commit, in turns.

``python -m benchmarks.serving.against COMMIT [--pairs 7] [--seconds 4] [--connections 16]``

Both services run at once with one worker each and the same bundle, trained by the earlier tree,
whose format both can read; the load asks one of them, then the other, in alternating order.
Printed are the processor time of each (user and system, all processes), and the median of the
pairs' ratios with an interval of 95 % from resampled pairs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.serving.load import ROOT, Load, post, run_load
from benchmarks.serving.served_model import SERVE, asked_windows, settings_in
from benchmarks.serving.server_process import ServerProcess, free_port

_NATIVE = Path("src/closecast/drift/native.c")
_RESAMPLED = 2_000


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median of the ratios of pairs, with an interval of 95 % from resampled pairs."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, before: Sequence[float], after: Sequence[float]) -> Ratio:
        """Of the second over the first of each pair."""
        ratios = np.asarray(after) / np.asarray(before)
        drawn = np.random.default_rng(0).choice(ratios, (_RESAMPLED, len(ratios)))
        lower, upper = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
        return cls(float(np.median(ratios)), float(lower), float(upper))


@contextmanager
def tree_of(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit, with the compiled loops of drift."""
    tree = folder / "before"
    subprocess.run(["git", "worktree", "add", "-q", "--detach", tree, commit], cwd=ROOT, check=True)
    try:
        # By itself: a package of the same name may be installed from another tree.
        subprocess.run([sys.executable, tree / "scripts" / "compile_drift.py"], check=True)
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def _train(tree: Path, folder: Path) -> None:
    """Publish a bundle by the code of a tree."""
    program = "import sys; from pathlib import Path; from benchmarks.serving.served_model import "
    program += "trained; trained(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": _search_path(tree)}
    command = [sys.executable, "-c", program, str(folder)]
    subprocess.run(command, cwd=tree, env=environment, check=True)


def _search_path(tree: Path) -> str:
    return os.pathsep.join([str(tree / "src"), str(tree)])


def _is_ready(server: ServerProcess) -> bool:
    return server.call("GET", "/health/ready")[0] == 200


def cpu_us(server: ServerProcess, requests: Sequence[bytes], connections: int, s: float) -> float:
    """Microseconds of processor time per answer.

    Raises
    ------
    RuntimeError
        If a request is not answered with 200.
    """
    before = server.cpu_s()
    found = run_load(Load(server.port, requests, connections, s))
    used = server.cpu_s() - before
    if found.errors:
        raise RuntimeError(f"not answered: {dict(found.errors)}")
    return 1e6 * used / len(found.latencies_ms)


def main(argv: Sequence[str] | None = None) -> None:
    """Run, and print a line per pair and the ratio."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving.against")
    parser.add_argument("commit")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--connections", type=int, default=16)
    arguments = parser.parse_args(argv)
    requests = [post("/predict", f'{{"prices": {w}}}'.encode()) for w in asked_windows()]
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        trees = [running.enter_context(tree_of(arguments.commit, folder)), ROOT]
        _train(trees[0], folder / "trained")
        servers = []
        for number, tree in enumerate(trees):
            own = folder / f"served-{number}"
            shutil.copytree(folder / "trained", own)
            port = free_port()
            environment = settings_in(own) | {
                "CLOSECAST_WORKER_ENABLED": "false",
                "PYTHONPATH": _search_path(tree),
            }
            command = [*SERVE, "--port", str(port)]
            server = ServerProcess(command, port, folder / f"{number}.log", environment, tree)
            servers.append(running.enter_context(server))
            server.wait_until(partial(_is_ready, server))
            cpu_us(server, requests, arguments.connections, 2)
        taken: tuple[list[float], list[float]] = ([], [])
        for pair in range(arguments.pairs):
            for which in (0, 1) if pair % 2 == 0 else (1, 0):
                used = cpu_us(servers[which], requests, arguments.connections, arguments.seconds)
                taken[which].append(used)
            print(
                f"pair {pair + 1}: {taken[0][-1]:.0f} us before, {taken[1][-1]:.0f} now", flush=True
            )
    ratio = Ratio.of(*taken)
    print(
        f"processor time per prediction, {arguments.connections} connections: "
        f"{np.median(taken[0]):.0f} us at {arguments.commit}, {np.median(taken[1]):.0f} now; "
        f"ratio {ratio.median:.3f} ({ratio.lower:.3f} to {ratio.upper:.3f})"
    )


if __name__ == "__main__":
    main()
