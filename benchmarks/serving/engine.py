"""The served network in three engines: time per call, interleaved, and agreement with torch.

``python -m benchmarks.serving.engine [--rounds 30]``

All run the same 2 x 64 LSTM on one thread. Rounds alternate, so that a noisy moment hits all; the
medians are printed. OpenVINO comes from an environment of its own, made on the first run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.peers.runner import PeerUnavailable, environment
from closecast.core.arrays import read_only
from closecast.forecasters.lstm.fit import check_agreement, export_onnx
from closecast.forecasters.lstm.network import LstmNetwork
from closecast.forecasters.lstm.parameters import LstmParameters
from closecast.forecasters.lstm.predict import LstmPredictor

Run = Callable[[NDArray[np.float32]], object]


def _network(p: LstmParameters) -> LstmNetwork:
    torch.manual_seed(0)
    network = LstmNetwork(p).eval()
    torch.nn.init.normal_(network.head.weight, std=0.1)  # an untrained head answers constants
    return network


def _per_window_us(call: Callable[[], object], batch: int, repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return 1e6 * (time.perf_counter() - started) / repeats / batch


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    p = LstmParameters()
    network = _network(p)
    predictor = LstmPredictor(
        seq_length=p.seq_length,
        horizon=p.horizon,
        long_run=0.02,
        shape_quantiles=read_only(np.zeros((p.horizon, 39))),
        network=export_onnx(network, p.seq_length),
        weights=b"",
    )
    rng = np.random.default_rng(0)
    worst = check_agreement(network, predictor, rng.standard_normal((512, p.seq_length - 1)))
    print(f"largest relative difference of price and scale: {worst:.1e} (allowed 1e-5)")
    engines: dict[str, Run] = {
        "onnxruntime": lambda batch: predictor._session.run(None, {"inputs": batch}),
        "torch": lambda batch: _in_torch(network, batch),
    }
    try:
        engines["openvino"] = _openvino(predictor.network)
    except PeerUnavailable as reason:
        print(f"openvino: {reason}")
    print(f"{'batch':>6}" + "".join(f"{name + ' us/window':>24}" for name in engines))
    for batch, repeats in ((1, 200), (4, 100), (8, 60), (16, 30), (32, 20), (64, 10), (512, 2)):
        inputs = rng.standard_normal((batch, p.seq_length - 1, 1)).astype(np.float32)
        times: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(arguments.rounds + 1):
            for name, run in engines.items():
                took = _per_window_us(lambda run=run, inputs=inputs: run(inputs), batch, repeats)
                if number:  # the first one warms up
                    times[name].append(took)
        print(f"{batch:>6}" + "".join(f"{median(took):>24.1f}" for took in times.values()))


def _in_torch(network: LstmNetwork, batch: NDArray[np.float32]) -> object:
    with torch.inference_mode():
        return network(torch.from_numpy(batch))


def _openvino(onnx: bytes) -> Run:
    """The network, compiled for one thread, in an engine that the project does not depend on."""
    python = environment("engine_openvino")
    sys.path += [
        str(packages) for packages in python.parent.parent.glob("lib/python*/site-packages")
    ]
    import openvino  # not installed here

    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(onnx), "CPU", hints).create_infer_request()
    return lambda batch: request.infer({0: batch})


if __name__ == "__main__":
    main()
