"""What every answer owes, whatever was asked."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import jsonschema_rs

from tests.system.fuzz.fuzz_case import FuzzCase

PROBLEM = "application/problem+json"
ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_CODE = re.compile(r"[a-z][a-z0-9_]*")
_OF_AN_OPERATION = re.compile(r"\{\w+\}")
# Of a body that no route asked for, and of methods and paths that are no operation.
_OF_A_BODY = {400, 408, 413, 415}
_ELSEWHERE = {401, 403, 404, 405, 421, 429} | _OF_A_BODY
_ASSETS = "/static-offline-docs/"
_UNDOCUMENTED_PAGES = ("/docs", "/redoc", "/openapi.json", _ASSETS)


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def all_of(self, name: bytes) -> list[bytes]:
        """Every header of a name in lower case."""
        return [value for other, value in self.headers if other.lower() == name]

    def header(self, name: bytes) -> str:
        """The first header of a name, or nothing."""
        return next(iter(self.all_of(name)), b"").decode("latin-1")


class Promises:
    """Compares answers with the document.

    Parameters
    ----------
    document : mapping
        OpenAPI.
    secrets : iterable of str
        Keys, folders and other texts that no answer may contain.
    """

    def __init__(self, document: Mapping[str, Any], secrets: Iterable[str]) -> None:
        self._secrets = [secret.encode() for secret in secrets]
        self._components = _strict(document["components"])
        self._operations: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                self._operations[method.upper(), path] = operation
            self._patterns.append((_pattern(path), path))
        self._patterns.sort(key=lambda pair: "{" in pair[1])  # what is spelt out comes first
        self._validators: dict[tuple[str, str, int], jsonschema_rs.Validator | None] = {}
        problem = {"$ref": "#/components/schemas/ProblemDocument", "components": self._components}
        self._problem = jsonschema_rs.validator_for(problem)

    def operation_of(self, case: FuzzCase) -> tuple[str, Mapping[str, Any] | None]:
        """The path of the document that a request is for, and the operation; perhaps none."""
        path = case.path
        for pattern, template in self._patterns:
            if pattern.fullmatch(path):
                method = "GET" if case.method == "HEAD" else case.method  # RFC 9110, 9.3.2
                return template, self._operations.get((method, template))
        return path, None

    def broken(self, case: FuzzCase, answer: Answered) -> str | None:
        """What an answer does wrong, in the same words for the same fault; ``None``: nothing."""
        template, operation = self.operation_of(case)
        where = f"{case.method} {template}" if operation else case.method
        found = (
            self._status(case, operation, answer)
            or _headers(answer)
            or self._body(case.method, template, operation, answer)
            or self._said(answer)
        )
        return f"{where}: {found}" if found else None

    def broken_by_any(self, answer: Answered) -> str | None:
        """The same where it is not known what was asked for."""
        if answer.status >= 500 and answer.status != 503:
            return f"something: status {answer.status}"
        found = _headers(answer) or self._body("", "", None, answer) or self._said(answer)
        return f"something: {found}" if found else None

    def _status(
        self, case: FuzzCase, operation: Mapping[str, Any] | None, answer: Answered
    ) -> str | None:
        status = answer.status
        if status >= 500 and status != 503:
            return f"status {status}"
        if operation is not None:
            allowed = {int(code) for code in operation["responses"]}
            if "requestBody" not in operation and case.body:
                allowed |= _OF_A_BODY
            if case.header(b"sec-fetch-site") in (b"cross-site", b"same-site"):
                allowed.add(403)
            if case.header(b"origin") is not None:
                allowed.add(403)
            if len([name for name, _ in case.headers if name == b"host"]) != 1:
                allowed |= {400, 421}
            return None if status in allowed else f"status {status} is not in the document"
        if case.method == "OPTIONS" and status == 204:
            return None
        if status in _ELSEWHERE or case.path.startswith(_UNDOCUMENTED_PAGES):
            return None
        return f"status {status} where there is no operation"

    def _body(
        self, method: str, path: str, operation: Mapping[str, Any] | None, answer: Answered
    ) -> str | None:
        body, kind = answer.body, answer.header(b"content-type").partition(";")[0]
        if answer.header(b"content-encoding") == "gzip":
            body = gzip.decompress(body)
        if method == "HEAD" and not body:  # a server keeps it back
            return None
        if "json" not in kind:
            # Files of the documentation: Starlette itself refuses a range that makes no sense.
            if answer.status < 400 or (answer.status in (400, 416) and path.startswith(_ASSETS)):
                return None
            return f"status {answer.status} is no problem document but {kind}"
        try:
            value = strictly_parsed(body)
        except ValueError as error:
            return f"status {answer.status}: a body that is no JSON ({str(error)[:60]})"
        if answer.status >= 400:
            return self._is_problem(answer, kind, value)
        if operation is None:
            return None
        validator = self._validator(method, path, answer.status)
        error = None if validator is None else next(iter(validator.iter_errors(value)), None)
        if error is not None:
            place = "/".join("*" if isinstance(x, int) else str(x) for x in error.instance_path)
            return (
                f"status {answer.status} does not fit its schema at {place}: {error.message[:150]}"
            )
        return None

    def _is_problem(self, answer: Answered, kind: str, value: Any) -> str | None:
        if kind != PROBLEM:
            return f"status {answer.status} is {kind}"
        error = next(iter(self._problem.iter_errors(value)), None)
        if error is not None:
            return f"status {answer.status} is no whole problem: {error.message[:150]}"
        same = (
            value["status"] == answer.status
            and value["request_id"] == answer.header(b"x-request-id")
            and value["type"] == f"urn:closecast:error:{value['code']}"
            and value["title"] == HTTPStatus(answer.status).phrase
            and _CODE.fullmatch(value["code"])
        )
        if not same:
            return f"status {answer.status}: a problem that contradicts itself"
        needs_pause = answer.status == 429 and not answer.header(b"retry-after").isdigit()
        return "429 without Retry-After" if needs_pause else None

    def _said(self, answer: Answered) -> str | None:
        told = b"\n".join([answer.body, *(value for _, value in answer.headers)])
        for secret in self._secrets:
            if secret in told:
                return f"status {answer.status} tells {secret.decode()!r}"
        return None

    def _validator(self, method: str, path: str, status: int) -> jsonschema_rs.Validator | None:
        key = method, path, status
        if key not in self._validators:
            answer = self._operations[method, path]["responses"].get(str(status), {})
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            self._validators[key] = (
                None
                if schema is None
                else jsonschema_rs.validator_for({**schema, "components": self._components})
            )
        return self._validators[key]


def strictly_parsed(body: bytes) -> Any:
    """JSON without NaN, infinities and names that are there twice.

    Raises
    ------
    ValueError
        If it is not.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} in it")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name is there twice")
        return dict(pairs)

    return json.loads(body.decode("utf-8"), parse_constant=refuse, object_pairs_hook=once)


def _headers(answer: Answered) -> str | None:
    given = answer.all_of(b"x-request-id")
    if len(given) != 1 or not _REQUEST_ID.fullmatch(given[0]):
        return f"X-Request-ID is {given}"
    for name, value in ALWAYS.items():
        if answer.all_of(name) != [value]:
            return f"{name.decode()} is {answer.all_of(name)}"
    policies = answer.all_of(b"content-security-policy")
    if len(policies) != 1 or not policies[0].startswith(b"default-src 'none'"):
        return f"the content security policy is {policies}"
    for name, value in answer.headers:
        if b"\n" in value or b"\r" in value or b"\0" in value or name == b"x-evil":
            return f"a header that was sent in: {name!r}"
    return None


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, _OF_AN_OPERATION.split(template))), re.DOTALL)


def _strict(value: Any) -> Any:
    """A schema in which objects have no members that are not named."""
    if isinstance(value, list):
        return [_strict(part) for part in value]
    if not isinstance(value, dict):
        return value
    made = {name: _strict(part) for name, part in value.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made
