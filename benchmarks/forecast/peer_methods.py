"""What other libraries say of the panel: their bounds, their quantiles, their failed fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forecast.interval_table import SPAN
from benchmarks.forecast.methods.gaussian import LEVEL
from benchmarks.forecast.panel import Bounds, Panel
from benchmarks.peers import statistical, volatility
from benchmarks.peers.runner import HOME, PeerUnavailable, run_peer
from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES

STEPS = (1, 5, 10)
"""Steps ahead at which distributions are compared."""

LATE = "2018-07-02"
"""First origin of the last quarter of the sample."""

FEW = 5
"""Symbols that slow peers are run on unless all are asked for."""


@dataclass
class PeerAnswers:
    """Everything that peers said.

    Attributes
    ----------
    bounds : dict
        By method, as :data:`benchmarks.forecast.panel.Bounds`.
    quantiles : dict
        By method, shape (n, S, steps, 39): log returns over :data:`STEPS` at
        ``PROBABILITIES``, one row per origin of :func:`late_origins`.
    missing : dict
        By method, why there is no answer.
    notes : list of str
        How many fits there were and how many failed.
    """

    bounds: dict[str, Bounds] = field(default_factory=dict)
    quantiles: dict[str, FloatArray] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def late_origins(panel: Panel) -> NDArray[np.int64]:
    """Rows of the last quarter's origins, those near the end without all targets included."""
    rows = panel.origins(*SPAN)
    return rows[panel.sessions[rows] >= np.datetime64(LATE)]


def ask_peers(panel: Panel, full: bool = False, home: Path = HOME) -> PeerAnswers:
    """Ask every peer; one that cannot be installed or fails is named with its reason."""
    answers = PeerAnswers()
    origins = panel.origins(*SPAN)
    late = late_origins(panel)
    _ask(
        answers,
        "volatility",
        tuple(volatility.MODELS),
        {
            "returns": panel.returns,
            "origins": origins,
            "late": np.array(late[0] if len(late) else len(panel.sessions)),
            "probabilities": np.asarray(PROBABILITIES),
            "ends": np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]),
            "steps": np.array(STEPS),
        },
        home,
    )
    count = len(panel.symbols)
    columns = np.arange(count) if full else np.unique(np.arange(FEW) * count // FEW)
    _ask(
        answers,
        "statistical",
        statistical.NAMES,
        {
            "log_closes": panel.log_closes,
            "origins": origins,
            "years": panel.sessions[origins].astype("datetime64[Y]").astype(np.int64) + 1970,
            "columns": columns,
        },
        home,
    )
    return answers


def _ask(
    answers: PeerAnswers,
    group: str,
    names: Sequence[str],
    question: dict[str, NDArray[Any]],
    home: Path,
) -> None:
    try:
        found = run_peer(group, question, home)
    except PeerUnavailable as reason:
        answers.missing.update(dict.fromkeys(names, str(reason)))
        return
    for name in names:
        lower, upper = found[f"{name}/bounds"]
        answers.bounds[name] = lower, upper
        if f"{name}/quantiles" in found:
            answers.quantiles[name] = found[f"{name}/quantiles"]
        tries, failures = found[f"{name}/fits"]
        answers.notes.append(f"{name}: {failures} of {tries} fits or forecasts failed")
