"""Named examples of ``POST /predict`` for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from api.middleware.model_headers import GENERATION_HEADER
from api.schemas.base import EXAMPLE_VERSION
from api.schemas.findings import (
    CONTENT_LANGUAGE,
    EXAMPLE_PROVENANCE,
    NOWHERE,
    REFUSED_FINDINGS,
)
from api.schemas.predictions import EXAMPLE_CLOSES

PREDICT_BODY: dict[str, Any] = {
    "sixty closes": {"value": {"prices": EXAMPLE_CLOSES}},
    "of a symbol, with the date of the last one": {
        "value": {"prices": EXAMPLE_CLOSES, "symbol": "MSFT", "as_of": "2026-01-02"}
    },
    "other levels": {"value": {"prices": EXAMPLE_CLOSES, "levels": [0.5, 0.9]}},
}
_STEP: dict[str, Any] = {
    "step": 1,
    "price": 233.43,
    "intervals": [
        {"level": 0.8, "lower": 227.82, "upper": 239.26},
        {"level": 0.95, "lower": 223.85, "upper": 242.2},
    ],
}
CLEAN: dict[str, Any] = {
    "predicted_price": 233.43,
    "naive_price": 233.43,
    "intervals": _STEP["intervals"],
    "path": [_STEP],
    "symbol": "MSFT",
    "model_version": EXAMPLE_VERSION,
    "model_generation": 3,
    "mode": "with history",
    "calibration_revision": 1450,
    "drift_warning": False,
    "drift_details": [],
    "drift_findings": [],
    "provenance": EXAMPLE_PROVENANCE,
    "drift_level": "ok",
    "degraded": False,
    "degraded_reason": None,
    "timing": None,
}
_WIDE = [
    {"level": 0.8, "lower": 24498.43, "upper": 27040.29},
    {"level": 0.95, "lower": 23866.6, "upper": 27756.14},
]
_DEGRADED: dict[str, Any] = {
    **CLEAN,
    "predicted_price": 25738.0,
    "naive_price": 25738.0,
    "intervals": _WIDE,
    "path": [{"step": 1, "price": 25738.0, "intervals": _WIDE}],
    "mode": "window only",
    "calibration_revision": None,
    "drift_warning": True,
    "drift_details": [finding["sentence"] for finding in REFUSED_FINDINGS],
    "drift_findings": REFUSED_FINDINGS,
    "provenance": NOWHERE,
    "drift_level": "fault",
    "degraded": True,
    "degraded_reason": "fault: unit_error",
}
_HEADERS: dict[str, Any] = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The bundle that answered."},
    **GENERATION_HEADER,
    "X-Calibration-Revision": {
        "schema": {"type": "integer"},
        "description": "How many closes its calibration had learned from, with history.",
    },
    **CONTENT_LANGUAGE,
}
PREDICTED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": _HEADERS,
        "content": {
            "application/json": {
                "examples": {
                    "nothing odd": {"value": CLEAN},
                    "a fault, and the service falls back": {"value": _DEGRADED},
                }
            }
        },
    }
}
NOT_PREDICTED: dict[int, dict[str, Any]] = {
    409: {
        "data_fault": {
            "detail": "the closes of MSFT are probably wrong (unit_error): `findings` says how "
            "and where. Correct the closes and send them again; or have the service answer with a "
            "warning instead (CLOSECAST_DRIFT_ON_FAULT=warn)",
            "findings": REFUSED_FINDINGS,
        }
    },
    422: {
        "wrong_window_length": {
            "detail": f"got 3 closes, model {EXAMPLE_VERSION} needs exactly 60: send the last 60 "
            "closes, oldest first",
            "errors": [
                {
                    "pointer": "/prices",
                    "detail": f"got 3 closes, model {EXAMPLE_VERSION} needs exactly 60: send the "
                    "last 60 closes, oldest first",
                    "code": "wrong_window_length",
                }
            ],
            "expected_length": 60,
        },
        "invalid_request": {
            "detail": "/sessions: got 59 for 60 closes; one for each is needed",
            "errors": [
                {
                    "pointer": "/sessions",
                    "detail": "got 59 for 60 closes; one for each is needed",
                    "code": "wrong_length",
                }
            ],
        },
    },
}
