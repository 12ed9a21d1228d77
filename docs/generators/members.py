"""Members of JSON schemas as rows of a table, nested ones with a path such as ``path[].price``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
Row = tuple[str, str, str]

DEPTH = 3
"""Levels of nesting that are shown; what lies deeper has its own operation."""

_BOUNDS = {
    "minimum": "≥ {:,.12g}",
    "exclusiveMinimum": "> {:,.12g}",
    "maximum": "≤ {:,.12g}",
    "exclusiveMaximum": "< {:,.12g}",
    "minItems": "items ≥ {:,}",
    "maxItems": "items ≤ {:,}",
}


def named(api: Json, schema: Json) -> Json:
    """The schema itself, references and "or null" resolved."""
    if reference := schema.get("$ref"):
        found: Json = api["components"]["schemas"][reference.rsplit("/", 1)[-1]]
        return found
    choices = [s for s in schema.get("anyOf", []) if s.get("type") != "null"]
    return named(api, choices[0]) if len(choices) == 1 else schema


def type_of(api: Json, schema: Json) -> str:
    """A type in words, with bounds or the values that are allowed."""
    if "anyOf" in schema or "oneOf" in schema:
        kinds = schema.get("anyOf") or schema["oneOf"]
        found = dict.fromkeys(type_of(api, kind) for kind in kinds if kind.get("type") != "null")
        return " or ".join(found)
    if "$ref" in schema:
        target = named(api, schema)
        return type_of(api, target) if "properties" not in target else "object"
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{value}`" for value in values)
    kind = str(schema.get("format") or schema.get("type") or "any")
    bounds = [text.format(schema[key]) for key, text in _BOUNDS.items() if key in schema]
    if schema.get("type") == "array":
        kind = f"list of {type_of(api, schema.get('items', {}))}"
    return ", ".join([kind, *bounds])


def members(api: Json, schema: Json, path: str = "", depth: int = DEPTH) -> Iterator[Row]:
    """Path, type and meaning of each member, those of nested objects after their object."""
    needed = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        here = f"{path}{name}"
        kind = type_of(api, member)
        if name not in needed and depth == DEPTH and "default" in member:
            kind += f"; default `{json.dumps(member['default'])}`"
        yield f"`{here}`", kind, str(member.get("description", ""))
        target, below = named(api, member), f"{here}."
        if target.get("type") == "array":
            target, below = named(api, target.get("items", {})), f"{here}[]."
        if depth > 1:
            yield from members(api, target, below, depth - 1)
