"""Confinement of paths to a root folder, links in them included."""

from __future__ import annotations

import os


def leads_out(root: str | os.PathLike[str], path: str | os.PathLike[str]) -> bool:
    """Check that a path below ``root`` really lies elsewhere, by a link or by ``..``.

    The root itself may be a link: the operator chose it.
    """
    try:
        base, real = os.path.realpath(root), os.path.realpath(path)
        return os.path.commonpath([base, real]) != base
    except ValueError:  # a NUL: no path at all
        return True
