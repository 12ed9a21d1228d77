"""A load of good will on two servers in turn, whose every answer is compared with the right one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.serving.load import first_answer

_CALLERS = 4
_PAUSE_S = 0.02
_CONNECTION_OF = 25
"""Requests on one connection before the next is opened: others must still get in."""

_WITHIN_S = 30.0


@dataclass(slots=True)
class Answers:
    """Answers of one server.

    Attributes
    ----------
    latencies_ms : list of float
        Milliseconds from the request, or the opening of its connection, to its answer.
    failures : Counter
        By reason.
    """

    latencies_ms: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def percentile(self, q: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        return float(np.percentile(self.latencies_ms, q)) if self.latencies_ms else float("nan")


@dataclass(slots=True)
class CheckedLoad:
    """Asks each server in turn, so that both meet the same moments of a noisy machine.

    Attributes
    ----------
    ports : sequence of int
    requests : sequence of bytes
    right : sequence of bytes
        Body that each request is to be answered with.
    """

    ports: Sequence[int]
    requests: Sequence[bytes]
    right: Sequence[bytes]
    answers: list[Answers] = field(init=False)

    def __post_init__(self) -> None:
        self.answers = [Answers() for _ in self.ports]

    def run(self, seconds: float) -> None:
        """Ask for a time; the answers add up over several runs."""
        asyncio.run(self._run(seconds))

    async def _run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._caller(n, until) for n in range(_CALLERS)))

    async def _caller(self, first: int, until: float) -> None:
        open_ones: list[_Connection | None] = [None for _ in self.ports]
        number = first
        while time.monotonic() < until:
            order = range(len(self.ports)) if number % 2 else reversed(range(len(self.ports)))
            for server in order:
                open_ones[server] = await self._ask(server, number, open_ones[server])
            number += _CALLERS
            await asyncio.sleep(_PAUSE_S)
        for connection in open_ones:
            if connection is not None:
                connection.close()

    async def _ask(
        self, server: int, number: int, connection: _Connection | None
    ) -> _Connection | None:
        answers, which = self.answers[server], number % len(self.requests)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_WITHIN_S):
                if connection is None:
                    connection = await _Connection.opened(self.ports[server])
                status, body = await connection.ask(self.requests[which])
        except (OSError, TimeoutError, EOFError) as error:
            answers.failures[f"{type(error).__name__} {error}".strip()] += 1
            if connection is not None:
                connection.close()
            return None
        answers.latencies_ms.append(1000 * (time.perf_counter() - started))
        if status != 200:
            answers.failures[f"status {status}: {body[:120].decode(errors='replace')}"] += 1
        elif body != self.right[which]:
            answers.failures["another answer than the right one"] += 1
        if connection.asked >= _CONNECTION_OF:
            connection.close()
            return None
        return connection


class _Connection:
    """A connection that one request at a time is sent on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.asked = 0

    @classmethod
    async def opened(cls, port: int) -> _Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer.

        Raises
        ------
        OSError, EOFError
            If the connection ends before the answer is whole.
        """
        self._writer.write(request)
        self.asked += 1
        received = b""
        while (found := first_answer(received)) is None:
            part = await self._reader.read(65_536)
            if not part:
                raise EOFError("the connection ended before the answer")
            received += part
        return found[0], found[1]

    def close(self) -> None:
        """End it now."""
        self._writer.transport.abort()
