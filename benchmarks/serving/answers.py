"""Whether an answer of ``POST /predict`` is what the version that it names says of the window."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BITWISE, CLOSE = "the same bytes", "the same within 1e-6"
DIFFERENT, UNKNOWN = "another answer than its version gives", "no published version"
RIGHT = (BITWISE, CLOSE)

_TOLERANCE = 1e-6
_VERSION = re.compile(rb'"model_version": ?"([^"]+)"')
_GENERATION = re.compile(rb'"model_generation": ?\d+')


@dataclass(frozen=True)
class Expected:
    """What each version answers to each window; called with an answer, says what became of it.

    Attributes
    ----------
    bodies : mapping of str to sequence of bytes
        By version, in the order of the windows; asked when no other version was current.
    """

    bodies: Mapping[str, Sequence[bytes]]

    def __call__(self, window: int, body: bytes) -> str:
        """Version and kind, with a tab between them."""
        found = _VERSION.search(body)
        version = found[1].decode() if found else "none"
        if version not in self.bodies:
            return f"{version}\t{UNKNOWN}"
        # A version has another generation each time that it becomes current.
        body, wanted = (_current_once(one) for one in (body, self.bodies[version][window]))
        if body == wanted:
            return f"{version}\t{BITWISE}"
        same = nearly_equal(json.loads(body), json.loads(wanted))
        return f"{version}\t{CLOSE if same else DIFFERENT}"

    def tells_versions_apart(self) -> bool:
        """Whether every window is answered differently by each: else a mixture could hide."""
        numbers = [[_without_version(body) for body in bodies] for bodies in self.bodies.values()]
        return all(len(set(answers)) == len(numbers) for answers in zip(*numbers, strict=True))


def nearly_equal(a: Any, b: Any) -> bool:
    """Equal JSON, numbers within a relative 1e-6."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(nearly_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(nearly_equal, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=_TOLERANCE)
    return bool(a == b)


def _without_version(body: bytes) -> bytes:
    return _current_once(_VERSION.sub(b"", body))


def _current_once(body: bytes) -> bytes:
    return _GENERATION.sub(b'"model_generation":0', body)
