"""The network in LitServe: ``python -m benchmarks.serving.servers.litserve_server PORT WORKERS``.

Without batching, which was no faster at these sizes.
"""

from __future__ import annotations

import sys

import litserve

from benchmarks.serving.servers.network import Predictor


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The four steps that LitServe asks for."""

    def setup(self, device: str) -> None:
        self.predict_prices = Predictor()

    # Without an annotation the request is JSON; LitServe cannot read one that is postponed.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        prices: list[float] = request["prices"]
        return prices

    def predict(self, prices: list[float]) -> float:
        return float(self.predict_prices(prices)[0])

    def encode_response(self, price: float) -> dict[str, float]:
        return {"predicted_price": price}


if __name__ == "__main__":
    port, workers = (int(value) for value in sys.argv[1:])
    litserve.LitServer(Api(), accelerator="cpu", workers_per_device=workers).run(
        host="127.0.0.1", port=port, generate_client_file=False, log_level="warning"
    )
