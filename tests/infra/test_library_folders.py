"""Libraries that cache something get a folder where the user has no home to write to."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from closecast.infra.library_folders import use_writable_folders

NAMES = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = tempfile.tempdir
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back, too
        del os.environ[name]
    yield
    tempfile.tempdir = before


@pytest.fixture
def no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that nobody can make, not even root: a file lies in its way."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))


def test_a_home_that_can_be_written_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    use_writable_folders(tmp_path / "data")
    assert not os.environ.keys() & {*NAMES}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_home")
def test_without_a_home_caches_are_below_the_data(tmp_path: Path) -> None:
    use_writable_folders(tmp_path / "data")
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):
        assert Path(os.environ[name]).is_relative_to(tmp_path / "data" / "cache")


@pytest.mark.usefixtures("no_home")
def test_a_variable_that_is_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/chosen")
    use_writable_folders(tmp_path)
    assert os.environ["MPLCONFIGDIR"] == "/chosen"


def test_a_user_without_an_entry_has_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(none))
    use_writable_folders(tmp_path)
    assert os.environ["MPLCONFIGDIR"].startswith(str(tmp_path))


@pytest.mark.usefixtures("no_home")
def test_without_a_place_for_temporary_files_they_are_below_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    use_writable_folders(tmp_path / "data")
    assert tempfile.tempdir == os.environ["TMPDIR"] == str(tmp_path / "data" / "scratch")
    assert Path(tempfile.tempdir).is_dir()


@pytest.mark.usefixtures("no_home")
def test_matplotlib_says_nothing_without_a_home(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from closecast.infra.library_folders import use_writable_folders\n"
        "import closecast.pipeline\n"
        "assert 'matplotlib' not in sys.modules, 'imported before its folder can be chosen'\n"
        "use_writable_folders(Path(sys.argv[1])); import matplotlib.figure\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
