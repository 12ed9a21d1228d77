"""What other libraries say of clean and of spoiled windows, beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from benchmarks.drift.cases import KNOWN, Case, injected
from benchmarks.drift.crossfit import CrossFit, alarms
from benchmarks.peers import (
    drift_alibi,
    drift_evidently,
    drift_frouros,
    drift_nannyml,
    drift_river,
)
from benchmarks.peers.runner import HOME, PeerUnavailable, run_peer
from closecast.core.arrays import FloatArray

REFERENCE = 1000
"""Closes and returns before the window that a peer compares it with; no more, for from 1,001 on
Evidently's default is another."""

CLEAN, SPOILED = 200, 100
"""Windows of a kind: the slowest peer needs .1 s for one."""

SHOWN = (
    *("split 2:1", "x100, last close", "frozen, 5 still days", "5 days filled", "wrong symbol"),
    *("spike 20 %", "spike 10 %", "volatility x3", "-0.5 % a day, 30 days", "reversed order"),
    "stale by 250",
)
MODULES: dict[str, ModuleType] = {
    "drift_evidently": drift_evidently,
    "drift_nannyml": drift_nannyml,
    "drift_alibi": drift_alibi,
    "drift_river": drift_river,
    "drift_frouros": drift_frouros,
}
FEATURES = ("closes", "returns")
OWN = ("60 closes alone", "last close before")


@dataclass(frozen=True, eq=False)
class Question:
    """The windows that everybody is asked about.

    Attributes
    ----------
    cases : list of Case
        Clean, with as many closes before them as peers want; every other one is spoiled.
    before : array, shape (n, 1001)
        Closes before each.
    windows : array, shape (n, 1 + faults, 60)
        Clean, then with each of :data:`SHOWN`; NaN where a window is not spoiled.
    """

    cases: list[Case]
    before: FloatArray
    windows: FloatArray


def question_of(fit: CrossFit, clean: int = CLEAN, spoiled: int = SPOILED) -> Question:
    """Windows from all symbols and from all years from the fifth on."""
    cases = [case for case in fit.windows() if case.first > REFERENCE]
    chosen = [cases[i] for i in np.arange(clean) * len(cases) // clean]
    windows = np.full((clean, 1 + len(SHOWN), len(chosen[0].closes)), np.nan)
    windows[:, 0] = [case.closes for case in chosen]
    for i in np.arange(spoiled) * clean // spoiled:
        windows[i, 1:] = [injected(name, chosen[i], fit.series).closes for name in SHOWN]
    before = [case.prices.closes[case.first - REFERENCE - 1 : case.first] for case in chosen]
    return Question(chosen, np.array(before), windows)


def own_shares(fit: CrossFit, question: Question) -> dict[str, FloatArray]:
    """Share of windows that this detector warns of at 1 %, by row of the table."""
    names = ("clean", *SHOWN)
    found: dict[str, FloatArray] = {}
    for known in OWN:
        said = np.full((*question.windows.shape[:2], 3), np.nan)
        for i, clean in enumerate(question.cases):
            detector = fit.detector(clean, 0.01)
            for v in np.flatnonzero(np.isfinite(question.windows[i, :, 0])):
                case = injected(names[v], clean, fit.series) if v else clean
                verdict = detector.check(case.closes, KNOWN[known](case, fit.series))
                said[i, v] = [*alarms(verdict), verdict.warning]
        shares = np.nanmean(said, axis=0).T
        for row, channel in zip(shares, ("FAULT", "REGIME", "either"), strict=True):
            found[f"closecast {channel}, {known}"] = row
    return found


def scipy_alarms(question: Question) -> dict[str, FloatArray]:
    """``ks_2samp`` at .05, as any script has it."""
    found: dict[str, list[FloatArray]] = {
        f"scipy ks_2samp, p <= .05/{feature}": [] for feature in FEATURES
    }
    for before, windows in zip(question.before, question.windows, strict=True):
        for values in found.values():
            values.append(np.full(len(windows), np.nan))
        for v in np.flatnonzero(np.isfinite(windows[:, 0])):
            returns = np.diff(np.log(np.append(before, windows[v])))
            n = len(windows[v])
            pairs = ((before[1:], windows[v]), (returns[:-n], returns[-n:]))
            for values, (then, now) in zip(found.values(), pairs, strict=True):
                values[-1][v] = ks_2samp(then, now).pvalue <= 0.05
    return {name: np.array(values) for name, values in found.items()}


def peer_shares(
    question: Question, home: Path = HOME
) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Share of windows that peers alarm on by method and feature, and who could not be asked."""
    answers: dict[str, NDArray[Any]] = dict(scipy_alarms(question))
    missing: dict[str, str] = {}
    asked = {"before": question.before, "windows": question.windows}
    for group, module in MODULES.items():
        try:
            answers |= run_peer(group, asked, home)
        except PeerUnavailable as reason:
            missing |= dict.fromkeys(module.METHODS, f"{reason}{_last_line(group, home)}")
    shares: dict[str, FloatArray] = {}
    for name, alarm in answers.items():
        tried = np.isfinite(alarm)
        counts = np.where(tried, alarm, 0.0).sum(axis=0)
        shares[name] = np.where(
            tried.any(axis=0), counts / np.maximum(tried.sum(axis=0), 1), np.nan
        )
    return shares, missing


def _last_line(group: str, home: Path) -> str:
    """What the newest log of a group ends with."""
    logs = sorted(home.glob(f"{group}.*.log"), key=lambda log: log.stat().st_mtime)
    lines = logs[-1].read_text(errors="replace").split("\n") if logs else []
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1][:160]}" if said else ""


def peer_table(
    own: dict[str, FloatArray], shares: dict[str, FloatArray], missing: dict[str, str]
) -> str:
    """One line per method and feature: false alarms, then what is seen of each fault."""
    columns = ("clean", *SHOWN)
    lines = [
        f"warnings, % of windows: {CLEAN} clean, {SPOILED} of each fault; 60 closes, and the "
        f"{REFERENCE} before them as the peers' reference; 1 % nominal for each channel of ours",
        f"{'':<46}" + "".join(f"{SHORT.get(column, column):>11}" for column in columns),
    ]
    for name, row in {**own, **shares}.items():
        cells = "".join(f"{'-' if np.isnan(x) else f'{100 * x:.1f}':>11}" for x in row)
        method, _, feature = name.partition("/")
        lines.append(f"{f'{method}, {feature}' if feature else method:<46}{cells}")
    lines += [f"{name:<46} {reason}" for name, reason in missing.items()]
    return "\n".join(lines)


SHORT = {
    "frozen, 5 still days": "frozen 5",
    "5 days filled": "filled",
    "wrong symbol": "symbol",
    "volatility x3": "vol x3",
    "-0.5 % a day, 30 days": "trend",
    "x100, last close": "x100 last",
    "reversed order": "reversed",
    "stale by 250": "stale",
}


def compare(fit: CrossFit, home: Path = HOME) -> str:
    """The whole table."""
    question = question_of(fit)
    return peer_table(own_shares(fit, question), *peer_shares(question, home))
