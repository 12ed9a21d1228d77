"""90 % intervals one session ahead, rolled from 2007 to 2022 over the sample symbols.

``python -m benchmarks.forecast.intervals [--full] [--no-peers] [--symbols MSFT,AAPL]``

Width and Winkler score are in per cent of the last close, as ratios to EWMA-Gaussian's in the
same run. Every method says its bounds from closes up to the origin alone; the terciles, which
only sort the rows of the table, know the whole span. Other libraries run in environments of
their own (``benchmarks/.peers/``): the first run installs them and took 4 minutes on one core
(8 with ``--full``), later ones half a minute, with the answers kept there. Under the table:
CRPS of GARCH-t, and bands for whole paths.
"""

from __future__ import annotations

import argparse

from benchmarks.forecast.distributions import crps_ratios, crps_table, without_drift
from benchmarks.forecast.interval_table import SPAN, Judge, table
from benchmarks.forecast.methods import METHODS, REFERENCE
from benchmarks.forecast.panel import Bounds, Panel, sample_panel
from benchmarks.forecast.paths import path_table, root_time_scale, score_bands
from benchmarks.forecast.peer_methods import PeerAnswers, ask_peers
from benchmarks.forecast.product import product_rows


def own_rows(panel: Panel) -> dict[str, Bounds]:
    """Bounds of every method of ``benchmarks.forecast.methods``."""
    return {name: method(panel.returns) for name, method in METHODS.items()}


def interval_report(panel: Panel, peers: PeerAnswers) -> str:
    """The table of intervals with what has to be said of it."""
    judge = Judge(panel)
    everything = {**own_rows(panel), **product_rows(panel), **peers.bounds}
    rows = [judge.score(name, bounds) for name, bounds in everything.items()]
    width, winkler = judge.reference_losses
    return "\n".join(
        [
            f"90 % intervals one session ahead, {SPAN[0]} to {SPAN[1]}: {len(panel.symbols)} "
            f"symbols, {len(judge.rows)} sessions each",
            table(rows, peers.missing),
            f"Width and Winkler score: ratios to {REFERENCE} on the same symbols (over all: "
            f"{width:.3f} and {winkler:.3f} % of the last close).",
            "Infinite and empty sets are counted and replaced by the symbol's widest finite set "
            "so far, in units of its EWMA volatility.",
            *peers.notes,
        ]
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--symbols", default="", help="comma-separated; all 20 by default")
    parser.add_argument("--full", action="store_true", help="slow peers on every symbol, not on 5")
    parser.add_argument("--no-peers", action="store_true", help="only what is computed here")
    arguments = parser.parse_args()
    panel = sample_panel([name for name in arguments.symbols.split(",") if name])
    peers = PeerAnswers() if arguments.no_peers else ask_peers(panel, arguments.full)
    print(interval_report(panel, peers), flush=True)
    quantiles = {**peers.quantiles, **without_drift(peers.quantiles)}
    print(f"\n{crps_table(crps_ratios(panel, quantiles))}", flush=True)
    print(f"\n{path_table(score_bands(panel, root_time_scale(panel)))}")


if __name__ == "__main__":
    main()
