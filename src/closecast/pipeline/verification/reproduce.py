"""Reproduction of a published bundle from the closes that it carries; nothing is stored."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from closecast.core.prices import Prices
from closecast.drift import Baseline
from closecast.errors import ClosecastError, DamagedBundle, UnknownVersion
from closecast.evaluation import EvaluationResult
from closecast.forecasters import (
    Parameters,
    Predictor,
    Runtime,
    Watch,
    load_predictor,
    make_parameters,
)
from closecast.forecasters.base import ignore_progress
from closecast.forecasters.shrunk import without_shrinkage
from closecast.pipeline.assessment import Contest
from closecast.pipeline.preprocess import preprocess
from closecast.pipeline.train import fit_candidate
from closecast.pipeline.workspace import Candidate, Prepared, Workspace
from closecast.registry.closes import load_closes
from closecast.registry.documents import (
    BASELINE_FILE,
    CLOSES_FILE,
    Bundle,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings


class NotPossible(ClosecastError):
    """A bundle cannot be reproduced: something that it was trained from is gone."""

    code = "not_possible"


@dataclass(frozen=True, slots=True)
class PreprocessingRules:
    """Rules by which a bundle's drift baseline was made, which newer code may have changed.

    Attributes
    ----------
    settings : Settings
        The user's, with the rates of false alarms that the bundle was made for.
    statistics : collection of str
        Keys of the drift statistics that get a threshold.
    by_kind : bool
        Whether coins are judged by coins.
    """

    settings: Settings
    statistics: Collection[str]
    by_kind: bool

    @classmethod
    def of(cls, settings: Settings, bundle: Bundle) -> Self:
        """Read the rules from a bundle's drift baseline."""
        symbol = bundle.manifest.info.symbols[0]
        baseline = Baseline.from_json(of_symbol(bundle.files, BASELINE_FILE, symbol))
        wanted = {
            f"drift_{channel}_rate": reached.wanted
            for channel, reached in baseline.rates["alone"].items()
        }
        # Statistics share a channel's rate: a newer one would move the thresholds of all others.
        statistics = baseline.alone.keys() | baseline.with_before.keys()
        as_then = settings.model_copy(update=wanted)
        return cls(as_then, statistics, not baseline.from_before_kinds)


@dataclass(frozen=True, slots=True)
class ReproducedBundle:
    """Closes, parameters and prepared data of a bundle's training, reproduced.

    Attributes
    ----------
    collected : list of Prices
        All that took part in the split.
    rules : PreprocessingRules
        Rules of the training; other closes are preprocessed by the same ones.
    """

    collected: list[Prices]
    parameters: Parameters
    prepared: Prepared
    rules: PreprocessingRules


@dataclass(frozen=True, slots=True)
class ReproducedEvaluation:
    """A model scored again; its forecasts come first in ``result.followed``."""

    contest: Contest
    result: EvaluationResult


def closes_of(bundle: Bundle) -> list[Prices]:
    """The closes that a bundle was trained from.

    Raises
    ------
    NotPossible
        If it carries none.
    DamagedBundle
        If they are not those that the manifest names.
    """
    if CLOSES_FILE not in bundle.files:
        raise NotPossible("it was made before bundles carried their closes: train it again")
    return load_closes(bundle.files[CLOSES_FILE], bundle.manifest.info.data)


def remake(settings: Settings, bundle: Bundle, collected: list[Prices]) -> ReproducedBundle:
    """Preprocess closes as the bundle's were.

    Raises
    ------
    InvalidHyperparameters
        If this version of the code has other hyper-parameters.
    """
    info = bundle.manifest.info
    parameters = make_parameters(info.forecaster, info.hyperparameters)
    rules = PreprocessingRules.of(settings, bundle)
    prepared = prepare(rules, collected, parameters)
    return ReproducedBundle(collected, parameters, prepared, rules)


def prepare(
    rules: PreprocessingRules, series: Sequence[Prices], parameters: Parameters
) -> Prepared:
    """Preprocess in a temporary folder; the user's folders stay as they are."""
    with tempfile.TemporaryDirectory(prefix="closecast-again-") as folder:
        scratch = rules.settings.model_copy(update={"data_dir": Path(folder)})
        workspace = Workspace(scratch, [prices.symbol for prices in series])
        for prices in series:
            workspace.put_prices(prices)
        return preprocess(
            scratch,
            workspace.symbols,
            parameters,
            statistics=rules.statistics,
            by_kind=rules.by_kind,
            checked=True,
        )


def train_again(
    settings: Settings,
    bundle: Bundle,
    prepared: Prepared,
    parameters: Parameters,
    watch: Watch = ignore_progress,
) -> Candidate:
    """Train as the bundle was trained.

    Raises
    ------
    NotPossible
        If it was fine-tuned from a bundle that is gone.
    """
    info = bundle.manifest.info
    parent = info.fine_tuned_from
    return fit_candidate(
        prepared,
        info.forecaster,
        parameters,
        parent,
        _parent(settings, parent) if parent else None,
        Runtime(settings.accelerator, settings.training_threads),
        watch,
    )


def _parent(settings: Settings, version: str) -> Predictor:
    try:
        bundle = Registry(settings.models_url).load(version)
    except (UnknownVersion, DamagedBundle) as error:
        raise NotPossible(f"it was fine-tuned, and its parent is gone: {error}") from error
    return without_shrinkage(load_predictor(bundle.manifest.info.forecaster, bundle.files))


def judge_again(prepared: Prepared, name: str, files: Candidate | Bundle) -> ReproducedEvaluation:
    """Score a model on the test part beside naive and the other baselines, without champions."""
    contest = Contest.load(prepared, name, files.files)
    return ReproducedEvaluation(contest, contest.score())
