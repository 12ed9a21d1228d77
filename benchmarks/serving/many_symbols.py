"""One worker with many symbols beside one with one: latency, memory, time to ready.

``python -m benchmarks.serving.many_symbols [--symbols 1000] [--pairs 7] [--requests 3000]``

The symbols are one bundle of the default network, whose parts are copies of one symbol's, and
each has closes of its own. Each request names a symbol and sends its newest closes, which are
looked for among all. One connection; stretches with one symbol and with all in turn, asked of two
services that run side by side; printed are medians over the pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.serving.load import Load, post, run_load
from benchmarks.serving.served_model import LENGTH, SERVE, SYMBOL, settings_in, trained
from benchmarks.serving.server_process import ServerProcess, free_port
from closecast.calibration import dump_states, load_state
from closecast.core.prices import Prices
from closecast.infra.files import write_atomically
from closecast.registry.documents import (
    BASELINE_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    Pointer,
    Promotion,
    dump_by_symbol,
    of_symbol,
)
from closecast.registry.registry import Registry
from closecast.sources.price_cache import PriceCache
from closecast.sources.sample import SampleSource

_BY_SYMBOL = (BASELINE_FILE, INTERVALS_FILE, EVALUATION_FILE)


def _letters(number: int) -> str:
    """A name of five letters, which is a share in New York like the default symbol."""
    return "S" + "".join(chr(65 + number // 26**place % 26) for place in (3, 2, 1, 0))


def published(model: Registry, version: str, folder: Path, count: int) -> list[Prices]:
    """Publish the bundle for so many symbols, the first of them the default one; their closes."""
    bundle = model.load(version)
    info, files = bundle.manifest.info, dict(bundle.files)
    symbols = [SYMBOL, *(_letters(i) for i in range(1, count))]
    for name in _BY_SYMBOL:
        files[name] = dump_by_symbol(dict.fromkeys(symbols, of_symbol(files, name, SYMBOL)))
    state = load_state(files[LIVE_FILE], SYMBOL)
    files[LIVE_FILE] = dump_states(dict.fromkeys(symbols, state))
    spans = tuple(info.data[0].model_copy(update={"symbol": symbol}) for symbol in symbols)
    evaluation = dict.fromkeys(symbols, info.evaluation[SYMBOL])
    changes = {"symbols": tuple(symbols), "data": spans, "evaluation": evaluation}
    registry = Registry(str(folder / "models"))
    made = registry.publish(info.model_copy(update=changes), files)
    whole, rng = SampleSource().fetch(SYMBOL), np.random.default_rng(0)
    cache, found = PriceCache(folder / "data" / "prices"), []
    for symbol in symbols:
        step = Promotion(
            version=made.version, generation=1, at=datetime.now(UTC), reason="many symbols"
        )
        pointer = Pointer(symbol=symbol, version=made.version, generation=1, history=(step,))
        path = folder / "models" / "current" / f"{symbol}.json"
        write_atomically(path, pointer.model_dump_json().encode())
        closes = whole.closes * np.exp(np.cumsum(rng.normal(0, 0.01, len(whole))))
        prices = Prices(symbol, whole.sessions, closes.round(4), "made", whole.basis)
        cache.put(prices)
        found.append(prices)
    return found


def _requests(all_prices: Sequence[Prices]) -> list[bytes]:
    return [
        post(
            "/predict",
            json.dumps({"prices": p.closes[-LENGTH:].tolist(), "symbol": p.symbol}).encode(),
        )
        for p in all_prices
    ]


def _is_ready(server: ServerProcess) -> bool:
    return server.call("GET", "/health/ready")[0] == 200


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--requests", type=int, default=3000, help="of each stretch")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = trained(folder / "trained")
        registry = Registry(model.environment["CLOSECAST_MODELS_URL"])
        servers, asked = [], []
        for count in (1, arguments.symbols):
            place = folder / f"with{count}"
            prices = published(registry, model.versions[-1], place, count)
            port = free_port()
            settings = {**settings_in(place), "CLOSECAST_PORT": str(port)}
            servers.append(ServerProcess(SERVE, port, place / "log", settings))
            ready = servers[-1].wait_until(partial(_is_ready, servers[-1]))
            asked.append(_requests(prices))
            print(f"{count} symbols: ready after {ready:.2f} s", flush=True)
        few, many = servers
        with few, many:
            _compare(few, many, asked, arguments)


def _compare(
    few: ServerProcess,
    many: ServerProcess,
    asked: Sequence[list[bytes]],
    arguments: argparse.Namespace,
) -> None:
    before, _ = many.pss_mb()
    for server, requests in zip((few, many), asked, strict=True):
        run_load(Load(server.port, requests, 1, count=2 * len(requests) + 200))  # all are loaded
    memory = [server.pss_mb()[0] for server in (few, many)]
    rows = []
    for _ in range(arguments.pairs):
        row = []
        for server, requests in zip((few, many), asked, strict=True):
            measured = run_load(Load(server.port, requests, 1, count=arguments.requests))
            if measured.errors:
                raise RuntimeError(f"not all were answered: {dict(measured.errors)}")
            row += np.quantile(measured.latencies_ms, [0.5, 0.99]).tolist()
        rows.append(row)
    p50_one, p99_one, p50_all, p99_all = np.median(rows, axis=0)
    ratio = float(np.median([row[3] / row[1] for row in rows]))
    n = arguments.symbols
    print(f"p50 {p50_one:.2f} ms with 1 symbol, {p50_all:.2f} ms with {n}")
    print(f"p99 {p99_one:.2f} ms with 1 symbol, {p99_all:.2f} ms with {n}: {ratio:.2f} (<= 1.3)")
    each = (memory[1] - memory[0]) / (n - 1)
    print(
        f"memory {memory[0]:.0f} MB with 1 symbol, {memory[1]:.0f} MB with {n}: "
        f"{each:.2f} MB for each further one (<= 1)"
    )
    print(f"({before:.0f} MB before any but the default symbol was asked for)")


if __name__ == "__main__":
    main()
