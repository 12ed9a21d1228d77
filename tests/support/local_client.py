"""A client that is what a caller on the service's own machine is to a real server."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient


class LocalClient(TestClient):
    """Both ends are loopback addresses; ``TestClient`` alone says "testclient" of its own."""

    def __init__(self, app: FastAPI, **changes: Any) -> None:
        chosen = {"client": ("127.0.0.1", 50_000), "base_url": "http://127.0.0.1:8000", **changes}
        super().__init__(app, **chosen)
