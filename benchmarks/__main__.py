"""``python -m benchmarks NAME [OPTION…]``: run a benchmark by its name; without one, list them."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence

BENCHMARKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "serve": (
        "requests per second and latency beside the usual service and frameworks (15 minutes)",
        ("benchmarks.serving.serve",),
    ),
    "against": (
        "processor time per prediction beside an earlier commit, in turns (2 minutes)",
        ("benchmarks.serving.against",),
    ),
    "reload": (
        "500 reloads under load: requests lost, late or answered by two versions",
        ("benchmarks.serving.reload",),
    ),
    "training": (
        "latency of predictions while a training runs",
        ("benchmarks.serving.training_latency",),
    ),
    "symbols": (
        "one worker with 1,000 symbols beside one with one: latency and memory",
        ("benchmarks.serving.many_symbols",),
    ),
    "engine": (
        "the network in ONNX Runtime, torch and OpenVINO, interleaved",
        ("benchmarks.serving.engine",),
    ),
    "files": (
        "reading a file of 5,000 closes beside pandas alone, in turns",
        ("benchmarks.files.reading",),
    ),
    "forecast": (
        "forecast quality over the 20 sample symbols, beside naive and peers (20 minutes)",
        ("benchmarks.forecast.accuracy", "benchmarks.forecast.intervals"),
    ),
    "calibration": (
        "time to absorb one new close, and to answer",
        ("benchmarks.forecast.calibration",),
    ),
    "gate": (
        "error rates of the gate on synthetic candidates of known quality",
        ("benchmarks.forecast.gate",),
    ),
    "retrain": (
        "never, monthly or by regime: CRPS and trainings over 2010 to 2022",
        ("benchmarks.forecast.retrain",),
    ),
    "drift": (
        "drift warnings beside peers: false alarms, power, real events, cost (15 minutes)",
        ("benchmarks.drift.run",),
    ),
    "drift-markets": (
        "drift by kind of market, crashes of coins, the same windows through peers (15 minutes)",
        ("benchmarks.drift.markets", "benchmarks.drift.market_peers"),
    ),
}
"""Name to a description and the modules that run in this order."""


def main(arguments: Sequence[str]) -> None:
    """Run the named benchmark with the other arguments, or all of them for ``all``."""
    name, *options = arguments or [""]
    if name not in {*BENCHMARKS, "all"}:
        print("\n".join(f"  {key:<12} {text}" for key, (text, _) in BENCHMARKS.items()))
        print("  all          every one of them")
        sys.exit(f"unknown benchmark {name!r}: make bench NAME=serve" if name else 0)
    for key in BENCHMARKS if name == "all" else [name]:
        for module in BENCHMARKS[key][1]:
            sys.argv = [module, *options]
            runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
