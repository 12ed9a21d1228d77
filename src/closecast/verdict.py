"""``Verdict``: what to think of the input. Findings of drift, each with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "regime", "fault", "insufficient"]
"""``regime``: the market changed. ``fault``: the data is probably wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statistic beyond its threshold.

    ``code`` is stable and meant for programs; ``sentence`` is meant for people.
    """

    code: str
    level: Literal["regime", "fault"]
    statistic: str
    value: float
    threshold: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Findings about one window, gravest first. No finding: the level is ``ok``."""

    findings: tuple[Finding, ...] = ()
    sufficient: bool = True

    @property
    def level(self) -> Level:
        """The gravest level among the findings."""
        levels = {finding.level for finding in self.findings}
        if "fault" in levels:
            return "fault"
        if "regime" in levels:
            return "regime"
        return "ok" if self.sufficient else "insufficient"

    @property
    def warning(self) -> bool:
        """Whether anything at all was found."""
        return bool(self.findings)
