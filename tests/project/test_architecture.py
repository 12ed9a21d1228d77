"""Which way the modules point (design: a module imports only modules of a smaller rank)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "closecast"

RANKS = {
    "__init__": 0,
    "errors": 0,
    "settings": 0,
    "core": 1,
    "infra": 1,
    "metrics": 2,
    "sources": 2,
    "registry": 2,
    "tracking": 2,
    "database": 2,
    "calibration": 2,
    "forecasters": 3,
    "drift": 3,
    "evaluation": 4,
    "serving": 4,
    "validation": 5,
    "pipeline": 6,
    "jobs": 7,
    "cli": 8,
}
"""Of a module or package directly in ``src/closecast``. A new one is added here first."""

ONLY_IN = {
    "sqlalchemy": {
        f"database/{name}.py"
        for name in (
            *("calibrations", "configurations", "engine", "drift_history"),
            *("forecast_ledger", "jobs", "prediction_log", "processes"),
        )
    },
    "mlflow": {"tracking/mlflow.py"},
    "torch": {
        "forecasters/lightning.py",
        *("forecasters/lstm/fit.py", "forecasters/lstm/network.py"),
        *("forecasters/mlp/fit.py", "forecasters/mlp/network.py"),
    },
    "pytorch_lightning": {
        "forecasters/lightning.py",
        *("forecasters/lstm/fit.py", "forecasters/mlp/fit.py"),
    },
    "safetensors": {"forecasters/lstm/fit.py"},
    "onnxruntime": {"forecasters/lstm/predict.py"},
    "matplotlib": {"evaluation/training_plots.py", "evaluation/performance_plots.py"},
    "sklearn": {"metrics/scores.py"},
    "yfinance": {"sources/yahoo.py"},
    "exchange_calendars": {"core/calendars.py"},
    "cronsim": {"settings.py", "jobs/retraining.py"},
    "uvicorn": {"cli/main.py"},
    "fastapi": set(),
    "starlette": set(),
}
"""Library to the files of ``src/closecast`` that may know it."""

NOT_IN_API = {
    *("numpy", "pandas", "scipy", "sklearn", "torch", "pytorch_lightning", "onnxruntime"),
    *("mlflow", "matplotlib", "sqlalchemy", "fsspec", "yfinance", "exchange_calendars"),
    *(
        "closecast.pipeline",
        "closecast.evaluation",
        "closecast.tracking.mlflow",
        "closecast.tracking.export",
        "closecast.evaluation.training_plots",
    ),
    *("closecast.evaluation.performance_plots", "closecast.metrics.outcomes"),
}

_LAZY = re.compile(r"(closecast(?:\.\w+)+):\w+")


def imports(module: str, source: str, *, is_package: bool = False) -> Iterator[str]:
    """Every module that ``source`` imports: anywhere in it, relative, or named in a string.

    A string counts as ``"module:attribute"`` (the tables of lazy imports) or in a call of
    ``import_module``. Starting a process that runs a module is no import.
    """
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from closecast import serving` imports closecast.serving.
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if found := _LAZY.fullmatch(node.value):
                yield found[1]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def offences(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Imports of a module of ours that do not point to a smaller rank."""
    own = _entry(module)
    if own not in RANKS:
        return [f"{own} is not in RANKS"]
    wrong = []
    for name in imports(module, source, is_package=is_package):
        if name.split(".")[0] in {"api", "scripts", "benchmarks", "tests"}:
            wrong.append(f"{module} imports {name}, which lies outside the package")
        elif name.split(".")[0] == "closecast":
            other = _entry(name)
            if other not in RANKS:
                wrong.append(f"{module} imports {name}, which is not in RANKS")
            elif other != own and RANKS[other] >= RANKS[own]:
                wrong.append(f"{module} ({RANKS[own]}) imports {name} ({RANKS[other]})")
    return wrong


def _entry(module: str) -> str:
    """The row of a module in ``RANKS``; a name out of the package itself counts as the package."""
    below = module.split(".")[1:]
    if not below or below[0] == "__version__":
        return "__init__"
    return below[0]


def _module(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    path.relative_to(SRC).as_posix(): path.read_text(encoding="utf-8") for path in SRC.rglob("*.py")
}
API_SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "api").rglob("*.py")
}


@pytest.mark.parametrize("file", sorted(SOURCES))
def test_imports_point_to_smaller_ranks(file: str) -> None:
    is_package = file.endswith("__init__.py")
    assert not offences(_module(SRC / file), SOURCES[file], is_package=is_package)


def test_the_table_names_every_module_and_no_other() -> None:
    here = {file.split("/")[0].removesuffix(".py") for file in SOURCES}
    assert here == set(RANKS)


@pytest.mark.parametrize(
    "source",
    [
        "import closecast.serving",
        "from closecast.serving import Snapshot",
        "from closecast import serving",
        "from .. import serving",
        "from ..serving import Snapshot",
        "def lazy():\n    from closecast.serving import Snapshot",
        "if TYPE_CHECKING:\n    from closecast.serving import Snapshot",
        "import_module('closecast.serving')",
        "importlib.import_module('closecast.serving')",
        "TABLE = {'x': 'closecast.serving:Snapshot'}",
        "from closecast.infra.ports import x  # its own rank, another package",
        "import closecast.nowhere",
        "import api.main",
        "from scripts import common",
    ],
)
def test_a_wrong_import_is_seen_however_it_is_written(source: str) -> None:
    assert offences("closecast.core.dataset", source)


@pytest.mark.parametrize(
    "source",
    [
        "from closecast.core.prices import Prices",
        "from closecast import __version__",
        "import numpy",
    ],
)
def test_a_right_import_passes(source: str) -> None:
    assert not offences("closecast.core.dataset", source)


def test_a_module_that_is_not_in_the_table_fails() -> None:
    assert offences("closecast.new_module", "") == ["new_module is not in RANKS"]


def test_a_package_may_import_its_own_modules() -> None:
    assert not offences("closecast.drift.baseline", "from closecast.drift.detector import X")


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_only_one_place_knows_a_library(library: str) -> None:
    users = {
        file
        for file, source in SOURCES.items()
        if any(name.split(".")[0] == library for name in imports(_module(SRC / file), source))
    }
    assert users == ONLY_IN[library]


@pytest.mark.parametrize("file", sorted(API_SOURCES))
def test_the_api_computes_nothing_itself(file: str) -> None:
    module = file.removesuffix(".py").replace("/", ".")
    known = set(imports(module, API_SOURCES[file]))
    wrong = {name for name in known for no in NOT_IN_API if name == no or name.startswith(f"{no}.")}
    assert not wrong


@pytest.mark.parametrize(
    "module",
    [
        *("closecast.serving", "closecast.metrics.live", "closecast.calibration"),
        *("closecast.forecasters.lstm.predict", "closecast.forecasters.mlp.predict"),
    ],
)
def test_what_serves_loads_nothing_heavy_and_no_web_framework(module: str) -> None:
    heavy = "torch pytorch_lightning mlflow pandas sklearn scipy matplotlib fastapi starlette"
    code = f"import sys, {module}; print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_every_module_has_a_subject() -> None:
    names = {Path(file).stem for file in [*SOURCES, *API_SOURCES]}
    assert not names & {"utils", "util", "helpers", "helper", "misc", "common", "base_utils"}
