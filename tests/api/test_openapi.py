"""The OpenAPI document: a promise that is kept under version control, and under fire."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from api.main import create_app
from closecast.settings import Settings
from tests.fuzz.by_document import CHECKS
from tests.live_server import live_server

SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"


def document() -> str:
    return json.dumps(create_app(Settings(_env_file=None)).openapi(), indent=1) + "\n"  # type: ignore[call-arg]


def test_the_document_in_docs_is_up_to_date() -> None:
    assert SNAPSHOT.read_text() == document(), (
        "the API changed: if it was meant, renew docs/openapi.json with "
        "`python -m scripts.write_openapi` and say so in CHANGELOG.md"
    )


def test_every_operation_has_examples_and_documented_problems() -> None:
    for path, operations in json.loads(document())["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status.startswith(("2", "3")):
                    continue
                problem = answer["content"].get("application/problem+json", {})
                assert problem.get("examples"), f"{method} {path} {status}"
                assert "application/json" not in answer["content"], f"{method} {path} {status}"


def test_operation_ids_are_good_names_of_methods_in_a_generated_client() -> None:
    operations = [
        (method, operation["operationId"])
        for path in json.loads(document())["paths"].values()
        for method, operation in path.items()
    ]
    names = [name for _, name in operations]
    assert len(set(names)) == len(names)
    for method, name in operations:
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name), name
        assert not name.endswith(f"_{method}"), name
    assert {"predict", "predict_batch", "get_forecast", "train", "get_job"} <= set(names)


def test_names_of_schemas_hold_no_path_of_a_module() -> None:
    assert [name for name in json.loads(document())["components"]["schemas"] if "__" in name] == []


def test_the_document_is_made_without_the_libraries_that_train() -> None:
    code = (
        "import sys; from api.main import app; app.openapi(); "
        "print(*sorted({'torch', 'pytorch_lightning', 'sklearn'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


OPERATIONS = [
    (method.upper(), path)
    for path, operations in json.loads(document())["paths"].items()
    for method in operations
]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_that_is_sent_breaks_a_promise(method: str, path: str, published: Settings) -> None:
    with live_server(create_app(published)) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")

        @given(case=schema[path][method].as_strategy())
        @hypothesis_settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def fuzz(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        fuzz()
