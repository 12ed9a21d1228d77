"""Predictors' state as JSON bytes: read and written in one way, refused in one way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from closecast.core.arrays import read_only
from closecast.errors import DamagedBundle

STATE_FILE = "predictor.json"


def dump_state(state: Mapping[str, Any]) -> dict[str, bytes]:
    """Write numbers and arrays as the JSON file of a predictor."""
    values = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in state.items()
    }
    return {STATE_FILE: json.dumps(values, indent=1).encode()}


@contextmanager
def reading(files: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """Read what :func:`dump_state` wrote; any error in the block is a :class:`DamagedBundle`."""
    try:
        state = json.loads(files[STATE_FILE])
        if not isinstance(state, dict):
            raise ValueError(f"{STATE_FILE} holds a {type(state).__name__}, no state")
        yield {
            name: read_only(value) if isinstance(value, list) else value
            for name, value in state.items()
        }
    except Exception as error:  # wrong bytes raise errors of many types
        raise DamagedBundle(f"the predictor's files do not fit together: {error!r}") from error
