"""Values of settings in the spellings that people and tools give them."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any, Literal

from pydantic.fields import FieldInfo

OFF = "off"
"""Empties a setting of text. An empty variable cannot: it counts as unset, since ``${X:-}`` of a
Compose file makes one of every variable that is not set."""

_QUOTES = ('"', "'")


def as_meant(value: Any, field: FieldInfo) -> Any:
    """A value without blanks and quotes around it, and in the spelling of the field's choices.

    Docker's ``--env-file`` keeps quotes and trailing blanks.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        text = text[1:-1]
    if text.lower() == OFF and can_be_empty(field):
        return ""
    known = {choice.lower(): choice for choice in choices(field.annotation)}
    return known.get(text.lower(), text)


def can_be_empty(field: FieldInfo) -> bool:
    """True if a field takes an empty text, or a list of names that may be empty.

    >>> from closecast.settings import Settings
    >>> can_be_empty(Settings.model_fields["rate_limit"])
    True
    >>> can_be_empty(Settings.model_fields["host"])
    False
    """
    if field.annotation is str:
        return not any(getattr(bound, "min_length", 0) for bound in field.metadata)
    return typing.get_origin(field.annotation) is frozenset


def choices(annotation: Any) -> Iterator[str]:
    """The texts that an annotation lists, for a field that takes only these.

    >>> list(choices(Literal["cpu", "gpu"] | None))
    ['cpu', 'gpu']
    """
    if typing.get_origin(annotation) is Literal:
        yield from map(str, typing.get_args(annotation))
        return
    for part in typing.get_args(annotation):
        yield from choices(part)
