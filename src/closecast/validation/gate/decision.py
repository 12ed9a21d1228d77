"""Decision of the gate: a candidate is promoted, rejected, or lacks evidence.

Pure functions. Losses of the candidate, of the current model and of the baselines are compared on
the same rows. Symbols with the same current model are judged together by their mean loss of each
day, so that twenty symbols in one good year do not count as twenty good years.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from closecast.forecasters import BASELINES, REFERENCE
from closecast.validation.gate.comparison import (
    CONFIDENCE,
    JUDGED_MODES,
    LOSSES,
    Comparison,
    OfSymbol,
    compare,
    confidence_set,
    gain_at_step_1,
    ordered,
)

Outcome = Literal["promoted", "rejected", "not_enough_evidence"]

CURRENT = "current"
"""Name of the current model among the losses."""

SIGNIFICANCE = 0.05
"""One-sided level of significance: ``Comparison.p_one_sided`` has to be below it. Of 500
candidates on 250 days each it promotes 0.4 % of those that are truly 3 % worse, 3.4 % of those 1 %
worse, and 6.6 % of equals; ``python -m benchmarks.forecast.gate`` prints these shares."""

LEAST_ORIGINS = 100
"""Days that a comparison needs: with fewer a difference of 5 % in CRPS is lost in noise."""

SUSPICIOUS_GAIN = 0.01
"""Gain in RMSE over naive at one day that counts as a leak until a person explains it."""

TOLERANCE = 0.01
"""Largest estimated loss in CRPS of a candidate that is promoted without evidence, being newer."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """Treatment of a candidate that is shown to be neither better nor worse.

    Attributes
    ----------
    without_evidence : {"keep", "promote"}
        Keep the current model, or promote the candidate.
    deadline_days : float
        Days that the current model is kept at most; afterwards the candidate is promoted unless
        it is worse by more than 1 % in CRPS. Without a deadline an undecided gate would stop all
        learning.
    """

    without_evidence: Literal["keep", "promote"] = "keep"
    deadline_days: float = 30.0


@dataclass(frozen=True, slots=True)
class ServingVersion:
    """The version that is current, and the days since it became so."""

    version: str
    age_days: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's decision on one symbol, with its reason and numbers.

    Attributes
    ----------
    becomes_current : bool
        Whether the pointer is to move: always for ``promoted``, never for ``rejected``, by the
        policy for ``not_enough_evidence``.
    confidence_set : mapping of name to p
        Model confidence set at 95 % (CRPS, with history): models that are not distinguishable
        from the best.
    """

    outcome: Outcome
    reason: str
    becomes_current: bool
    comparisons: tuple[Comparison, ...] = ()
    confidence_set: Mapping[str, float] | None = None


def decide(
    losses: Mapping[str, OfSymbol],
    candidate: str,
    current: ServingVersion | None = None,
    policy: GatePolicy = GatePolicy(),
    rolled_back: Mapping[str, str] | None = None,
    attempts: int = 1,
) -> dict[str, Decision]:
    """Judge a candidate for symbols that have the same current model.

    The candidate is rejected for one symbol if its RMSE is more than 1 % below naive's at step 1
    (a leak, until a person explains it), if it is significantly worse there than naive or the
    current model in CRPS or absolute error in either mode, or if the same model was rolled back.
    It is rejected for all symbols if it is significantly worse than the current model, or outside
    the model confidence set with the baselines. It is promoted if it is significantly better than
    the current model in CRPS with history over the symbols together, and not expected to be worse
    now. A symbol without a current model gets any candidate that is not worse, and any baseline.
    "Significantly" is one-sided; a reason states the p-value that decided beside its level.

    Parameters
    ----------
    losses : mapping of symbol to mapping of (name, mode) to Losses
        From an evaluation. ``naive`` is among the names, and :data:`CURRENT` if a model is
        current. The row of a name without a row "with history" is used in both modes.
    candidate : str
        The candidate's name among them.
    rolled_back : mapping of symbol to str
        Symbols for which a person has rolled this same model back, and the reason given.
    attempts : int
        Number of candidates from which this one was chosen by the same rows: the level at which
        it has to be better than the current model is divided by it (Bonferroni).
    """
    names = _names(losses, candidate, current)
    pooled = [
        compare(list(losses.values()), candidate, other, mode, loss)
        for other in names
        for mode in JUDGED_MODES
        for loss in LOSSES
        if other in (REFERENCE, CURRENT)
    ]
    comparable = [n for n in names if n != CURRENT or _days_with_current(pooled) >= LEAST_ORIGINS]
    confidence = confidence_set(list(losses.values()), [candidate, *comparable])
    shared = _decide_together(candidate, current, pooled, confidence, SIGNIFICANCE / attempts)
    if shared.outcome == "not_enough_evidence":
        shared = _by_policy(shared, pooled, current, policy)
    is_first = current is None and candidate in BASELINES
    decisions = {}
    for symbol, of_symbol in losses.items():
        own = None if is_first else _own_objection(of_symbol, candidate, names, len(losses))
        refused = (rolled_back or {}).get(symbol) or own
        decision = (
            Decision("rejected", refused, becomes_current=False)
            if refused and shared.outcome != "rejected"
            else shared
        )
        decisions[symbol] = replace(decision, comparisons=tuple(pooled), confidence_set=confidence)
    return decisions


def choose(losses: Mapping[str, OfSymbol], names: Sequence[str]) -> tuple[str, dict[str, float]]:
    """Choose the simplest model that is not distinguishable from the best (CRPS, with history).

    Parameters
    ----------
    names : sequence of str
        Among the losses, the simplest first.

    Returns
    -------
    name, p_values
        The choice, and every model's p-value in the model confidence set.
    """
    p_values = confidence_set(list(losses.values()), names)
    return next(name for name in names if p_values[name] > 1 - CONFIDENCE), p_values


def _names(
    losses: Mapping[str, OfSymbol], candidate: str, current: ServingVersion | None
) -> list[str]:
    """Names of the models that the candidate is compared with, naive first."""
    scored = {name for of_symbol in losses.values() for name, _ in of_symbol}
    others = sorted(scored - {REFERENCE, candidate, CURRENT})
    return [REFERENCE, *([CURRENT] if current else []), *others]


def _days_with_current(pooled: Sequence[Comparison]) -> int:
    return next((c.days for c in pooled if c.against == CURRENT), 0)


def _decide_together(
    candidate: str,
    current: ServingVersion | None,
    pooled: Sequence[Comparison],
    confidence: Mapping[str, float],
    significance: float,
) -> Decision:
    """Decide from the evidence of all symbols together."""
    against_current = [c for c in pooled if c.against == CURRENT]
    main = against_current[0] if current else pooled[0]
    if current is None and candidate in BASELINES:
        return Decision(
            "promoted", f"the first model of the symbol, promoted with any scores: {main}", True
        )
    for comparison in against_current:
        if comparison.is_worse(SIGNIFICANCE):
            reason = (
                f"significantly worse than the current model: {comparison.beside(SIGNIFICANCE)}"
            )
            return Decision("rejected", reason, False)
    if confidence[candidate] <= 1 - CONFIDENCE:
        best = max(confidence, key=lambda name: confidence[name])
        return Decision(
            "rejected",
            f"{best} is better: the candidate is outside the model confidence set "
            f"(p {confidence[candidate]:.3f} <= {1 - CONFIDENCE:.2f}); {main}",
            False,
        )
    if main.days < LEAST_ORIGINS:
        return Decision(
            "not_enough_evidence",
            f"{main.days} days are too few, {LEAST_ORIGINS} are needed; {main}",
            False,
        )
    if current is None:
        reason = (
            "no model is current, and the candidate is inside the model confidence set "
            f"(p {confidence[candidate]:.3f} > {1 - CONFIDENCE:.2f}); {main}"
        )
        return Decision("promoted", reason, True)
    if not main.is_better(significance):
        reason = f"not distinguishable from the current model: {main.beside(significance)}"
        return Decision("not_enough_evidence", reason, False)
    if main.p_conditional < SIGNIFICANCE and main.next_difference > 0:
        return Decision(
            "not_enough_evidence",
            "better on average, yet expected to be worse now (Giacomini-White p "
            f"{ordered(main.p_conditional, SIGNIFICANCE)}); {main.beside(significance)}",
            False,
        )
    reason = f"significantly better than the current model: {main.beside(significance)}"
    return Decision("promoted", reason, True)


def _by_policy(
    decision: Decision,
    pooled: Sequence[Comparison],
    current: ServingVersion | None,
    policy: GatePolicy,
) -> Decision:
    """Apply the policy for a candidate without evidence, and add it to the reason."""
    if current is None:
        reason = f"{decision.reason}; promoted, since no model is current"
        return replace(decision, reason=reason, becomes_current=True)
    if policy.without_evidence == "promote":
        reason = f"{decision.reason}; promoted, as CLOSECAST_WITHOUT_EVIDENCE has it"
        return replace(decision, reason=reason, becomes_current=True)
    age = f"it has been current for {current.age_days:.0f} of {policy.deadline_days:g} days"
    if current.age_days < policy.deadline_days:
        return replace(decision, reason=f"{decision.reason}; the current model stays: {age}")
    main = next(c for c in pooled if c.against == CURRENT)
    if main.days < LEAST_ORIGINS:
        reason = f"{decision.reason}; the current model stays, since that is no evidence"
        return replace(decision, reason=reason)
    if main.ratio > 1 + TOLERANCE:
        reason = (
            f"{decision.reason}; the current model stays, since the candidate is more than "
            f"{TOLERANCE:.0%} worse"
        )
        return replace(decision, reason=reason)
    reason = f"{decision.reason}; promoted for being newer than the current model: {age}"
    return replace(decision, reason=reason, becomes_current=True)


def _own_objection(
    of_symbol: OfSymbol, candidate: str, names: Sequence[str], symbols: int
) -> str | None:
    """Reason to reject the candidate for one symbol alone, if there is one.

    Naive is compared at a level of 5 % for each symbol: a false alarm costs one symbol its newer
    model, a miss publishes a model worse than naive. The current model, with which the pooled
    comparison is made as well, is compared at 5 % over all symbols.
    """
    for mode in JUDGED_MODES:
        gain = gain_at_step_1(of_symbol, candidate, mode)
        if gain > SUSPICIOUS_GAIN:
            return (
                f"suspicious: RMSE at step 1 is {gain:.1%} under naive's ({mode}), which points to "
                "a leak; a person who can explain it may promote it by POST /model/promote"
            )
    levels = {REFERENCE: SIGNIFICANCE, CURRENT: SIGNIFICANCE / symbols}
    for other in (name for name in names if name in levels):
        for mode in JUDGED_MODES:
            for loss in LOSSES:
                comparison = compare([of_symbol], candidate, other, mode, loss)
                if comparison.is_worse(levels[other]):
                    other_name = REFERENCE if other == REFERENCE else "the current model"
                    return (
                        f"significantly worse than {other_name}: {comparison.beside(levels[other])}"
                    )
    return None
