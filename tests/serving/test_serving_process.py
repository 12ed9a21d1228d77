"""Modules loaded by a serving process: no torch and no pandas after any request."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from closecast.settings import Settings, as_environment

FORBIDDEN = [
    "torch",
    "lightning",
    "pytorch_lightning",
    "mlflow",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "yfinance",
    "exchange_calendars",
]

CALL_EVERYTHING = """
import json, sys
from fastapi.testclient import TestClient
from api.main import app

window = [round(200 + i * 0.7 - (i % 7), 2) for i in range(60)]
bodies = {"/predict": {"prices": window, "as_of": "2022-12-28"},
          "/drift": {"windows": [{"prices": window}]},
          "/config": {"hyperparameters": {"num_epochs": 3}},
          "/model/promote": {"version": "20260102T030405Z-0a1b2c3d", "reason": "a test"},
          "/model/rollback": {"reason": "a test"}}
answered = []
with TestClient(app, client=("127.0.0.1", 50000), base_url="http://127.0.0.1:8000") as client:
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            url = path.replace("{job_id}", "nothing").replace("{symbol}", "MSFT")
            body = bodies.get(path, {}) if method == "post" else None
            answer = client.request(method.upper(), url, json=body)
            assert answer.status_code < 500, (method, path, answer.text)
            if path == "/forecast/{symbol}":
                assert answer.status_code == 200, answer.text
            answered.append(f"{method} {path}")
    client.get("/docs"); client.get("/nowhere")
loaded = [name for name in FORBIDDEN if name in sys.modules]
print(json.dumps({"answered": answered, "loaded": loaded}))
"""


def test_no_route_loads_what_training_needs(published: Settings) -> None:
    environment = as_environment(published)
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            CALL_EVERYTHING.replace("FORBIDDEN", repr(FORBIDDEN)),
        ],
        env={**os.environ, **environment, "CLOSECAST_LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["loaded"] == []
    assert "post /predict" in found["answered"]
    assert "post /train" in found["answered"]
    assert len(found["answered"]) >= 13
