"""The README is executed: what it tells people to type works, and what it names exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from closecast.keys import KeyStore
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.service_process import ServiceProcess

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def commands(starting_with: str) -> list[str]:
    """Shell commands of all bash blocks, continued lines joined, comments gone."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#.*", "", line) for line in lines if line.strip().startswith(starting_with)]


def test_every_curl_answers(published: Settings, tmp_path: Path) -> None:
    found = commands("curl")
    assert len(found) >= 6
    service = ServiceProcess(published, tmp_path / "service.log")
    try:
        for command in found:
            here = command.replace(":8000", f":{service.port}").replace("curl -s", "curl -sS -f")
            done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            assert done.stdout.startswith("{")
    finally:
        service.stop()


def test_the_steps_run_in_the_order_that_is_shown(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    environment = {f"CLOSECAST_{k.upper()}": str(v) for k, v in settings.model_dump().items()}
    steps = commands(".venv/bin/python -m scripts.")
    assert len(steps) == 5
    for step in steps:
        done = subprocess.run(
            [sys.executable, *step.split()[1:]],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{step}\n{done.stderr}"


def test_a_key_is_made_listed_and_revoked_as_shown(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    environment = {f"CLOSECAST_{k.upper()}": str(v) for k, v in settings.model_dump().items()}
    found = commands(".venv/bin/closecast keys")
    assert len(found) == 4
    assert "--scope admin" in found[0]  # whoever begins with another key locks himself out
    for command in found:
        subprocess.run(
            [sys.executable, "-m", "closecast.cli", *command.split()[1:]],
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
        )
    assert [key.name for key in KeyStore(settings.keys_path).listed()] == ["ops"]


@pytest.mark.parametrize("program", blocks("python"))
def test_python_examples_run(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CRPS/naive" in done.stdout


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"make ([a-z][a-z-]+)", README))
    assert {"serve", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named), named


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_setting_that_is_named_exists() -> None:
    sentence = re.search(r"most often needed: (.*?)\n\n", README, re.DOTALL)
    assert sentence
    names = re.findall(r"`([A-Z_]+)`", sentence[1])
    assert names
    assert all(name.lower() in Settings.model_fields for name in names)
