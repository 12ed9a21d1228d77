"""Step 2: split by time, standardise windows, write the drift baseline."""

from __future__ import annotations

from closecast.dataset import process, split_by_share
from closecast.drift import Baseline
from closecast.forecasters import Parameters
from closecast.intervals import LEAST_SCORES
from closecast.pipeline.workspace import Prepared, Workspace
from closecast.settings import Settings


def preprocess(settings: Settings, symbol: str, parameters: Parameters) -> Prepared:
    """From the collected closes of a symbol to windows, split and ``baseline_stats.json``.

    Raises
    ------
    MissingStep
        If nothing was collected.
    TooFewCloses
        If a part would be too short.
    """
    workspace = Workspace(settings, symbol)
    prices = workspace.prices()
    p = parameters
    split = split_by_share(prices, p.train_size, p.seq_length, p.horizon, LEAST_SCORES)
    prepared = Prepared(
        prices=prices,
        split=split,
        processed=process(prices, split.train, p.seq_length, p.horizon),
        baseline=Baseline.fit(split.train, p.seq_length).to_json(),
        seq_length=p.seq_length,
        horizon=p.horizon,
        train_size=p.train_size,
    )
    workspace.put_prepared(prepared)
    return prepared
