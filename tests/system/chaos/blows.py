"""Blows at a child that does one operation over and over: killed, or left without disk space.

Children come from a fork server that has loaded everything: one is there within milliseconds, so
hundreds can be killed in a minute.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from closecast.errors import ClosecastError
from closecast.settings import Settings
from tests.system.chaos.operations import OPERATIONS, Operation, Publishing
from tests.system.chaos.tally import Tally

How = Literal["kill -9", "kill -9 at a step", "no space at a step", "no space after some bytes"]

_LONGEST_S = 0.08
_MOST_STEPS = 24
_MOST_BYTES = 200_000
_MOST_TIMES = 10
_PATIENCE_S = 60.0
_ABANDONED_S = 7200.0
_MOST_LEFT = 3

_WRITING = frozenset({"open", "os.mkdir", "os.rename", "os.remove"})
_RANDOM = re.compile(r"[0-9a-f]{32}|\d{8}T\d{6}Z-[0-9a-f]{8}|-[a-z0-9_]{8}$")


@dataclass
class Battered:
    """One operation, all that it has ever promised, and how often it was hit."""

    operation: Operation
    promised: list[Any] = field(default_factory=list)
    next_n: int = 1

    def strike(self, how: How, chance: random.Random, tally: Tally) -> None:
        """Hit one child, then look at what is left."""
        told, killed = _child(self.operation, self.next_n, how, chance)
        self.next_n += 1 + sum("promised" in one for one in told)
        made = [one["promised"] for one in told if one.get("promised") is not None]
        self.promised += made
        moment = next((one["at"] for one in reversed(told) if "at" in one), "at a random moment")
        if killed or any("refused" in one for one in told):
            tally.blow(f"{how}: {self.operation.name}", moment)
        tally.blame(
            f"{how}: {self.operation.name}, {moment}",
            [
                *(f"not an error of ours: {one['raw']}" for one in told if "raw" in one),
                *self.operation.broken(self.promised),
            ],
        )
        tally.hold("writes that were acknowledged", len(made))

    def recover(self, tally: Tally) -> None:
        """Scratch files that have lain for hours go with the next write; nothing stays broken."""
        left = self.operation.leftovers()
        for path in left:
            os.utime(path, times=(time.time() - _ABANDONED_S,) * 2)
        where = f"after all blows: {self.operation.name}"
        try:
            for _ in range(3):  # each kind of write (promotion, rollback) cleans up after its own
                self.promised.append(self.operation.once(self.next_n))
                self.next_n += 1
        except ClosecastError as error:
            tally.blame(where, [f"it does not work any more: {error}"])
        self.promised = [one for one in self.promised if one is not None]
        tally.blame(where, self.operation.broken(self.promised))
        still = [path.name for path in self.operation.leftovers() if path.suffix != ".lock"]
        if len(still) > _MOST_LEFT:
            tally.blame(where, [f"{len(still)} scratch files are never removed: {still[:3]}"])
        tally.hold("scratch files of killed processes", len(left))


def all_battered(settings: Settings) -> list[Battered]:
    """Every operation, not hit yet."""
    return [Battered(operation(settings)) for operation in OPERATIONS.values()]


def batter(
    battered: Sequence[Battered], blows: int, how: How, chance: random.Random, tally: Tally
) -> None:
    """Strike the operations in turn, then see that all work again."""
    hit = [one for one in battered if one.operation.in_files or not how.endswith("at a step")]
    for i in range(blows):
        one = hit[i % len(hit)]
        one.strike(how, chance, tally)
        if isinstance(one.operation, Publishing):
            one.operation.sweep()
    for one in hit:
        one.recover(tally)


def _child(
    operation: Operation, n: int, how: How, chance: random.Random
) -> tuple[list[dict[str, Any]], bool]:
    """Let a child work until it is hit; what it told of itself, and whether it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    step, size = chance.randint(1, _MOST_STEPS), chance.randint(0, _MOST_BYTES)
    child = context.Process(
        target=_work, args=(operation.name, operation.settings, n, how, step, size, theirs)
    )
    child.start()
    theirs.close()
    told: list[dict[str, Any]] = []
    with ours:
        if how == "kill -9" and ours.poll(_PATIENCE_S):
            told += [json.loads(ours.recv_bytes())]  # it has begun
            time.sleep(chance.uniform(0, _LONGEST_S))
            child.kill()
        told += _all_of(ours)
    child.join()
    return told, child.exitcode == -signal.SIGKILL


def _all_of(pipe: Connection) -> list[dict[str, Any]]:
    found = []
    try:
        while pipe.poll(_PATIENCE_S):
            found.append(json.loads(pipe.recv_bytes()))
    except EOFError:
        return found
    raise TimeoutError("a child neither worked nor ended")


def _work(
    name: str, settings: Settings, n: int, how: How, step: int, size: int, pipe: Connection
) -> None:
    """In the child."""

    def tell(**what: Any) -> None:
        pipe.send_bytes(json.dumps(what).encode())

    operation = OPERATIONS[name](settings)
    tell(begun=n)
    if how == "kill -9 at a step":
        _at_step(step, settings, lambda at: (tell(at=at), os.kill(os.getpid(), signal.SIGKILL)))
    elif how == "no space at a step":
        _at_step(step, settings, lambda at: _no_space(at, tell))
    elif how == "no space after some bytes":
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        tell(at="within a file")
    last = None if how == "kill -9" else n + _MOST_TIMES  # what nothing ever hits has to end, too
    while n != last:
        try:
            tell(promised=operation.once(n))
        except ClosecastError as error:
            tell(refused=str(error))
            return
        except Exception as error:
            tell(raw=repr(error))
            return
        n += 1


def _no_space(at: str, tell: Callable[..., None]) -> None:
    if not at.startswith(("os.rename", "os.remove")):  # these need no space
        tell(at=at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _at_step(step: int, settings: Settings, strike: Callable[[str], object]) -> None:
    """Strike before the n-th time, and every later one, that a file of the service is touched."""
    folders = settings.models_url, str(settings.data_dir)
    left = step

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        path = str(arguments[0])
        if event not in _WRITING or not path.startswith(folders):
            return
        if event == "os.mkdir" and os.path.isdir(path):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left <= 0:
            strike(f"{event} {_RANDOM.sub('*', Path(path).name)}")

    sys.addaudithook(look)
