"""Checks of the split and of the parts that ``fit`` learned from."""

from __future__ import annotations

import numpy as np

from closecast.core.dataset import TEST_ORIGINS, VALID_ORIGINS, Split, make_examples
from closecast.forecasters.shrunk import without_shrinkage
from closecast.validation.leakage.evidence import LeakEvidence, LeakFindings


def check_split(evidence: LeakEvidence, findings: LeakFindings) -> None:
    """Parts in order, disjoint and whole, unaltered, apart, and all cut at the same two days."""
    collected = {prices.symbol: prices for prices in evidence.collected}
    days = np.unique(np.concatenate([prices.sessions for prices in evidence.collected]))
    first, second = _cuts(len(days), evidence)
    for split in evidence.splits:
        symbol = split.test.symbol
        findings.expect(symbol in collected, "closes", symbol, "was never collected")
        if symbol not in collected:
            continue
        original, parts = collected[symbol], (split.train, split.valid, split.test)
        sessions = np.concatenate([part.sessions for part in parts])
        findings.expect(
            (np.diff(sessions) > np.timedelta64(0)).all(),
            "split",
            symbol,
            "its parts overlap or are not in order of time",
        )
        if not np.array_equal(sessions, original.sessions):
            findings.expect(False, "split", symbol, "its parts are not all collected sessions")
            continue
        findings.expect(
            split.whole.content_hash == original.content_hash,
            "closes",
            symbol,
            "were altered between collecting and learning",
        )
        for part, day in ((split.valid, days[first]), (split.test, days[second])):
            due = original.sessions[np.searchsorted(original.sessions, day)]
            findings.expect(
                part.sessions[0] == due,
                "split",
                symbol,
                f"a part begins on {part.sessions[0]}; by the number of sessions of all symbols "
                f"it has to on {due}",
            )
        _check_purge(split, evidence, findings)


def _cuts(rows: int, evidence: LeakEvidence) -> tuple[int, int]:
    """Rows at which validation and test begin, by the rule in ``split_by_share``'s docstring."""
    around = evidence.predictor.seq_length + evidence.predictor.horizon - 1
    first = int(rows * evidence.train_size)
    if evidence.valid_size:
        return first, first + int(rows * evidence.valid_size)
    test = (rows - first + 1) // 2
    if test < TEST_ORIGINS + around:
        spare = max(rows - first - test - (VALID_ORIGINS + around), 0)
        test += min(spare, TEST_ORIGINS + around - test)
    return first, rows - test


def _check_purge(split: Split, evidence: LeakEvidence, findings: LeakFindings) -> None:
    """Between the last origin of one part and the first of the next: no window holds a target."""
    length, horizon = evidence.predictor.seq_length, evidence.predictor.horizon
    offset = 0
    for earlier, later in ((split.train, split.valid), (split.valid, split.test)):
        last = offset + int(make_examples(earlier, length, horizon).origins[-1])
        offset += len(earlier)
        first = offset + int(make_examples(later, length, horizon).origins[0])
        findings.expect(
            first - last >= length + horizon,
            "purge",
            split.test.symbol,
            f"{first - last} rows lie between the last origin before {later.sessions[0]} and the "
            f"first after it, not {length + horizon}",
        )


def check_fit(evidence: LeakEvidence, findings: LeakFindings) -> None:
    """``fit`` was given the training parts to learn from, the validation parts to choose by."""
    for name, given, allowed in (
        ("learned from", evidence.training.learned_from, [s.train for s in evidence.splits]),
        ("chosen by", evidence.training.chosen_by, [s.valid for s in evidence.splits]),
    ):
        findings.expect(
            list(given) == [part.content_hash for part in allowed],
            "fit",
            evidence.predictor.name,
            f"was {name} other closes than the part of the split that is meant for it",
        )


def check_floors(evidence: LeakEvidence, findings: LeakFindings) -> None:
    """The model's long-run volatility, whose tenth is the floor, is that of the training parts.

    Either of all their returns together or the median of the symbols' own.
    """
    learned = getattr(without_shrinkage(evidence.predictor), "long_run", None)
    if learned is None:  # a forecaster without a floor
        return
    sizes = [np.abs(np.diff(np.log(split.train.closes))) for split in evidence.splits]
    means = [np.concatenate(sizes).mean(), np.median([own.mean() for own in sizes])]
    long_run = np.maximum(np.array(means) * np.sqrt(np.pi / 2), 1e-6)
    findings.expect(
        np.isclose(learned, long_run, rtol=1e-9, atol=0).any(),
        "floor",
        evidence.predictor.name,
        "the floor under the volatility was not learned from training alone",
    )
