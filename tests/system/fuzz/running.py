"""Runs of the fuzzers: many requests, few findings, each with its smallest request."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from closecast.settings import Settings
from tests.support.live_server import live_server
from tests.system.fuzz import over_socket
from tests.system.fuzz.fuzz_case import FuzzCase
from tests.system.fuzz.fuzzed_service import Fuzzed, LogListener, MemoryWatch
from tests.system.fuzz.in_process import InProcess
from tests.system.fuzz.promises import Answered
from tests.system.fuzz.shrinking import smallest_of

_LOOKS = 200  # at the memory
_MOST_FINDINGS = 20
_CONNECTIONS = 16
_SLOWEST = 3
_READ_AT_ONCE = 60_000


@dataclass
class Report:
    """What a run came to.

    Attributes
    ----------
    findings : dict
        What was wrong, and a command that shows it.
    """

    name: str
    cases: int = 0
    took_s: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    refused_by_server: int = 0
    grown_bytes: int = 0
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def timed(self, seconds: float, case: FuzzCase) -> None:
        """Remember the slowest."""
        if len(self.slowest) < _SLOWEST or seconds > self.slowest[-1][0]:
            said = f"{case.method} {case.target[:60].decode()}, {len(case.body)} bytes"
            self.slowest = sorted([*self.slowest, (seconds, said)], reverse=True)[:_SLOWEST]

    def __str__(self) -> str:
        counts = ", ".join(f"{status}: {n}" for status, n in sorted(self.statuses.items()))
        lines = [
            f"{self.name}: {self.cases} cases in {self.took_s:.0f} s, "
            f"{len(self.findings)} findings; memory grew by {self.grown_bytes / 2**20:.0f} MiB",
            f"  answers by status: {counts}",
        ]
        if self.refused_by_server:
            lines.append(f"  taken for no HTTP by the server itself: {self.refused_by_server}")
        lines += [f"  {1000 * seconds:.0f} ms: {said}" for seconds, said in self.slowest]
        for wrong, command in self.findings.items():
            shown = command if len(command) < 4_000 else f"{command[:4_000]} ..."
            lines += [f"  FOUND {wrong}", f"    {shown}"]
        return "\n".join(lines)


def fuzz_in_process(
    settings: Settings, cases: int, seed: int, *, keys: bool = False, until_s: float = float("inf")
) -> Report:
    """Requests through the application.

    Parameters
    ----------
    until_s : float
        Of ``time.monotonic``; then it ends early.
    """
    fuzzed = Fuzzed.over(settings, seed, keys=keys)
    report = Report(f"in process, {'with' if keys else 'without'} keys, seed {seed}")
    with watched(report, fuzzed) as memory:
        asyncio.run(_in_process(fuzzed, cases, report, memory, until_s))
    return report


async def _in_process(
    fuzzed: Fuzzed, cases: int, report: Report, memory: MemoryWatch, until_s: float
) -> None:
    async with InProcess(fuzzed.app) as service:

        async def wrong_with(case: FuzzCase) -> str | None:
            try:
                answer = await service.ask(case)
            except TimeoutError:
                return f"{case.method} {case.path[:60]}: no answer"
            except AssertionError as error:
                return f"{case.method} {case.path[:60]}: {error}"
            report.statuses[answer.status] += 1
            return fuzzed.promises.broken(case, answer)

        async def ask(method: str, path: str, content: Any = None) -> Answered:
            body = b"" if content is None else json.dumps(content).encode()
            return await service.ask(FuzzCase(method, path.encode(), tuple(fuzzed.headers), body))

        before = await ask("POST", "/predict", {"prices": fuzzed.window})
        found: dict[str, FuzzCase] = {}
        for number in range(cases):
            if time.monotonic() > until_s or len(found) >= _MOST_FINDINGS:
                break
            if number % max(1, cases // _LOOKS) == 0:
                memory.look()
            case = fuzzed.maker.make(number)
            started = time.perf_counter()
            wrong = await wrong_with(case)
            report.timed(time.perf_counter() - started, case)
            report.cases += 1
            if wrong is not None and wrong not in found:
                found[wrong] = case
        for wrong, case in found.items():
            least = await smallest_of(case, wrong, wrong_with)
            report.findings[wrong] = least.as_curl()
        await ask("POST", "/model/promote", {"version": fuzzed.version, "reason": "as before"})
        after = await ask("POST", "/predict", {"prices": fuzzed.window})
        if _forecast_in(before) != _forecast_in(after):
            report.findings["a normal prediction is not what it was"] = after.body.decode()


def fuzz_over_socket(
    settings: Settings, cases: int, seed: int, *, keys: bool = False, until_s: float = float("inf")
) -> Report:
    """Requests as bytes to a server on a real socket; see :func:`fuzz_in_process`."""
    fuzzed = Fuzzed.over(settings, seed, keys=keys)
    report = Report(f"over a socket, {'with' if keys else 'without'} keys, seed {seed}")
    with watched(report, fuzzed) as memory, live_server(fuzzed.app) as address:
        port = int(address.rpartition(":")[2])
        asyncio.run(_over_socket(fuzzed, port, cases, seed, report, memory, until_s))
    return report


async def _over_socket(
    fuzzed: Fuzzed,
    port: int,
    cases: int,
    seed: int,
    report: Report,
    memory: MemoryWatch,
    until_s: float,
) -> None:
    numbers = iter(range(cases))

    async def worker() -> None:
        for number in numbers:
            if time.monotonic() > until_s or len(report.findings) >= _MOST_FINDINGS:
                return
            if number % max(1, cases // _LOOKS) == 0:
                memory.look()
            wire = over_socket.written(Random(f"{seed}:{number}:wire"), fuzzed.maker.make(number))
            for wrong in await _wrong_over(port, wire, fuzzed, report):
                report.findings.setdefault(wrong, wire.as_command())
            report.cases += 1

    normal = FuzzCase(
        "POST", b"/predict", tuple(fuzzed.headers), json.dumps({"prices": fuzzed.window}).encode()
    )
    asked = over_socket.written(_AsItShouldBe(), normal)
    [before] = await over_socket.ask(port, asked)
    await asyncio.gather(*(worker() for _ in range(_CONNECTIONS)))
    restore = json.dumps({"version": fuzzed.version, "reason": "as before"}).encode()
    put_back = FuzzCase("POST", b"/model/promote", tuple(fuzzed.headers), restore)
    await over_socket.ask(port, over_socket.written(_AsItShouldBe(), put_back))
    [after] = await over_socket.ask(port, asked)
    if _forecast_in(before) != _forecast_in(after):
        report.findings["a normal prediction is not what it was"] = after.body.decode()


class _AsItShouldBe(Random):
    def random(self) -> float:
        return 0.0


async def _wrong_over(
    port: int, wire: over_socket.Wire, fuzzed: Fuzzed, report: Report
) -> Sequence[str]:
    where = f"{wire.case.method} {wire.case.path[:60]}"
    try:
        answers = await over_socket.ask(port, wire)
    except over_socket.Refused:
        report.refused_by_server += 1
        return []
    except TimeoutError:
        return [f"{where}: no answer, or a connection that does not end"]
    except (ValueError, asyncio.IncompleteReadError) as error:
        return [f"{where}: {error}"]
    report.statuses.update(answer.status for answer in answers)
    if wire.whole:
        # Refused before it was read to its end: then the kernel may take the answer back.
        early = len(wire.pieces) > 1 or len(wire.case.body) > _READ_AT_ONCE
        return [
            *([] if answers or early else [f"{where}: the connection ended without an answer"]),
            *(wrong for answer in answers if (wrong := fuzzed.promises.broken(wire.case, answer))),
        ]
    return [wrong for answer in answers if (wrong := fuzzed.promises.broken_by_any(answer))]


@contextmanager
def watched(report: Report, fuzzed: Fuzzed) -> Iterator[MemoryWatch]:
    listener, memory = LogListener([fuzzed.admin] if fuzzed.admin else []), MemoryWatch()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [listener]
    root.setLevel(logging.INFO)
    started = time.monotonic()
    try:
        yield memory
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    report.took_s = time.monotonic() - started
    report.grown_bytes = memory.grown()
    if report.grown_bytes > memory.ROOM_BYTES:
        steps = ", ".join(f"{rss / 2**20:.0f}" for rss in memory.measured[:: _LOOKS // 10])
        report.findings["the process grows"] = f"MiB: {steps}"
    report.findings |= {f"a line of the log: {line}": "" for line in listener.broken}
    report.findings |= {f"an unexpected error: {line}": "" for line in listener.unexpected}


def _forecast_in(answer: Answered) -> Any:
    """What an answer of ``POST /predict`` forecasts: all but which generation that is."""
    return {**json.loads(answer.body), "model_generation": None}
