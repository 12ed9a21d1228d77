"""The units of ``deploy/systemd`` are ones that systemd takes without a word."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from closecast.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
COMMAND = "/opt/closecast/.venv/bin/closecast"
MOST_EXPOSED = 2.0  # of 10; both units are at 1.4

systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def installed(unit: Path, folder: Path) -> Path:
    """The unit with a command that exists here."""
    text = unit.read_text(encoding="utf-8")
    assert text.count(COMMAND) == 1
    made = folder / unit.name
    text = re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE)
    made.write_text(text.replace(COMMAND, sys.executable))
    return made


@systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_is_verified_without_a_word(unit: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(installed(unit, tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_unit_is_hardened(unit: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            *("systemd-analyze", "security", "--offline=true", "--no-pager"),
            f"--threshold={MOST_EXPOSED * 10:.0f}",
            str(installed(unit, tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_both_units_are_one_user_with_one_state(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    for line in ("User=closecast", "StateDirectory=closecast", "Restart=on-failure"):
        assert line in lines


def test_a_reload_is_a_hangup() -> None:
    text = (FOLDER / "closecast.service").read_text(encoding="utf-8")
    assert "\nExecReload=/bin/kill -HUP $MAINPID\n" in text


def test_settings_of_the_example_exist_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (FOLDER / "closecast.env").read_text(encoding="utf-8")
    named = dict(re.findall(r"^#?CLOSECAST_(\w+)=(.*)$", text, re.MULTILINE))
    assert named.keys() <= {name.upper() for name in Settings.model_fields}
    for name, value in named.items():
        monkeypatch.setenv(f"CLOSECAST_{name}", value)
    assert Settings(_env_file=None).worker_enabled is False
