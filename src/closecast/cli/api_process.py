"""One API process: uvicorn with every default that matters set."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from socket import socket
from typing import TYPE_CHECKING, Any

from closecast.cli.hangup import hold_hangup, on_hangup
from closecast.infra.ports import hand_over
from closecast.settings import Settings

if TYPE_CHECKING:
    from uvicorn import Server

APPLICATION = "api.main:app"


def server_options(settings: Settings) -> dict[str, Any]:
    """Options of uvicorn, the same for one process and for each of several."""
    return {
        "log_config": None,
        "access_log": False,
        "http": "api.server.waiting:Waiting",
        # The application believes the proxies of CLOSECAST_TRUSTED_PROXIES; uvicorn would
        # believe any program on this machine.
        "proxy_headers": False,
        "server_header": False,
        "ws": "none",  # no route uses it; an offer of it is ignored
        "timeout_keep_alive": settings.keep_alive_s,
        "timeout_graceful_shutdown": settings.drain_s,
    }


def make_server(options: Mapping[str, Any]) -> Server:
    """A server of the application, for sockets of :mod:`closecast.infra.ports`."""
    import uvicorn

    return uvicorn.Server(uvicorn.Config(APPLICATION, **options))


def serve_alone(settings: Settings, listener: socket, checked: Callable[[], Settings]) -> None:
    """Serve in this process until a signal; on SIGHUP start this process's program anew.

    It keeps its number and its socket: requests that come meanwhile wait.

    Parameters
    ----------
    checked : callable
        Reads the settings again, or raises what would keep a new start from working.
    """
    server = make_server(server_options(settings))
    restarts = False

    def end() -> None:
        server.should_exit = True

    def restart(_: Settings) -> None:
        nonlocal restarts
        restarts = True
        end()

    on_hangup(checked, restart, end)
    # Uvicorn drains on SIGTERM, then raises it again: a clean end is no death by signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if not restarts:  # a SIGHUP that has waited for this start
            server.run(sockets=[listener.dup()])
    except KeyboardInterrupt:
        return
    if restarts:
        sys.stdout.flush()
        hand_over(listener)
        hold_hangup()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # nosec B606
