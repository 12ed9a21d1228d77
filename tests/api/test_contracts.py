"""The seam for contracts of other serving systems."""

from __future__ import annotations

import pytest
from fastapi import APIRouter

from api import contracts
from api.main import create_app
from closecast.settings import Settings
from tests.support.local_client import LocalClient


def test_a_contract_is_served_counted_and_needs_a_scope_like_any_route(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = APIRouter()

    @router.get("/ping")
    def ping() -> dict[str, str]:
        """Answer as SageMaker expects of a container that is alive."""
        return {}

    monkeypatch.setattr(contracts, "CONTRACTS", (router,))
    app = create_app(settings)
    with LocalClient(app, raise_server_exceptions=False) as client:
        assert client.get("/ping").status_code == 200
        assert 'route="/ping"' in client.get("/metrics").text
    assert app.openapi()["paths"]["/ping"]["get"]["security"]
