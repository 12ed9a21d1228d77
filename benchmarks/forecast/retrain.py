"""Never, monthly, or when the market changes: what each would have brought over 2005 to 2022.

One tiny pooled model per policy walks through the years. Whenever the policy asks, a candidate is
trained on all closes up to that day and held against what serves by the gate as it is; from then on
whatever serves is followed day by day with its live calibration, and its forecasts are scored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from benchmarks.forecast.panel import sample_panel
from benchmarks.forecast.product import series_of
from closecast.calibration import MEMORY, PanelMember, follow
from closecast.core.dataset import Split, make_examples, split_panel
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.drift import Baseline, DriftDetector
from closecast.evaluation import ScoredModel, calibrate, evaluate_panel
from closecast.forecasters import Predictor, make_forecaster, make_parameters, preset
from closecast.jobs.retraining import regime_changed
from closecast.metrics.scores import crps_from_quantiles
from closecast.validation.gate import CURRENT, Decision, GatePolicy, ServingVersion, decide

SYMBOLS = ("JNJ", "JPM", "MSFT", "XOM")
FIRST = np.datetime64("2010-01-04")
"""The first model has learned from five years."""

LEAST_DAYS = 7
"""The minimum interval between two trainings."""


@dataclass(frozen=True, eq=False)
class Model:
    """One that serves, or would."""

    predictor: Predictor
    splits: Sequence[Split]
    since: np.datetime64
    last_session: np.datetime64
    detectors: Mapping[str, DriftDetector]

    @property
    def contender(self) -> ScoredModel:
        """The model as the gate scores it."""
        return ScoredModel(
            {s.test.symbol: self.predictor for s in self.splits},
            {s.test.symbol: calibrate(self.predictor, [s.valid]) for s in self.splits},
            label=CURRENT,
            judged_from={s.test.symbol: s.test.sessions[0] for s in self.splits},
        )


@dataclass
class Walk:
    """What came of one policy."""

    name: str
    trainings: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    reigns: list[Model] = field(default_factory=list)
    seconds: float = 0.0
    crps: dict[int, float] = field(default_factory=dict)


def train(series: Sequence[Prices], day: np.datetime64) -> Model:
    """A model of everything known on the evening of a day."""
    parameters = make_parameters("mlp", preset("mlp", "quick"))
    known = [p.rows(0, int(np.searchsorted(p.sessions, day, side="right"))) for p in series]
    splits, _ = split_panel(
        known, parameters.train_size, parameters.seq_length, parameters.horizon, 40
    )
    predictor = make_forecaster("mlp", parameters).fit(
        [s.train for s in splits], [s.valid for s in splits]
    )
    length = parameters.seq_length
    detectors = {s.test.symbol: DriftDetector(Baseline.fit(s.train, length)) for s in splits}
    return Model(predictor, splits, day, max(p.sessions[-1] for p in known), detectors)


def judge(candidate: Model, current: Model) -> Decision:
    """The gate's decision, with days of the replay for its deadline."""
    naive = {
        s.train.symbol: make_forecaster("naive").fit([s.train], [s.valid]) for s in candidate.splits
    }
    own = ScoredModel(
        {s.test.symbol: candidate.predictor for s in candidate.splits},
        {s.test.symbol: calibrate(candidate.predictor, [s.valid]) for s in candidate.splits},
    )
    losses = evaluate_panel(candidate.splits, naive, [own, current.contender]).losses
    age = float((candidate.since - current.since).astype(int))
    decisions = decide(losses, "mlp", ServingVersion("replay", age), GatePolicy())
    return next(iter(decisions.values()))


def never(series: Sequence[Prices], days: NDArray[np.datetime64], model: Model) -> bool:
    """The first model serves to the end."""
    return False


def monthly(series: Sequence[Prices], days: NDArray[np.datetime64], model: Model) -> bool:
    """On the first session of every month."""
    return bool(days[-1].astype("datetime64[M]") != days[-2].astype("datetime64[M]"))


def regime(series: Sequence[Prices], days: NDArray[np.datetime64], model: Model) -> bool:
    """When at least half of the symbols look otherwise, and did not where the model's data end."""
    then, now = [], []
    for prices in series:
        detector = model.detectors[prices.symbol]
        for verdicts, day in ((then, model.last_session), (now, days[-1])):
            row = int(np.searchsorted(prices.sessions, day, side="right"))
            verdicts.append(detector.check(prices.closes[row - model.predictor.seq_length : row]))
    return regime_changed(then, now)


POLICIES: Mapping[str, Callable[[Sequence[Prices], NDArray[np.datetime64], Model], bool]] = {
    "never": never,
    "monthly": monthly,
    "regime": regime,
}


def walk(name: str, series: Sequence[Prices], until: np.datetime64) -> Walk:
    """One policy from the first day to the last."""
    started, found, asks = time.perf_counter(), Walk(name), POLICIES[name]
    sessions = series[0].sessions
    first, last = (int(np.searchsorted(sessions, day)) for day in (FIRST, until))
    serving = train(series, sessions[first])
    found.reigns.append(serving)
    tried = sessions[first]
    for row in range(first + 1, last):
        day = sessions[row]
        due = (day - tried).astype(int) >= LEAST_DAYS
        if not due or not asks(series, sessions[: row + 1], serving):
            continue
        tried = day
        candidate = train(series, day)
        decision = judge(candidate, serving)
        found.trainings += 1
        found.outcomes[decision.outcome] = found.outcomes.get(decision.outcome, 0) + 1
        if decision.becomes_current:
            serving = candidate
            found.reigns.append(serving)
    found.crps = _score(found.reigns, series, sessions[first], until)
    found.seconds = time.perf_counter() - started
    return found


def _score(
    reigns: Sequence[Model], series: Sequence[Prices], first: np.datetime64, until: np.datetime64
) -> dict[int, float]:
    """Mean CRPS at some steps over all origins and symbols, each day by what served."""
    horizon = reigns[0].predictor.horizon
    sums, count = np.zeros(horizon), 0
    ends = [*(model.since for model in reigns[1:]), until]
    for model, end in zip(reigns, ends, strict=True):
        known = [p.rows(0, int(np.searchsorted(p.sessions, end))) for p in series]
        start = int(np.searchsorted(known[0].sessions, max(first, model.since)))
        memory = MEMORY + 2 * horizon
        newest = len(known[0]) - max(0, start - memory)
        forecasts = model.predictor.predict_along(known, newest)
        members = [PanelMember(p, f) for p, f in zip(known, forecasts, strict=True)]
        truth = {p.symbol: make_examples(p, model.predictor.seq_length, horizon) for p in series}
        rows = {p.symbol: dict(zip(p.sessions, range(len(p)), strict=True)) for p in series}
        for day, states in follow(members, known[0].sessions[max(0, start - memory)]):
            if day < max(first, model.since):
                continue
            for symbol, state in states.items():
                origin = rows[symbol][day] - (model.predictor.seq_length - 1)
                if origin < len(truth[symbol]):
                    forecast = state.forecast(PROBABILITIES)
                    sums += crps_from_quantiles(
                        truth[symbol].targets[origin], forecast.quantiles, PROBABILITIES
                    )
                    count += 1
    return {step: float(sums[step - 1] / count) for step in (1, 5, 10)}


def main() -> None:
    """Prints a table: one line per policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--until", type=np.datetime64, default=np.datetime64("2022-12-01"))
    parser.add_argument("--jobs", type=int, default=2, help="policies that walk at once")
    arguments = parser.parse_args()
    panel = sample_panel(SYMBOLS)
    series = series_of(panel)
    found = Parallel(arguments.jobs)(
        delayed(walk)(name, series, arguments.until) for name in ("monthly", "never", "regime")
    )
    walks = {one.name: one for one in found}
    base = walks["never"].crps
    print(f"{', '.join(SYMBOLS)}: {FIRST} to {arguments.until}, mlp (quick), with history")
    heads = f"{'trainings':>10}{'swaps':>7}{'CRPS/never at 1':>17}{'5':>9}{'10':>9}"
    print(f"{'retrained':<10}{heads}  gate")
    for name in POLICIES:
        one = walks[name]
        ratios = "".join(f"{one.crps[s] / base[s]:>{w}.4f}" for s, w in ((1, 17), (5, 9), (10, 9)))
        gate = ", ".join(f"{outcome} {n}" for outcome, n in sorted(one.outcomes.items())) or "-"
        print(f"{name:<10}{one.trainings:>10}{len(one.reigns) - 1:>7}{ratios}  {gate}")


if __name__ == "__main__":
    main()
