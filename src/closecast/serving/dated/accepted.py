"""Accepted closes in a verdict: a move that a person called right is news, not a fault."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date

from closecast.core.calendars import Dates, as_date
from closecast.core.verdict import Finding, Verdict
from closecast.drift.messages import sentence

_SINGLE_MOVES = frozenset({"split", "spike", "unit_error", "shock"})


def with_accepted(verdict: Verdict, sessions: Dates, accepted: Collection[date]) -> Verdict:
    """Call single moves that were accepted news, where they are called faults, or perhaps faults.

    Parameters
    ----------
    sessions : array of datetime64[D], shape (n,)
        Of the window that the verdict is about.
    accepted : collection of date
        Sessions whose close was accepted.
    """
    if not accepted or not verdict.findings:
        return verdict
    found = []
    for finding in verdict.findings:
        row = finding.row
        if row is not None and _doubtful(finding) and as_date(sessions[row]) in accepted:
            found += _news(finding)
        else:
            found.append(finding)
    found.sort(key=lambda finding: finding.level != "fault")  # the gravest first, as before
    return replace(verdict, findings=tuple(found))


def _doubtful(finding: Finding) -> bool:
    return finding.code in _SINGLE_MOVES and (
        finding.level == "fault" or bool(finding.alternatives)
    )


def _news(finding: Finding) -> list[Finding]:
    """The finding as a shock; nothing where its facts are those of another unit alone."""
    if not {"move", "times"} <= finding.facts.keys():
        return []
    facts = {name: finding.facts[name] for name in ("move", "times")}
    return [
        replace(
            finding,
            code="shock",
            level="regime",
            alternatives=(),
            tail_ranks={},
            facts=facts,
            sentence=sentence("shock", facts),
        )
    ]
