"""The registry of forecasters: roles, former names, and names that stay inside the package."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

import numpy as np
import pytest

import closecast
from closecast.cli.options import add_hyperparameters
from closecast.forecasters import (
    BASELINES,
    BOOTSTRAP,
    FORECASTERS,
    REFERENCE,
    canonical_name,
    is_baseline,
    load_predictor,
    make_forecaster,
    make_parameters,
    parameters_type,
    presets_of,
)
from tests.support.synthetic_prices import garch

SRC = Path(closecast.__file__).parent
ROOT = Path(__file__).parents[2]
SMALL = {"seq_length": 20, "horizon": 5}


def _named(path: Path, names: set[str]) -> list[tuple[str, str]]:
    return [
        (str(path), node.value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value.strip() in names
    ]


def test_no_forecaster_is_named_outside_of_its_package() -> None:
    """Else a new forecaster, or one that is renamed, would be a change in many places."""
    inside = SRC / "forecasters"
    files = [path for path in SRC.rglob("*.py") if inside not in path.parents]
    files += [*(ROOT / "api").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    assert len(files) > 150
    assert [hit for path in files for hit in _named(path, set(FORECASTERS))] == []


def test_the_search_for_names_finds_one(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('flag = name == "ewma"\n')
    assert _named(file, {"ewma"}) == [(str(file), "ewma")]


def test_one_forecaster_is_the_bootstrap_and_a_baseline_is_the_reference() -> None:
    assert [name for name, entry in FORECASTERS.items() if entry.bootstrap] == [BOOTSTRAP]
    assert {REFERENCE, BOOTSTRAP} <= set(BASELINES) < set(FORECASTERS)


@pytest.mark.parametrize("name", sorted(FORECASTERS))
def test_an_entry_uses_history_as_its_predictor_does(name: str) -> None:
    entry = FORECASTERS[name]
    assert entry.uses_history is entry.predictor().uses_history
    assert entry.parameters() is entry.forecaster().Parameters


def test_a_former_name_stands_for_the_present_one() -> None:
    train = garch(300, seed=0)
    former, present = (
        make_forecaster(name, make_parameters(name, SMALL)).fit([train], [train])
        for name in ("drift", "random_walk_drift")
    )
    window = train.closes[-20:]
    assert former.name == canonical_name("drift") == "random_walk_drift"
    loaded = load_predictor("drift", present.to_files())
    for predictor in (former, loaded):
        assert np.array_equal(
            predictor.predict(window).quantiles, present.predict(window).quantiles
        )
    assert parameters_type("drift") is parameters_type("random_walk_drift")
    assert presets_of("drift") == {}
    assert is_baseline("drift")
    assert "drift" not in FORECASTERS


def test_a_former_name_is_understood_on_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_hyperparameters(parser)
    assert parser.parse_args(["--forecaster", "drift"]).forecaster == "random_walk_drift"


def test_a_name_of_no_forecaster_is_no_baseline() -> None:
    assert canonical_name("lstn") == "lstn"
    assert not is_baseline("lstn")
