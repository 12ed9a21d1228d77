"""Remarks on variables that do not mean what the person who wrote them expects."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from closecast.settings import Settings
from closecast.settings.env_file import is_service_link, read_env_file

_PREFIX = "CLOSECAST_"
_ENV_FILE = Path(".env")
_NOT_SETTINGS = frozenset({"CLOSECAST_GIT_COMMIT"})
"""Variables that images and builds set; no file of settings needs them."""
_OF_KUBERNETES = re.compile(
    r"CLOSECAST_SERVICE_(?:HOST|PORT)(?:_\w+)?|CLOSECAST_PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?"
)
_LIKE_THE_PREFIX = 0.75  # difflib's ratio: CLOSECASTS_ and CLOSCAST_ are
_LIKE_A_SETTING = 0.6
_PLACE_BEFORE = Path("data") / "ledger.sqlite"


def remarks(settings: Settings) -> Iterator[str]:
    """One sentence for each variable that has no effect or a surprising one.

    A variable that no setting has is named with the nearest setting, as is one whose prefix has a
    typing error; one that is empty and was a value up to version 0.1.0; a file ``.env`` that is
    not UTF-8, or a folder; a ledger that a changed data folder leaves behind.
    """
    yield from _of_variables(dict(os.environ), "")
    yield from _of_the_file()
    yield from _of_the_ledger(settings)


def _of_variables(variables: dict[str, str], place: str) -> Iterator[str]:
    for name, value in sorted(variables.items()):
        if _is_setting(name):
            yield from _of_value(name.upper(), value, place)
        elif name.upper() not in _NOT_SETTINGS and not _OF_KUBERNETES.fullmatch(name.upper()):
            yield from _of_unknown(name, place)


def _is_setting(name: str) -> bool:
    upper = name.upper()
    return (
        upper.startswith(_PREFIX) and upper.removeprefix(_PREFIX).lower() in Settings.model_fields
    )


def _of_value(name: str, value: str, place: str) -> Iterator[str]:
    field = Settings.model_fields[name.removeprefix(_PREFIX).lower()]
    if name == "CLOSECAST_PORT" and is_service_link(value):
        yield (
            f"{name}={value}{place} is a link that Kubernetes made for the service closecast, and "
            "is ignored: `enableServiceLinks: false` in the pod ends that"
        )
    elif not value.strip() and field.annotation is str and field.default and name in _ONCE_OFF:
        yield f"{name}{place} is empty, which counts as unset: write `{name}=off` to turn it off"


_ONCE_OFF = frozenset({"CLOSECAST_MLFLOW_TRACKING_URI", "CLOSECAST_RATE_LIMIT_TRAIN"})
"""Settings that an empty variable turned off before it came to count as unset."""


def _of_unknown(name: str, place: str) -> Iterator[str]:
    head, _, rest = name.upper().partition("_")
    alike = difflib.SequenceMatcher(None, head, _PREFIX.rstrip("_")).ratio()
    if alike < _LIKE_THE_PREFIX:
        return
    known = [field.upper() for field in Settings.model_fields]
    near = difflib.get_close_matches(rest, known, n=1, cutoff=_LIKE_A_SETTING)
    if near:
        yield f"{name}{place} is no setting; {_PREFIX}{near[0]}?"
    elif alike == 1:
        yield f"{name}{place} is no setting; `closecast settings` lists them all"


def _of_the_file() -> Iterator[str]:
    if _ENV_FILE.is_dir():
        yield (
            f"{_ENV_FILE} is a folder and is ignored (Docker makes one where a file to be mounted "
            "is missing)"
        )
    if not _ENV_FILE.is_file():
        return
    values, encoding = read_env_file(_ENV_FILE)
    place = f" in {_ENV_FILE}"
    if encoding == "windows-1252":
        yield f"{_ENV_FILE} is not UTF-8 and was read as Windows-1252: save it as UTF-8"
    yield from _of_variables({name: value or "" for name, value in values.items()}, place)
    for name in sorted(values):
        if name.lower() in Settings.model_fields and name.isupper():
            yield f"{name}{place} has no prefix and is ignored; {_PREFIX}{name}?"


def _of_the_ledger(settings: Settings) -> Iterator[str]:
    """Before version 0.2 a changed data folder did not move the ledger."""
    now = settings.data_dir / "ledger.sqlite"
    if settings.ledger_url != f"sqlite:///{now}" or now.exists() or not _PLACE_BEFORE.exists():
        return
    yield (
        f"the ledger is {now} now, in the data folder, and is new; {_PLACE_BEFORE} holds the one "
        f"before: move it there, or set {_PREFIX}LEDGER_URL=sqlite:///{_PLACE_BEFORE}"
    )
