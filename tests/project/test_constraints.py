"""``constraints.txt`` is all that pip needs: it holds a fitting version of every dependency."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = (Requirement(line) for line in lines if line.strip())
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in found}


@pytest.mark.parametrize("extra", sorted(EXTRAS), ids=lambda extra: extra or "serving")
def test_every_dependency_has_a_version_that_fits(extra: str) -> None:
    versions = pinned()
    for text in EXTRAS[extra]:
        wanted = Requirement(text)
        version = versions.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is missing: run `make lock`"
        assert wanted.specifier.contains(version, prereleases=True), f"{text}: {version} is pinned"
