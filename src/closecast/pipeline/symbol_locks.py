"""Locks of symbols between processes: one file each, freed by the kernel when its holder dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from closecast.core.symbols import folder_name
from closecast.infra.files import storage

_LOOK_S = 0.5


@contextmanager
def locked(
    folder: Path, symbols: Sequence[str], purpose: str, busy: Callable[[str], None]
) -> Iterator[None]:
    """Hold the locks of symbols for one purpose.

    Parameters
    ----------
    symbols : sequence of str
        In alphabetical order: processes that took them in different orders would wait for ever.
    purpose : str
        Part of the names of the lock files; locks of different purposes do not exclude each other.
    busy : callable
        Called with a symbol whose lock another process holds, again and again until it is free;
        may raise.

    Raises
    ------
    StorageFailed
        If a lock file cannot be made.
    """
    with ExitStack() as held:
        for symbol in symbols:
            lock_file = folder / f".{folder_name(symbol)}.{purpose}"
            with storage(lock_file):
                lock_file.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(lock_file)
                _acquire(lock, symbol, busy)
            held.callback(lock.release)
        yield


def _acquire(lock: FileLock, symbol: str, busy: Callable[[str], None]) -> None:
    timeout_s = 0.0
    while True:
        try:
            lock.acquire(timeout=timeout_s)
        except Timeout:
            busy(symbol)
            timeout_s = _LOOK_S
        else:
            return
