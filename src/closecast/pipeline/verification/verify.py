"""Is a bundle what its manifest says? Everything that can be made again is, and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from closecast.calibration import load_state
from closecast.core.dataset import log_returns, long_run_volatility
from closecast.core.prices import Prices
from closecast.errors import ClosecastError, DamagedBundle
from closecast.evaluation import MODES, EvaluationResult, calibrate
from closecast.forecasters import TrainingReport, Watch, canonical_name, make_forecaster
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.evaluate import evidence_of
from closecast.pipeline.reports import libraries
from closecast.pipeline.verification.reproduce import (
    NotPossible,
    ReproducedBundle,
    ReproducedEvaluation,
    closes_of,
    judge_again,
    prepare,
    remake,
    train_again,
)
from closecast.pipeline.workspace import Candidate
from closecast.registry.bundles import MANIFEST
from closecast.registry.documents import (
    BASELINE_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    Bundle,
    Manifest,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.validation.leakage import LONG_CUTS, check_evaluation, check_leaks

Outcome = Literal["passed", "failed", "not possible", "left out"]

SAME = 1e-9
"""Relative difference up to which numbers from one predictor are the same."""

AS_GOOD = 1e-3
"""Relative difference up to which a model that was trained again scores as the first one did."""

COMPARED = ("crps_ratio", "relative_mae")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: its name, what came out, and one sentence."""

    name: str
    outcome: Outcome
    said: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks of one bundle."""

    version: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(check.outcome != "failed" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "passed": self.passed}


class _Failed(Exception):
    """A check failed, and why."""


def verify(
    settings: Settings,
    version: str,
    *,
    quick: bool = False,
    seed: int | None = None,
    watch: Watch = ignore_progress,
) -> Verification:
    """Check a published bundle against what can be made again from its own closes.

    Nothing of the registry, the data or the results is written.

    Parameters
    ----------
    quick : bool
        Leave out the two trainings.
    seed : int, optional
        Chooses the days of the long look-ahead check; without it they are others each time.

    Raises
    ------
    UnknownVersion
        If there is no such bundle.
    """
    if seed is None:
        seed = int(np.random.default_rng().integers(2**31))
    return Verification(version, tuple(_checks(settings, version, quick, seed, watch)))


def _checks(
    settings: Settings, version: str, quick: bool, seed: int, watch: Watch
) -> Iterator[Check]:
    """One after the other; where one fails that others build on, they are not made."""
    registry = Registry(settings.models_url)
    try:
        bundle = registry.load(version)
        yield Check("files", "passed", _files(bundle, registry))
    except (DamagedBundle, _Failed) as error:
        yield Check("files", "failed", str(error))
        return
    try:
        collected = closes_of(bundle)
        yield Check("closes", "passed", _closes(bundle, collected))
        remade = remake(settings, bundle, collected)
        yield Check("preprocessing", "passed", _preprocessing(bundle, remade))
    except (ClosecastError, _Failed) as error:
        outcome: Outcome = "not possible" if isinstance(error, NotPossible) else "failed"
        yield Check("closes and preprocessing", outcome, str(error))
        return
    watch({"stage": "evaluate"})
    judged = judge_again(remade.prepared, canonical_name(bundle.manifest.info.forecaster), bundle)
    yield _attempt("look-ahead", lambda: _look_ahead(bundle, remade, judged, seed))
    yield _attempt("calibration", lambda: _calibration(bundle, remade, judged))
    yield _attempt("evaluation", lambda: _evaluation(bundle, judged))
    if quick:
        for name in ("training again", "another future"):
            yield Check(name, "left out", "--quick makes no training")
        return
    again: list[Candidate] = []

    def train() -> str:
        stage = _stage(watch, "train again")
        again.append(train_again(settings, bundle, remade.prepared, remade.parameters, stage))
        return _trained(bundle, remade, judged, again[0])

    def train_blind() -> str:
        stage = _stage(watch, "train on another future")
        return _another_future(settings, bundle, remade, again, seed, stage)

    yield _attempt("training again", train)
    yield _attempt("another future", train_blind)


def _attempt(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, "passed", check())
    except NotPossible as error:
        return Check(name, "not possible", str(error))
    except (ClosecastError, _Failed) as error:
        return Check(name, "failed", str(error))


def _stage(watch: Watch, stage: str) -> Watch:
    """A watch of one training as part of the whole."""
    watch({"stage": stage})
    return lambda progress: watch({**progress, "stage": stage})


# -- the checks: each answers a sentence, or raises --------------------------------------------


def _files(bundle: Bundle, registry: Registry) -> str:
    manifest = bundle.manifest
    foreign = registry.files_of(manifest.version) - {MANIFEST, *manifest.sha256}
    if foreign:
        raise _Failed(f"files that the manifest does not name: {', '.join(sorted(foreign))}")
    return f"{len(bundle.files)} files have the SHA-256 of the manifest, which is of its version"


def _closes(bundle: Bundle, collected: Sequence[Prices]) -> str:
    spans = bundle.manifest.info.data
    return (
        f"{sum(span.closes for span in spans)} closes of {len(spans)} symbols have the content "
        f"hash of the manifest ({len(collected) - len(spans)} more took part in the split)"
    )


def _preprocessing(bundle: Bundle, remade: ReproducedBundle) -> str:
    info, prepared = bundle.manifest.info, remade.prepared
    if prepared.symbols != info.symbols:
        raise _Failed(f"learned from {info.symbols}; by the rules it is {prepared.symbols}")
    for span, one in zip(info.data, prepared.series, strict=True):
        if one.split.boundaries != (span.valid_start, span.test_start):
            raise _Failed(
                f"{span.symbol}: the parts begin on {span.valid_start} and {span.test_start}; by "
                f"the rules on {' and '.join(one.split.boundaries)}"
            )
    if json.loads(prepared.baseline) != json.loads(bundle.files[BASELINE_FILE]):
        raise _Failed(f"{BASELINE_FILE} is not what the training parts say")
    first, second = prepared.splits[0].boundaries
    return (
        f"all symbols are cut at {first} and {second} again, with {info.seq_length + info.horizon} "
        f"rows of purge, and {BASELINE_FILE} is the same"
    )


def _look_ahead(
    bundle: Bundle, remade: ReproducedBundle, judged: ReproducedEvaluation, seed: int
) -> str:
    info = bundle.manifest.info
    evidence = evidence_of(
        remade.prepared,
        remade.collected,
        make_forecaster(info.forecaster, remade.parameters),
        judged.predictor,
        TrainingReport(**info.training),
        judged.calibrations,
    )
    outcome = check_leaks(evidence, seed, LONG_CUTS)
    live = judged.found.followed[0]
    if outcome.passed and live is not None:
        evaluations = list(judged.found.evaluations.values())
        outcome = check_evaluation(outcome, evidence, evaluations, live, judged.baselines)
    if not outcome.passed:
        raise _Failed("; ".join(outcome.failures))
    return (
        f"nothing depends on the future at {len(outcome.cuts)} random days (--seed {seed}), "
        f"{outcome.compared_origins} origins compared"
    )


def _calibration(bundle: Bundle, remade: ReproducedBundle, judged: ReproducedEvaluation) -> str:
    live = judged.found.followed[0]
    for split in remade.prepared.splits:
        symbol = split.test.symbol
        again = calibrate(judged.predictor, [split.valid])
        stored = judged.calibrations[symbol]
        if not np.array_equal(again.scores, stored.scores):
            raise _Failed(f"{symbol}: {INTERVALS_FILE} is not what the validation part says")
        state = load_state(bundle.files[LIVE_FILE], symbol)
        if live is not None and state.to_parts() != live.states[symbol].to_parts():
            raise _Failed(f"{symbol}: {LIVE_FILE} is not what following the closes leads to")
    return "static scores and live states are the same bits again"


def _evaluation(bundle: Bundle, judged: ReproducedEvaluation) -> str:
    compared = 0
    for symbol, evaluation in judged.found.evaluations.items():
        stored = json.loads(of_symbol(bundle.files, EVALUATION_FILE, symbol))
        made = json.loads(json.dumps(evaluation.to_dict()))
        for key in ("origins", "first_origin", "last_origin"):
            if stored[key] != made[key]:
                raise _Failed(f"{symbol}: {key} is {stored[key]}, made again {made[key]}")
        rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in stored["rows"]:  # a candidate called naive stands beside the reference
            name = canonical_name(row["forecaster"]), row["mode"]
            rows.setdefault(name, []).append({**row, "forecaster": name[0]})
        for row in made["rows"]:
            name = row["forecaster"], row["mode"]
            if not rows.get(name):
                raise _Failed(f"{symbol}: there is no row of {' '.join(name)}")
            if different := list(_differences(rows[name].pop(0), row)):
                raise _Failed(f"{symbol}: {' '.join(name)}: {different[0]}")
            compared += 1
    return f"{compared} rows of {EVALUATION_FILE} are the same numbers again"


def _differences(stored: Any, made: Any, where: str = "") -> Iterator[str]:
    """Places where two JSON documents of one shape hold different numbers."""
    if isinstance(made, Mapping):
        for key, value in made.items():
            yield from _differences(stored.get(key), value, f"{where} {key}".strip())
    elif isinstance(made, list) and isinstance(stored, list) and len(made) == len(stored):
        for i, (left, right) in enumerate(zip(stored, made, strict=True)):
            yield from _differences(left, right, f"{where} {i + 1}".strip())
    elif isinstance(made, float) and isinstance(stored, float | int):
        if not np.isclose(stored, made, rtol=SAME, atol=SAME, equal_nan=True):
            yield f"{where} is {stored:.6g}, made again {made:.6g}"
    elif stored != made:
        yield f"{where} is {stored}, made again {made}"


def _trained(
    bundle: Bundle, remade: ReproducedBundle, judged: ReproducedEvaluation, again: Candidate
) -> str:
    name = canonical_name(bundle.manifest.info.forecaster)
    other = judge_again(remade.prepared, name, again)
    largest, where = _largest_difference(judged.found, other.found, name)
    changed = _other_libraries(bundle.manifest)
    suffix = f"; libraries are others: {changed}" if changed else ""
    if largest > AS_GOOD:
        raise _Failed(f"{where} differs by {largest:.1e} relative, more than {AS_GOOD:g}{suffix}")
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


def _another_future(
    settings: Settings,
    bundle: Bundle,
    remade: ReproducedBundle,
    again: Sequence[Candidate],
    seed: int,
    watch: Watch,
) -> str:
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
    prepared = prepare(settings, changed, remade.parameters)
    if prepared.symbols != remade.prepared.symbols:
        raise NotPossible("the noise looks like a data fault: another --seed makes another")
    blind = train_again(settings, bundle, prepared, remade.parameters, watch)
    different = [name for name in again[0].files if blind.files.get(name) != again[0].files[name]]
    if different:
        raise _Failed(f"training looked at the test part: {', '.join(different)} differ")
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
