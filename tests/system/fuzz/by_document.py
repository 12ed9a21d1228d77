"""Schemathesis over the whole document, with many examples."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.schemas import BaseSchema

from closecast.settings import Settings
from tests.support.live_server import live_server
from tests.system.fuzz.fuzzed_service import Fuzzed
from tests.system.fuzz.running import Report, watched


def not_a_server_error_but_503(context: Any, response: Any, case: Any) -> None:
    """503 is a documented answer (no model, no torch, ledger away); any other 5xx is a bug."""
    if response.status_code != 503:
        not_a_server_error(context, response, case)


CHECKS: list[Callable[..., Any]] = [
    not_a_server_error_but_503,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

_PATIENCE_S = 600.0
"""Schemathesis gives up after 10 seconds, within which a busy machine may not answer."""


def operations_in(document: dict[str, Any]) -> BaseSchema:
    """The operations of an OpenAPI document; a slow answer is not a wrong one."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.request_timeout = _PATIENCE_S
    return schema


def fuzz_by_document(
    settings: Settings, cases: int, seed: int, *, keys: bool = False, until_s: float = float("inf")
) -> Report:
    """As many requests to each operation; see :func:`tests.system.fuzz.running.fuzz_in_process`."""
    fuzzed = Fuzzed.over(settings, seed, keys=keys)
    report = Report(f"by document, {'with' if keys else 'without'} keys, seed {seed}")
    headers = {name.decode(): value.decode() for name, value in fuzzed.headers[2:]}
    with watched(report, fuzzed) as memory, live_server(fuzzed.app) as address:
        schema = operations_in(fuzzed.app.openapi())
        operations = [operation.ok() for operation in schema.get_all_operations()]
        for operation in operations:
            memory.look()
            _ask(
                operation,
                address,
                max(1, cases // len(operations)),
                seed,
                headers,
                report,
                until_s,
            )
    return report


def _ask(
    operation: Any,
    address: str,
    examples: int,
    chosen: int,
    headers: dict[str, str],
    report: Report,
    until_s: float,
) -> None:
    @seed(chosen)
    @given(case=operation.as_strategy())
    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def fuzz(case: schemathesis.Case) -> None:
        if time.monotonic() > until_s:
            return
        report.cases += 1
        response = case.call(base_url=address, headers=headers)
        report.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            reasons = getattr(failure, "exceptions", [failure])
            for reason in reasons:
                wrong = f"{operation.label}: {getattr(reason, 'title', reason)}"
                report.findings.setdefault(wrong, case.as_curl_command(headers))

    fuzz()
