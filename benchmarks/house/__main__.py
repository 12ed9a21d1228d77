"""``make house``: figures of the code itself, each beside its bound."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree  # of our own pytest's file
from pathlib import Path

from benchmarks.house.words import count_words

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "closecast"
API = ROOT / "api"
TESTS = ROOT / "results" / "tests.xml"


def main() -> None:
    """Print the figures; exit with status 1 if one is over its bound."""
    lines = _structure() + _files() + _words() + _documents()
    over = False
    for name, value, bound in lines:
        over |= bound is not None and float(value) > bound
        shown = "" if bound is None else f"(at most {bound:g})"
        print(f"{name:<58} {value:>10} {shown}")
    print("\n".join(_slowest_tests()))
    sys.exit(1 if over else 0)


Figure = tuple[str, str, float | None]


def _entries(folder: Path) -> int:
    return (
        sum(
            1
            for path in folder.iterdir()
            if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
        )
        - (folder / "__init__.py").exists()
    )


def _structure() -> list[Figure]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    ranks = next(row["layers"] for row in contracts["contracts"] if row["id"] == "ranks")
    return [
        ("entries at the top of src/closecast", str(_entries(SRC)), 20),
        ("entries at the top of api", str(_entries(API)), 12),
        ("ranks", str(len(ranks)), 10),
        ("files of ours that one POST /predict crosses", _files_per_prediction(), 34),
    ]


def _files_per_prediction() -> str:
    command = [sys.executable, "-m", "benchmarks.serving.files_per_prediction"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.search(r"^(\d+) files", run.stdout, re.MULTILINE)
    return found[1] if found else "nan"


def _files() -> list[Figure]:
    sizes = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for folder in (SRC, API, ROOT / "scripts")
        for path in folder.rglob("*.py")
    }
    largest = max(sizes, key=lambda name: sizes[name])
    return [
        ("files in src, api and scripts", str(len(sizes)), None),
        ("lines in src, api and scripts", str(sum(sizes.values())), None),
        ("median lines of a file", f"{statistics.median(sizes.values()):g}", None),
        (f"largest file: {largest}", str(sizes[largest]), 350),
    ]


def _words() -> list[Figure]:
    count = count_words(sorted([*SRC.rglob("*.py"), *API.rglob("*.py")]))
    return [
        ("words in docstrings and comments", str(count.words), None),
        ("riddle words per 1,000", f"{count.per_thousand:.2f}", 1.6),
        ("docstrings that open with a question word, %", f"{100 * count.question_share:.2f}", 1),
    ]


def _documents() -> list[Figure]:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "decisions" not in path.parts]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    decisions = list((ROOT / "docs" / "decisions").glob("0*.md"))
    return [
        ("lines of README", str(len(readme)), 150),
        ("pages of the documentation, without decisions", str(len(pages)), None),
        ("decisions", str(len(decisions)), None),
    ]


def _slowest_tests(shown: int = 25) -> list[str]:
    if not TESTS.exists():
        return ["test time: none recorded here; `make test` records it"]
    suite = ElementTree.parse(TESTS).getroot().find("testsuite")
    if suite is None:
        return [f"test time: {TESTS} holds no suite"]
    cases = sorted(suite.iter("testcase"), key=lambda case: -float(case.get("time", 0)))
    minutes, seconds = divmod(float(suite.get("time", 0)), 60)
    lines = [f"test time: {minutes:.0f} min {seconds:.0f} s, {suite.get('tests')} tests; slowest:"]
    return lines + [
        f"  {float(case.get('time', 0)):6.1f} s  {case.get('classname')}::{case.get('name')}"
        for case in cases[:shown]
    ]


if __name__ == "__main__":
    main()
