"""The network of the servers, as tutorials have it: closes scaled to 0 to 1, an LSTM, and back.

``python -m benchmarks.serving.servers.network FOLDER`` writes random weights, scaler and residuals
there: they say nothing of prices, and cost what trained ones would.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn.preprocessing import MinMaxScaler
from torch import nn

LENGTH, STEPS = 60, 10
REFERENCE = 500
LEVELS = {0.8: (0.1, 0.9), 0.95: (0.025, 0.975)}


class Network(nn.Module):
    """Two layers of 64 and a linear head; shapes (n, 60, 1) to (n, steps)."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 64, 2, batch_first=True, dropout=0.2)
        self.head = nn.Linear(64, steps)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scaled closes of the steps after the last one."""
        states, _ = self.lstm(inputs)
        out: torch.Tensor = self.head(states[:, -1])
        return out


class Predictor:
    """Closes in, closes of the next steps out: scaler and network, nothing else."""

    def __init__(self, steps: int = 1, folder: Path | None = None) -> None:
        torch.set_num_threads(1)
        self.folder = folder or Path(os.environ["BENCHMARK_WEIGHTS"])
        self.scaler = joblib.load(self.folder / "scaler.joblib")
        self.network = Network(steps).eval()
        self.network.load_state_dict(
            torch.load(self.folder / f"network_{steps}.pt", weights_only=True)
        )

    def __call__(self, prices: list[float]) -> NDArray[np.float64]:
        scaled = self.scaler.transform(np.asarray(prices).reshape(-1, 1))
        with torch.no_grad():
            out = self.network(torch.tensor(scaled, dtype=torch.float32).unsqueeze(0))
        found: NDArray[np.float64] = self.scaler.inverse_transform(out.numpy().reshape(-1, 1))[:, 0]
        return found


class FullPredictor:
    """The work of this service, done the usual way: ten steps, their intervals, and drift.

    Intervals are the forecast plus quantiles of stored residuals; drift is a two-sample
    Kolmogorov-Smirnov test against stored closes.
    """

    def __init__(self) -> None:
        self.predict = Predictor(STEPS)
        folder = self.predict.folder
        self.residuals = np.load(folder / "residual_quantiles.npy")
        self.reference = np.load(folder / "reference.npy")

    def __call__(self, prices: list[float]) -> dict[str, Any]:
        path = self.predict(prices)
        steps = []
        for i, price in enumerate(path.tolist()):
            intervals = [
                {
                    "level": level,
                    "lower": price + float(self.residuals[2 * k, i]),
                    "upper": price + float(self.residuals[2 * k + 1, i]),
                }
                for k, level in enumerate(LEVELS)
            ]
            steps.append({"step": i + 1, "price": price, "intervals": intervals})
        test = ks_2samp(self.reference, prices)
        warning = bool(test.pvalue < 0.05)
        details = [f"The closes are not distributed as in training (p = {test.pvalue:.2g})."]
        return {
            "predicted_price": steps[0]["price"],
            "intervals": steps[0]["intervals"],
            "path": steps,
            "drift_warning": warning,
            "drift_details": details if warning else [],
        }


def write_weights(folder: Path) -> None:
    """Everything that the servers load."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    closes = 200 * np.exp(np.cumsum(rng.normal(0, 0.01, 4000)))
    joblib.dump(MinMaxScaler().fit(closes.reshape(-1, 1)), folder / "scaler.joblib")
    for steps in (1, STEPS):
        torch.save(Network(steps).state_dict(), folder / f"network_{steps}.pt")
    residuals = rng.normal(0, 3, (1000, STEPS)) * np.sqrt(np.arange(1, STEPS + 1))
    ends = [end for pair in LEVELS.values() for end in pair]
    np.save(folder / "residual_quantiles.npy", np.quantile(residuals, ends, axis=0))
    np.save(folder / "reference.npy", closes[-REFERENCE:])
    scaler = Predictor(1, folder).scaler
    np.save(folder / "scale.npy", np.array([scaler.scale_[0], scaler.min_[0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter: its deprecation
        torch.onnx.export(
            Predictor(1, folder).network,
            (torch.zeros(1, LENGTH, 1),),
            str(folder / "network_1.onnx"),
            dynamo=False,
            input_names=["inputs"],
            output_names=["price"],
        )


if __name__ == "__main__":
    write_weights(Path(sys.argv[1]))
