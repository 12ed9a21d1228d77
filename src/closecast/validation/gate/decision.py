"""May a candidate become current? Evidence in, one of three outcomes out. Pure.

Held against each other on the same rows: the candidate, what serves now, and the baselines.
The evidence of symbols that are served by one model is one: of each day the mean over symbols, so
that twenty symbols in one good year do not look like twenty good years.
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
"""What the model that serves now is called among the losses."""

SIGNIFICANCE = 0.05
"""One-sided: ``Comparison.p_one_sided`` has to be below it. Of 500 candidates on 250 days each
are promoted: 0.4 % of those 3 % worse in truth, 3.4 % of those 1 % worse, 6.6 % of equals;
``python -m benchmarks.forecast.gate`` prints it."""

LEAST_ORIGINS = 100
"""With fewer days a difference of 5 % in CRPS is lost in the noise."""

SUSPICIOUS_GAIN = 0.01
"""An RMSE this share under naive's at one day is a leak until a person has explained it."""

TOLERANCE = 0.01
"""How much worse, by estimate, a candidate may be that is taken without evidence, for its age."""


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """What becomes of a candidate that is shown to be neither better nor worse.

    Attributes
    ----------
    without_evidence : {"keep", "promote"}
        Keep what serves, or take the newer one.
    deadline_days : float
        Kept no longer than so many days: then the newer one is taken, if it is not worse by
        more than 1 % in CRPS. A gate that is never sure would stop all learning.
    """

    without_evidence: Literal["keep", "promote"] = "keep"
    deadline_days: float = 30.0


@dataclass(frozen=True, slots=True)
class ServingVersion:
    """What serves now: its version, and for how many days it has been current."""

    version: str
    age_days: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why, in numbers.

    Attributes
    ----------
    becomes_current : bool
        Of ``promoted`` always, of ``rejected`` never; of ``not_enough_evidence`` as the policy
        says.
    confidence_set : mapping of name to p
        Model confidence set at 95 %: who cannot be told from the best (CRPS, with history).
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
    """Judge a candidate for symbols that are served by one model now.

    Rejected for a symbol: an RMSE more than 1 % under naive's at step 1 (a leak, until a person
    explains it); significantly worse there than naive, or than what serves, in CRPS or absolute
    error, in either mode; the very model that was rolled back. Rejected for all: significantly
    worse than what serves, or outside the model confidence set with the baselines. Promoted:
    significantly better than what serves in CRPS with history over the symbols together, and not
    expected to be worse now. Where nothing serves, not to be worse is enough, and a baseline is
    always taken. "Significantly" is one-sided, and a reason states the p-value that decided beside
    the level that it was held against.

    Parameters
    ----------
    losses : mapping of symbol to mapping of (name, mode) to Losses
        As an evaluation answers them. ``naive`` is among the names, and :data:`CURRENT` if
        something serves. A name without a row "with history" stands in both modes as it is.
    candidate : str
        The candidate's name among them.
    rolled_back : mapping of symbol to str
        Symbols for which a person has rolled this same model back, and what was said.
    attempts : int
        Candidates among which this one was chosen by the same rows: to be better than what
        serves is proven at 5 % over all of them (Bonferroni).
    """
    names = _names(losses, candidate, current)
    pooled = [
        compare(list(losses.values()), candidate, other, mode, loss)
        for other in names
        for mode in JUDGED_MODES
        for loss in LOSSES
        if other in (REFERENCE, CURRENT)
    ]
    comparable = [n for n in names if n != CURRENT or _days_beside_current(pooled) >= LEAST_ORIGINS]
    confidence = confidence_set(list(losses.values()), [candidate, *comparable])
    shared = _of_all(candidate, current, pooled, confidence, SIGNIFICANCE / attempts)
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
    """The simplest of those that cannot be told from the best (CRPS, with history).

    Parameters
    ----------
    names : sequence of str
        Among the losses, the simplest first.

    Returns
    -------
    name, p_values
        The choice, and the model confidence set's p-value of everybody.
    """
    p_values = confidence_set(list(losses.values()), names)
    return next(name for name in names if p_values[name] > 1 - CONFIDENCE), p_values


def _names(
    losses: Mapping[str, OfSymbol], candidate: str, current: ServingVersion | None
) -> list[str]:
    """Everybody to be held against, naive first."""
    found = {name for of_symbol in losses.values() for name, _ in of_symbol}
    others = sorted(found - {REFERENCE, candidate, CURRENT})
    return [REFERENCE, *([CURRENT] if current else []), *others]


def _days_beside_current(pooled: Sequence[Comparison]) -> int:
    return next((c.days for c in pooled if c.against == CURRENT), 0)


def _of_all(
    candidate: str,
    current: ServingVersion | None,
    pooled: Sequence[Comparison],
    confidence: Mapping[str, float],
    significance: float,
) -> Decision:
    """The decision from what the symbols say together."""
    standing = [c for c in pooled if c.against == CURRENT]
    main = standing[0] if current else pooled[0]
    if current is None and candidate in BASELINES:
        return Decision("promoted", f"the first one, so that something answers: {main}", True)
    for comparison in standing:
        if comparison.is_worse(SIGNIFICANCE):
            reason = f"significantly worse than what serves: {comparison.beside(SIGNIFICANCE)}"
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
            "nothing serves, and the candidate is inside the model confidence set "
            f"(p {confidence[candidate]:.3f} > {1 - CONFIDENCE:.2f}); {main}"
        )
        return Decision("promoted", reason, True)
    if not main.is_better(significance):
        reason = f"cannot be told from what serves: {main.beside(significance)}"
        return Decision("not_enough_evidence", reason, False)
    if main.p_conditional < SIGNIFICANCE and main.next_difference > 0:
        return Decision(
            "not_enough_evidence",
            "better on average, yet expected to be worse now (Giacomini-White p "
            f"{ordered(main.p_conditional, SIGNIFICANCE)}); {main.beside(significance)}",
            False,
        )
    reason = f"significantly better than what serves: {main.beside(significance)}"
    return Decision("promoted", reason, True)


def _by_policy(
    decision: Decision,
    pooled: Sequence[Comparison],
    current: ServingVersion | None,
    policy: GatePolicy,
) -> Decision:
    """Whether the newer one is taken all the same, with the reason."""
    if current is None:
        return replace(
            decision, reason=f"{decision.reason}; taken, since nothing serves", becomes_current=True
        )
    if policy.without_evidence == "promote":
        reason = f"{decision.reason}; taken, as CLOSECAST_WITHOUT_EVIDENCE says"
        return replace(decision, reason=reason, becomes_current=True)
    waited = f"what serves does so for {current.age_days:.0f} of {policy.deadline_days:g} days"
    if current.age_days < policy.deadline_days:
        return replace(decision, reason=f"{decision.reason}; kept: {waited}")
    main = next(c for c in pooled if c.against == CURRENT)
    if main.days < LEAST_ORIGINS:
        return replace(decision, reason=f"{decision.reason}; kept, since that is no evidence")
    if main.ratio > 1 + TOLERANCE:
        reason = f"{decision.reason}; kept, since it is more than {TOLERANCE:.0%} worse"
        return replace(decision, reason=reason)
    return replace(
        decision, reason=f"{decision.reason}; taken for being newer: {waited}", becomes_current=True
    )


def _own_objection(
    of_symbol: OfSymbol, candidate: str, names: Sequence[str], symbols: int
) -> str | None:
    """What speaks against the candidate for this symbol alone.

    Against naive at 5 % each: a false alarm costs one symbol its newer model, a miss costs
    honesty. Against what serves, where the pooled evidence stands for it, at 5 % over all symbols.
    """
    for mode in JUDGED_MODES:
        gain = gain_at_step_1(of_symbol, candidate, mode)
        if gain > SUSPICIOUS_GAIN:
            return (
                f"suspicious: RMSE at step 1 is {gain:.1%} under naive's ({mode}), which points to "
                "a leak; whoever can explain it may promote it by POST /model/promote"
            )
    levels = {REFERENCE: SIGNIFICANCE, CURRENT: SIGNIFICANCE / symbols}
    for other in (name for name in names if name in levels):
        for mode in JUDGED_MODES:
            for loss in LOSSES:
                comparison = compare([of_symbol], candidate, other, mode, loss)
                if comparison.is_worse(levels[other]):
                    who = REFERENCE if other == REFERENCE else "what serves"
                    return f"significantly worse than {who}: {comparison.beside(levels[other])}"
    return None
