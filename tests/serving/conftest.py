"""Fixtures of the tests of serving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dated_forecasts import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
