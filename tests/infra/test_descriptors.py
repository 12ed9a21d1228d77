"""The limit on open files of a process is what it may be."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such limit")

_RAISES = """
import resource, sys
from closecast.infra.descriptors import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 300))
assert raise_descriptor_limit() == 300
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, 300)
assert raise_descriptor_limit() == 300
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    subprocess.run([sys.executable, "-c", _RAISES], check=True)
