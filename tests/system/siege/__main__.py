"""A siege with one worker and with two: ``python -m tests.system.siege`` (``make siege``)."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.served_model import trained
from tests.system.siege.attackers import idle_possible
from tests.system.siege.besieged import besiege


def main(argv: Sequence[str] | None = None) -> None:
    """Besiege, print the figures, exit with 1 where something must not be."""
    parser = argparse.ArgumentParser(
        prog="tests.system.siege",
        description="hostile connections beside a load whose every answer is checked",
    )
    parser.add_argument("--seconds", type=float, default=120, help="of each of the two sieges")
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    idle = idle_possible(arguments.idle)
    if idle < arguments.idle:
        print(f"{idle} idle connections: the hard limit of descriptors admits no more", flush=True)
    violations = []
    with tempfile.TemporaryDirectory(prefix="closecast-siege-") as name:
        folder = Path(name)
        served = trained(folder)
        for workers in (1, 2):
            found = besiege(
                served.environment,
                folder,
                workers=workers,
                seconds=arguments.seconds,
                idle=idle,
                seed=arguments.seed,
            )
            print(found.text(), flush=True)
            violations += found.violations()
    for violation in violations:
        print(f"VIOLATION {violation}")
    print(f"{len(violations)} violations; p99 of an attacked service is to stay below 2 x")
    sys.exit(bool(violations))


if __name__ == "__main__":
    main()
