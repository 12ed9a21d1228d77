"""``python -m tests.system.fuzz``: fuzz the API; ends with status 1 where something was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import settings_in
from tests.system.fuzz.by_document import fuzz_by_document
from tests.system.fuzz.running import fuzz_in_process, fuzz_over_socket
from tests.system.fuzz.trained import train_into

_RUNS = (
    (fuzz_by_document, False, 0.03),
    (fuzz_by_document, True, 0.02),
    (fuzz_over_socket, False, 0.1),
    (fuzz_over_socket, True, 0.05),
    (fuzz_in_process, True, 0.35),
    (fuzz_in_process, False, 1.0),
)
"""Which run, with keys or without, and its share of the cases; of those left, at the most.

By the document there are fewer: some operations know only so many different requests.
"""


def main() -> int:
    """Run all of them; answers the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="each run ends by then")
    arguments = parser.parse_args()
    until_s = time.monotonic() + 60 * arguments.minutes
    found = cases = 0
    for run, keys, share in _RUNS:
        with tempfile.TemporaryDirectory() as folder:
            settings = settings_in(Path(folder))
            train_into(settings)
            count = min(round(arguments.cases * share), arguments.cases - cases)
            report = run(settings, count, arguments.seed, keys=keys, until_s=until_s)
        print(report, flush=True)
        found += len(report.findings)
        cases += report.cases
    print(f"{cases} cases, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
