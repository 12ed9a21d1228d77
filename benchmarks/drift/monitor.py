"""The monitor over time: how long until a false alarm, and until a true one.

Made sessions whose truth is known, then real closes: ``ewma`` fitted to everything before 2018 and
never again, watched for five years.

``python -m benchmarks.drift.monitor [--streams 1000]``
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from benchmarks.forecast.panel import sample_panel
from benchmarks.forecast.product import series_of
from closecast.calibration import AdaptiveState, PanelMember, follow
from closecast.core.arrays import FloatArray
from closecast.core.dataset import split_at
from closecast.core.prices import Prices
from closecast.database import DriftDay
from closecast.drift import ARL0, Monitor
from closecast.drift.monitor import BETS, MISS_RATE, accumulate, evidence_of
from closecast.drift.monitored_symbol import MonitoredSymbol
from closecast.evaluation.rolling import calibrate
from closecast.forecasters import make_forecaster, make_parameters

LONGEST = 20_000
"""Sessions after which a stream is given up; it counts as if it had alarmed then."""

FITTED_UNTIL, VALID_FROM = "2018-01-02", "2016-01-04"
SYMBOLS = ("AAPL", "JNJ", "JPM", "KO", "XOM")


def made_session(
    rng: np.random.Generator, streams: int, rate: float, told_by_tails: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Misses and tail probabilities of one session.

    Parameters
    ----------
    rate : float
        Of misses; .10 is a session that fits.
    told_by_tails : bool
        Whether the model as trained fits as badly: its tail probability is below .10 just where
        the interval misses, and uniform on either side. Else it fits, and knows nothing of misses.
    """
    misses = rng.random(streams) < rate
    tails = rng.random(streams)
    if told_by_tails:
        tails = np.where(misses, MISS_RATE * tails, MISS_RATE + (1 - MISS_RATE) * tails)
    return misses.astype(float), tails


def run_lengths(
    rate: float,
    streams: int,
    *,
    after: int = 0,
    told_by_tails: bool = True,
    longest: int | None = None,
    seed: int = 0,
) -> FloatArray:
    """Sessions from a change to the alarm.

    Parameters
    ----------
    rate : float
        Of misses since the change.
    after : int
        Sessions that fit, before it. Streams with an alarm in them are left out.
    longest : int, optional
        ``LONGEST`` by default.

    Returns
    -------
    array, shape (n,), n at most ``streams``
    """
    longest = longest or LONGEST
    rng = np.random.default_rng(seed)
    values, found = np.zeros((streams, BETS)), np.zeros(0)
    for session in range(1, after + longest + 1):
        then = MISS_RATE if session <= after else rate
        values = accumulate(values, *made_session(rng, len(values), then, told_by_tails))
        alarm = evidence_of(values) >= ARL0
        if session > after:
            found = np.append(found, np.full(int(alarm.sum()), float(session - after)))
        values = values[~alarm]
        if not len(values):
            break
    return np.append(found, np.full(len(values), float(longest)))


def monitor_table(streams: int = 1000) -> str:
    """ARL0 and delays of made sessions, then what became of real ones."""
    return "\n".join([*_false_alarms(streams), "", *_delays(streams), "", *_real()])


def _false_alarms(streams: int) -> Iterator[str]:
    yield f"sessions to a false alarm at {ARL0:g}, {streams} streams of at most {LONGEST} sessions"
    yield f"{'misses and tails':<20}{'mean':>8}{'error':>8}{'median':>8}{'10 %':>8}"
    for told_by_tails, name in ((True, "of one law"), (False, "independent")):
        runs = run_lengths(MISS_RATE, streams, told_by_tails=told_by_tails)
        error = runs.std() / np.sqrt(len(runs))
        yield (
            f"{name:<20}{runs.mean():>8.0f}{error:>8.0f}{np.median(runs):>8.0f}"
            f"{np.quantile(runs, 0.1):>8.0f}"
        )


def _delays(streams: int) -> Iterator[str]:
    yield "sessions from a change to the alarm: median (nine in ten)"
    columns = [(after, told) for after in (0, 250) for told in (True, False)]
    heads = (f"{'after ' + str(a):>11}, {'told' if t else 'not told':<8}" for a, t in columns)
    yield f"{'misses':<8}" + "".join(heads)
    for rate in (0.2, 0.25, 0.35, 0.5):
        line = f"{rate:<8.0%}"
        for after, told_by_tails in columns:
            runs = run_lengths(rate, streams, after=after, told_by_tails=told_by_tails)
            line += f"{np.median(runs):>14.0f} {f'({np.quantile(runs, 0.9):.0f})':<6}"
        yield line.rstrip()


def _real() -> Iterator[str]:
    yield f"real closes, ewma fitted until {FITTED_UNTIL}"
    yield f"{'symbol':<8}{'sessions':>9}{'misses':>8}{'alarms':>8}{'the first':>12}{'in alarm':>10}"
    for symbol, days in watched_sample().items():
        alarms = np.array([day.evidence >= ARL0 for day in days])
        begin = [str(days[i].session) for i in np.flatnonzero(np.diff(alarms, prepend=False))]
        misses = np.mean([day.miss for day in days])
        yield (
            f"{symbol:<8}{len(days):>9}{misses:>8.1%}{len(begin):>8}{begin[0] if begin else '':>12}"
            f"{alarms.mean():>10.1%}"
        )


def watched_sample() -> dict[str, list[DriftDay]]:
    """Some symbols of the sample under watch from ``FITTED_UNTIL`` on, one model for all."""
    series = series_of(sample_panel(SYMBOLS))
    start = np.datetime64(FITTED_UNTIL)
    recipe = make_forecaster("ewma", make_parameters("ewma", {"horizon": 1}))
    splits = [split_at(prices, VALID_FROM, FITTED_UNTIL) for prices in series]
    predictor = recipe.fit([s.train for s in splits], [s.valid for s in splits])
    forecasts = predictor.predict_along(series)
    members = [PanelMember(prices, f) for prices, f in zip(series, forecasts, strict=True)]
    watched = {
        member.prices.symbol: MonitoredSymbol(
            FITTED_UNTIL, member, member.forecast, calibrate(predictor, [split.valid]), Monitor()
        )
        for member, split in zip(members, splits, strict=True)
    }
    states: dict[str, AdaptiveState] = {}
    found: dict[str, list[DriftDay]] = {symbol: [] for symbol in watched}
    for session, after in follow(members, np.datetime64(VALID_FROM)):
        if session >= start:
            for symbol in after:
                found[symbol].append(_seen(watched, symbol, states[symbol], session))
        states |= after
    return found


def _seen(
    watched: dict[str, MonitoredSymbol], symbol: str, state: AdaptiveState, session: np.datetime64
) -> DriftDay:
    """One session more; the monitor in ``watched`` moves on."""
    one = watched[symbol]
    prices: Prices = one.member.prices
    row = int(np.searchsorted(prices.sessions, session))
    day = one.observe(state, row, datetime.now(UTC))
    watched[symbol] = one.after(day)
    return day


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=1000)
    print(monitor_table(parser.parse_args().streams))


if __name__ == "__main__":
    main()
