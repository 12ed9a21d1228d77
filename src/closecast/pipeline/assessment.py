"""Assessment of a candidate: scores on the test part beside baselines, and the look-ahead check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from closecast.calibration import SplitConformal
from closecast.core.prices import Prices
from closecast.core.progress import FractionWatch, ignore_fraction, part
from closecast.core.symbols import panel_label
from closecast.errors import ClosecastError
from closecast.evaluation import (
    Evaluation,
    EvaluationResult,
    HistoryForecasts,
    ScoredModel,
    evaluate_panel,
)
from closecast.forecasters import (
    FORECASTERS,
    REFERENCE,
    Parameters,
    Predictor,
    TrainingReport,
    canonical_name,
    load_predictor,
    make_forecaster,
    make_parameters,
)
from closecast.pipeline.workspace import Candidate, Prepared
from closecast.registry.documents import INTERVALS_FILE, of_symbol
from closecast.validation.leakage import LeakCheck, LeakEvidence, check_evaluation, check_leaks

_LEAK_CHECK_SHARE = 0.08
"""Share of the assessment's time that the leak check before the scoring takes."""


class LookAheadFound(ClosecastError):
    """A feature, a split or a forecast depends on the future."""

    code = "look_ahead_found"


@dataclass(frozen=True, slots=True)
class Contest:
    """A trained model and the baselines that it is scored beside.

    Attributes
    ----------
    predictor : Predictor
        The model, one for all symbols.
    calibrations : mapping of symbol to SplitConformal
    naive : mapping of symbol to Predictor
        The reference of all ratios.
    baselines : sequence of ScoredModel
        The other baselines, each fitted to its symbol alone.
    """

    prepared: Prepared
    predictor: Predictor
    calibrations: Mapping[str, SplitConformal]
    naive: Mapping[str, Predictor]
    baselines: Sequence[ScoredModel]

    @classmethod
    def load(cls, prepared: Prepared, name: str, files: Mapping[str, bytes]) -> Self:
        """Load the model called ``name`` from its files and fit the baselines."""
        calibrations = {
            symbol: SplitConformal.from_json(of_symbol(files, INTERVALS_FILE, symbol))
            for symbol in prepared.symbols
        }
        others = [
            ScoredModel(_fit(prepared, baseline), {}, with_history=entry.with_history)
            for baseline, entry in FORECASTERS.items()
            if entry.is_baseline and baseline not in (REFERENCE, name)
        ]
        predictor = load_predictor(name, files)
        return cls(prepared, predictor, calibrations, _fit(prepared, REFERENCE), others)

    @property
    def fitted(self) -> Iterator[tuple[str, Predictor]]:
        """Every baseline with its symbol."""
        for predictors in (self.naive, *(model.predictors for model in self.baselines)):
            yield from predictors.items()

    def score(
        self, champions: Sequence[ScoredModel] = (), watch: FractionWatch = ignore_fraction
    ) -> EvaluationResult:
        """Score the model, the baselines and the champions on the test part.

        In ``followed`` of the result the model comes first.
        """
        model = ScoredModel(dict.fromkeys(self.prepared.symbols, self.predictor), self.calibrations)
        models = [model, *self.baselines, *champions]
        return evaluate_panel(self.prepared.splits, self.naive, models, watch)


@dataclass(frozen=True, slots=True)
class Assessment:
    """A candidate that passed the look-ahead check, and its scores.

    Attributes
    ----------
    collected : sequence of Prices
        Closes that took part in the split, as the source gave them.
    followed : HistoryForecasts
        The candidate's forecasts with history, and its live calibration.
    """

    candidate: Candidate
    collected: Sequence[Prices]
    contest: Contest
    result: EvaluationResult
    followed: HistoryForecasts
    leak_check: LeakCheck

    @property
    def prepared(self) -> Prepared:
        """The data that the candidate was trained and scored on."""
        return self.contest.prepared

    @property
    def evaluations(self) -> Mapping[str, Evaluation]:
        """The table of scores of each symbol."""
        return self.result.evaluations

    @property
    def about(self) -> Mapping[str, Any]:
        """The candidate's description."""
        return self.candidate.about

    @property
    def forecaster(self) -> str:
        """Name of the candidate's forecaster."""
        return canonical_name(str(self.about["forecaster"]))

    @property
    def report(self) -> TrainingReport:
        """Report of the candidate's training."""
        return TrainingReport(**self.about["training"])

    @property
    def attempts(self) -> int:
        """Number of models that the candidate was chosen from."""
        return len(self.about.get("chosen_from", {}).get("confidence_set", [self.forecaster]))


def assess(
    prepared: Prepared,
    candidate: Candidate,
    collected: Sequence[Prices],
    champions: Sequence[ScoredModel] = (),
    watch: FractionWatch = ignore_fraction,
) -> Assessment:
    """Check a candidate for look-ahead and score it on the test part; nothing is written.

    Parameters
    ----------
    collected : sequence of Prices
        Closes that took part in the split, as the source gave them.
    champions : sequence of ScoredModel
        Models that serve now, to be scored on the same rows.

    Raises
    ------
    LookAheadFound
        If the candidate, its data or its scores depend on the future.
    """
    about, name = candidate.about, canonical_name(str(candidate.about["forecaster"]))
    parameters = make_parameters(name, about["hyperparameters"])
    contest = Contest.load(prepared, name, candidate.files)
    report = TrainingReport(**about["training"])
    evidence = evidence_of(contest, collected, name, parameters, report)
    leak_check = check_leaks(evidence, watch=part(watch, 0.0, _LEAK_CHECK_SHARE))
    _require(leak_check, prepared)
    result = contest.score(champions, part(watch, _LEAK_CHECK_SHARE, 1.0))
    followed = result.followed[0]
    assert followed is not None
    evaluations = list(result.evaluations.values())
    leak_check = check_evaluation(leak_check, evidence, evaluations, followed, contest.fitted)
    _require(leak_check, prepared)
    return Assessment(candidate, collected, contest, result, followed, leak_check)


def evidence_of(
    contest: Contest,
    collected: Sequence[Prices],
    name: str,
    parameters: Parameters,
    report: TrainingReport,
) -> LeakEvidence:
    """Evidence for the look-ahead check of a model of the forecaster called ``name``."""
    return LeakEvidence(
        collected,
        contest.prepared.splits,
        contest.prepared.train_size,
        make_forecaster(name, parameters),
        contest.predictor,
        report,
        contest.calibrations,
        contest.prepared.valid_size,
    )


def _require(leak_check: LeakCheck, prepared: Prepared) -> None:
    if not leak_check.passed:
        raise LookAheadFound(
            f"{panel_label(prepared.symbols)}: not published; {'; '.join(leak_check.failures)}"
        )


def _fit(prepared: Prepared, baseline: str) -> dict[str, Predictor]:
    """One model of a baseline per symbol, fitted to it alone."""
    shared = Parameters(seq_length=prepared.seq_length, horizon=prepared.horizon)
    return {
        split.train.symbol: make_forecaster(baseline, shared).fit([split.train], [split.valid])
        for split in prepared.splits
    }
