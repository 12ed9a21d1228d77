"""JSON examples for people: lists of numbers on few lines, long lists cut."""

from __future__ import annotations

import json
import textwrap
from typing import Any

WIDTH = 88
LONGEST = 12
"""Numbers of a list that are shown before "…"."""


def shown(value: Any, indent: int = 0, before: int = 0) -> str:
    """The value as JSON; what fits a line stays on it.

    Parameters
    ----------
    indent : int
        Spaces before the lines after the first.
    before : int
        Characters of a key before the first line.
    """
    value = _cut(value)
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent + before <= WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inside, outside = " " * (indent + 2), " " * indent
    if isinstance(value, dict):
        keys = {json.dumps(key) + ": ": part for key, part in value.items()}
        parts = [key + shown(part, indent + 2, len(key)) for key, part in keys.items()]
        return "{\n" + ",\n".join(inside + part for part in parts) + f"\n{outside}}}"
    if not any(isinstance(member, dict | list) for member in value):
        return f"[\n{textwrap.fill(flat[1:-1], WIDTH, **_both(inside))}\n{outside}]"
    parts = [shown(member, indent + 2) for member in value]
    return "[\n" + ",\n".join(inside + part for part in parts) + f"\n{outside}]"


def _both(indent: str) -> dict[str, Any]:
    return {"initial_indent": indent, "subsequent_indent": indent, "break_long_words": False}


def _cut(value: Any) -> Any:
    if isinstance(value, list) and len(value) > LONGEST and not isinstance(value[0], dict | list):
        return [*value[:LONGEST], "…"]
    return value
