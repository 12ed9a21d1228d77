"""The socket that is served on: opened here, or handed over by the program before this one."""

from __future__ import annotations

import errno
import os
import socket

from closecast.errors import BadSetting

_WAITING = 2_048
"""Connections that the kernel keeps until one of ours accepts them; uvicorn's own number."""
_FIRST_HANDED_OVER = 3
"""Descriptor of the first socket by the protocol of systemd (``sd_listen_fds``)."""


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen on an address, unless a socket was handed over; callers wait until one accepts.

    Raises
    ------
    BadSetting
        If the port is taken, or cannot be bound.
    """
    return _handed_over() or _bound(host, port)


def hand_over(listener: socket.socket) -> None:
    """Let the program that this process becomes next (``os.exec*``) find the socket.

    Connections that come meanwhile wait in the kernel; none is refused.
    """
    os.dup2(listener.fileno(), _FIRST_HANDED_OVER, inheritable=True)
    os.set_inheritable(_FIRST_HANDED_OVER, True)  # also where it has that number already
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}


def _handed_over() -> socket.socket | None:
    process, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    if process != str(os.getpid()) or count != "1":
        return None
    os.set_inheritable(_FIRST_HANDED_OVER, False)
    return socket.socket(fileno=_FIRST_HANDED_OVER)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        # Connections of a service that has ended are in the way for a minute, unless they and
        # this socket allow it: when it is bound, and again when it listens.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(_WAITING)  # now: another program could bind an address that only is bound
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        reason = (
            "is taken by another program"
            if taken
            else f"cannot be bound ({error.strerror or error})"
        )
        raise BadSetting(
            f"{host}:{port} {reason}; choose another one with --port or CLOSECAST_PORT"
        ) from error
    return listener
