"""Predictors' state as JSON bytes: read and written in one way, refused in one way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from closecast.errors import DamagedBundle

STATE_FILE = "predictor.json"


def dump_state(state: Mapping[str, Any]) -> dict[str, bytes]:
    """The one file of a predictor that has no network."""
    return {STATE_FILE: json.dumps(state, indent=1).encode()}


@contextmanager
def reading(files: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """The state in ``files``; whatever does not fit it becomes :class:`DamagedBundle`."""
    try:
        state = json.loads(files[STATE_FILE])
        if not isinstance(state, dict):
            raise ValueError(f"{STATE_FILE} holds a {type(state).__name__}, no state")
        yield state
    except Exception as error:  # whatever wrong bytes lead to
        raise DamagedBundle(f"the predictor's files do not fit together: {error!r}") from error
