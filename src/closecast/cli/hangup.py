"""SIGHUP: a request to read everything again, or the end of the terminal."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable

from pydantic import ValidationError

from closecast.infra.redaction import redacted
from closecast.settings import Settings, describe

log = logging.getLogger(__name__)


def on_hangup(
    checked: Callable[[], Settings], restart: Callable[[Settings], None], end: Callable[[], None]
) -> None:
    """Restart on SIGHUP; end if the terminal of this process is gone.

    Under ``nohup`` the signal stays ignored.

    Parameters
    ----------
    checked : callable
        Reads the settings again, or raises what would keep a new start from working; then all
        stays as it is.
    restart, end : callable
        Begin it, and return at once.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return
    had_terminal = _has_terminal()

    def answer(*_: object) -> None:
        if had_terminal and not _has_terminal():
            end()
            return
        try:
            settings = checked()
        except Exception as error:  # raised in a signal's handler, it would end the service
            reason = describe(error) if isinstance(error, ValidationError) else str(error)
            log.warning("SIGHUP: not restarted, all stays as it is: %s", redacted(reason))
            return
        log.info("SIGHUP: restarting")
        restart(settings)

    signal.signal(hangup, answer)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {hangup})  # one that came while this started


def hold_hangup() -> None:
    """Let a SIGHUP wait until the program that this process becomes next can answer it.

    It would end that program, which knows no answer until it has read its settings.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
