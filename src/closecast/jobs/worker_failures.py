"""A note about each worker that ends again and again, readable by every process of the service."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from pathlib import Path

from closecast.database import QUEUES, Queue
from closecast.errors import StorageFailed
from closecast.infra.files import write_atomically
from closecast.infra.trouble import Trouble

log = logging.getLogger(__name__)

_NOTE = ".worker-failures"
_REMARKABLE = 2  # in a row: a single one may be a passing lack of memory


def note_failures(folder: Path, failures: int, reason: str, queue: Queue) -> None:
    """Note that a queue's worker has failed a number of times in a row; 0 removes the note."""
    path = folder / f"{_NOTE}-{queue}"
    with suppress(OSError, StorageFailed):  # a full disk has a reason of its own
        if failures < _REMARKABLE:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, f"{failures} times in a row: {reason}".encode())


def forget_failures(folder: Path) -> None:
    """Remove the notes of all queues, as of a service that has ended."""
    for queue in QUEUES:
        note_failures(folder, 0, "", queue)


def worker_trouble(folder: Path) -> Trouble | None:
    """The notes as a trouble; ``None`` while the workers run as they should."""
    found = []
    for queue in QUEUES:
        with suppress(OSError):
            text = (folder / f"{_NOTE}-{queue}").read_text(encoding="utf-8", errors="replace")
            found.append(f"the worker of {queue} has failed {text[:300]}")
    if not found:
        return None
    return Trouble(
        "worker_failing",
        f"{'; '.join(found)}; jobs wait",
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
