"""Accepted closes in a verdict: news where a person called the move right."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from closecast.core.calendars import as_date
from closecast.core.verdict import Code, Finding, Verdict
from closecast.serving.dated.accepted import with_accepted

SESSIONS = np.busday_offset("2022-10-03", np.arange(60), roll="forward")
ROW = 57
DAY = as_date(SESSIONS[ROW])
FACTS: dict[str, Any] = {"move": -50.1, "times": 31.0, "ratio": "2:1"}


def made(code: Code, row: int | None = ROW, **changes: Any) -> Finding:
    values: dict[str, Any] = {"level": "fault", "facts": FACTS, **changes}
    return Finding(
        code=code, statistic="x", value=9.0, threshold=7.0, sentence="?", row=row, **values
    )


@pytest.mark.parametrize("code", ["split", "spike"])
def test_an_accepted_move_is_news(code: Code) -> None:
    verdict = with_accepted(Verdict((made(code),)), SESSIONS, {DAY})
    [finding] = verdict.findings
    assert (finding.code, finding.level, finding.row) == ("shock", "regime", ROW)
    assert finding.sentence.startswith("One session moved -50.1 %")
    assert (verdict.level, verdict.warning) == ("regime", True)


def test_an_accepted_move_that_was_unsure_is_news() -> None:
    unsure = made("shock", level="regime", alternatives=("split",))
    [finding] = with_accepted(Verdict((unsure,)), SESSIONS, {DAY}).findings
    assert (finding.code, finding.alternatives) == ("shock", ())


def test_an_accepted_unit_is_no_finding() -> None:
    verdict = with_accepted(Verdict((made("unit_error", facts={"factor": 21}),)), SESSIONS, {DAY})
    assert verdict.findings == ()


@pytest.mark.parametrize(
    ("finding", "accepted"),
    [
        (made("split"), set()),
        (made("split"), {date(2022, 1, 3)}),
        (made("split", row=ROW - 1), {DAY}),
        (made("wrong_symbol", row=None), {DAY}),
        (made("frozen_feed"), {DAY}),
        (made("volatility_high", level="regime"), {DAY}),
    ],
)
def test_any_other_finding_stays_as_it_is(finding: Finding, accepted: set[date]) -> None:
    verdict = Verdict((finding,))
    assert with_accepted(verdict, SESSIONS, accepted) == verdict


def test_faults_stay_in_front() -> None:
    stays = made("frozen_feed", row=3)
    findings = with_accepted(Verdict((made("split"), stays)), SESSIONS, {DAY}).findings
    assert [finding.code for finding in findings] == ["frozen_feed", "shock"]
