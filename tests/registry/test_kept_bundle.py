"""A bundle that an earlier version published opens, verifies, predicts and calibrates."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from api.main import create_app
from closecast.calibration.files import load_state
from closecast.errors import DamagedBundle
from closecast.registry.documents import LIVE_FILE
from closecast.registry.registry import Registry
from tests.conftest import settings_in
from tests.support.local_client import LocalClient

OF_2A7CC8D = Path(__file__).parent / "data" / "2a7cc8d"
VERSION = "20261130T180940Z-cfb4e7f5"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    shutil.copytree(OF_2A7CC8D, tmp_path / "models")
    return Registry(str(tmp_path / "models"))


def test_its_files_have_the_hashes_of_its_manifest(registry: Registry) -> None:
    pointer = registry.pointer("MSFT")
    assert pointer is not None
    assert pointer.version == VERSION
    bundle = registry.load_to_serve(VERSION, "MSFT")
    assert set(bundle.files) == registry.files_of(VERSION) - {"manifest.json"}
    assert str(load_state(bundle.files[LIVE_FILE], "MSFT").session) == "2022-12-01"


def test_a_changed_byte_is_still_found(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "models" / "bundles" / VERSION / "predictor.json"
    file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
    with pytest.raises(DamagedBundle, match="altered"):
        registry.load(VERSION)


def test_it_serves_a_prediction(registry: Registry, tmp_path: Path) -> None:
    prices = (100 * np.exp(0.01 * np.sin(np.arange(60)))).tolist()
    with LocalClient(create_app(settings_in(tmp_path))) as client:
        answer = client.post("/predict", json={"symbol": "MSFT", "prices": prices})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model-version"] == VERSION
    assert answer.json()["predicted_price"] == pytest.approx(prices[-1], rel=0.01)
