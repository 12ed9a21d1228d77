"""Forecast quality over the sample symbols, everything as a ratio to naive on the same rows.

``python -m benchmarks.forecast [--symbols MSFT,AAPL] [--losses student_t,pinball]``

One model per symbol, trained on its first 70 %, calibrated on the next 15 %, scored on the
last 15 % (about 600 origins). Seeds are fixed; nothing was chosen on the scored rows.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from closecast.dataset import split_by_share
from closecast.evaluation import Row, calibrate, evaluate
from closecast.forecasters import Runtime, make_forecaster, make_parameters
from closecast.prices import Prices
from closecast.sources.sample import SampleSource

STEPS = (1, 5, 10)
BASELINES = "baselines"


def rows_of(prices: Prices, what: str, overrides: dict[str, Any], accelerator: str) -> list[Row]:
    """Rows of the baselines, or of one LSTM trained with the loss ``what``."""
    p = make_parameters("lstm", overrides)
    split = split_by_share(prices, p.train_size, p.seq_length, p.horizon)
    train, valid = [split.train], [split.valid]
    shared = make_parameters("naive", {k: getattr(p, k) for k in ("seq_length", "horizon")})
    naive, drift, ewma = (
        make_forecaster(name, shared).fit(train, valid) for name in ("naive", "drift", "ewma")
    )
    if what == BASELINES:
        return list(evaluate(split, naive, [(drift, None), (ewma, calibrate(ewma, valid))]).rows)
    parameters = make_parameters("lstm", {**overrides, "loss": what})
    lstm = make_forecaster("lstm", parameters, Runtime(accelerator)).fit(train, valid)
    [_, row] = evaluate(split, naive, [(lstm, calibrate(lstm, valid))]).rows
    return [replace(row, forecaster=f"lstm {what}")]


def _job(symbol: str, what: str, overrides: dict[str, Any], accelerator: str) -> Any:
    import torch

    torch.set_num_threads(1)
    started = time.perf_counter()
    raw = SampleSource().read(symbol, None, None)
    prices = Prices(symbol, raw.dates, raw.closes, "sample", raw.basis)
    rows = rows_of(prices, what, overrides, accelerator)
    return symbol, what, rows, time.perf_counter() - started


def table(rows: list[Row]) -> str:
    """Means over symbols, the worst symbol in brackets."""
    scores: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for row in rows:
        label = row.forecaster if row.mode == "window only" else f"{row.forecaster} + history"
        for step in (s for s in STEPS if s <= len(row.steps)):
            scores[label, step].append(row.steps[step - 1])
    lines = [
        f"{'forecaster':<22}{'step':>5}{'rel. MAE (worst)':>20}{'CRPS/naive (worst)':>20}"
        f"{'cover 80 (miss)':>18}{'cover 95 (miss)':>18}{'MAPE %':>9}{'naive':>8}"
    ]
    for (label, step), found in scores.items():

        def column(key: str, found: list[Any] = found) -> np.ndarray:
            return np.array([getattr(s, key) for s in found])

        rel, crps = column("relative_mae"), column("crps_ratio")
        c80, c95 = column("coverage_80"), column("coverage_95")
        lines.append(
            f"{label:<22}{step:>5}{rel.mean():>11.4f} ({rel.max():.4f}){crps.mean():>11.4f} "
            f"({crps.max():.4f}){c80.mean():>10.3f} ({100 * np.abs(c80 - 0.8).mean():.1f})"
            f"{c95.mean():>10.3f} ({100 * np.abs(c95 - 0.95).mean():.1f})"
            f"{column('mape').mean():>9.3f}{column('naive_mape').mean():>8.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--symbols", help="comma-separated; all 20 by default")
    parser.add_argument("--losses", default="student_t", help="comma-separated LSTM losses")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    symbols = arguments.symbols.split(",") if arguments.symbols else SampleSource().symbols()
    losses = [loss for loss in arguments.losses.split(",") if loss]
    overrides: dict[str, Any] = {}
    for item in arguments.set:
        name, _, value = item.partition("=")
        overrides[name] = json.loads(value)

    jobs = [(symbol, what) for what in (BASELINES, *losses) for symbol in symbols]
    rows: list[Row] = []
    for symbol, what, found, seconds in Parallel(arguments.jobs, return_as="generator")(
        delayed(_job)(symbol, what, overrides, arguments.accelerator) for symbol, what in jobs
    ):
        print(f"{symbol} {what}: {seconds:.0f} s", flush=True)
        rows += found
    print(table(rows))


if __name__ == "__main__":
    main()
