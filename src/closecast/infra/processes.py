"""Process names that are unique over time and machines, and checks that a process lives."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
from functools import cache
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1


@cache
def place() -> str:
    """Scope in which process numbers are unique: host name, boot, and namespace of the numbers.

    Containers may share a host name, and a volume with the ledger: without the rest, each would
    take the other's living processes for dead ones.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # no Linux, so no containers to distinguish
        return socket.gethostname()
    return f"{socket.gethostname()}/{boot}-{namespace}"


def owner_name() -> str:
    """Name of this process, different from a later one's with the same number."""
    return f"{place()}:{os.getpid()}:{_start_time(os.getpid())}"


def host_of(owner: str) -> str:
    """The host name in an owner's name."""
    return place_of(owner).partition("/")[0]


def place_of(owner: str) -> str:
    """The part of an owner's name that :func:`place` made."""
    return owner.rsplit(":", 2)[0]


def process_id_of(owner: str) -> int:
    """The process's number, where its place is."""
    return int(owner.rsplit(":", 2)[1])


def is_alive(owner: str) -> bool | None:
    """Check that the process behind an owner name lives; ``None`` if it is in another place."""
    if place_of(owner) != place():
        return None
    try:
        return _start_time(process_id_of(owner)) == owner.rsplit(":", 1)[1]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return False  # the latter two: it ended while it was looked at


def _start_time(pid: int) -> str:
    process = psutil.Process(pid)
    if process.status() == psutil.STATUS_ZOMBIE:
        raise psutil.NoSuchProcess(pid)
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():  # ticks since boot: a clock that is set does not make a living process dead
        return stat.read_text().rpartition(")")[2].split()[19]
    return f"{process.create_time():.2f}"


def die_with_parent(parent: int, last_signal: signal.Signals) -> None:
    """Make the kernel signal this process when its parent dies (elsewhere nothing does).

    Parameters
    ----------
    parent : int
        The parent's number at its start: a parent that died before this call is noticed, too.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, last_signal)
    if os.getppid() != parent:
        os.kill(os.getpid(), last_signal)


def die_with_server() -> None:
    """In a process that a server has spawned beside others: end in order when the server dies.

    A server that is killed cannot end its processes; they would hold its port for ever.
    """
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        die_with_parent(server.pid, signal.SIGTERM)
