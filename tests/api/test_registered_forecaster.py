"""A forecaster that is registered later: documented, accepted, guessed by its parameters."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import Field

from api.main import create_app
from closecast.forecasters import FORECASTERS, ForecasterEntry, Parameters, parameters_type
from closecast.forecasters.ewma import EwmaForecaster
from closecast.settings import Settings

API = Path(__file__).parents[2] / "api"


class SmootherParameters(Parameters):
    """Those of a forecaster that exists in these tests only."""

    half_life: int = Field(20, ge=1, le=250, description="Sessions until a weight is halved.")


class SmootherForecaster(EwmaForecaster):
    Parameters = SmootherParameters


PRESETS: Mapping[str, Mapping[str, Any]] = {"slow": {"half_life": 60}}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORECASTERS, "smoother", ForecasterEntry(f"{__name__}:Smoother"))


def test_the_document_allows_what_the_server_accepts(settings: Settings) -> None:
    schemas = create_app(settings).openapi()["components"]["schemas"]
    train, config = (schemas[name]["properties"] for name in ("TrainBody", "ConfigBody"))
    answer = schemas["ConfigAnswer"]["properties"]
    own = SmootherParameters.model_json_schema()["properties"]["half_life"]
    del own["title"]
    assert train["hyperparameters"]["additionalProperties"] is False
    assert train["hyperparameters"]["properties"]["half_life"] == own
    assert answer["hyperparameters"]["properties"]["half_life"] == own
    assert config["hyperparameters"]["properties"]["half_life"] == {
        "description": own["description"],
        "anyOf": [own, {"type": "null"}],
    }
    for body in (train, config):
        assert "smoother" in body["forecaster"]["enum"]


@pytest.mark.parametrize("name", sorted(FORECASTERS))
def test_every_parameter_of_every_forecaster_is_documented(settings: Settings, name: str) -> None:
    schemas = create_app(settings).openapi()["components"]["schemas"]
    documented = schemas["TrainBody"]["properties"]["hyperparameters"]["properties"]
    assert set(parameters_type(name).model_fields) <= set(documented)


@pytest.mark.parametrize(
    ("body", "half_life"), [({"hyperparameters": {"half_life": 5}}, 5), ({"preset": "slow"}, 60)]
)
def test_a_training_that_names_no_forecaster_takes_the_one_that_knows(
    client: TestClient, body: dict[str, Any], half_life: int
) -> None:
    answer = client.post("/train", json=body)
    assert answer.status_code == 202, answer.text
    request = answer.json()["request"]
    assert request["forecaster"] == "smoother"
    assert request["hyperparameters"]["half_life"] == half_life


def test_a_configuration_that_names_no_forecaster_takes_the_one_that_knows(
    client: TestClient,
) -> None:
    answer = client.post("/config", json={"hyperparameters": {"half_life": 5}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["forecaster"] == client.get("/config").json()["forecaster"] == "smoother"
    assert {"default", "slow", "vale3-20-10"} <= set(answer.json()["presets"])


def test_no_description_of_the_api_names_a_forecaster() -> None:
    """In backticks; ``naive`` is also a word of the answers' descriptions."""
    names = set(FORECASTERS) - {"naive"}
    named = [
        (path.name, node.value)
        for path in API.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if any(f"`{name}`" in node.value for name in names)
    ]
    assert named == []
