"""The served network in ONNX Runtime and in torch: time per call, interleaved, and agreement.

``python -m benchmarks.engine [--rounds 30]``

Both run the same 2 x 64 LSTM on one thread. Rounds alternate, so that a noisy moment hits
both; the medians and their ratio are printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from closecast.arrays import read_only
from closecast.forecasters.lstm.fit import check_agreement, export_onnx
from closecast.forecasters.lstm.network import LstmNetwork
from closecast.forecasters.lstm.parameters import LstmParameters
from closecast.forecasters.lstm.predict import LstmPredictor


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
    parser = argparse.ArgumentParser(description="ONNX Runtime beside torch eager, one thread.")
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
    print(f"{'batch':>6}{'torch us/window':>18}{'onnxruntime':>14}{'ratio':>8}")
    for batch, repeats in ((1, 200), (8, 60), (64, 10), (512, 2)):
        inputs = rng.standard_normal((batch, p.seq_length - 1))
        tensor = torch.tensor(inputs, dtype=torch.float32)[:, :, None]

        def in_torch(tensor: torch.Tensor = tensor) -> object:
            with torch.inference_mode():
                return network(tensor)

        def in_onnx(inputs: np.ndarray = inputs) -> object:
            return predictor.run_network(inputs)

        in_torch()
        in_onnx()
        times: dict[str, list[float]] = {"torch": [], "onnx": []}
        for _ in range(arguments.rounds):
            times["torch"].append(_per_window_us(in_torch, batch, repeats))
            times["onnx"].append(_per_window_us(in_onnx, batch, repeats))
        a, b = median(times["torch"]), median(times["onnx"])
        print(f"{batch:>6}{a:>18.1f}{b:>14.1f}{a / b:>8.2f}")


if __name__ == "__main__":
    main()
