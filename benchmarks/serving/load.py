"""A load generator: asks an HTTP server over and over, and measures how long answers take.

It runs in a process of its own (:class:`LoadProcess`), on uvloop, with prepared requests and a
parser that reads no more than it needs. Closed loop (each connection asks again as soon as it was
answered) or paced: then a latency counts from the moment at which its request was due, so that a
server that stands still is not asked less, and excused, for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import psutil
import uvloop
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]

_LAST_ANSWERS_S = 10.0
"""What the answers that are under way at the end may take."""

_SILENCE_S = 30.0
"""Without any answer for so long a load ends, whatever its count: the server hangs."""

_RETRY_S = 0.01
_ENDED_UNREAD = "connection closed"

Classify = Callable[[int, bytes], str]
"""Names the kind of an answer, by the number of its request in ``Load.requests`` and its body."""


@dataclass(frozen=True)
class Load:
    """What to ask, of whom, for how long.

    Attributes
    ----------
    port : int
        Of 127.0.0.1.
    requests : sequence of bytes
        Whole HTTP/1.1 requests (:func:`post`), sent in turn.
    connections : int
        Kept open, one request at a time on each.
    seconds, count : float, int
        Goes on until both have passed: this time, and so many requests that were answered or
        failed.
    rate : float, optional
        Requests per second over all connections; a closed loop without it.
    """

    port: int
    requests: Sequence[bytes]
    connections: int = 1
    seconds: float = 0.0
    count: int = 0
    rate: float | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of a load.

    Attributes
    ----------
    seconds : float
        From the first request to the last answer.
    latencies_ms : array
        Of answers with status 200, in the order in which they came.
    errors : Counter of str
        Other statuses, connections that were closed or refused, answers that never came.
    kinds : Counter of str
        What ``classify`` called the answers with status 200.
    own_cpu : float
        Cores that the generator used: near 1 it was the generator that was measured.
    all_cpu : float
        Cores that everything on the machine used, the generator and the server among it.
    """

    seconds: float
    latencies_ms: NDArray[np.float64]
    errors: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    own_cpu: float = 0.0
    all_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Answers with status 200 per second."""
        return len(self.latencies_ms) / self.seconds if self.seconds else 0.0

    def percentile(self, q: float) -> float:
        """Of the latencies, in ms; NaN where nothing was answered."""
        return float(np.percentile(self.latencies_ms, q)) if len(self.latencies_ms) else np.nan


class UnreadableAnswer(Exception):
    """Bytes that are no HTTP answer with a length."""


def post(path: str, body: bytes, content_type: str = "application/json") -> bytes:
    """A whole POST."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def first_answer(received: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """Status, body and whole length of the first answer; ``None`` while it is not all there.

    One in chunks may count as not all there until what was received ends with a last chunk: to look
    through all chunks each time that one comes would take the generator longer than the server.

    Raises
    ------
    UnreadableAnswer
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    status = received[9:12]
    if not head.startswith(b"http/1.1 ") or not status.isdigit():
        raise UnreadableAnswer(head[:60])
    start = end + 4
    if b"\r\ntransfer-encoding: chunked" in head:
        if not received.endswith(b"0\r\n\r\n"):
            return None
        found = _joined_chunks(received, start)
        return None if found is None else (int(status), *found)
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise UnreadableAnswer(head[:60])
    length = int(head[at + 17 :].partition(b"\r\n")[0])
    if len(received) < start + length:
        return None
    return int(status), bytes(received[start : start + length]), start + length


def _joined_chunks(received: bytes | bytearray, at: int) -> tuple[bytes, int] | None:
    chunks = []
    while (line := received.find(b"\r\n", at)) >= 0:
        size = int(received[at:line].partition(b";")[0], 16)
        at = line + 2 + size + 2
        if len(received) < at:
            return None
        if size == 0:
            return b"".join(chunks), at
        chunks.append(received[line + 2 : at - 2])
    return None


async def measure(
    load: Load,
    classify: Classify | None = None,
    may_end: Callable[[], bool] = lambda: True,
) -> Measured:
    """Run a load in this process.

    Parameters
    ----------
    classify : callable, optional
        Sees every answer with status 200.
    may_end : callable
        Asked every few milliseconds; until it answers true the load goes on.
    """
    return await _Run(load, classify).until(may_end)


class LoadProcess:
    """A load in a process of its own, that goes on until it is released."""

    def __init__(self, load: Load, classify: Classify | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from benchmarks.serving.load import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        stdin = cast("Any", self._process.stdin)
        pickle.dump((load, classify), stdin)
        stdin.flush()

    def release(self) -> Measured:
        """Let it end when its time and its count have passed, and wait for what it measured."""
        answer, _ = self._process.communicate()  # closes its input: that is the release
        if self._process.returncode:
            raise RuntimeError("the load generator failed; what it said stands above")
        measured: Measured = pickle.loads(answer)
        return measured

    def kill(self) -> None:
        """End it, whatever it was at."""
        self._process.kill()
        self._process.communicate()


def run_load(load: Load, classify: Classify | None = None) -> Measured:
    """A load in a process of its own, from its beginning to its end."""
    return LoadProcess(load, classify).release()


class _Connection(asyncio.Protocol):
    """One keep-alive connection: at most one request is under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = bytearray()
        self.request = 0
        self.since: float | None = None  # None: nothing is under way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._run.connections.add(self)
        self._run.is_free(self)

    def ask(self, request: int, since: float) -> None:
        self.request, self.since = request, since
        self.transport.write(self._run.load.requests[request])

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            found = first_answer(self._received)
        except (UnreadableAnswer, ValueError):
            self._run.failed(self, "unreadable answer")
            self.transport.abort()
            return
        if found is None:
            return
        status, body, length = found
        del self._received[:length]
        self._run.answered(self, status, body)

    def connection_lost(self, error: Exception | None) -> None:
        self._run.connections.discard(self)
        self._run.lost(self)


class _Run:
    """The state of one load."""

    def __init__(self, load: Load, classify: Classify | None) -> None:
        self.load = load
        self.connections: set[_Connection] = set()
        self._classify = classify
        self._loop = asyncio.get_running_loop()
        self._free: deque[_Connection] = deque()
        self._due: deque[float] = deque()  # moments of paced requests that wait for a connection
        self._asked = 0
        self._ended = 0  # requests
        self._last_sign = 0.0  # when one ended, or began to be waited for
        self._latencies: list[float] = []
        self._errors: Counter[str] = Counter()
        self._kinds: Counter[str] = Counter()
        self._pacing = True
        self._ending = False
        self._last_answer = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def until(self, may_end: Callable[[], bool]) -> Measured:
        """Begin; end when time and count have passed, nothing is under way, and one may."""
        started, cpu, all_cpu = time.perf_counter(), time.process_time(), _busy_s()
        for _ in range(self.load.connections):
            self._connect_soon(0.0)
        pace = threading.Thread(target=self._pace, args=(started,), daemon=True)
        if self.load.rate is not None:
            pace.start()
        self._last_sign = started
        while (
            time.perf_counter() - started < self.load.seconds
            or self._ended < self.load.count
            or not may_end()
        ) and time.perf_counter() - self._last_sign < _SILENCE_S:
            await asyncio.sleep(0.005)
        self._pacing = False
        if self.load.rate is not None:
            await asyncio.to_thread(pace.join)
            await asyncio.sleep(0)  # for what became due last
        self._ending = True
        deadline = time.perf_counter() + _LAST_ANSWERS_S
        while self._under_way() and time.perf_counter() < deadline:
            await asyncio.sleep(0.001)
        for task in self._tasks:
            task.cancel()
        if unanswered := self._under_way():
            self._errors["never answered"] += unanswered
        seconds = (self._last_answer or time.perf_counter()) - started
        elapsed = time.perf_counter() - started
        own, everything = time.process_time() - cpu, _busy_s() - all_cpu
        for connection in [*self.connections]:
            connection.since = None
            connection.transport.abort()
        return Measured(
            seconds,
            1000 * np.array(self._latencies),
            self._errors,
            self._kinds,
            own / elapsed,
            everything / elapsed,
        )

    def is_free(self, connection: _Connection) -> None:
        """Give a connection its next request, or let it wait for one."""
        if self._due:
            self._ask(connection, self._due.popleft())
        elif self.load.rate is not None:
            self._free.append(connection)
        elif not self._ending:
            self._ask(connection, time.perf_counter())

    def answered(self, connection: _Connection, status: int, body: bytes) -> None:
        """Count an answer, and go on."""
        now = time.perf_counter()
        if connection.since is None:  # nobody asked: the connection cannot be trusted any more
            self._errors["unasked answer"] += 1
            connection.transport.abort()
            return
        latency, connection.since = now - connection.since, None
        self._ended += 1
        self._last_answer = self._last_sign = now
        if status == 200:
            self._latencies.append(latency)
            if self._classify is not None:
                self._kinds[self._classify(connection.request, body)] += 1
        else:
            self._errors[f"status {status}"] += 1
        self.is_free(connection)

    def failed(self, connection: _Connection, why: str) -> None:
        """Count a request that got no answer."""
        connection.since = None
        self._count_failure(why)

    def lost(self, connection: _Connection) -> None:
        """Open another one; an error if a request was under way on it."""
        with contextlib.suppress(ValueError):
            self._free.remove(connection)
        if connection.since is not None:
            self.failed(connection, _ENDED_UNREAD)
        if self._is_needed():
            self._connect_soon(_RETRY_S)

    def _count_failure(self, why: str) -> None:
        self._ended += 1
        self._last_sign = time.perf_counter()
        self._errors[why] += 1

    def _ask(self, connection: _Connection, since: float) -> None:
        request = self._asked % len(self.load.requests)
        self._asked += 1
        connection.ask(request, since)

    def _is_needed(self) -> bool:
        """Whether another connection would have something to ask."""
        return not self._ending or bool(self._due)

    def _under_way(self) -> int:
        return len(self._due) + sum(c.since is not None for c in self.connections)

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connect_soon(self, delay_s: float) -> None:
        self._start(self._connect(delay_s))

    async def _connect(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while self._is_needed():
            try:
                await self._loop.create_connection(
                    lambda: _Connection(self), "127.0.0.1", self.load.port
                )
            except OSError:
                self._count_failure("connection refused")
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def _pace(self, started: float) -> None:
        """Make requests due, whoever answers or not.

        In a thread, which wakes within a tenth of a millisecond: timers of a loop are rounded to
        whole ones, as long as some answers take.
        """
        every_s, tick = 1 / cast("float", self.load.rate), 0
        while self._pacing:
            due = started + tick * every_s
            time.sleep(max(0.0, due - time.perf_counter()))
            self._loop.call_soon_threadsafe(self._is_due, due)
            tick += 1

    def _is_due(self, since: float) -> None:
        if self._free:
            self._ask(self._free.popleft(), since)
        else:
            self._due.append(since)


def _busy_s() -> float:
    """Seconds that all cores together have worked since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def main() -> None:
    """Run the load that stands on standard input; write what was measured to standard output."""
    load, classify = pickle.load(sys.stdin.buffer)
    released = threading.Event()

    def wait_for_release() -> None:
        sys.stdin.buffer.read()
        released.set()

    threading.Thread(target=wait_for_release, daemon=True).start()
    pickle.dump(uvloop.run(measure(load, classify, released.is_set)), sys.stdout.buffer)
