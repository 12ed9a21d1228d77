"""The documentation site: built without a warning, readable without a network, made from code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from closecast.core.exchanges import CALENDARS, INDICES, SUFFIXES
from closecast.core.pairs import QUOTES
from closecast.settings import Settings
from tests.docs.blocks import ROOT

OPENAPI = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of the build is an error."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"),
            *("-f", "docs/mkdocs.yml", "-d", str(folder)),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
    )
    return folder


def page(site: Path, path: str) -> str:
    """A page as HTML, with what escapes quotes and brackets undone."""
    text = (site / path).read_text(encoding="utf-8")
    return re.sub(r"<wbr>|&#\d+;", "", text)


def section_of(site: Path, method: str, path: str) -> str:
    """The part of the reference about one operation."""
    tag = OPENAPI["paths"][path][method]["tags"][0]
    title = re.escape(f"{method.upper()} {path}")
    html = page(site, f"reference/http/{tag}.html")
    return re.split(f'<h2 id="[^"]+">{title}<', html)[1].split("<h2")[0]


def test_reading_the_site_needs_no_network(site: Path) -> None:
    found = list(site.rglob("*.html"))
    assert len(found) > 60
    for path in found:
        html = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\ssrc=\"([^\"]+)", html)
        loaded += re.findall(r"<link\b[^>]*\shref=\"([^\"]+)", html)
        assert not [url for url in loaded if "//" in url], path
        assert 'class="mermaid"' not in html, path  # its library would come from a CDN
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8"), path


def test_nothing_but_pages_is_published(site: Path) -> None:
    assert not [*site.rglob("*.py"), *site.rglob("*.yml"), *site.rglob("*.pyc")]
    assert (site / "openapi.json").exists()
    assert (site / "images" / "one-prediction.svg").exists()


@pytest.mark.parametrize("path", OPENAPI["paths"])
def test_every_operation_is_described(site: Path, path: str) -> None:
    for method, operation in OPENAPI["paths"][path].items():
        section = section_of(site, method, path)
        for parameter in operation.get("parameters", ()):
            assert parameter["name"] in section
        for answer in operation["responses"].values():
            for media in answer["content"].values() if "content" in answer else ():
                for code, example in media.get("examples", {}).items():
                    value = example.get("value")
                    if isinstance(value, dict) and value.get("code") == code:
                        assert code in section


@pytest.mark.parametrize("path", OPENAPI["paths"])
def test_every_operation_shows_a_request_and_an_answer(site: Path, path: str) -> None:
    for method, operation in OPENAPI["paths"][path].items():
        section = section_of(site, method, path)
        tabs = re.findall(r"<label[^>]*>([^<]+)</label>", section)
        assert ("Request" in tabs) == ("requestBody" in operation)
        assert any(re.fullmatch(r"Answer [23]\d\d", tab) for tab in tabs)


def test_every_code_of_a_problem_is_listed(site: Path) -> None:
    html = page(site, "reference/errors.html")
    codes = set(re.findall(r'"code": "([a-z_]+)"', json.dumps(OPENAPI)))
    example_names = {"unit_error", "volatility_high"}  # findings of drift, not problems
    problems = {
        code
        for operations in OPENAPI["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        for media in answer.get("content", {}).values()
        for code in media.get("examples", {})
        if status[0] in "45" and code in codes - example_names
    }
    assert len(problems) > 15
    assert not {code for code in problems if f"<code>{code}</code>" not in html}


def test_every_setting_is_listed_with_its_default(site: Path) -> None:
    html = page(site, "reference/settings.html")
    for name in Settings.model_fields:
        assert f"<code>CLOSECAST_{name.upper()}</code>" in html
    assert "<code>sqlite:///data/ledger.sqlite</code>" in html


def test_every_suffix_index_and_calendar_is_listed(site: Path) -> None:
    html = page(site, "reference/markets.html")
    for name in (*(f".{suffix}" for suffix in SUFFIXES), *INDICES, *CALENDARS, *QUOTES):
        assert f"<code>{name}</code>" in html, name


@pytest.mark.parametrize(
    "command",
    [
        *("serve", "train", "verify", "show", "statistics", "worker"),
        *("keys create", "keys list", "keys revoke"),
    ],
)
def test_every_command_is_described(site: Path, command: str) -> None:
    assert f"<code>closecast {command}</code>" in page(site, "reference/command-line.html")


@pytest.mark.parametrize("name", ["Prices", "Forecast", "evaluate", "DriftDetector", "Registry"])
def test_python_names_are_described(site: Path, name: str) -> None:
    assert re.search(rf'id="closecast[^"]*\.{name}"', page(site, "reference/python.html"))


def test_the_picture_and_the_table_of_packages_show_what_is_there() -> None:
    folder = ROOT / "src" / "closecast"
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    there -= {"__init__", "__pycache__"}
    picture = (ROOT / "docs" / "images" / "packages.svg").read_text(encoding="utf-8")
    assert set(re.findall(r'class="t"[^>]*>([^<]+)<', picture)) == there | {"api"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d+ \| ([^|]+) \|", contributing, re.MULTILINE)
    assert set(re.findall(r"`(\w+)/?`", " ".join(rows))) == there


def test_contributing_is_a_page_of_the_site(site: Path) -> None:
    html = page(site, "how-to/contributing.html")
    assert "Adding a forecaster" in html
    assert "../decisions/" in html
