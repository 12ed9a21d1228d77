"""``Verdict``: what to think of the input. Findings of drift, each with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["ok", "regime", "fault", "insufficient"]
"""``regime``: the market changed. ``fault``: the data is probably wrong."""

Channel = Literal["fault", "regime"]

Code = Literal[
    "unit_error",
    "split",
    "frozen_feed",
    "filled_days",
    "missing_days",
    "wrong_symbol",
    "stale_window",
    "spike",
    "reversed_order",
    "level_gap",
    "volatility_high",
    "volatility_low",
    "trend",
    "shock",
    "closes_held",
]
"""The cause. ``shock`` is one session of news, ``closes_held`` a fault of closes after the window,
which are held back; every other name describes itself."""

ProvenanceMatch = Literal[
    "exact",
    "differs",
    "gapped",
    "reversed",
    "other_symbol",
    "unknown",
    "newer",
    "undated",
]
"""Relation of a window to the closes that are known; see :class:`Provenance`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One statistic beyond its threshold, or one fact that needs no threshold.

    Attributes
    ----------
    code : str
        The cause, stable and meant for programs.
    statistic : str
        What was measured, in words.
    value, threshold : float
        In the unit of the statistic; beyond the threshold is odd.
    p_value : float or None
        Share of clean windows with such a value or a greater one, as far as the reference reaches
        (it never claims less than that can show). ``None`` for a fact: two dates that disagree
        have no distribution.
    false_alarm_rate : float or None
        How often this statistic alone exceeds its threshold on clean windows.
    row : int or None
        Of the first close that it is about; 0 is the oldest of the window.
    alternatives : tuple of str
        Other causes that look the same in the numbers that were sent. Where it is unsure which of
        them it is, all of them, the likelier first.
    tail_ranks : mapping of str to float
        Of causes that look the same, the share of usual values that are as odd: of clean windows
        with such a move for ``shock``, of the window's moves that are as large as the distance from
        the ratio for ``split``.
    facts : mapping
        What the sentence is made of, for other languages.
    sentence : str
        For people.
    """

    code: Code
    level: Channel
    statistic: str
    value: float
    threshold: float
    sentence: str
    p_value: float | None = None
    false_alarm_rate: float | None = None
    row: int | None = None
    alternatives: tuple[Code, ...] = ()
    tail_ranks: Mapping[Code, float] = field(default_factory=dict)
    facts: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Identity of a window among known closes, if there is one.

    Attributes
    ----------
    match : str
        ``exact``: row for row the symbol's known closes, to rounding, in one unit and price basis.
        ``differs``: the same sessions, but some rows leave the ratio of the others. ``gapped``:
        with sessions missing or added inside. ``reversed``: newest first. ``other_symbol``: those
        of another symbol. ``unknown``: nowhere among what is known, though its dates are.
        ``newer``: later than anything that is known. ``undated``: nowhere among what is known,
        and without a date nothing follows from that.
    symbol : str or None
        Whose closes they are.
    first_session, last_session : str or None
        ISO dates of the window's rows where they were found.
    factor : float or None
        What was sent over what is known: 1 in the same unit and price basis. That of the rows
        that agree where not all do.
    rows_that_differ : int or None
        Number of rows whose ratio to the known close is not ``factor``; 0 if all agree.
    first_difference : str or None
        ISO date of the known close beside the first such row.
    difference : float or None
        Close sent over the known close in that row, over ``factor``.
    """

    match: ProvenanceMatch
    symbol: str | None = None
    first_session: str | None = None
    last_session: str | None = None
    factor: float | None = None
    rows_that_differ: int | None = None
    first_difference: str | None = None
    difference: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Findings about one window, gravest first. No finding: the level is ``ok``."""

    findings: tuple[Finding, ...] = ()
    sufficient: bool = True
    provenance: Provenance | None = None

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
        """True if there is any finding."""
        return bool(self.findings)
