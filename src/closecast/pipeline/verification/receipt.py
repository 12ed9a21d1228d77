"""Receipt of a bundle: its data, training and scores, and the command that reproduces it."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from closecast.errors import BadSetting
from closecast.evaluation import MODES, EvaluationResult
from closecast.forecasters import Watch
from closecast.forecasters.base import ignore_progress
from closecast.pipeline.verification.reproduce import closes_of, judge_again, remake, train_again
from closecast.pipeline.verification.retraining import COMPARED
from closecast.registry.documents import BundleInfo, Manifest
from closecast.registry.registry import Registry
from closecast.settings import Settings

LEAST_SEEDS = 3
WIDTH = 100
_LABEL = 18


@dataclass(frozen=True, slots=True)
class Receipt:
    """Contents of a manifest for a reader, from data to outcome.

    Attributes
    ----------
    scores : mapping of mode to mapping of score to mapping
        ``mean`` and ``worst`` over symbols, whole horizon; below 1 is better than naive.
    again : str
        The command that reproduces it, if the source still gives these closes.
    """

    version: str
    created_at: str
    forecaster: str
    data: tuple[Mapping[str, Any], ...]
    left_out: Mapping[str, str]
    git_commit: str | None
    seed: int | None
    fine_tuned_from: str | None
    libraries: Mapping[str, str]
    hyperparameters: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    gate: Mapping[str, Mapping[str, Any]]
    leak_check: Mapping[str, Any]
    again: str

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self)


def receipt(settings: Settings, version: str) -> Receipt:
    """The receipt of a published bundle.

    Raises
    ------
    UnknownVersion, DamagedBundle
    """
    manifest = Registry(settings.models_url).manifest(version)
    info = manifest.info
    return Receipt(
        version=version,
        created_at=f"{manifest.created_at:%Y-%m-%dT%H:%M:%SZ}",
        forecaster=info.forecaster,
        data=tuple(span.model_dump() for span in info.data),
        left_out=info.left_out,
        git_commit=info.git_commit,
        seed=info.hyperparameters.get("seed"),
        fine_tuned_from=info.fine_tuned_from,
        libraries=info.libraries,
        hyperparameters=info.hyperparameters,
        scores=_scores(info),
        gate=info.gate,
        leak_check=info.leak_check,
        again=_command(manifest),
    )


def _scores(info: BundleInfo) -> dict[str, dict[str, dict[str, float]]]:
    return {
        mode: {
            key: {
                "mean": float(np.mean([rows[mode][key] for rows in info.evaluation.values()])),
                "worst": float(max(rows[mode][key] for rows in info.evaluation.values())),
            }
            for key in COMPARED
        }
        for mode in MODES
        if all(mode in rows for rows in info.evaluation.values()) and info.evaluation
    }


def _command(manifest: Manifest) -> str:
    """The complete command: nothing is left to defaults that may change."""
    info = manifest.info
    source = info.asked_source or (info.data[0].source if info.data else "sample")
    parts = ["closecast", "train", "--symbols", ",".join(sorted({*info.symbols, *info.left_out}))]
    parts += ["--source", f"{source}:URL" if source == "file" else source]
    if info.data:
        parts += ["--start", min(span.first_session for span in info.data)]
        parts += ["--end", max(span.last_session for span in info.data)]
    parts += ["--forecaster", info.forecaster]
    for name, value in info.hyperparameters.items():
        parts += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    if info.fine_tuned_from:
        parts.append("--fine-tune")
    return shlex.join(parts)


# -- for people ---------------------------------------------------------------------------------


def as_text(made: Receipt) -> str:
    """The receipt for a terminal, no line longer than 100 columns but for the command."""
    lines = [f"{made.version}: {made.forecaster}, made {made.created_at}"]
    for span in made.data:
        lines += _field(
            span["symbol"],
            f"{span['closes']} {span['basis']} closes from {span['source']}, "
            f"{span['first_session']} to {span['last_session']}; validation from "
            f"{span['valid_start']}, test from {span['test_start']}; "
            f"hash {span['content_hash'][:12]}",
        )
    for symbol, reason in made.left_out.items():
        lines += _field(symbol, f"left out: {reason}")
    lines += _field("code commit", made.git_commit or "unknown")
    lines += _field("seed", str(made.seed))
    if made.fine_tuned_from:
        lines += _field("fine-tuned from", made.fine_tuned_from)
    lines += _field("libraries", _pairs(made.libraries))
    lines += _field("hyper-parameters", _pairs(made.hyperparameters))
    lines += _field("evaluation", "ratios to naive on the same rows, whole horizon")
    for mode, scores in made.scores.items():
        text = ", ".join(
            f"{key} {found['mean']:.4f} (worst symbol {found['worst']:.4f})"
            for key, found in scores.items()
        )
        lines += _field(f"  {mode}", text)
    for symbol, decision in made.gate.items():
        lines += _field(f"gate, {symbol}", f"{decision['outcome']}: {decision['reason']}")
    lines += _field("leak check", _leak_check(made.leak_check))
    lines += ["make it again:", f"  {made.again}"]
    return "\n".join(lines)


def _field(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{label:<{_LABEL}}",
        subsequent_indent=" " * _LABEL,
    ) or [label]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _leak_check(outcome: Mapping[str, Any]) -> str:
    if not outcome:
        return "none was made"
    if not outcome.get("passed"):
        return f"failed: {'; '.join(outcome.get('failures', ()))}"
    return (
        f"passed at {len(outcome['cuts'])} cuts, {outcome['compared_origins']} origins compared; "
        "`closecast verify` repeats it at others"
    )


# -- other seeds --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spread:
    """Spread of a bundle's scores over seeds.

    Attributes
    ----------
    seeds : tuple of int
    scores : mapping of mode to mapping of score to tuple of float
        One number per seed: the mean over symbols, whole horizon.
    """

    seeds: tuple[int, ...]
    scores: Mapping[str, Mapping[str, tuple[float, ...]]]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only, with mean, smallest, largest and standard deviation."""
        summary = {
            mode: {key: _summary(values) for key, values in scores.items()}
            for mode, scores in self.scores.items()
        }
        return {**asdict(self), "summary": summary}


def spread_over_seeds(
    settings: Settings, version: str, seeds: int, watch: Watch = ignore_progress
) -> Spread:
    """Train a bundle again with other seeds, the first one its own, on its own closes.

    Nothing is stored.

    Raises
    ------
    BadSetting
        If fewer than three seeds are requested, which are too few for a spread.
    NotPossible
        If the bundle carries no closes, or its parent is gone.
    """
    if seeds < LEAST_SEEDS:
        raise BadSetting(
            f"--seeds {seeds}: fewer than {LEAST_SEEDS} trainings have no spread; "
            f"give {LEAST_SEEDS} or more"
        )
    bundle = Registry(settings.models_url).load(version)
    remade = remake(settings, bundle, closes_of(bundle))
    first = remade.parameters.seed
    chosen = tuple((first + i) % 2**31 for i in range(seeds))
    found = []
    for seed in chosen:
        watch({"stage": f"train with seed {seed}"})
        parameters = remade.parameters.model_copy(update={"seed": seed})
        candidate = train_again(settings, bundle, remade.prepared, parameters)
        name = bundle.manifest.info.forecaster
        found.append(_means(judge_again(remade.prepared, name, candidate).result, name))
    return Spread(
        chosen,
        {mode: {key: tuple(one[mode][key] for one in found) for key in COMPARED} for mode in MODES},
    )


def _means(found: EvaluationResult, name: str) -> dict[str, dict[str, float]]:
    """Over symbols, whole horizon."""
    evaluations = found.evaluations.values()
    return {
        mode: {
            key: float(np.mean([getattr(e.row(name, mode).overall, key) for e in evaluations]))
            for key in COMPARED
        }
        for mode in MODES
    }


def _summary(values: Sequence[float]) -> dict[str, float]:
    return {
        "mean": float(np.mean(values)),
        "smallest": min(values),
        "largest": max(values),
        "standard_deviation": float(np.std(values, ddof=1)),
    }


def spread_as_text(spread: Spread) -> str:
    """The spread for a terminal."""
    seeds = ", ".join(map(str, spread.seeds))
    lines = [
        *textwrap.wrap(f"trained again with {len(spread.seeds)} seeds: {seeds}", WIDTH),
        f"{'':<32}{'mean':>10}{'smallest':>10}{'largest':>10}{'std. dev.':>11}",
    ]
    for mode, scores in spread.scores.items():
        for key, values in scores.items():
            found = _summary(values)
            lines.append(
                f"{f'{key}, {mode}':<32}{found['mean']:>10.4f}{found['smallest']:>10.4f}"
                f"{found['largest']:>10.4f}{found['standard_deviation']:>11.5f}"
            )
    return "\n".join(lines)
