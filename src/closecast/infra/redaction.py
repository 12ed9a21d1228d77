"""Text without the secrets that may have got into it: for logs, problem documents, error lines."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
KEY_PREFIX = "closecast_"
"""Prefix of every API key, so that programs that look for leaked secrets know one."""

# Repetitions that something has to follow are bounded: a text made to be slow to search, such as
# a://a://a://, takes a tenth of a second, and not a time that grows with the square of its length.
_SENSITIVE_NAME = (
    r"[a-z0-9_.-]{0,40}(?:api[_-]?key|secret|passw(?:or)?d|pwd|token|signature|credentials?"
    r"|access[_-]?key(?:[_-]?id)?)"
)
# What our own sentences show in the place of a secret: the whole value, and in capitals.
_PLACEHOLDER = r"(?-i:KEY|TOKEN|PASSWORD|SECRET)"
_UNHIDDEN = rf"(?!\*\*\*|{_PLACEHOLDER}(?:[\s&'\"\\,;}}\])]|`[\s,;)]|`?\Z))"
_NAMED = rf"\b{_SENSITIVE_NAME}\\{{0,7}}['\"]?\s{{0,20}}[=:]\s{{0,20}}"
_PATTERNS = (
    # scheme://user:password@host, with any character but blanks and quotes in the password.
    (
        re.compile(
            r"(\b[a-z][a-z0-9+.-]{0,20}://)"
            r"(?:[^\s/'\"<>@:]{0,128}:[^\s'\"<>]{0,512}|[^\s/'\"<>]{0,512})@",
            re.I,
        ),
        rf"\1{HIDDEN}@",
    ),
    # As long as a token is: names of metrics begin like one.
    (re.compile(rf"\b{KEY_PREFIX}[A-Za-z0-9_-]{{40,}}"), HIDDEN),
    (re.compile(r"\b((?:bearer|basic)\s{1,20})[A-Za-z0-9._~+/=-]{8,}", re.I), rf"\1{HIDDEN}"),
    # "name": "several words" in a document, escaped or not, up to the closing quote.
    (
        re.compile(
            rf"({_NAMED}(\\{{0,7}}(['\"])))(?!\*\*\*|{_PLACEHOLDER}\2)(?:(?!\3)[^\\]){{1,1000}}(?=\2)",
            re.I,
        ),
        rf"\1{HIDDEN}",
    ),
    # name=value in a query or an environment, and what is left of the others.
    (
        re.compile(rf"({_NAMED}\\{{0,7}}['\"]?){_UNHIDDEN}[^\s&'\"\\,;}}\])]+", re.I),
        rf"\1{HIDDEN}",
    ),
)
# Every match of a pattern contains one of these; most lines have none, and are not searched at all.
_SIGNS = (
    *("://", KEY_PREFIX, "bearer", "basic", "key", "secret", "passw", "pwd", "token"),
    *("signature", "credential"),
)
_NO_SECRETS = frozenset({"PWD", "OLDPWD"})  # folders, which half of all messages name
_LEAST = 6
"""Characters; a shorter value would be hidden inside ordinary words, too."""


def redacted(text: str) -> str:
    """``text`` with passwords in URLs, API keys, and credentials of the environment hidden.

    >>> redacted("cannot reach postgresql://ann:s3cr3t@db/ledger?sslmode=require")
    'cannot reach postgresql://***@db/ledger?sslmode=require'
    """
    for secret in _of_this_process():
        text = text.replace(secret, HIDDEN)
    if has_signs(text):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def has_signs(text: str) -> bool:
    """Answer True if a text may hold a secret, so that it is worth searching.

    >>> has_signs('{"level": "INFO"}'), has_signs('{"token": 7}')
    (False, True)
    """
    lowered = text.lower()
    return any(sign in lowered for sign in _SIGNS) or any(s in text for s in _of_this_process())


def without_secrets(value: Any) -> Any:
    """A copy of a JSON value with secrets hidden in its texts and under names of secrets.

    The value under a secret's name is hidden whole, whatever its type, so that the document stays
    JSON (:func:`redacted` on its text could leave half a number or an open bracket).

    >>> without_secrets({"token": 71, "detail": ["password=hunter2 refused", 3]})
    {'token': '***', 'detail': ['password=*** refused', 3]}
    """
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {
            redacted(str(name)): HIDDEN if _is_sensitive(name) else without_secrets(member)
            for name, member in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(member) for member in value]
    return value


def _is_sensitive(name: object) -> bool:
    return re.search(_SENSITIVE_NAME + r"\Z", str(name), re.I) is not None


def secrets_in(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values that must not be shown: of variables named like a secret, passwords in URLs.

    The longest come first. Each as it is, as a URL writes it, and as JSON does.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if name not in _NO_SECRETS and re.fullmatch(_SENSITIVE_NAME, name, re.I):
            found.add(value)
        if match := re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^:/@\s]*:(.+)@", value):
            found |= {match[1], unquote(match[1])}
    found |= {json.dumps(value, ensure_ascii=False)[1:-1] for value in found}
    return tuple(sorted((s for s in found if len(s) >= _LEAST), key=len, reverse=True))


@cache
def _of_this_process() -> tuple[str, ...]:
    """Read once: this runs for every line of the log."""
    return secrets_in(os.environ)
