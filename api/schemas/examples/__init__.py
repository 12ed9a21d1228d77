"""Named examples of requests and answers, recorded by ``python -m scripts.record_examples``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
"""One JSON file per operation id."""


def recorded_examples(operation_id: str) -> Mapping[str, Mapping[str, Any]]:
    """``request`` or a status to the name of an example to its body; empty without a record.

    The name of an error's example is its code.
    """
    path = FOLDER / f"{operation_id}.json"
    if not path.exists():
        return {}
    recorded: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return recorded
