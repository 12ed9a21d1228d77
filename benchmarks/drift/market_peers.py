"""Evidently, NannyML and river on windows of stocks and coins, at their defaults.

``python -m benchmarks.drift.market_peers``

The same windows for all: clean ones after the training of both families of
:mod:`benchmarks.drift.markets`, those that end on the days of two crashes of coins, and splits put
into clean ones. A peer compares the returns of the 60 closes with the 700 before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.drift.cases import LENGTH, Case, clean_case, injected
from benchmarks.drift.coin_panel import CRASH
from benchmarks.drift.markets import FTX, Family, families, judges
from benchmarks.peers.runner import HOME, PeerUnavailable, run_peer
from closecast.core.arrays import FloatArray
from closecast.core.verdict import Verdict

PEERS = ("drift_evidently", "drift_nannyml", "drift_river")
CLEAN, SPLIT = 150, 60
REFERENCE = 700
"""Closes before a window that a peer compares it with: made coins have no more in March 2020."""

FEATURE = "returns"

Asked = Mapping[str, list[tuple[Family, Case]]]
"""Windows by column of the table."""


def questions() -> Asked:
    """Windows of each kind, spread over symbols and years; the same every time."""
    stocks, _, coins, *_ = families()
    asked: dict[str, list[tuple[Family, Case]]] = {}
    for name, family in (("stocks", stocks), ("coins", coins)):
        cases = [case for case in family.later(7) if case.first > REFERENCE]
        some = [cases[i] for i in np.arange(CLEAN) * len(cases) // CLEAN]
        asked[f"{name}, clean"] = [(family, case) for case in some]
        asked[f"{name}, split 2:1"] = [
            (family, injected("split 2:1", case, family.series)) for case in some[:: CLEAN // SPLIT]
        ]
    for day in FTX:
        asked[f"coins, {day}"] = [(coins, case) for case in _ending(coins, day)]
    early = Family("coins, model to 2020-01", coins.series, coins.default, "2020-01-31")
    asked[f"coins, {CRASH}"] = [(early, case) for case in _ending(early, CRASH)]
    return asked


def _ending(family: Family, day: str) -> list[Case]:
    found = []
    for prices in family.series:
        row = int(np.searchsorted(prices.sessions, np.datetime64(day)))
        found.append(clean_case(prices, row - LENGTH + 1))
    return found


def own_rows(asked: Asked) -> dict[str, list[float]]:
    """Share of windows with FAULT and with REGIME, named and bare, by row of the table."""
    made: dict[str, dict[str, Callable[[Case], Verdict]]] = {}
    rows: dict[str, list[float]] = {}
    for cases in asked.values():
        for sent in ("named", "bare"):
            verdicts = []
            for family, case in cases:
                if family.name not in made:
                    made[family.name] = judges(family, family.detectors())
                verdicts.append(made[family.name][sent](case))
            for level in ("fault", "regime"):
                share = float(np.mean([verdict.level == level for verdict in verdicts]))
                rows.setdefault(f"closecast {level.upper()}, {sent}", []).append(share)
    return rows


def peer_rows(asked: Asked, home: Path = HOME) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Share of windows that each peer alarms on by row, and the peers that did not run."""
    rows: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    every = [case for cases in asked.values() for _, case in cases]
    question = {
        "before": np.array([_before(case) for case in every]),
        "windows": np.array([case.closes[None] for case in every]),
    }
    stops = np.cumsum([len(cases) for cases in asked.values()])[:-1]
    for group in PEERS:
        try:
            answers = run_peer(group, question, home)
        except PeerUnavailable as reason:
            missing[group] = str(reason)
            continue
        for name, alarms in answers.items():
            method, _, feature = name.partition("/")
            if feature == FEATURE:
                parts = np.split(alarms[:, 0], stops)
                rows[method] = [float(part.mean()) for part in parts]
    return rows, missing


def _before(case: Case) -> FloatArray:
    return case.prices.closes[case.first - REFERENCE - 1 : case.first]


def peer_table(home: Path = HOME) -> str:
    """One line per method, one column per kind of window."""
    asked = questions()
    rows, missing = peer_rows(asked, home)
    lines = [
        "warnings, % of the same windows; peers at their defaults on returns",
        f"{'':<28}" + "".join(f"{name:>20}" for name in asked),
        f"{'windows':<28}" + "".join(f"{len(cases):>20}" for cases in asked.values()),
    ]
    for name, shares in {**own_rows(asked), **rows}.items():
        lines.append(f"{name:<28}" + "".join(f"{100 * share:>20.1f}" for share in shares))
    lines += [f"{group}: {reason}" for group, reason in missing.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(peer_table())
