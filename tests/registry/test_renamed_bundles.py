"""Pointers and bundles that an earlier version made under another spelling of a symbol."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.main import create_app
from closecast.calibration.files import load_state
from closecast.drift.baseline import Baseline
from closecast.errors import DamagedBundle
from closecast.registry.closes import load_closes
from closecast.registry.documents import (
    BASELINE_FILE,
    CLOSES_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    of_symbol,
)
from closecast.registry.registry import Registry
from tests.conftest import settings_in
from tests.support.local_client import LocalClient

KEPT = Path(__file__).parent / "data" / "2a7cc8d"
VERSION = "20261130T180940Z-cfb4e7f5"
NAMES = {"BRK.B": "BRK-B", "PETR4F": "PETR4F.SA", "BTCUSDT": "BTC-USDT", "IBOV": "^BVSP"}


def published_under(name: str, root: Path) -> tuple[Registry, str]:
    """The kept bundle and its pointer, as if its symbol had been ``name``."""
    shutil.copytree(KEPT, root)
    registry = Registry(str(root))
    bundle = registry.load(VERSION)
    files = dict(bundle.files)
    for file in (BASELINE_FILE, INTERVALS_FILE, EVALUATION_FILE):
        [document] = json.loads(files[file]).values()
        if isinstance(document, dict) and "symbol" in document:
            document["symbol"] = name
        files[file] = json.dumps({name: document}).encode()
    for file in (CLOSES_FILE, LIVE_FILE):
        with np.load(io.BytesIO(files[file])) as arrays:
            renamed: dict[str, Any] = {n.replace("MSFT/", f"{name}/"): arrays[n] for n in arrays}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **renamed)
        files[file] = buffer.getvalue()
    info = bundle.manifest.info
    [span] = info.data
    digest = hashlib.sha256(f"{name}|{span.basis}|".encode())
    digest.update(_closes(files, name))
    span = span.model_copy(update={"symbol": name, "content_hash": digest.hexdigest()})
    changes = {"symbols": (name,), "data": (span,), "evaluation": {name: info.evaluation["MSFT"]}}
    version = registry.publish(info.model_copy(update=changes), files).version
    pointer = json.loads((root / "current" / "MSFT.json").read_text())
    text = json.dumps(pointer | {"symbol": name}).replace(VERSION, version)
    (root / "current" / "MSFT.json").unlink()
    (root / "current" / f"{name}.json").write_text(text)
    return registry, version


def _closes(files: dict[str, bytes], name: str) -> bytes:
    with np.load(io.BytesIO(files[CLOSES_FILE])) as arrays:
        sessions: bytes = arrays[f"{name}/sessions"].astype("<i8").tobytes()
        return sessions + arrays[f"{name}/closes"].astype("<f8").tobytes()


@pytest.fixture(params=NAMES)
def former(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_pointer_is_found_under_todays_name_and_under_its_own(
    former: str, tmp_path: Path
) -> None:
    registry, version = published_under(former, tmp_path / "models")
    symbol = NAMES[former]
    for name in (former, symbol, symbol.lower()):
        pointer = registry.pointer(name)
        assert pointer is not None
        assert (pointer.symbol, pointer.version) == (symbol, version)
    assert registry.symbols() == [symbol]
    assert [one.version for one in registry.versions(former)] == [version]


def test_the_next_promotion_goes_on_with_its_history_under_todays_name(tmp_path: Path) -> None:
    registry, version = published_under("BRK.B", tmp_path / "models")
    before = registry.pointer("BRK-B")
    assert before is not None
    after = registry.promote("BRK/B", version, "again", expected=before.generation)
    assert (after.symbol, after.generation) == ("BRK-B", before.generation + 1)
    assert after.history[:-1] == before.history
    names = {path.name for path in (tmp_path / "models" / "current").glob("*.json")}
    assert names == {"BRK.B.json", "BRK-B.json"}
    assert registry.symbols() == ["BRK-B"]
    assert registry.pointer("BRK.B") == after


def test_a_pointer_of_another_symbol_is_no_pointer(tmp_path: Path) -> None:
    registry, _ = published_under("BRK.B", tmp_path / "models")
    folder = tmp_path / "models" / "current"
    (folder / "BRK.B.json").rename(folder / "BTCUSDT.json")
    with pytest.raises(DamagedBundle, match=r"is one of BRK\.B"):
        registry.pointer("BTC-USDT")


def test_a_bundle_holds_its_documents_under_todays_name(former: str, tmp_path: Path) -> None:
    registry, version = published_under(former, tmp_path / "models")
    symbol = NAMES[former]
    bundle = registry.load_to_serve(version, former)
    info = bundle.manifest.info
    assert (info.symbols, info.data[0].symbol, [*info.evaluation]) == ((symbol,), symbol, [symbol])
    [closes] = load_closes(bundle.files[CLOSES_FILE], info.data)
    assert (closes.symbol, len(closes)) == (symbol, info.data[0].closes)
    baseline = Baseline.from_json(of_symbol(bundle.files, BASELINE_FILE, symbol))
    train = closes.between(baseline.first_session, baseline.last_session)
    assert (baseline.symbol, baseline.data_hash) == (symbol, train.content_hash)
    assert str(load_state(bundle.files[LIVE_FILE], symbol).session) == "2022-12-01"


def test_a_changed_byte_is_still_found(tmp_path: Path) -> None:
    registry, version = published_under("BRK.B", tmp_path / "models")
    file = tmp_path / "models" / "bundles" / version / BASELINE_FILE
    file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
    with pytest.raises(DamagedBundle, match="altered"):
        registry.load(version)


@pytest.mark.parametrize("asked", ["BRK.B", "BRK-B"])
def test_the_service_answers_under_both_names(asked: str, tmp_path: Path) -> None:
    _, version = published_under("BRK.B", tmp_path / "models")
    prices = (100 * np.exp(0.01 * np.sin(np.arange(60)))).tolist()
    with LocalClient(create_app(settings_in(tmp_path))) as client:
        answer = client.post("/predict", json={"symbol": asked, "prices": prices})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-model-version"] == version
    assert answer.json()["symbol"] == "BRK-B"
