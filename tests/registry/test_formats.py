"""A bundle or pointer that another version of closecast wrote is not called damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.main import create_app
from closecast.cli.train import every_symbol_has_a_model
from closecast.errors import DamagedBundle, OtherFormat
from closecast.forecasters import make_parameters
from closecast.pipeline.bootstrap import publish_first
from closecast.pipeline.collect import collect
from closecast.pipeline.preprocess import preprocess
from closecast.pipeline.promotion import champions_of
from closecast.pipeline.workspace import Workspace
from closecast.registry.bundles import MANIFEST, _digits
from closecast.registry.documents import BASELINE_FILE, FORMAT, hashes_of
from closecast.registry.registry import Registry
from closecast.serving.loading import is_outdated, require_servable
from closecast.settings import Settings
from tests.conftest import settings_in
from tests.support.local_client import LocalClient

OF_709A327 = Path(__file__).parent / "data" / "709a327"
OF_2A7CC8D = Path(__file__).parent / "data" / "2a7cc8d"
WINDOW = (60 * np.exp(0.01 * np.sin(np.arange(60)))).tolist()


@pytest.fixture
def old(tmp_path: Path) -> Settings:
    """Models of the first bundles that carried a leak check, before thresholds per channel."""
    shutil.copytree(OF_709A327, tmp_path / "models")
    return settings_in(tmp_path, default_symbol="KO", source="sample")


def version_of(registry: Registry, symbol: str) -> str:
    pointer = registry.pointer(symbol)
    assert pointer is not None
    return pointer.version


def rewritten(root: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> str:
    """Publish the bundle of a folder again with other content, its hashes and version corrected."""
    (folder,) = (root / "bundles").iterdir()
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}
    manifest = json.loads((folder / MANIFEST).read_bytes())
    change(manifest, files)
    manifest["sha256"] = hashes_of(files)
    manifest["version"] = f"20260102T030405Z-{_digits(json.dumps(manifest))}"
    target = root / "bundles" / manifest["version"]
    target.mkdir()
    for name, content in {**files, MANIFEST: json.dumps(manifest).encode()}.items():
        (target / name).write_bytes(content)
    return str(manifest["version"])


def test_new_bundles_carry_the_number() -> None:
    assert FORMAT == 2


def test_an_older_bundle_names_its_format_and_the_command(old: Settings) -> None:
    registry = Registry(old.models_url)
    bundle = registry.load_to_serve(version_of(registry, "KO"), "KO")
    with pytest.raises(OtherFormat) as caught:
        require_servable(bundle, ["KO"])
    message = str(caught.value)
    assert "made by an older closecast (format 1; this one makes 2)" in message
    assert "`closecast train --symbols KO` makes a new one" in message
    assert "wildness" in message, "what it lacks is named"


@pytest.mark.parametrize("path", ["/forecast/KO", "/predict", "/model?symbol=KO"])
def test_routes_answer_that_it_is_older(old: Settings, path: str) -> None:
    with LocalClient(create_app(old)) as client:
        body = {"symbol": "KO", "prices": WINDOW}
        answer = client.post(path, json=body) if path == "/predict" else client.get(path)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "other_format"), answer.text
    assert "closecast train --symbols KO" in problem["detail"]


def test_a_bundle_of_the_same_number_that_has_all_members_is_served(tmp_path: Path) -> None:
    shutil.copytree(OF_2A7CC8D, tmp_path / "models")
    registry = Registry(str(tmp_path / "models"))
    version = version_of(registry, "MSFT")
    assert registry.manifest(version).schema_version < FORMAT
    require_servable(registry.load_to_serve(version, "MSFT"), ["MSFT"])
    assert not is_outdated(registry, version, "MSFT")


def test_a_bundle_of_todays_format_that_lacks_a_member_is_damaged(tmp_path: Path) -> None:
    shutil.copytree(OF_2A7CC8D, tmp_path / "models")

    def spoil(manifest: dict[str, Any], files: dict[str, bytes]) -> None:
        manifest["schema_version"] = FORMAT
        baselines = json.loads(files[BASELINE_FILE])
        del baselines["MSFT"]["wildness"]
        files[BASELINE_FILE] = json.dumps(baselines).encode()

    registry = Registry(str(tmp_path / "models"))
    bundle = registry.load(rewritten(tmp_path / "models", spoil))
    with pytest.raises(DamagedBundle, match="wildness") as caught:
        require_servable(bundle, ["MSFT"])
    assert caught.value.code == "damaged_bundle"


def test_a_forecaster_that_is_gone_is_an_older_bundle(tmp_path: Path) -> None:
    shutil.copytree(OF_2A7CC8D, tmp_path / "models")

    def rename(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        manifest["info"]["forecaster"] = "arima"

    registry = Registry(str(tmp_path / "models"))
    bundle = registry.load(rewritten(tmp_path / "models", rename))
    with pytest.raises(OtherFormat, match="unknown forecaster 'arima'"):
        require_servable(bundle, ["MSFT"])


def test_a_changed_byte_of_an_older_bundle_is_damage(old: Settings) -> None:
    registry = Registry(old.models_url)
    version = version_of(registry, "KO")
    file = Path(old.models_url) / "bundles" / version / BASELINE_FILE
    file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
    with pytest.raises(DamagedBundle, match="was altered") as caught:
        registry.load(version)
    assert caught.value.code == "damaged_bundle"


def test_a_newer_bundle_is_not_damaged(tmp_path: Path) -> None:
    shutil.copytree(OF_2A7CC8D, tmp_path / "models")

    def raise_number(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        manifest["schema_version"] = FORMAT + 7
        manifest["info"]["a_member_of_later"] = {}

    version = rewritten(tmp_path / "models", raise_number)
    with pytest.raises(OtherFormat, match=r"newer closecast \(format 9; this one reads 1 to 2\)"):
        Registry(str(tmp_path / "models")).load(version)


def test_a_newer_pointer_is_neither_damaged_nor_replaced(old: Settings) -> None:
    registry = Registry(old.models_url)
    version = version_of(registry, "KO")
    path = Path(old.models_url) / "current" / "KO.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "schema_version": 4, "shadow": None}))
    before = path.read_bytes()
    with pytest.raises(OtherFormat, match=r"pointer of KO was made by a newer closecast"):
        registry.pointer("KO")
    with pytest.raises(OtherFormat):
        registry.promote("KO", version, "by hand", by="ana")
    assert path.read_bytes() == before


def test_an_older_bundle_does_not_keep_a_new_one_from_serving(old: Settings) -> None:
    """The advice to train again would lead nowhere if it still counted as the current model."""
    collect(old, "KO")
    preprocess(old, ["KO"], make_parameters("ewma", {}))
    splits = Workspace(old, ["KO"]).prepared().splits
    (champion,) = champions_of(old, Registry(old.models_url), splits)
    assert champion.serving is None
    assert publish_first(old, ["KO"])
    registry = Registry(old.models_url)
    version = version_of(registry, "KO")
    require_servable(registry.load_to_serve(version, "KO"), ["KO"])
    assert registry.manifest(version).schema_version == FORMAT


def test_a_start_that_trains_what_is_missing_trains_what_is_outdated(old: Settings) -> None:
    assert not every_symbol_has_a_model(old, ["KO"], "ewma")
