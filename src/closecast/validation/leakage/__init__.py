"""Look-ahead check: evidence for each bundle that nothing in it depends on future closes.

The check does not trust the code under test. Labels, windows, volatilities, boundaries and
calibration scores are computed a second time from the collected closes, by other code. A trained
model, its live calibration and the features of a forecaster have no second implementation: they
are computed twice, with and without a different future, and have to agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from closecast.core.progress import FractionWatch, ignore_fraction
from closecast.evaluation import Evaluation, HistoryForecasts
from closecast.forecasters import Predictor
from closecast.validation.leakage.evidence import LeakCheck, LeakEvidence, LeakFindings
from closecast.validation.leakage.examples import check_calibrations, check_rows
from closecast.validation.leakage.scores import check_baselines, check_followed, check_scores
from closecast.validation.leakage.shrinkage import check_location
from closecast.validation.leakage.split import check_fit, check_floors, check_split
from closecast.validation.leakage.truncation import check_cuts

CUTS = 8
LONG_CUTS = 32
"""Cuts of the check that ``closecast verify`` makes at other days, perhaps years later."""


def check_leaks(
    evidence: LeakEvidence,
    seed: int = 0,
    cuts: int = CUTS,
    watch: FractionWatch = ignore_fraction,
) -> LeakCheck:
    """Search a candidate for anything that depends on closes it may not know.

    In this order: the split (parts in order, whole, unaltered, cut at the same two days by the
    number of rows alone), what ``fit`` was given, what the location's share and the volatility's
    floor were learned from, labels and inputs of random origins, the static calibration, and
    everything once more at random days with the future cut off or replaced by noise.

    Parameters
    ----------
    seed : int
        Chooses origins and days.
    cuts : int
        Days at which the data are cut.
    watch : callable
        Receives the fraction that is done, 0 to 1; may raise to stop.

    Returns
    -------
    LeakCheck
        Each failure begins with the name of its check. A wrong split ends the check at once.
    """
    rng = np.random.default_rng(seed)
    findings = LeakFindings()
    check_split(evidence, findings)
    if findings.failures:
        return LeakCheck(False, (), 0, findings.failures)
    check_fit(evidence, findings)
    check_location(evidence, findings)
    check_floors(evidence, findings)
    compared = check_rows(evidence, findings, rng)
    check_calibrations(evidence, findings)
    days, more = check_cuts(evidence, findings, rng, cuts, watch)
    return LeakCheck(not findings.failures, days, compared + more, findings.failures)


def check_evaluation(
    so_far: LeakCheck,
    evidence: LeakEvidence,
    evaluations: Sequence[Evaluation],
    followed: HistoryForecasts,
    baselines: Iterable[tuple[str, Predictor]] = (),
) -> LeakCheck:
    """Check the scores of a candidate: the right rows, compared with the right closes.

    Parameters
    ----------
    so_far : LeakCheck
        Of :func:`check_leaks`.
    evaluations : sequence of Evaluation
        One per split, in their order.
    followed : HistoryForecasts
        The candidate's, from which the "with history" rows and the stored live states come.
    baselines : iterable of (symbol, Predictor)
        Models that were fitted for the evaluation alone.
    """
    findings = LeakFindings()
    check_scores(evidence, evaluations, followed, findings)
    check_followed(evidence, followed, findings)
    check_baselines(evidence, baselines, findings)
    failures = so_far.failures + findings.failures
    return replace(so_far, passed=not failures, failures=failures)


__all__ = [
    "CUTS",
    "LONG_CUTS",
    "LeakCheck",
    "LeakEvidence",
    "check_evaluation",
    "check_leaks",
]
