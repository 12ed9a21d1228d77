"""Held closes in an answer: the drift finding that stands for them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import cast, get_args

from closecast.core.records import HeldCloses
from closecast.core.verdict import Code, Finding, Verdict
from closecast.drift.messages import sentence

# Names of faults in whole histories that a window's findings call otherwise.
_IN_WINDOWS = {"suspected_split": "split"}


def with_held(verdict: Verdict | None, held: HeldCloses | None, origin: date) -> Verdict | None:
    """Put the fault for which closes are held back in front of a window's findings.

    The window ends before the held closes, so its own verdict cannot show their fault.

    Parameters
    ----------
    verdict : Verdict, optional
        Of the newest window that is not held back.
    origin : date
        Session of its last close.
    """
    if held is None:
        return verdict
    finding = _finding(held, origin)
    if verdict is None:
        return Verdict((finding,))
    return replace(verdict, findings=(finding, *verdict.findings))


def _finding(held: HeldCloses, origin: date) -> Finding:
    name = _IN_WINDOWS.get(held.code, held.code)
    code = cast("Code", name) if name in get_args(Code) else "closes_held"
    facts = {"held_since": held.since.isoformat(), "origin": origin.isoformat()}
    return Finding(
        code=code,
        level="fault",
        statistic="faults of closes that are held back",
        value=1.0,
        threshold=0.0,
        sentence=sentence(code, facts),
        facts=facts,
    )
