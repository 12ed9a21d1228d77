"""Checks of a bundle's files and documents against the closes that it carries.

Each answers one sentence, or raises :class:`CheckFailed` with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from closecast.calibration import load_state
from closecast.core.prices import Prices
from closecast.drift import LEVELS
from closecast.evaluation import calibrate
from closecast.forecasters import TrainingReport, canonical_name
from closecast.pipeline.assessment import evidence_of
from closecast.pipeline.verification.reproduce import (
    ReproducedBundle,
    ReproducedEvaluation,
)
from closecast.registry.bundles import MANIFEST
from closecast.registry.documents import (
    BASELINE_FILE,
    EVALUATION_FILE,
    FORMAT,
    INTERVALS_FILE,
    LIVE_FILE,
    Bundle,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.validation.leakage import LONG_CUTS, check_evaluation, check_leaks

SAME = 1e-9
"""Relative difference up to which numbers from one predictor are the same."""


class CheckFailed(Exception):
    """A check of a bundle failed; the message is the reason."""


def check_files(bundle: Bundle, registry: Registry) -> str:
    """Compare the files in the registry with those that the manifest names."""
    manifest = bundle.manifest
    foreign = registry.files_of(manifest.version) - {MANIFEST, *manifest.sha256}
    if foreign:
        raise CheckFailed(f"files that the manifest does not name: {', '.join(sorted(foreign))}")
    return f"{len(bundle.files)} files have the SHA-256 of the manifest, which is of its version"


def check_closes(bundle: Bundle, collected: Sequence[Prices]) -> str:
    """Sum up the closes, whose content hashes were compared when they were loaded."""
    spans = bundle.manifest.info.data
    return (
        f"{sum(span.closes for span in spans)} closes of {len(spans)} symbols have the content "
        f"hash of the manifest ({len(collected) - len(spans)} more took part in the split)"
    )


def check_preprocessing(bundle: Bundle, remade: ReproducedBundle) -> str:
    """Compare symbols, parts and drift baseline with those of preprocessing the closes again."""
    info, prepared = bundle.manifest.info, remade.prepared
    if prepared.symbols != info.symbols:
        raise CheckFailed(f"learned from {info.symbols}; by the rules it is {prepared.symbols}")
    for span, one in zip(info.data, prepared.series, strict=True):
        if one.split.boundaries != (span.valid_start, span.test_start):
            raise CheckFailed(
                f"{span.symbol}: the parts begin on {span.valid_start} and {span.test_start}; by "
                f"the rules on {' and '.join(one.split.boundaries)}"
            )
    now, then = json.loads(prepared.baseline), json.loads(bundle.files[BASELINE_FILE])
    if now.keys() != then.keys() or not all(_agree(now[s], then[s]) for s in now):
        raise CheckFailed(f"{BASELINE_FILE} is not what the training parts say")
    first, second = prepared.splits[0].boundaries
    return (
        f"all symbols are cut at {first} and {second} again, with {info.seq_length + info.horizon} "
        f"rows of purge, and {BASELINE_FILE} is the same"
    )


def _agree(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """Compare baselines of a symbol: those of another method of thresholds, in their levels."""
    if now["reference"]["method"] == then["reference"]["method"]:
        return now == then
    return all(now[name] == then[name] for name in LEVELS)


def check_look_ahead(
    bundle: Bundle, remade: ReproducedBundle, judged: ReproducedEvaluation, seed: int
) -> str:
    """Repeat the look-ahead check at random days that a seed chooses."""
    info = bundle.manifest.info
    report = TrainingReport(**info.training)
    contest, result = judged.contest, judged.result
    evidence = evidence_of(contest, remade.collected, info.forecaster, remade.parameters, report)
    outcome = check_leaks(evidence, seed, LONG_CUTS)
    live = result.followed[0]
    if outcome.passed and live is not None:
        evaluations = list(result.evaluations.values())
        outcome = check_evaluation(outcome, evidence, evaluations, live, contest.fitted)
    if not outcome.passed:
        raise CheckFailed("; ".join(outcome.failures))
    return (
        f"nothing depends on the future at {len(outcome.cuts)} random days (--seed {seed}), "
        f"{outcome.compared_origins} origins compared"
    )


def check_calibration(
    bundle: Bundle, remade: ReproducedBundle, judged: ReproducedEvaluation
) -> str:
    """Compare static scores and live states with those computed again, bit for bit."""
    live = judged.result.followed[0]
    for split in remade.prepared.splits:
        symbol = split.test.symbol
        again = calibrate(judged.contest.predictor, [split.valid])
        stored = judged.contest.calibrations[symbol]
        if not np.array_equal(again.scores, stored.scores):
            raise CheckFailed(f"{symbol}: {INTERVALS_FILE} is not what the validation part says")
        state = load_state(bundle.files[LIVE_FILE], symbol)
        if live is not None and state.to_parts() != live.states[symbol].to_parts():
            raise CheckFailed(f"{symbol}: {LIVE_FILE} is not what following the closes leads to")
    return "static scores and live states are the same bits again"


def check_evaluation_rows(bundle: Bundle, judged: ReproducedEvaluation) -> str:
    """Compare the stored evaluation with the model scored again, within :data:`SAME`.

    Rows and members that an older format did not have are not compared.
    """
    compared, is_older = 0, bundle.manifest.schema_version < FORMAT
    for symbol, evaluation in judged.result.evaluations.items():
        stored = json.loads(of_symbol(bundle.files, EVALUATION_FILE, symbol))
        made = json.loads(json.dumps(evaluation.to_dict()))
        for key in ("origins", "first_origin", "last_origin"):
            if stored[key] != made[key]:
                raise CheckFailed(f"{symbol}: {key} is {stored[key]}, made again {made[key]}")
        rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in stored["rows"]:  # a candidate called naive stands beside the reference
            name = canonical_name(row["forecaster"]), row["mode"]
            rows.setdefault(name, []).append({**row, "forecaster": name[0]})
        for row in made["rows"]:
            name = row["forecaster"], row["mode"]
            if not rows.get(name):
                if is_older:
                    continue
                raise CheckFailed(f"{symbol}: there is no row of {' '.join(name)}")
            kept = rows[name].pop(0)
            if different := list(_differences(kept, _like(kept, row) if is_older else row)):
                raise CheckFailed(f"{symbol}: {' '.join(name)}: {different[0]}")
            compared += 1
    return f"{compared} rows of {EVALUATION_FILE} are the same numbers again"


def _like(stored: Any, made: Any) -> Any:
    """What a document holds under the names of another one."""
    if isinstance(stored, Mapping) and isinstance(made, Mapping):
        return {key: _like(stored[key], value) for key, value in made.items() if key in stored}
    if isinstance(stored, list) and isinstance(made, list) and len(stored) == len(made):
        return [_like(left, right) for left, right in zip(stored, made, strict=True)]
    return made


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
