"""Run everything, print the table, answer with an exit code: ``python -m tests.system.chaos``."""

from __future__ import annotations

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.system.chaos.blows import all_battered, batter
from tests.system.chaos.clocks import jump_clocks
from tests.system.chaos.damage import damage_bundles, damage_others
from tests.system.chaos.made import settings_in, trained_in
from tests.system.chaos.siege import besiege
from tests.system.chaos.starved import starve
from tests.system.chaos.tally import Tally

_OF_SERVICE = 0.25
"""Share of the kills that hit the whole service; one takes some ten seconds, a child's a tenth."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run, print, exit."""
    parser = argparse.ArgumentParser(prog="tests.system.chaos", description="what survives kill -9")
    parser.add_argument("--kills", type=int, default=100, help="kill -9 in all, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=12, help="no kill of the service later")
    arguments = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)  # whatever is damaged on purpose is complained of
    started, chance, tally = time.monotonic(), random.Random(arguments.seed), Tally()
    with tempfile.TemporaryDirectory(prefix="closecast-chaos-") as name:
        folder = Path(name)
        print("training what is to be broken ...", flush=True)
        trained_in(folder / "whole")
        of_service = round(arguments.kills * _OF_SERVICE)
        _children(_copy(folder, "children"), arguments.kills - of_service, chance, tally)
        print(f"{tally.kills} children killed", flush=True)
        _at_rest(_copy(folder, "at-rest"), chance, tally)
        print("files damaged, clocks set", flush=True)
        starving = _copy(folder, "starving")
        starve(settings_in(starving), starving, 2, tally)
        print("disk filled, and freed", flush=True)
        besieged = _copy(folder, "besieged")
        besiege(
            settings_in(besieged, tracking=True),
            besieged,
            kills=of_service,
            until=started + 60 * arguments.minutes,
            seed=arguments.seed,
            tally=tally,
        )
    print(tally.text())
    minutes = (time.monotonic() - started) / 60
    print(f"seed {arguments.seed}, {minutes:.1f} minutes")
    if tally.kills < arguments.kills:
        print(f"only {tally.kills} kills in {arguments.minutes:g} minutes, {arguments.kills} asked")
    sys.exit(1 if tally.violations or tally.kills < arguments.kills else 0)


def _children(folder: Path, kills: int, chance: random.Random, tally: Tally) -> None:
    """Half of the kills at random moments, half just before a file is touched; then no space."""
    battered = all_battered(settings_in(folder))
    while tally.kills < kills:  # a step that an operation does not have kills nobody
        left = kills - tally.kills
        batter(battered, (left + 1) // 2, "kill -9", chance, tally)
        batter(battered, left, "kill -9 at a step", chance, tally)
    batter(battered, kills // 2, "no space at a step", chance, tally)
    batter(battered, kills // 2, "no space after some bytes", chance, tally)


def _at_rest(folder: Path, chance: random.Random, tally: Tally) -> None:
    """Damaged files, and clocks that jump, in a service in this process."""
    settings = settings_in(folder)
    damage_bundles(settings, 2, chance, tally)
    damage_others(settings, 2, chance, tally)
    jump_clocks(settings, 20, chance, tally)


def _copy(folder: Path, name: str) -> Path:
    shutil.copytree(folder / "whole", folder / name)
    return folder / name


if __name__ == "__main__":
    main()
