"""What several routes say of a window of closes, and log of it."""

from __future__ import annotations

import logging
from typing import Any

from closecast.core.verdict import Verdict
from closecast.drift import Language, in_language

log = logging.getLogger("closecast.drift")


def verdict_members(verdict: Verdict, language: Language) -> dict[str, Any]:
    """Of :class:`api.schemas.findings.DriftAnswer`."""
    findings = in_language(verdict, language).findings if verdict.findings else ()
    return {
        "drift_warning": verdict.warning,
        "drift_details": [finding.sentence for finding in findings],
        "drift_findings": findings,
        "provenance": verdict.provenance,
    }


def log_findings(
    verdict: Verdict, symbol: str, model_version: str, request_id: str | None, **about: object
) -> None:
    """One warning per finding, in English whoever asked.

    Parameters
    ----------
    about : JSON types
        More members of each line.
    """
    for finding in verdict.findings:
        log.warning(
            "drift",
            extra={
                "request_id": request_id,
                "symbol": symbol,
                "model_version": model_version,
                **about,
                "code": finding.code,
                "drift_level": verdict.level,
                "channel": finding.level,
                "statistic": finding.statistic,
                "value": finding.value,
                "threshold": finding.threshold,
                "p_value": finding.p_value,
                "row": finding.row,
                "sentence": finding.sentence,
            },
        )
