"""One round of a siege: a service that is attacked, beside one that is not."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.load import post
from benchmarks.serving.served_model import SERVE, asked_windows
from benchmarks.serving.server_process import ServerFailed, ServerProcess, free_port
from tests.system.siege.attackers import Attackers, Ends, faults
from tests.system.siege.checked_load import Answers, CheckedLoad

_WINDOWS = 40
_WARM_S = 4.0
_SETTLE_S = 60.0
_MOST_MEMORY = 1.10
"""Memory after a siege over that before it."""


@dataclass(frozen=True, slots=True)
class Round:
    """Result of one siege.

    Attributes
    ----------
    attacked, calm : Answers
        Of the checked load.
    memory_mb : tuple of float
        Of the attacked service before and after, 10**6 bytes (PSS of all its processes).
    """

    workers: int
    idle: int
    attacked: Answers
    calm: Answers
    memory_mb: tuple[float, float]
    ends: Ends

    def p99_ratio(self) -> float:
        """p99 of the attacked service over that of the calm one."""
        return self.attacked.percentile(99) / self.calm.percentile(99)

    def violations(self, most_memory: float = _MOST_MEMORY) -> list[str]:
        """Everything that must not be, one sentence each; the ratio of p99 is for a person."""
        before, after = self.memory_mb
        found = [f"checked load: {why}, {n} times" for why, n in self.attacked.failures.items()]
        found += [f"calm service: {why}, {n} times" for why, n in self.calm.failures.items()]
        if after > most_memory * before:
            found.append(f"memory: {before:.0f} MB before, {after:.0f} MB after")
        return found + faults(self.ends)

    def text(self) -> str:
        """The figures as lines for people."""
        lines = [
            f"{self.workers} worker(s), {self.idle} idle connections: checked answers "
            f"{len(self.attacked.latencies_ms)}, failures {self.attacked.failures.total()}; "
            f"p50 {self.attacked.percentile(50):.1f} ms, p99 {self.attacked.percentile(99):.1f} ms "
            f"beside {self.calm.percentile(50):.1f} and {self.calm.percentile(99):.1f} ms of the "
            f"calm service: p99 x {self.p99_ratio():.2f}; memory {self.memory_mb[0]:.0f} -> "
            f"{self.memory_mb[1]:.0f} MB"
        ]
        for attack, counts in sorted(self.ends.items()):
            shown = ", ".join(f"{end} {count}" for end, count in sorted(counts.items()))
            lines.append(f"  {attack:<18}{shown}")
        return "\n".join(lines)


def besiege(
    environment: Mapping[str, str],
    folder: Path,
    *,
    workers: int,
    seconds: float,
    idle: int,
    seed: int,
) -> Round:
    """Attack one of two equal services for a time, while both are asked and checked.

    Raises
    ------
    ServerFailed
        If one of them does not start, or dies.
    """
    requests = [
        post("/predict", f'{{"prices": {window}}}'.encode()) for window in asked_windows(_WINDOWS)
    ]
    with contextlib.ExitStack() as running:
        servers = []
        for name in ("attacked", "calm"):
            own = {**environment, "CLOSECAST_WORKER_ENABLED": "false"}
            port = free_port()
            command = [*SERVE, "--port", str(port), "--workers", str(workers)]
            server = ServerProcess(command, port, folder / f"{name}.log", own)
            servers.append(running.enter_context(server))
        for server in servers:
            server.wait_until(lambda server=server: server.call("GET", "/health/ready")[0] == 200)
        ports = [server.port for server in servers]
        right = [servers[1].call("POST", "/predict", _body(request))[1] for request in requests]
        for server in servers:  # each process makes its document once, and keeps it
            for _ in range(5 * workers):
                server.call("GET", "/openapi.json")
        CheckedLoad(ports, requests, right).run(_WARM_S)
        Attackers(ports[0], _WARM_S, 0, seed).ends()  # what the first attack fills stays filled
        before = _settled_mb(servers[0], 0.0, float("inf"))
        load = CheckedLoad(ports, requests, right)
        attackers = Attackers(ports[0], seconds, idle, seed)
        try:
            load.run(seconds)
            ends = attackers.ends()
        except BaseException:
            attackers.kill()
            raise
        after = _settled_mb(servers[0], _SETTLE_S, _MOST_MEMORY * before)
        for server in servers:
            if server.call("GET", "/health/live")[0] != 200:
                raise ServerFailed("a service does not answer after the siege")
    attacked, calm = load.answers
    return Round(workers, idle, attacked, calm, (before, after), ends)


def _body(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def _settled_mb(server: ServerProcess, patience_s: float, enough_mb: float) -> float:
    """Memory of a service; waits for a while until it is no more than ``enough_mb``."""
    until = time.monotonic() + patience_s
    while True:
        found = statistics.median(server.pss_mb()[0] for _ in range(3))
        if found <= enough_mb or time.monotonic() > until:
            return found
        time.sleep(1)
