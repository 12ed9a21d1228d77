"""Named examples of ``/drift`` for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from api.middleware.model_headers import GENERATION_HEADER
from api.schemas.base import EXAMPLE_VERSION
from api.schemas.findings import (
    CONTENT_LANGUAGE,
    EXAMPLE_FINDING,
    EXAMPLE_PROVENANCE,
    NOWHERE,
)
from api.schemas.predictions import EXAMPLE_CLOSES

DRIFT_BODY: dict[str, Any] = {
    "one window": {"value": {"windows": [{"prices": EXAMPLE_CLOSES}]}},
    "two, the second with its last close in cents": {
        "value": {
            "windows": [
                {"prices": EXAMPLE_CLOSES, "symbol": "MSFT", "as_of": "2026-01-02"},
                {"prices": [*EXAMPLE_CLOSES[:-1], round(100 * EXAMPLE_CLOSES[-1], 2)]},
            ]
        }
    },
}
_ABOUT: dict[str, Any] = {"symbol": "MSFT", "model_version": EXAMPLE_VERSION}
_CLEAN: dict[str, Any] = {
    "drift_warning": False,
    "drift_details": [],
    "drift_findings": [],
    "provenance": EXAMPLE_PROVENANCE,
    **_ABOUT,
    "level": "ok",
}
_FAULT: dict[str, Any] = {
    "drift_warning": True,
    "drift_details": [EXAMPLE_FINDING["sentence"]],
    "drift_findings": [EXAMPLE_FINDING],
    "provenance": NOWHERE,
    **_ABOUT,
    "level": "fault",
}
_SAYS = "Estes são os fechamentos de KO de 2022-10-04 a 2022-12-28."
_PORTUGUESE: dict[str, Any] = {
    "drift_warning": True,
    "drift_details": [_SAYS],
    "drift_findings": [
        {
            "code": "wrong_symbol",
            "level": "fault",
            "statistic": "share of returns that are another symbol's",
            "value": 1.0,
            "threshold": 0.85,
            "sentence": _SAYS,
            "p_value": None,
            "false_alarm_rate": None,
            "row": 0,
            "alternatives": [],
        }
    ],
    "provenance": {**EXAMPLE_PROVENANCE, "match": "other_symbol", "symbol": "KO"},
    **_ABOUT,
    "level": "fault",
}


def _answers(headers: dict[str, Any], **examples: Any) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entry of an answer."""
    shown = {name.replace("_", " "): {"value": value} for name, value in examples.items()}
    found: dict[str, Any] = {"content": {"application/json": {"examples": shown}}}
    return {200: {**found, "headers": headers} if headers else found}


VERDICTS = _answers(
    CONTENT_LANGUAGE,
    a_clean_window_and_one_with_a_fault={"verdicts": [_CLEAN, _FAULT]},
    in_Portuguese={"verdicts": [_PORTUGUESE]},
)
_TOO_SHORT = (
    f"got 3 closes, model {EXAMPLE_VERSION} needs exactly 60: send the last 60 closes, oldest first"
)
_UNKNOWN = "no model for ACME; there are models for: MSFT. Train one with POST /train"
NOT_CHECKED: dict[int, dict[str, Any]] = {
    404: {
        "unknown_symbol": {
            "detail": f"/windows/1: {_UNKNOWN}",
            "errors": [
                {"pointer": "/windows/1/symbol", "detail": _UNKNOWN, "code": "unknown_symbol"}
            ],
        }
    },
    422: {
        "wrong_window_length": {
            "detail": f"/windows/3: {_TOO_SHORT}",
            "errors": [
                {
                    "pointer": "/windows/3/prices",
                    "detail": _TOO_SHORT,
                    "code": "wrong_window_length",
                }
            ],
            "expected_length": 60,
        },
        "invalid_request": {
            "detail": "/windows/3/prices/7: Input should be a finite number",
            "errors": [
                {
                    "pointer": "/windows/3/prices/7",
                    "detail": "Input should be a finite number",
                    "code": "finite_number",
                }
            ],
        },
    },
}
NOT_REPORTED: dict[int, dict[str, Any]] = {
    404: {"unknown_symbol": _UNKNOWN},
    422: {"invalid_request": "query:limit: Input should be less than or equal to 1000"},
    503: {"storage_failed": "the ledger cannot be used"},
}
_VERSION_HEADER: dict[str, Any] = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "The model that is watched."},
    **GENERATION_HEADER,
}
_DAY: dict[str, Any] = {
    "session": "2022-12-28",
    "model_version": EXAMPLE_VERSION,
    "evidence": 129.254,
    "alarm": False,
    "miss": False,
    "shock": 0.4518,
    "error": -0.01327,
    "expected_error": 0.01849,
}


def _rate(reached: float, lower: float, upper: float) -> dict[str, float]:
    return {"wanted": 0.01, "reached": reached, "lower": lower, "upper": upper}


def _realised(span: int | None, sessions: int, first: str, **figures: Any) -> dict[str, Any]:
    about = {"span": span, "sessions": sessions, "first_session": first}
    return {**about, "last_session": "2022-12-28", "enough": True, **figures}


REPORT = _answers(
    {**_VERSION_HEADER, **CONTENT_LANGUAGE},
    a_model_that_fits={
        **_ABOUT,
        "baseline": {
            "basis": "adjusted",
            "first_session": "2005-01-03",
            "last_session": "2015-07-01",
            "data_hash": "df37811d255cc4438796f9781ecf900f8e0a383a7d20a055aed273905947a747",
            "volatility": 0.01421,
            "rates": {
                "alone": {
                    "fault": _rate(0.00952, 0.00576, 0.01324),
                    "regime": _rate(0.01009, 0.00579, 0.01499),
                },
                "with_before": {
                    "fault": _rate(0.0099, 0.00626, 0.01362),
                    "regime": _rate(0.01009, 0.00541, 0.01605),
                },
            },
            "reference": {
                "symbols": 19,
                "first_session": "2005-06-29",
                "last_session": "2015-06-30",
                "windows": 15960,
                "step": 3,
                "data_hash": "d617c5e2bd9d648191ed3486645402d59a04d8e124bbc231744e8614a5fca39c",
                "method": "thresholds from pooled windows of other symbols, each in units of its "
                "own long-run volatility",
            },
            "faults": [],
        },
        "newest": _CLEAN,
        "monitor": {
            "evidence": 129.254,
            "threshold": 1000.0,
            "in_alarm": False,
            "sessions": 754,
            "first_session": "2020-01-02",
            "last_session": "2022-12-28",
        },
        "days": [_DAY],
        "realised": {
            "coming_error": 0.0175,
            "spans": [
                _realised(
                    60,
                    60,
                    "2022-10-04",
                    misses={"value": 0.0833, "lower": 0.0283, "upper": 0.2207},
                    bias=-0.00336,
                    bias_standard_error=0.00234,
                    error=0.02032,
                    expected_error=0.02064,
                    error_ratio={"value": 0.984, "lower": 0.753, "upper": 1.216},
                ),
                _realised(
                    None,
                    754,
                    "2020-01-02",
                    misses={"value": 0.0922, "lower": 0.0705, "upper": 0.1197},
                    bias=0.00081,
                    bias_standard_error=0.0006,
                    error=0.01516,
                    expected_error=0.01589,
                    error_ratio={"value": 0.954, "lower": 0.889, "upper": 1.019},
                ),
            ],
        },
    },
)
WATCHED = _answers(
    {},
    one_model_that_no_longer_fits={
        "symbols": [
            {**_ABOUT, "evidence": 2311.7, "alarm": True, "discovery": True},
            {
                "symbol": "AAPL",
                "model_version": EXAMPLE_VERSION,
                "evidence": 14.2,
                "alarm": False,
                "discovery": False,
            },
        ],
        "discoveries": ["MSFT"],
        "threshold": 1000.0,
    },
    nothing_is_watched_yet={"symbols": [], "discoveries": [], "threshold": 1000.0},
)
