"""The floor: no framework, orjson, the network in ONNX Runtime. Nobody's product."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson


class Bare:
    """An ASGI application of one route; it validates nothing."""

    def __init__(self) -> None:
        folder = Path(os.environ["BENCHMARK_WEIGHTS"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            folder / "network_1.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._scale, self._offset = np.load(folder / "scale.npy")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        closes = np.array(orjson.loads(body)["prices"])
        inputs = (closes * self._scale + self._offset).astype(np.float32).reshape(1, -1, 1)
        [out] = self._session.run(None, {"inputs": inputs})
        price = (float(out[0, 0]) - self._offset) / self._scale
        answer = orjson.dumps({"predicted_price": float(price)})
        length = str(len(answer)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def make() -> Bare:
    """For ``uvicorn --factory``."""
    return Bare()
