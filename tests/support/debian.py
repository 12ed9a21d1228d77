"""Programs of Debian that some tests need; ``.ci/run`` installs them."""

from __future__ import annotations

import shutil

import pytest


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Leave a test out where a program is missing; the reason is the command that installs it."""
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"needs {program}: apt-get install {package}"
    )
