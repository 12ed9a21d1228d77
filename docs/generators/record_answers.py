"""Record answers of a running service as examples of the HTTP reference.

For operations without an example in the OpenAPI document. Start a service with a small model in an
empty folder (``closecast train --symbols MSFT,KO --source sample --start 2012-01-03 --forecaster
ewma``, then ``closecast serve``), then call this with its address.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx

RECORDED = Path(__file__).parent / "recorded_answers.json"
_PRICES = [100 + step * (-1) ** step for step in range(60)]


def recorded() -> dict[str, dict[str, Any]]:
    """Bodies by operation (``GET /config``), then by ``request`` or status."""
    found: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def record(service: httpx.Client) -> dict[str, dict[str, Any]]:
    """Call each operation in an order in which it has something to show."""
    found: dict[str, dict[str, Any]] = {}

    def call(method: str, template: str, body: object = None, **values: str) -> Any:
        path = template.format(**values)
        answer = service.request(method, path, json=body)
        key = f"{method} {template.partition('?')[0]}"
        found[key] = {str(answer.status_code): answer.json()}
        if body is not None:
            found[key]["request"] = body
        return answer.json()

    service.post("/predict", json={"prices": _PRICES, "symbol": "MSFT"})
    forecast = call("GET", "/forecast/{symbol}?horizon=2", symbol="MSFT")
    call("GET", "/forecasts/{forecast_id}", forecast_id=forecast["forecast_id"])
    call("GET", "/forecasts?limit=1")
    call("GET", "/performance/{symbol}", symbol="MSFT")
    call("POST", "/config", {"hyperparameters": {"hidden_size": 32}})
    call("GET", "/config")
    recipe = {"symbols": ["MSFT", "KO"], "forecaster": "ewma"}
    job = call("POST", "/train", {**recipe, "source": "sample", "start": "2012-01-03"})
    while call("GET", "/train/{job_id}", job_id=job["id"])["state"] in ("queued", "running"):
        time.sleep(0.5)
    call("GET", "/train?limit=1")
    other = service.post("/train", json={**recipe, "start": "2013-01-02"}).json()
    call("DELETE", "/train/{job_id}", job_id=other["id"])
    call("GET", "/statistics")
    call("GET", "/model")
    call("GET", "/model/versions?limit=1")
    call("POST", "/model/reload", {"symbol": "MSFT"})
    for path in ("/health", "/health/live", "/health/ready", "/monitor?limit=1"):
        call("GET", path)
    time.sleep(1)  # the prediction log is written behind the answer
    call("GET", "/predictions?limit=1")
    return found


def shortened(value: Any) -> Any:
    """The value with one item in each list of objects, and without the machine's names."""
    if isinstance(value, dict):
        names = {"host": "server-1", "process": "server-1:4711", "process_id": 4711}
        return {
            key: names[key] if key in names and part is not None else shortened(part)
            for key, part in value.items()
        }
    if isinstance(value, list):
        kept = value[:1] if value and isinstance(value[0], dict) else value
        return [shortened(part) for part in kept]
    return value


def main(url: str) -> None:
    """Write the file that the reference reads."""
    with httpx.Client(base_url=url, timeout=60) as service:
        text = json.dumps(shortened(record(service)), indent=1, ensure_ascii=False)
    RECORDED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
