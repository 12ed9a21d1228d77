"""Paths that stay below their root, wherever links in them lead."""

from __future__ import annotations

import os


def leads_out(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Whether a path below ``root`` really lies somewhere else, by a link or by ``..``.

    The root itself may be a link: somebody chose it.
    """
    try:
        base, real = os.path.realpath(root), os.path.realpath(path)
        return os.path.commonpath([base, real]) != base
    except ValueError:  # a NUL: no path at all
        return True
