"""Room for new connections: those that are of least use make it."""

from __future__ import annotations

import heapq
import logging
import time
from enum import IntEnum
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from api.server.connection import Connection

log = logging.getLogger(__name__)

_SHARE = 16
"""A look at all connections closes a sixteenth of them, so that it is rarely needed."""
_LINE_EVERY_S = 60.0
_last_line = -_LINE_EVERY_S


class Use(IntEnum):
    """Use of a connection; the lower, the sooner it makes room for another one."""

    HEAD_ARRIVES = 0
    IDLE = 1
    BODY_ARRIVES = 2
    ANSWER_UNREAD = 3
    ANSWERING = 4


def make_room(newcomer: Connection, most: int) -> bool:
    """Close connections where there are too many; answer whether the newcomer may stay.

    None is closed whose request is being answered.
    """
    connections = cast("set[Connection]", newcomer.server_state.connections)
    if len(connections) <= most:
        return True
    found = [
        (use, index, one)
        for index, one in enumerate(connections)
        if one is not newcomer and (use := one.use)[0] is not Use.ANSWERING
    ]
    closed = heapq.nsmallest(max(1, most // _SHARE), found)
    for *_, one in closed:
        # Now, not when the event loop has told it: the next newcomer counts again.
        connections.discard(one)
        one.transport.abort()
    _tell(most, len(closed))
    return bool(closed)


def _tell(most: int, closed: int) -> None:
    global _last_line
    if (now := time.monotonic()) - _last_line < _LINE_EVERY_S:
        return
    _last_line = now
    log.warning(
        "%d connections are open, as many as may be: %s (CLOSECAST_MAX_CONNECTIONS and the limit "
        "on open files bound them)",
        most,
        f"{closed} of the least use were closed" if closed else "a new one was refused with 503",
    )
