"""Rules of the architecture that import-linter (``make lint``) cannot see."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "closecast"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
LAYERS = next(contract["layers"] for contract in CONTRACTS if contract["id"] == "ranks")
RANKS = {name: rank for rank, row in enumerate(reversed(LAYERS)) for name in row.split(" | ")}

MODULE_NAME = re.compile(r"((?:closecast|api|scripts|tests|benchmarks)(?:\.\w+)+)(?::\w+)?")
LOGGERS = {"closecast.access", "closecast.drift"}
ALLOWED = {("cli", "api."), ("jobs", "closecast.cli")}
"""Exceptions: uvicorn imports the application by name; the supervisor starts a worker process."""


def named_modules(source: str) -> Iterator[str]:
    """Modules that strings name: ``"module:attribute"``, or ``"package.module"`` alone.

    >>> list(named_modules("x = 'closecast.core.prices:Prices'; y = 'no.module of ours'"))
    ['closecast.core.prices']
    """
    for node in ast.walk(ast.parse(source)):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and value not in LOGGERS:
            yield from (match[1] for match in [MODULE_NAME.fullmatch(value)] if match)


def offences(package: str, source: str) -> list[str]:
    """Names in strings that point to the same or a higher rank, or out of the library."""
    wrong = []
    for name in named_modules(source):
        if any(package == user and name.startswith(used) for user, used in ALLOWED):
            continue
        top, inside, *_ = [*name.split("."), ""]
        if top != "closecast" or (
            inside in RANKS and inside != package and RANKS[inside] >= RANKS[package]
        ):
            wrong.append(name)
    return wrong


def test_strings_name_only_modules_of_lower_ranks() -> None:
    wrong = {}
    for path in SRC.rglob("*.py"):
        package = path.relative_to(SRC).parts[0].removesuffix(".py")
        if package != "__init__" and (found := offences(package, path.read_text(encoding="utf-8"))):
            wrong[path.relative_to(ROOT).as_posix()] = found
    assert not wrong


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("core", "closecast.serving:Snapshot"),
        ("core", "closecast.infra.files"),
        ("drift", "closecast.forecasters.ewma:EwmaForecaster"),
        ("jobs", "api.main:app"),
        ("cli", "scripts.common"),
    ],
)
def test_a_wrong_name_is_seen(package: str, name: str) -> None:
    assert offences(package, f"TABLE = {{'x': {name!r}}}") == [name.split(":")[0]]


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("forecasters", "closecast.forecasters.ewma:EwmaForecaster"),
        ("serving", "closecast.core.prices"),
        ("cli", "api.main:app"),
        ("drift", "closecast.drift"),
    ],
)
def test_a_right_name_passes(package: str, name: str) -> None:
    assert not offences(package, f"TABLE = {{'x': {name!r}}}")


def test_every_entry_of_the_library_has_a_rank() -> None:
    here = {path.name.removesuffix(".py") for path in SRC.iterdir() if path.suffix in {".py", ""}}
    assert here - {"__init__", "__pycache__"} == set(RANKS)


HEAVY = "torch pytorch_lightning mlflow pandas sklearn scipy matplotlib fastapi starlette"


@pytest.mark.parametrize(
    "module",
    [
        *("closecast", "closecast.serving", "closecast.metrics.live", "closecast.calibration"),
        *("closecast.forecasters.lstm.predict", "closecast.forecasters.mlp.predict"),
    ],
)
def test_serving_loads_no_training_library_and_no_web_framework(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_every_module_has_a_subject() -> None:
    names = {path.stem for folder in (SRC, ROOT / "api") for path in folder.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common", "base_utils"}
