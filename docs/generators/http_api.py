"""The reference pages of the HTTP interface, from the OpenAPI document: one page per tag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from generators.examples import shown
from generators.members import members, named, type_of
from generators.tables import table

Json = Mapping[str, Any]

INDEX = """# HTTP interface

The service answers JSON on one port. The same description is served at `/docs` (to try out) and
`/openapi.json`; [the document](../../openapi.json) is also a file of the repository. Dates are
ISO 8601, times are UTC, prices are numbers in the symbol's currency, rates and levels are shares
between 0 and 1. Members that a body does not know are refused.

| header | in | meaning |
|---|---|---|
| `Authorization: Bearer KEY`, `X-API-Key` | request | A [key](../../how-to/security.md). |
| `Accept-Language` | request | English sentences, or Portuguese where it is preferred. |
| `Idempotency-Key` | `POST /train` | The same key with the same request is the same job. |
| `X-Request-ID` | answer | Identifier of the request, also in its log lines. |
| `X-Model-Version` | answer of a model | The bundle that answered. |
| `X-Model-Generation` | answer of a model | The step of the pointer that led to the bundle. |
| `X-Calibration-Revision` | answer of a model | Closes that its live calibration has absorbed. |

Error answers share one form: see [Errors](../errors.md).

"""


def pages(document: Path) -> dict[str, str]:
    """The index and one page for each tag, by their paths."""
    api = json.loads(document.read_text(encoding="utf-8"))
    by_tag: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in api["tags"]}
    for method, path, operation in operations(api):
        by_tag[operation["tags"][0]].append((method, path, operation))
    made = {"reference/http/index.md": INDEX + _overview(by_tag)}
    for tag in api["tags"]:
        sections = [_section(api, *found) for found in by_tag[tag["name"]]]
        head = f"# {tag['name'].capitalize()}\n\n{tag['description']}\n\n"
        made[f"reference/http/{tag['name']}.md"] = head + "".join(sections)
    return made


def operations(api: Json) -> Iterator[tuple[str, str, Json]]:
    """Method in capitals, path and description of every operation, in the document's order."""
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def anchor(method: str, path: str) -> str:
    """The part of the address after ``#`` that leads to an operation."""
    words = "".join(c if c.isalnum() else " " for c in path).split()
    return "-".join([method.lower(), *(words or ["summary"])])


def _overview(by_tag: Mapping[str, list[tuple[str, str, Json]]]) -> str:
    rows = [
        (f"[`{method} {path}`]({tag}.md#{anchor(method, path)})", _first(operation))
        for tag, found in by_tag.items()
        for method, path, operation in found
    ]
    return table(("operation", "purpose"), rows)


def _first(operation: Json) -> str:
    return str(operation.get("description") or operation["summary"]).split("\n\n")[0]


def _section(api: Json, method: str, path: str, operation: Json) -> str:
    parts = [f"## {method} {path} {{#{anchor(method, path)}}}\n\n"]
    parts += [f"{operation.get('description', operation['summary'])}\n\n"]
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{p['name']}`", p["in"], type_of(api, p["schema"]), p.get("description", ""))
            for p in parameters
        ]
        parts.append(table(("parameter", "in", "type", "meaning"), rows))
    body = operation.get("requestBody", {})
    parts += _tab("Request", _examples(body))
    for status, answer in operation["responses"].items():
        if status.startswith(("2", "3")):
            meaning = answer["description"].replace("Successful Response", "")
            shapes = _examples(answer)
            parts += _tab(f"Answer {status}", [meaning, *shapes] if meaning else shapes)
    parts += _tab("Request members", _members(api, body))
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            parts += _tab(f"Answer {status} members", _members(api, answer))
    parts += _tab("Errors", _errors(operation))
    return "".join(parts)


def _tab(title: str, contents: Sequence[str]) -> list[str]:
    """A tab of the operation; none without contents."""
    if not contents:
        return []
    lines = "\n\n".join(text.strip() for text in contents).splitlines()
    inside = "\n".join(f"    {line}" if line else "" for line in lines)
    return [f'=== "{title}"\n\n{inside}\n\n']


def _examples(part: Json) -> list[str]:
    """Code block of the first example of a request or an answer, or its content type."""
    found = []
    for kind, media in {**part.get("content", {}), **part.get("x-lines", {})}.items():
        examples = [example["value"] for example in media.get("examples", {}).values()]
        if kind == "application/json" and examples:
            found.append(f"```json\n{shown(examples[0])}\n```")
        elif kind not in ("application/json", "application/problem+json"):
            found.append(f"Content type: `{kind}`.")
    return found


def _members(api: Json, part: Json) -> list[str]:
    schema = part.get("content", {}).get("application/json", {}).get("schema", {})
    found = []
    for choice in schema.get("anyOf", [schema]):
        target = named(api, choice)
        rows = list(members(api, target))
        if rows and found:  # the first is the usual one
            found.append(f"Or: {target['description']}")
        if rows:
            found.append(table(("member", "type", "meaning"), rows))
    return found


def _errors(operation: Json) -> list[str]:
    rows = []
    for status, answer in sorted(operation["responses"].items()):
        for media in answer.get("content", {}).values():
            for code, example in media.get("examples", {}).items():
                if status.startswith(("4", "5")) and "code" in example.get("value", {}):
                    rows.append((status, f"`{code}`", example["value"]["detail"]))
    return [table(("status", "code", "example of the detail"), rows)] if rows else []
