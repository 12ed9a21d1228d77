"""Temporary files: those of processes that are gone go with the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest

from closecast.errors import StorageFailed
from closecast.infra.processes import owner_name, place
from closecast.infra.tempdirs import own_scratch


def test_temporary_files_lie_in_a_folder_that_ends_with_the_process(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with own_scratch(tmp_path / "scratch") as folder:
        with tempfile.TemporaryDirectory() as made:
            assert Path(made).parent == folder
        left = Path(tempfile.mkdtemp())
    assert not left.exists()
    assert tempfile.gettempdir() == before


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    killed = (
        "import os, signal, sys, tempfile; from pathlib import Path;"
        "from closecast.infra.tempdirs import own_scratch\n"
        "with own_scratch(Path(sys.argv[1])):\n"
        "    tempfile.mkdtemp(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
    [of_killed] = tmp_path.iterdir()
    assert [*of_killed.iterdir()] != []
    elsewhere, old = (tmp_path / quote(f"host/{n}-1:7:8", safe="") for n in "ab")
    parent = tmp_path / quote(f"{place()}:{os.getpid()}:0", safe="")  # its number is given again
    foreign = tmp_path / "notes"
    for folder in (elsewhere, old, parent, foreign):
        folder.mkdir()
    os.utime(old, (1, 1))
    with own_scratch(tmp_path) as own:
        assert {*tmp_path.iterdir()} == {own, elsewhere, foreign}
        assert own.name == quote(owner_name(), safe="")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageFailed, match="cannot write"),
        own_scratch(tmp_path / "file" / "scratch"),
    ):
        pass
