"""A note about a worker that ends again and again, readable by every process of the service."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from pathlib import Path

from closecast.errors import StorageFailed
from closecast.infra.files import write_atomically
from closecast.infra.trouble import Trouble

log = logging.getLogger(__name__)

_NOTE = ".worker-failures"
_REMARKABLE = 2  # in a row: a single one may be a passing lack of memory


def note_failures(folder: Path, failures: int, reason: str) -> None:
    """Note that the worker has failed a number of times in a row; 0 removes the note."""
    path = folder / _NOTE
    with suppress(OSError, StorageFailed):  # a full disk has a reason of its own
        if failures < _REMARKABLE:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, f"{failures} times in a row: {reason}".encode())


def worker_trouble(folder: Path) -> Trouble | None:
    """The note as a trouble; ``None`` while the worker runs as it should."""
    try:
        text = (folder / _NOTE).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return Trouble(
        "worker_failing",
        f"the worker has failed {text[:300]}; jobs wait",
        "Look for its last lines in the log, or run `closecast worker --once` by hand",
    )


def reason_of_exit(code: int) -> str:
    """The end of a process in words.

    >>> reason_of_exit(1), reason_of_exit(-9)
    ('exit code 1', 'killed by SIGKILL, as the kernel does where memory is short')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", as the kernel does where memory is short" if name == "SIGKILL" else ""
    return f"killed by {name}{more}"
