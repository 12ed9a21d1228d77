"""The port that is served on, by one process or by several."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from closecast.errors import BadSetting


def check_port_is_free(host: str, port: int) -> None:
    """Bind it and let it go again.

    Raises
    ------
    BadSetting
        If it is taken, or cannot be bound.
    """
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise _not_ours(host, port, error) from error


class SharedPort(socket.socket):
    """A port on which each process that this is sent to listens on a socket of its own.

    The kernel shares connections out among them. On one socket for all, those that come at once
    are all accepted by the process that is awake, and the others have nothing to do.
    """

    def __init__(self, family: int, address: tuple[str, int]) -> None:
        super().__init__(family)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind(address)

    def __reduce__(self) -> tuple[type[SharedPort], tuple[int, tuple[str, int]]]:
        return type(self), (self.family, self.getsockname()[:2])


@contextmanager
def port_of_several(host: str, port: int) -> Iterator[socket.socket]:
    """A socket for several processes; their parent keeps it, and does not listen.

    On Linux a :class:`SharedPort`. Elsewhere one socket for all: not every kernel shares out.

    Raises
    ------
    BadSetting
        If the port is taken, or cannot be bound.
    """
    with ExitStack() as kept:
        try:
            if sys.platform == "linux":
                shared: socket.socket = SharedPort(_family(host), (host, port))
                kept.enter_context(shared)
                # From now on no other program binds it, before a process listens.
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                # A service like this one could: it must not. The name is no file, and is free
                # again when this process ends.
                guard = kept.enter_context(socket.socket(socket.AF_UNIX))
                guard.bind(f"\0closecast {shared.getsockname()[:2]}")
            else:
                shared = kept.enter_context(socket.socket(_family(host)))
                shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                shared.bind((host, port))
        except OSError as error:
            raise _not_ours(host, port, error) from error
        yield shared


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _not_ours(host: str, port: int, error: OSError) -> BadSetting:
    taken = error.errno == errno.EADDRINUSE
    reason = (
        "is taken by another program" if taken else f"cannot be bound ({error.strerror or error})"
    )
    return BadSetting(f"{host}:{port} {reason}; choose another one with --port or CLOSECAST_PORT")
