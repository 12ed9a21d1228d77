"""The network in MLServer.

``python -m benchmarks.serving.servers.mlserver_model PORT WORKERS FOLDER``

Writes the settings that MLServer reads to the folder and becomes the server. One worker runs in
the process of the server, which is faster than one beside it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import numpy as np
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.serving.servers.network import Predictor


class Network(MLModel):  # type: ignore[misc]
    """One tensor in, one number out, in the V2 protocol."""

    async def load(self) -> bool:
        self.predict_prices = Predictor()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        prices = np.asarray(payload.inputs[0].data.root, dtype=np.float64).tolist()
        price = float(self.predict_prices(prices)[0])
        output = ResponseOutput(name="price", shape=[1, 1], datatype="FP64", data=[price])
        return InferenceResponse(model_name=self.name, outputs=[output])


def write_settings(folder: Path, port: int, workers: int) -> None:
    """``settings.json`` and ``model-settings.json``."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        grpc_port = probe.getsockname()[1]
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "metrics_endpoint": None,
        "parallel_workers": workers if workers > 1 else 0,
        "debug": False,
    }
    model = {"name": "price", "implementation": "benchmarks.serving.servers.mlserver_model.Network"}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))


if __name__ == "__main__":
    place = Path(sys.argv[3])
    place.mkdir(exist_ok=True)
    write_settings(place, int(sys.argv[1]), int(sys.argv[2]))
    start = "from mlserver.cli import main; main()"
    os.execv(sys.executable, [sys.executable, "-c", start, "start", str(place)])
