"""Checks of a bundle that train its model again: on the same closes, and on another future."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from closecast.core.dataset import log_returns, long_run_volatility
from closecast.core.prices import Prices
from closecast.evaluation import MODES, EvaluationResult
from closecast.forecasters import Watch, canonical_name
from closecast.pipeline.reports import libraries
from closecast.pipeline.verification.checks import CheckFailed
from closecast.pipeline.verification.reproduce import (
    NotPossible,
    ReproducedBundle,
    ReproducedEvaluation,
    judge_again,
    prepare,
    train_again,
)
from closecast.pipeline.workspace import Candidate
from closecast.registry.documents import (
    Bundle,
    Manifest,
)
from closecast.settings import Settings

AS_GOOD = 1e-3
"""Relative difference up to which a model that was trained again scores as the first one did."""

COMPARED = ("crps_ratio", "relative_mae")


def check_training(
    bundle: Bundle, remade: ReproducedBundle, judged: ReproducedEvaluation, again: Candidate
) -> str:
    """Compare the scores of the model with those of one trained again, within :data:`AS_GOOD`."""
    name = canonical_name(bundle.manifest.info.forecaster)
    other = judge_again(remade.prepared, name, again)
    largest, where = _largest_difference(judged.result, other.result, name)
    changed = _other_libraries(bundle.manifest)
    suffix = f"; libraries are others: {changed}" if changed else ""
    if largest > AS_GOOD:
        raise CheckFailed(
            f"{where} differs by {largest:.1e} relative, more than {AS_GOOD:g}{suffix}"
        )
    same = all(bundle.files.get(file) == made for file, made in again.model_files.items())
    return (
        f"the same seed makes {'the same bits' if same else 'a model as good'} again: the largest "
        f"relative difference is {largest:.1e} ({where}){suffix}"
    )


def _largest_difference(
    first: EvaluationResult, second: EvaluationResult, name: str
) -> tuple[float, str]:
    found = [(0.0, "none")]
    for symbol, evaluation in first.evaluations.items():
        for mode in MODES:
            rows = [e.row(name, mode) for e in (evaluation, second.evaluations[symbol])]
            for key in COMPARED:
                one, other = (float(getattr(row.overall, key)) for row in rows)
                found.append((abs(other / one - 1), f"{key} {mode} of {symbol}"))
    return max(found)


def _other_libraries(manifest: Manifest) -> str:
    here, there = libraries(), manifest.info.libraries
    return ", ".join(
        f"{name} {there.get(name, 'none')} then, {here.get(name, 'none')} now"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    )


def check_another_future(
    settings: Settings,
    bundle: Bundle,
    remade: ReproducedBundle,
    again: Sequence[Candidate],
    seed: int,
    watch: Watch,
) -> str:
    """Train on noise in place of the test part, and expect the same files."""
    if not again:
        raise NotPossible("there is no training to compare with")
    rng = np.random.default_rng(seed)
    tests = {split.test.symbol: split.test for split in remade.prepared.splits}
    changed = [
        _with_noise(prices, tests[prices.symbol].sessions[0], rng)
        if prices.symbol in tests
        else prices
        for prices in remade.collected
    ]
    prepared = prepare(remade.rules, changed, remade.parameters)
    blind = train_again(settings, bundle, prepared, remade.parameters, watch)
    different = [name for name in again[0].files if blind.files.get(name) != again[0].files[name]]
    if different:
        raise CheckFailed(f"training looked at the test part: {', '.join(different)} differ")
    return (
        f"with noise instead of the test part training makes the same {len(blind.files)} files, "
        "bit for bit"
    )


def _with_noise(prices: Prices, start: np.datetime64, rng: np.random.Generator) -> Prices:
    """A random walk from a session on, as lively as the series is."""
    cut = int(np.searchsorted(prices.sessions, start))
    moves = rng.normal(0, long_run_volatility(log_returns(prices.closes)), len(prices) - cut)
    walk = prices.closes[cut - 1] * np.exp(np.cumsum(moves))
    closes = np.concatenate([prices.closes[:cut], walk])
    return Prices(prices.symbol, prices.sessions, closes, prices.source, prices.basis)
