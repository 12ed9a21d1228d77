"""Examples of the OpenAPI document: recorded from a real service, valid, and of today's shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from api.main import create_app
from api.schemas.examples import FOLDER, recorded_examples
from closecast.settings import Settings
from scripts.record_examples import record

DOCUMENT = create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]
OPERATIONS = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}


def bodies_of(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """JSON contents of an operation: its request, its answers and its problems."""
    described = {"request": operation.get("requestBody", {}), **operation["responses"]}
    for part, body in described.items():
        for kind, media in body.get("content", {}).items():
            if kind.endswith("json"):
                yield part, media


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_body_has_named_examples_that_fit_its_schema(name: str) -> None:
    for part, media in bodies_of(OPERATIONS[name]):
        if part == "202" and name != "train":  # a job that collects closes, as `train` shows one
            continue
        assert media.get("examples"), f"{part}: record one in scripts/record_examples.py"
        schema = {**media["schema"], "components": DOCUMENT["components"]}
        for example in media["examples"].values():
            jsonschema.validate(example["value"], schema)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_an_example_of_an_error_is_named_by_its_code(path: Path) -> None:
    for part, examples in recorded_examples(path.stem).items():
        if part.startswith(("4", "5")):
            assert [body["code"] for body in examples.values()] == list(examples)


def shape(value: Any) -> Any:
    """Members and kinds of values; ``null`` fits every kind, a list has the shape of its first."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    if "NoneType" in (one, other) or [] in (one, other):
        return
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key not in one or key not in other:
                yield f"{path}/{key}"
            else:
                yield from differences(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list) and isinstance(other, list):
        yield from differences(one[0], other[0], f"{path}/0")
    elif one != other:
        yield f"{path}: {one}, {other}"


def test_a_new_recording_has_the_shape_of_the_examples(tmp_path: Path) -> None:
    """Otherwise run ``python -m scripts.record_examples`` and ``scripts.write_openapi``."""
    kept = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    assert list(differences(shape(kept), shape(record(tmp_path)))) == []
