"""Promotion: the champions that serve now, the gate's decisions, and moves of the pointers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from closecast.calibration import SplitConformal
from closecast.core.dataset import Split
from closecast.core.point_forecasts import flat_path_note, is_unearned
from closecast.core.prices import Prices
from closecast.errors import (
    ClosecastError,
    DamagedBundle,
    PointerMoved,
    RolledBack,
    TooFewCloses,
    UnknownVersion,
    UnverifiedBundle,
)
from closecast.evaluation import Losses, Mode, ScoredModel
from closecast.forecasters import load_predictor
from closecast.pipeline.assessment import Assessment
from closecast.registry.documents import (
    INTERVALS_FILE,
    Bundle,
    BundleInfo,
    Manifest,
    Pointer,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.serving.loading import require_servable
from closecast.settings import Settings
from closecast.sources.price_cache import PriceCache
from closecast.validation.gate import CURRENT, Decision, GatePolicy, ServingVersion, decide

log = logging.getLogger(__name__)

LossesOfSymbol = Mapping[tuple[str, Mode], Losses]


@dataclass(frozen=True, slots=True)
class Champion:
    """The version that serves some symbols before the decision.

    Attributes
    ----------
    serving : ServingVersion or None
        None where no version serves, or the pointer leads to a damaged one.
    model : ScoredModel or None
        Its model, ready to be scored on the candidate's rows; None where it cannot be.
    generations : mapping of symbol to int
        Generation of each pointer when it was read; 0 where there is none.
    """

    serving: ServingVersion | None
    model: ScoredModel | None
    generations: Mapping[str, int | None]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that it serves."""
        return tuple(self.generations)


def champions_of(settings: Settings, registry: Registry, splits: Sequence[Split]) -> list[Champion]:
    """The versions that serve the symbols of some splits now."""
    of_symbol = {split.test.symbol: split for split in splits}
    newest = max(split.test.sessions[-1] for split in splits)
    pointers = {symbol: _pointer(registry, symbol) for symbol in of_symbol}
    groups: dict[str | None, dict[str, int | None]] = {}
    for symbol, (pointer, generation) in pointers.items():
        version = pointer.version if pointer else None
        groups.setdefault(version, {})[symbol] = generation
    cache = PriceCache(settings.data_dir / "prices")
    found = []
    for version, generations in groups.items():
        serving, model = None, None
        if version is not None:
            serving = ServingVersion(
                version, _age_days(p for s in generations if (p := pointers[s][0]))
            )
            try:
                bundle = registry.load_to_serve(version, next(iter(generations)))
                require_servable(bundle, generations)  # what answers nothing defends no place
                members = [of_symbol[symbol] for symbol in generations]
                model = _scored_model(bundle, members, cache, newest)
            except TooFewCloses as error:
                log.warning(
                    "the current model cannot be scored on these rows",
                    extra={"version": version, "reason": str(error)},
                )
            except (DamagedBundle, UnverifiedBundle, UnknownVersion) as error:
                serving = None
                log.warning(
                    "the current model cannot be loaded; the candidate is compared with the "
                    "baselines alone",
                    extra={"version": version, "reason": str(error)},
                )
        found.append(Champion(serving, model, generations))
    return found


def scored_models(champions: Iterable[Champion]) -> list[ScoredModel]:
    """Models of the champions that can be compared with a candidate."""
    return [champion.model for champion in champions if champion.model]


def decide_all(
    settings: Settings,
    assessment: Assessment,
    champions: Iterable[Champion],
    refused: Mapping[str, str],
    losses: Mapping[str, LossesOfSymbol] | None = None,
) -> dict[str, Decision]:
    """The gate's decision for every symbol of some champions.

    Parameters
    ----------
    refused : mapping of symbol to str
        Symbols for which this same model was rolled back, and the reason.
    losses : mapping, optional
        Newer losses than those of the assessment.
    """
    policy = GatePolicy(settings.without_evidence, settings.evidence_deadline_days)
    by_symbol = assessment.result.losses if losses is None else losses
    name, attempts = assessment.forecaster, assessment.attempts
    decisions: dict[str, Decision] = {}
    for champion in champions:
        rows = {symbol: by_symbol[symbol] for symbol in champion.symbols}
        decisions |= decide(rows, name, champion.serving, policy, refused, attempts)
    if is_unearned(assessment.about["location"]):
        note = flat_path_note(assessment.about["location"])
        decisions = {s: replace(d, reason=f"{d.reason}; {note}") for s, d in decisions.items()}
    return {symbol: decisions[symbol] for symbol in by_symbol if symbol in decisions}


def final_decision(decision: Decision | None, done: bool) -> Decision:
    """The decision after promotion.

    Parameters
    ----------
    decision : Decision or None
        The gate's; None where the symbol was not to be promoted.
    done : bool
        Whether the pointer was moved.
    """
    if decision is None:
        return Decision("not_enough_evidence", "not judged: another model serves it", False)
    if decision.becomes_current and not done:
        reason = f"{decision.reason}; not promoted: another process moved the pointer meanwhile"
        return replace(decision, becomes_current=False, reason=reason)
    return decision


def rolled_back_before(
    registry: Registry, symbols: Sequence[str], files: Mapping[str, str]
) -> dict[str, str]:
    """Symbols for which a model of the same files was rolled back, and the reason given.

    A training on the same closes with the same seed makes the same model again: under a new
    version, and no better than when a person went back from it.

    Parameters
    ----------
    files : mapping of file name to SHA-256
        Of the candidate's predictor.
    """
    found = {}
    for symbol in symbols:
        pointer, _ = _pointer(registry, symbol)
        for step in pointer.history if pointer else ():
            left = step.rolled_back
            if pointer is None or left is None or left not in pointer.rolled_back:
                continue
            try:
                hashes = registry.manifest(left).sha256
            except (DamagedBundle, UnknownVersion):
                continue
            if files.items() <= hashes.items():
                found[symbol] = (
                    f"this very model was rolled back as {left} by {step.by} on "
                    f"{step.at:%Y-%m-%d}: {step.reason}; POST /model/promote makes it current"
                )
    return found


def promote(
    registry: Registry,
    manifest: Manifest,
    decisions: Mapping[str, Decision],
    champions: Iterable[Champion],
) -> tuple[list[str], list[str]]:
    """Move the pointers of all symbols that the gate promotes.

    Returns
    -------
    promoted, moved
        Symbols that the version is current for now; and those whose pointer another process moved
        since it was read, for which the gate has to decide again.
    """
    promoted, moved = [], []
    for champion in champions:
        for symbol, generation in champion.generations.items():
            decision = decisions[symbol]
            if not decision.becomes_current:
                continue
            try:
                registry.promote(symbol, manifest.version, decision.reason, expected=generation)
                promoted.append(symbol)
            except PointerMoved:
                moved.append(symbol)
            except RolledBack as error:
                log.warning("not promoted", extra={"symbol": symbol, "reason": str(error)})
    return promoted, moved


def _pointer(registry: Registry, symbol: str) -> tuple[Pointer | None, int | None]:
    """A symbol's pointer and its generation; both None where it is damaged and may be replaced."""
    try:
        pointer = registry.pointer(symbol)
    except DamagedBundle as error:
        log.error("pointer damaged", extra={"symbol": symbol, "reason": str(error)})
        return None, None
    return pointer, pointer.generation if pointer else 0


def _age_days(pointers: Iterable[Pointer]) -> float:
    """Days since the last move of any of the pointers."""
    newest = max(pointer.history[-1].at for pointer in pointers)
    return (datetime.now(UTC) - newest).total_seconds() / 86_400


def _scored_model(
    bundle: Bundle, splits: Sequence[Split], cache: PriceCache, newest: np.datetime64
) -> ScoredModel:
    """A bundle's model as it serves: with the closes of all its symbols, up to a day.

    Raises
    ------
    DamagedBundle
        If it cannot be run.
    TooFewCloses
        If its windows are longer than the data before the first origin.
    """
    info, files = bundle.manifest.info, bundle.files
    symbols = [split.test.symbol for split in splits]
    shortest = min(len(split.train) + len(split.valid) for split in splits)
    if shortest < info.seq_length:
        raise TooFewCloses(f"its windows hold {info.seq_length} closes, here are {shortest}")
    predictor = load_predictor(info.forecaster, files)
    return ScoredModel(
        predictors=dict.fromkeys(symbols, predictor),
        calibrations={
            s: SplitConformal.from_json(of_symbol(files, INTERVALS_FILE, s)) for s in symbols
        },
        label=CURRENT,
        companions=_companions(info, symbols, cache, newest) if predictor.uses_history else (),
        judged_from={
            span.symbol: np.datetime64(span.test_start, "D")
            for span in info.data
            if span.symbol in symbols
        },
    )


def _companions(
    info: BundleInfo, symbols: Sequence[str], cache: PriceCache, newest: np.datetime64
) -> list[Prices]:
    """Closes of the bundle's other symbols, as far as they are known up to a day."""
    found = []
    for span in info.data:
        if span.symbol in symbols:
            continue
        try:
            prices = cache.get(span.symbol)
        except ClosecastError:
            continue
        if prices is None or prices.basis != span.basis:
            continue
        known = prices.rows(0, int(np.searchsorted(prices.sessions, newest, side="right")))
        if len(known) >= info.seq_length:
            found.append(known)
    return found
