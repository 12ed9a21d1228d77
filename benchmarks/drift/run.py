"""What the drift warnings are worth: how often they are false, what they see, what they cost.

``python -m benchmarks.drift.run [--no-peers]``

Clean windows are of the 20 sample symbols; every one is judged by a detector that was calibrated
on other symbols and other years (:mod:`benchmarks.drift.crossfit`). Seeds are fixed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import ks_2samp

from benchmarks.drift.cases import FAULTS, KNOWN, LENGTH, sample_series
from benchmarks.drift.crossfit import CrossFit, sample_fit
from benchmarks.drift.events import crisis_table, raw_table
from benchmarks.drift.peer_rows import compare
from benchmarks.drift.power import (
    ALONE,
    DATES,
    LAST_CLOSE,
    MEMORY,
    confusion_table,
    power,
    power_table,
    spoilable,
)
from benchmarks.drift.rates import (
    adjusted_strangers,
    crossfitted,
    false_alarm_table,
    false_alarms,
    raw_strangers,
    yearly_table,
)

SHOWN = (ALONE, LAST_CLOSE, MEMORY)
"""Dates that are right say nothing of a clean window."""

EVERY = 9
"""Every ninth clean window is spoiled: 950 of them, of all symbols and all years after 2005."""

DATED = ("5 days filled", "reversed order", "stale by 250", "a date twice")
"""Faults of which dates may tell."""


def cost_table(fit: CrossFit, repetitions: int = 400) -> str:
    """Median time of one check, and of one ``ks_2samp`` on the same returns, interleaved."""
    usual, nowhere = "scipy ks_2samp, 250 returns before", f"{MEMORY}, window found nowhere"
    times: dict[str, list[float]] = {name: [] for name in (usual, *KNOWN, nowhere)}
    for case in spoilable(fit.windows(), EVERY)[:repetitions]:
        detector = fit.detector(case, 0.01)
        contexts = {name: make(case, fit.series) for name, make in KNOWN.items()}
        contexts[nowhere] = contexts[MEMORY]
        noise = np.random.default_rng(case.first).normal(0, 0.02, LENGTH)
        windows = {nowhere: case.closes * np.exp(noise)}
        for context in contexts.values():
            for prices in () if context is None else (context.known, *context.others):
                _ = prices and prices.log_closes  # the service computes them once, and keeps them
        returns = np.diff(np.log(case.prices.closes[case.first - 250 : case.first + LENGTH]))
        times[usual].append(_timed(ks_2samp, returns[: 1 - LENGTH], returns[1 - LENGTH :]))
        for name, context in contexts.items():
            window = windows.get(name, case.closes)
            times[name].append(_timed(detector.check, window, context))
    base = float(np.median(times[usual]))
    lines = [f"cost of one window, median of {repetitions}, interleaved"]
    for name, seconds in times.items():
        median = float(np.median(seconds))
        lines.append(f"{name:<36}{1e6 * median:>8.0f} us{median / base:>8.2f} x ks_2samp")
    return "\n".join(lines)


def _timed(call: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def main() -> None:
    """Prints every table, as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    series = sample_series()
    fit = sample_fit()
    clean = false_alarms(crossfitted(fit, fit.windows()), series, SHOWN)
    _say(false_alarm_table("clean windows of the sample, symbol and year unseen", clean))
    _say(yearly_table(clean, SHOWN))
    kinds = {
        "adjusted closes of IBM and GOOG, 2004 to 2013": adjusted_strangers(),
        "raw closes of AAPL, MSFT and IBM, 2000 to 2004, no split": raw_strangers(news=False),
        "the same with the real fall of AAPL by half": raw_strangers(news=True),
    }
    for title, judged in kinds.items():
        _say(false_alarm_table(title, false_alarms(judged, (), SHOWN)))
    pairs = [
        (name, known)
        for name in FAULTS
        for known in KNOWN
        if known in SHOWN or (known == DATES and name in DATED)
    ]
    found = power(fit, spoilable(fit.windows(), EVERY), pairs)
    _say(power_table(found))
    for known in SHOWN:
        _say(confusion_table(found, known))
    _say(crisis_table(series, SHOWN))
    _say(raw_table())
    if importlib.util.find_spec("benchmarks.drift.monitor"):
        from benchmarks.drift.monitor import monitor_table

        _say(monitor_table())
    if not arguments.no_peers:
        _say(compare(fit))
    _say(cost_table(fit))


def _say(table: str) -> None:
    print(table, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
