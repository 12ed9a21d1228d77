"""The attackers: a process of the lowest priority that runs every attack at once.

``python -m tests.system.siege.attackers PORT SECONDS IDLE SEED`` prints the ends as JSON:
attack, then end, then count.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter, defaultdict

from benchmarks.serving.load import ROOT
from tests.system.siege.attacks import ALLOWED, Attack, idle

_AT_ONCE = 4
"""Connections of each attack at a time."""

_PAUSE_S = 0.02
_OPENED_AT_ONCE = 200
"""Idle connections that are opened before the loop rests; a queue of the kernel holds 2,048."""

_DESCRIPTORS_KEPT = 500
Ends = dict[str, dict[str, int]]


class Attackers:
    """A process of attackers, from its start to its end."""

    def __init__(self, port: int, seconds: float, idle_connections: int, seed: int) -> None:
        arguments = [str(value) for value in (port, seconds, idle_connections, seed)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.siege.attackers", *arguments],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )

    def ends(self) -> Ends:
        """Wait until they give up; the ends of their connections.

        Raises
        ------
        RuntimeError
            If they failed themselves.
        """
        answer, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("the attackers failed; their reason stands above")
        found: Ends = json.loads(answer)
        return found

    def kill(self) -> None:
        """End them now."""
        self._process.kill()
        self._process.communicate()


def faults(ends: Ends) -> list[str]:
    """Ends that a server must not give its attackers, one sentence each."""
    allowed = {attack.__name__: words for attack, words in ALLOWED.items()}
    return [
        f"{attack}: {end}, {count} times"
        for attack, counts in ends.items()
        for end, count in counts.items()
        if attack in allowed and end not in allowed[attack]
    ]


async def _attack(port: int, seconds: float, idle_connections: int, seed: int) -> Ends:
    until = time.monotonic() + seconds
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)

    async def again_and_again(attack: Attack, chance: random.Random) -> None:
        while time.monotonic() < until:
            try:
                end = await attack(port, chance)
            except OSError as error:
                end = "closed" if isinstance(error, ConnectionError) else f"cannot: {error}"
            found[attack.__name__][end] += 1
            await asyncio.sleep(_PAUSE_S)

    tasks = [
        asyncio.create_task(again_and_again(attack, random.Random(f"{seed} {attack} {n}")))
        for attack in ALLOWED
        for n in range(_AT_ONCE)
    ]
    for n in range(idle_connections):
        tasks.append(asyncio.create_task(again_and_again(idle, random.Random(n))))
        if n % _OPENED_AT_ONCE == 0:
            await asyncio.sleep(0.1)
    await asyncio.sleep(max(0.0, until - time.monotonic()))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {name: dict(counts) for name, counts in found.items()}


def idle_possible(wanted: int) -> int:
    """As many idle connections as the hard limit of descriptors admits, ``wanted`` at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - _DESCRIPTORS_KEPT)


def main() -> None:
    """Attack as the arguments say."""
    port, seconds, idle_connections, seed = (float(text) for text in sys.argv[1:5])
    os.nice(19)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(asyncio.run(_attack(int(port), seconds, int(idle_connections), int(seed)))))


if __name__ == "__main__":
    main()
