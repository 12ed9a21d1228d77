"""May a candidate be served? Evidence in, one of three outcomes out. Pure.

The first version asks one question: is the candidate worse than the naive forecast on the
same untouched rows? It does not compare with the model that serves yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from closecast.evaluation import Row

Outcome = Literal["promoted", "rejected", "not_enough_evidence"]

SIGNIFICANCE = 0.05
LEAST_ORIGINS = 100
"""With fewer origins a difference of 5 % in CRPS is lost in the noise."""

SUSPICIOUS_GAIN = 0.01
"""An RMSE this share under naive's at one day is a leak until a person has explained it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why, in numbers."""

    outcome: Outcome
    reason: str


def decide(row: Row, origins: int) -> Decision:
    """Judge a candidate by its evaluation row ("window only").

    Significantly worse than naive in absolute error or CRPS over the horizon: rejected. An
    RMSE more than 1 % under naive's at step 1: rejected as suspicious. Fewer than 100
    origins: not enough evidence.
    """
    overall, first = row.overall, row.steps[0]
    numbers = (
        f"relative MAE {overall.relative_mae:.4f} (p {overall.p_mae:.2f}), "
        f"CRPS {overall.crps_ratio:.4f} of naive (p {overall.p_crps:.2f}), {origins} origins"
    )
    if first.rmse < (1 - SUSPICIOUS_GAIN) * first.naive_rmse:
        gain = 1 - first.rmse / first.naive_rmse
        return Decision(
            "rejected",
            f"suspicious: RMSE at step 1 is {gain:.1%} under naive's, which points to a leak; "
            f"{numbers}",
        )
    worse_mae = overall.relative_mae > 1 and overall.p_mae < SIGNIFICANCE
    worse_crps = overall.crps_ratio > 1 and overall.p_crps < SIGNIFICANCE
    if worse_mae or worse_crps:
        return Decision("rejected", f"significantly worse than naive: {numbers}")
    if origins < LEAST_ORIGINS:
        return Decision("not_enough_evidence", f"fewer than {LEAST_ORIGINS} origins; {numbers}")
    return Decision("promoted", f"not worse than naive: {numbers}")
