"""Forecast quality over the sample symbols, everything as a ratio to naive on the same rows.

``python -m benchmarks.forecast.accuracy [--symbols MSFT,AAPL] [--lstm] [--no-faults] [--no-peers]``

Learned from closes before 2016-06-24, chosen by those before 2018-07-02, scored from then to the
end of 2022: one calendar cut-off for all symbols. Seeds are fixed. "window only" is what 60 bare
closes are answered with, "+ history" what ``GET /forecast`` says. Below the table: the same CRPS
beside GARCH-t, the band for whole paths, and what a fault planted in one symbol does to others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.forecast.distributions import crps_ratios, crps_table, without_drift
from benchmarks.forecast.panel import Panel, sample_panel
from benchmarks.forecast.paths import path_table, root_time_scale, score_bands
from benchmarks.forecast.peer_methods import STEPS, PeerAnswers, ask_peers, late_origins
from benchmarks.forecast.product import planted, series_of
from closecast.calibration import PanelMember, follow
from closecast.core.arrays import FloatArray
from closecast.core.dataset import Split, split_at
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.evaluation import ScoredModel, calibrate, evaluate_panel, summary_table
from closecast.forecasters import (
    FORECASTERS,
    Parameters,
    Predictor,
    make_forecaster,
    make_parameters,
)
from closecast.pipeline.sound_closes import sound_closes

VALID_START, TEST_START = "2016-06-24", "2018-07-02"
SHARED = Parameters()
PATH_LEVEL = 0.9
MEMORY_DAYS = 1200
"""Calendar days of live calibration before the first scored origin: more than 750 sessions."""


def splits_of(series: Iterable[Prices]) -> list[Split]:
    """The same two days for all."""
    return [split_at(prices, VALID_START, TEST_START) for prices in series]


def apart(name: str, splits: Sequence[Split], parameters: Parameters = SHARED) -> ScoredModel:
    """One model per symbol."""
    predictors = {
        s.train.symbol: make_forecaster(name, parameters).fit([s.train], [s.valid]) for s in splits
    }
    return contender(predictors, splits, with_history=FORECASTERS[name].with_history)


def pooled(name: str, splits: Sequence[Split], parameters: Parameters | None = None) -> ScoredModel:
    """One model for all symbols."""
    started = time.perf_counter()
    predictor = make_forecaster(name, parameters or make_parameters(name, {})).fit(
        [s.train for s in splits], [s.valid for s in splits]
    )
    print(f"{name}, pooled over {len(splits)}: {time.perf_counter() - started:.0f} s", flush=True)
    return contender({s.train.symbol: predictor for s in splits}, splits)


def contender(
    predictors: Mapping[str, Predictor], splits: Sequence[Split], *, with_history: bool = True
) -> ScoredModel:
    """With the calibration that its validation part gives."""
    calibrations = {
        s.train.symbol: calibrate(predictors[s.train.symbol], [s.valid])
        for s in splits
        if predictors[s.train.symbol].name not in ("naive", "random_walk_drift")
    }
    return ScoredModel(predictors, calibrations, with_history)


# Twenty times the windows of one symbol: larger batches and fewer epochs see as much.
LSTM_POOLED = {"batch_size": 1024, "num_epochs": 8, "patience": 3}


def table_of(splits: Sequence[Split], contenders: Sequence[ScoredModel]) -> str:
    """Every contender on the same rows, beside naive."""
    naive = {s.train.symbol: make_forecaster("naive").fit([s.train], [s.valid]) for s in splits}
    return summary_table(list(evaluate_panel(splits, naive, contenders).evaluations.values()))


@dataclass(frozen=True, eq=False)
class Rolled:
    """What ``GET /forecast`` would have said at each late origin of the panel.

    Attributes
    ----------
    quantiles : array, shape (n, S, steps, 39)
    lower, upper : arrays, shape (n, S, horizon)
        The path band, log returns.
    bonferroni : array, shape (n, S, horizon)
        Width of marginals that share the misses out equally, in units of the last close.
    """

    quantiles: FloatArray
    lower: FloatArray
    upper: FloatArray
    bonferroni: FloatArray


def rolled(panel: Panel, series: Sequence[Prices], predictor: Predictor) -> Rolled:
    """Follow a predictor; a symbol that ``series`` lacks stays NaN."""
    origins = late_origins(panel)
    shape = (len(origins), len(panel.symbols))
    found = Rolled(
        np.full((*shape, len(STEPS), len(PROBABILITIES)), np.nan),
        *(np.full((*shape, predictor.horizon), np.nan) for _ in range(3)),
    )
    first = np.datetime64(TEST_START)
    row = {panel.sessions[t]: i for i, t in enumerate(origins)}
    tail = (1 - PATH_LEVEL) / 2 / predictor.horizon
    members = [
        PanelMember(prices, forecast)
        for prices, forecast in zip(series, predictor.predict_along(series), strict=True)
    ]
    for day, states in follow(members, first - MEMORY_DAYS):
        for symbol, state in states.items():
            if (i := row.get(day)) is not None and symbol in panel.symbols:
                s = panel.symbols.index(symbol)
                said = state.forecast(PROBABILITIES).quantiles
                found.quantiles[i, s] = said[np.array(STEPS) - 1]
                found.lower[i, s], found.upper[i, s] = state.path_band(PATH_LEVEL)
                ends = np.expm1(state.forecast(np.array([tail, 1 - tail])).quantiles)
                found.bonferroni[i, s] = ends[:, 1] - ends[:, 0]
    return found


def path_line(panel: Panel, name: str, found: Rolled) -> str:
    """Share of whole paths inside the product's band, and its width beside Bonferroni's."""
    future = panel.future_returns(found.lower.shape[2])[late_origins(panel)]
    known = np.asarray(np.isfinite(future).all(axis=2))
    inside: FloatArray = np.all((found.lower <= future) & (future <= found.upper), axis=2)
    held = inside[known].mean()
    width = (np.expm1(found.upper) - np.expm1(found.lower))[known].mean()
    miss = 100 * np.abs(np.nanmean(np.where(known, inside, np.nan), axis=0) - PATH_LEVEL).mean()
    ratio = width / found.bonferroni[known].mean()
    return f"{name:<34}{held:>12.3f}{miss:>8.2f}{ratio:>14.3f}"


def fault_table(panel: Panel, series: Sequence[Prices], clean: Rolled, predictor: Predictor) -> str:
    """CRPS of the other symbols when one has a fault, against the same without.

    Planted in the part that is learned from, it is found, and the pool is fitted without that
    symbol. Planted after it, an update keeps the symbol out; here it is left in, as if nobody
    had found it: the worst that ``predictor`` and the live calibration can do to others.
    """
    others = sample_panel(panel.symbols[1:])
    ratios = crps_ratios(others, {"clean": clean.quantiles[:, 1:]})["clean"]
    lines = [
        f"{'fault planted in ' + series[0].symbol:<24}{'found':>8}{'worst change of others':>26}"
    ]
    for name, faulty in planted(series[0], 0.85).items():
        again = crps_ratios(
            others, {name: rolled(others, [faulty, *series[1:]], predictor).quantiles}
        )
        change = 100 * np.abs(again[name] / ratios - 1).max()
        lines.append(f"{name + ', later':<24}{'ignored':>8}{change:>25.2f}%")
    for name, faulty in planted(series[0], 0.25).items():
        found = sound_closes([faulty, *series[1:]])
        kept, left_out = [p for p in found.series if p.symbol not in found.left_out], found.left_out
        without = next(iter(pooled("mlp", splits_of(kept)).predictors.values()))
        again = crps_ratios(others, {name: rolled(others, kept, without).quantiles})
        change = 100 * np.abs(again[name] / ratios - 1).max()
        lines.append(f"{name:<24}{'yes' if left_out else 'no':>8}{change:>25.2f}%")
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--symbols", default="", help="comma-separated; all 20 by default")
    parser.add_argument("--lstm", action="store_true", help="the LSTM, too (an hour)")
    parser.add_argument("--no-peers", action="store_true", help="only what is computed here")
    parser.add_argument("--no-faults", action="store_true", help="without the planted faults")
    arguments = parser.parse_args()
    panel = sample_panel([name for name in arguments.symbols.split(",") if name])
    series = series_of(panel)
    splits = splits_of(series)
    together = {"mlp": pooled("mlp", splits)}
    if arguments.lstm:
        together["lstm"] = pooled("lstm", splits, make_parameters("lstm", LSTM_POOLED))
    baselines = [apart("random_walk_drift", splits), apart("ewma", splits)]
    print(f"pooled\n{table_of(splits, [*baselines, *together.values()])}", flush=True)

    said = {
        name: rolled(panel, series, next(iter(contender.predictors.values())))
        for name, contender in together.items()
    }
    quantiles = {f"closecast {name} + history": r.quantiles for name, r in said.items()}
    peers = PeerAnswers() if arguments.no_peers else ask_peers(panel)
    quantiles |= {**peers.quantiles, **without_drift(peers.quantiles)}
    print(f"\n{crps_table(crps_ratios(panel, quantiles))}", flush=True)
    bands = path_table(score_bands(panel, root_time_scale(panel)))
    own = "\n".join(path_line(panel, f"closecast {name}", found) for name, found in said.items())
    print(f"\n{bands}\n{own}", flush=True)

    names = ["mlp", "lstm"] if arguments.lstm else ["mlp"]
    alone = [apart(name, splits, make_parameters(name, {})) for name in names]
    print(f"\none model per symbol\n{table_of(splits, alone)}", flush=True)
    if not arguments.no_faults:
        predictor = next(iter(together["mlp"].predictors.values()))
        print(f"\n{fault_table(panel, series, said['mlp'], predictor)}")


if __name__ == "__main__":
    main()
