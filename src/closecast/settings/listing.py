"""All settings as text: with value, source and meaning, or as the file ``.env.example``."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from closecast.settings import Settings
from closecast.settings.env_file import read_env_file, usable
from closecast.settings.spelling import OFF, can_be_empty, choices

Source = Literal["default", "environment", ".env"]

_SIGNS: dict[type, tuple[str, str]] = {
    Ge: ("at least", "ge"),
    Gt: ("more than", "gt"),
    Le: ("at most", "le"),
    Lt: ("less than", "lt"),
}
_HEAD = """\
# Settings of closecast, each with its default. Copy this file to `.env` in the folder in which the
# service starts, and remove the `#` before a line to change its value. Variables of the environment
# go before the file; an empty value counts as unset.
"""


def groups() -> Iterator[tuple[str, list[str]]]:
    """Title of each group of settings, with the names of its settings."""
    for kind in _kinds():
        yield (kind.__doc__ or "").partition("\n")[0].rstrip("."), list(kind.model_fields)


def _kinds() -> list[type[BaseModel]]:
    """The groups that the settings are made of; they read no environment."""
    return [
        kind
        for kind in reversed(Settings.__mro__)
        if issubclass(kind, BaseModel) and kind.__module__.startswith("closecast.settings.")
    ]


def sources() -> dict[str, Source]:
    """Source of the value of each setting.

    Raises
    ------
    UnreadableEnvFile
    """
    of_file: dict[str, str | None] = {}
    if Path(".env").is_file():
        of_file, _ = read_env_file(Path(".env"))
    in_file = {name.lower() for name in usable(of_file)}
    in_environment = {name.lower() for name in usable(os.environ)}

    def source(name: str) -> Source:
        variable = f"closecast_{name}"
        if variable in in_environment:
            return "environment"
        return ".env" if variable in in_file else "default"

    return {name: source(name) for name in Settings.model_fields}


def default_text(name: str) -> str:
    """Default of a setting as a variable would hold it; empty if it is empty.

    >>> default_text("ledger_url")
    'sqlite:///data/ledger.sqlite'
    """
    [kind] = [one for one in _kinds() if name in one.model_fields]
    return value_text(getattr(kind(), name))


def value_text(value: Any) -> str:
    """Value of a setting as a variable would hold it; empty if it is empty.

    >>> value_text(True), value_text(frozenset({"schedule", "regime"}))
    ('true', 'regime,schedule')
    """
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def bounds(field: FieldInfo) -> str:
    """Choices or bounds of a setting; empty without any.

    >>> bounds(Settings.model_fields["port"])
    'at least 1, at most 65,535'
    """
    if listed := list(choices(field.annotation)):
        return ", ".join(listed)
    found = [
        f"{_SIGNS[type(bound)][0]} {getattr(bound, _SIGNS[type(bound)][1]):,.12g}"
        for bound in field.metadata
        if type(bound) in _SIGNS
    ]
    return ", ".join(found)


def meaning(field: FieldInfo) -> str:
    """Description of a setting, with its choices or bounds in brackets."""
    limits = bounds(field)
    return f"{field.description} ({limits})" if limits else str(field.description)


def example() -> str:
    """Content of ``.env.example``: every setting with its default, commented out."""
    lines = [_HEAD]
    for title, names in groups():
        lines.append(f"# -- {title} ".ljust(98, "-"))
        for name in names:
            field = Settings.model_fields[name]
            default = default_text(name) or (OFF if can_be_empty(field) else "")
            lines += ["", *_wrapped(meaning(field)), f"#CLOSECAST_{name.upper()}={default}"]
        lines.append("")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, 98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )
