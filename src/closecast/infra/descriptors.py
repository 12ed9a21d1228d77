"""The number of files and connections that this process may have open."""

from __future__ import annotations

import contextlib
import sys

_MOST = 1_048_576
"""More is never asked for: containers may allow a thousand million, and a table of so many."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit on open files to the hard one; processes started later inherit it.

    Systems start programs with 1,024 since old ones cannot count further; a service that keeps
    connections open has to ask for what it is allowed.

    Returns
    -------
    int
        The limit that holds now.
    """
    if sys.platform == "win32":
        return 8192  # of its C library; sockets are no files there
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS names a hard limit that it does not grant.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _MOST if soft == resource.RLIM_INFINITY else soft
