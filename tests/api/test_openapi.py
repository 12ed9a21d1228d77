"""The OpenAPI document: a promise that is kept under version control, and under fire."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.schemas import BaseSchema

from api.main import create_app
from closecast.settings import Settings
from tests.support.live_server import live_server
from tests.system.fuzz.by_document import CHECKS, operations_in

SNAPSHOT = Path(__file__).parents[2] / "docs" / "openapi.json"


@cache
def document() -> dict[str, Any]:
    return create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]


def test_the_document_in_docs_is_up_to_date() -> None:
    assert SNAPSHOT.read_text() == json.dumps(document(), indent=1) + "\n", (
        "the API changed: if it was meant, renew docs/openapi.json with "
        "`python -m scripts.write_openapi` and say so in CHANGELOG.md"
    )


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_the_document_is_written_once_and_answered_in_the_coding_asked_for(
    client: TestClient, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get("/openapi.json", headers={"accept-encoding": coding})
    assert first.json() == document()
    assert first.headers.get("content-encoding", "identity") == coding
    assert "Accept-Encoding" in first.headers["vary"]
    monkeypatch.setattr("api.pages.document.orjson", None)  # a second writing would fail
    again = client.get("/openapi.json", headers={"accept-encoding": coding})
    assert again.content == first.content


def test_every_reference_leads_to_a_schema() -> None:
    found = document()
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found)))
    assert named
    assert named <= found["components"]["schemas"].keys()


def test_every_operation_has_examples_and_documented_problems() -> None:
    for path, operations in document()["paths"].items():
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
        for path in document()["paths"].values()
        for method, operation in path.items()
    ]
    names = [name for _, name in operations]
    assert len(set(names)) == len(names)
    for method, name in operations:
        assert re.fullmatch("[a-z]+(_[a-z]+)*", name), name
        assert not name.endswith(f"_{method}"), name
    assert {"predict", "predict_batch", "get_forecast", "train", "get_job"} <= set(names)


def test_generators_of_clients_know_a_media_type_of_every_body_and_answer() -> None:
    """`make clients` runs the generators; a type that they do not know is a warning there."""
    known = re.compile(r"application/json|application/octet-stream|text/.+|.+\+json")
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            assert list(
                operation.get("requestBody", {}).get("content", {"application/json": 0})
            ) == ["application/json"]
            for status, answer in operation["responses"].items():
                types = answer.get("content", {})
                assert not types or any(map(known.fullmatch, types)), f"{method} {path} {status}"


def test_lines_of_a_batch_are_described_beside_its_json_body() -> None:
    body = document()["paths"]["/predict/batch"]["post"]["requestBody"]
    assert body["x-lines"]["application/x-ndjson"]["examples"]


def test_names_of_schemas_hold_no_path_of_a_module() -> None:
    assert [name for name in document()["components"]["schemas"] if "__" in name] == []


def test_the_document_is_made_without_the_libraries_that_train() -> None:
    code = (
        "import sys; from api.main import app; app.openapi(); "
        "print(*sorted({'torch', 'pytorch_lightning', 'sklearn'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_the_service_answers_the_document(empty_client: TestClient) -> None:
    assert empty_client.get("/openapi.json").json() == document()


OPERATIONS = [
    (method.upper(), path) for path, methods in document()["paths"].items() for method in methods
]


@pytest.fixture(scope="module")
def operations() -> BaseSchema:
    """Parsed once: that takes longer than the requests to an operation."""
    return operations_in(document())


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_that_is_sent_breaks_a_promise(
    method: str, path: str, operations: BaseSchema, published: Settings
) -> None:
    # A server of its own, as it starts in milliseconds: no operation meets what another changed.
    with live_server(create_app(published)) as address:

        @given(case=operations[path][method].as_strategy())
        @hypothesis_settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        def fuzz(case: schemathesis.Case) -> None:
            case.call_and_validate(base_url=address, checks=CHECKS)

        fuzz()
