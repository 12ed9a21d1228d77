from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.file_reading import FileReader


@pytest.fixture
def reader(tmp_path: Path) -> FileReader:
    return FileReader(tmp_path / "closes")
