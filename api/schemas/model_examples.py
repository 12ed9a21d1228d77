"""Named examples of moving a pointer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from api.schemas.base import EXAMPLE_VERSION

_EARLIER_VERSION = "20251230T030405Z-1b2c3d4e"
PROMOTE_BODY: dict[str, Any] = {
    "let through what the gate rejected": {
        "value": {
            "symbol": "MSFT",
            "version": EXAMPLE_VERSION,
            "reason": "rejected for one bad week in March, better ever since",
            "by": "ana",
        }
    },
    "only if nobody else was faster": {
        "value": {
            "version": EXAMPLE_VERSION,
            "reason": "better over the last year",
            "expected_generation": 2,
        }
    },
}
ROLLBACK_BODY: dict[str, Any] = {
    "to the one before": {"value": {"reason": "intervals far too narrow since Monday"}},
    "to a named one": {
        "value": {
            "symbol": "MSFT",
            "version": _EARLIER_VERSION,
            "reason": "the two after it were trained on wrong closes",
            "by": "ana",
        }
    },
}
_UNVERIFIED = (
    f"bundle {EXAMPLE_VERSION} carries no passed leak check, so it is neither made current nor "
    f"served: `closecast verify {EXAMPLE_VERSION}` says what fails; mend that and train again"
)
_DAMAGED = {
    "damaged_bundle": f"bundle {EXAMPLE_VERSION}: network.onnx is missing",
    "storage_failed": "cannot write models/current/MSFT.json: No space left on device",
}
NOT_PROMOTED = {
    404: {"unknown_version": f"bundle {EXAMPLE_VERSION} is for AAPL, not for MSFT"},
    409: {
        "unverified_bundle": _UNVERIFIED,
        "pointer_moved": "the pointer of MSFT was moved meanwhile: this was decided against "
        f"generation 2, version {_EARLIER_VERSION}, and now there is generation 3, version "
        f"{EXAMPLE_VERSION}; nothing was changed. Look at GET /model again, then decide anew",
        "rolled_back": f"ana rolled MSFT back from {EXAMPLE_VERSION} at 2026-01-05T09:00:00Z: "
        "intervals far too narrow. The gate does not undo that; a person can: POST /model/promote "
        "with a reason",
    },
    422: {"invalid_request": "/reason: Field required"},
    503: _DAMAGED,
}
NOT_ROLLED_BACK = {
    404: {"unknown_version": "MSFT has no earlier bundle that is whole and verified"},
    409: {"unverified_bundle": _UNVERIFIED},
    422: {"invalid_request": "/reason: Field required"},
    503: _DAMAGED,
}


def _moved_example(name: str, **step: Any) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entry of an answer after a pointer was moved."""
    version = step["version"]
    outcome = {
        "symbol": "MSFT",
        "outcome": "swapped",
        "serving_version": version,
        "published_version": version,
        "reason": None,
    }
    common = {"generation": 3, "at": "2026-01-05T09:00:00Z", "by": "ana"}
    example = {
        "process_id": 4711,
        "reloads": [outcome],
        "steps": {"MSFT": {"rolled_back": None, **common, **step}},
    }
    return {200: {"content": {"application/json": {"examples": {name: {"value": example}}}}}}


PROMOTED = _moved_example(
    "promoted",
    version=EXAMPLE_VERSION,
    kind="promotion",
    reason="rejected for one bad week in March, better ever since",
)
WENT_BACK = _moved_example(
    "rolled back",
    version=_EARLIER_VERSION,
    kind="rollback",
    reason="intervals far too narrow since Monday",
    rolled_back=EXAMPLE_VERSION,
)
