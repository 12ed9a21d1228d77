"""The reference page of settings, from the fields of the class ``Settings``."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from generators.names import SETTINGS, resolve
from generators.tables import table

_SIGNS = {
    Ge: ("at least", "ge"),
    Gt: ("more than", "gt"),
    Le: ("at most", "le"),
    Lt: ("less than", "lt"),
}

HEAD = """# Settings

Each setting is an environment variable with the prefix `CLOSECAST_`, or a line of a file `.env` in
the working directory. A value out of bounds ends the command with one line that names the setting.
This page is made from the class `Settings` at each build.

"""


def page() -> str:
    """One row per setting: name, default, meaning with the bounds."""
    kind = resolve(SETTINGS)
    prefix = kind.model_config["env_prefix"]
    rows = [
        (f"`{prefix}{name.upper()}`", _default(field), f"{field.description} {_bounds(field)}")
        for name, field in kind.model_fields.items()
    ]
    return HEAD + table(("variable", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, frozenset | tuple | list):
        value = ",".join(sorted(value))
    if isinstance(value, bool):
        value = str(value).lower()
    return f"`{value}`" if str(value) else "empty"


def _bounds(field: FieldInfo) -> str:
    if choices := list(_choices(field.annotation)):
        return f"({', '.join(f'`{choice}`' for choice in choices)})"
    found = [
        f"{sign} {getattr(bound, name):,.12g}" for bound, sign, name in _limits(field.metadata)
    ]
    return f"({', '.join(found)})" if found else ""


def _limits(metadata: list[Any]) -> Iterator[tuple[Any, str, str]]:
    for bound in metadata:
        if type(bound) in _SIGNS:
            yield (bound, *_SIGNS[type(bound)])


def _choices(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from map(str, typing.get_args(annotation))
        return
    for part in typing.get_args(annotation):
        yield from _choices(part)
