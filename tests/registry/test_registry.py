"""Bundles and pointers, in a folder and at an ``s3://`` URL: whole or not there, never changed."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
import s3fs
from hypothesis import given
from hypothesis import strategies as st

from closecast.errors import (
    BadSetting,
    DamagedBundle,
    InvalidSymbol,
    PointerMoved,
    RolledBack,
    StorageFailed,
    UnknownVersion,
    UnverifiedBundle,
)
from closecast.registry import bundles as bundles_module
from closecast.registry.bundles import MANIFEST
from closecast.registry.documents import GATE, BundleInfo, Manifest, Pointer, Promotion
from closecast.registry.pointers import HISTORY_KEPT, WAYS_BACK_KEPT, _kept, _way_back
from closecast.registry.registry import Registry
from tests.support.s3_server import S3Server, s3_server
from tests.support.synthetic_prices import patiently

FILES = {
    "predictor.json": b'{"seq_length": 60}',
    "network.onnx": bytes(range(256)),
    "intervals.json": b"{}",
}
NOT_THERE = "20260102T030405Z-0a1b2c3d"


def info(*symbols: str, **changes: Any) -> BundleInfo:
    return BundleInfo(
        **{
            "forecaster": "naive",
            "symbols": symbols or ("MSFT",),
            "seq_length": 60,
            "horizon": 10,
            "data": (),
            "hyperparameters": {"learning_rate": 1e-3, "loss": "mse"},
            "evaluation": {"origins": 250, "rows": [{"mae": 0.1 + 0.2}]},
            "leak_check": {"passed": True},
            **changes,
        }
    )


@dataclass(frozen=True)
class Place:
    """A registry, and the folder in which its files lie, for looking and damaging."""

    registry: Registry
    folder: Path
    url: str

    def bundle(self, version: str) -> Path:
        return self.folder / "bundles" / version

    def pointer(self, symbol: str = "MSFT") -> Path:
        return self.folder / "current" / f"{symbol}.json"

    def published(self, *symbols: str, files: Mapping[str, bytes] = FILES, **changes: Any) -> str:
        return self.registry.publish(info(*symbols, **changes), files).version

    def current(self) -> str:
        """The version that the pointer of MSFT leads to."""
        pointer = self.registry.pointer("MSFT")
        assert pointer is not None
        return pointer.version


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    s3fs.S3FileSystem.clear_instance_cache()
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def local(tmp_path: Path) -> Place:
    return Place(Registry(str(tmp_path / "models")), tmp_path / "models", str(tmp_path / "models"))


@pytest.fixture
def on_s3(s3_service: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in s3_service.environment().items():
        monkeypatch.setenv(name, value)
    bucket = s3_service.folder / re.sub(r"[^a-z0-9-]", "-", tmp_path.name.lower())
    bucket.mkdir()
    url = f"s3://{bucket.name}/models"
    return Place(Registry(url), bucket / "models", url)


@pytest.fixture(params=["local", "on_s3"])
def place(request: pytest.FixtureRequest) -> Place:
    made: Place = request.getfixturevalue(request.param)
    return made


# -- publishing ---------------------------------------------------------------------------------


def test_what_was_published_comes_back_byte_for_byte(place: Place) -> None:
    manifest = place.registry.publish(info(), FILES)
    bundle = place.registry.load(manifest.version)
    assert bundle.files == FILES
    assert bundle.manifest == manifest
    assert place.registry.manifest(manifest.version).info.evaluation["rows"][0]["mae"] == 0.1 + 0.2


def test_a_version_is_its_moment_and_eight_digits_of_its_content(place: Place) -> None:
    manifest = place.registry.publish(info(), FILES)
    moment, digits = manifest.version.split("-")
    assert moment == f"{manifest.created_at:%Y%m%dT%H%M%SZ}"
    assert re.fullmatch("[0-9a-f]{8}", digits)
    assert place.published(files={"other.json": b"1"}) != manifest.version


def test_publishing_promotes_nothing(place: Place) -> None:
    place.published()
    assert place.registry.pointer("MSFT") is None
    assert place.registry.symbols() == []


def test_versions_are_listed_newest_first_and_by_symbol(place: Place) -> None:
    made = [place.published(*symbols) for symbols in (("MSFT",), ("AAPL",), ("MSFT", "VALE3.SA"))]

    def listed(symbol: str | None = None) -> list[str]:
        return [manifest.version for manifest in place.registry.versions(symbol)]

    assert listed() == sorted(made, reverse=True)
    assert set(listed("msft")) == {made[0], made[2]}
    assert listed("vale3") == [made[2]]
    assert listed("PETR4") == []


def test_an_empty_place_has_nothing(place: Place) -> None:
    assert list(place.registry.versions()) == []
    assert place.registry.symbols() == []
    assert place.registry.pointer("MSFT") is None


def test_another_process_sees_what_was_published_at_once(place: Place) -> None:
    elsewhere = Registry(place.url)
    assert list(elsewhere.versions()) == []
    version = place.published()
    place.registry.promote("MSFT", version, "test")
    assert [manifest.version for manifest in elsewhere.versions()] == [version]
    assert elsewhere.pointer("MSFT") == place.registry.pointer("MSFT")


# -- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_one_damaged_byte_in_any_file_is_refused(place: Place, name: str) -> None:
    version = place.published()
    path = place.bundle(version) / name
    whole = path.read_bytes()
    for where in (0, len(whole) // 3, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[where] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(DamagedBundle, match=f"{version}: {name} (was altered|is not)"):
            place.registry.load(version)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(local: Place, name: str) -> None:
    version = local.published()
    (local.bundle(version) / name).unlink()
    with pytest.raises(DamagedBundle, match=f"{name} is missing"):
        local.registry.load(version)


def test_a_bundle_without_a_manifest_is_half_written(place: Place) -> None:
    version = place.published()
    (place.bundle(version) / MANIFEST).unlink()
    with pytest.raises(DamagedBundle, match="half written"):
        place.registry.load(version)
    assert list(place.registry.versions()) == []


def test_a_bundle_under_another_name_is_a_foreign_folder(place: Place) -> None:
    version = place.published()
    shutil.copytree(place.bundle(version), place.bundle(NOT_THERE))
    with pytest.raises(DamagedBundle, match=f"{NOT_THERE} says it is {version}: a foreign folder"):
        place.registry.load(NOT_THERE)


def rewritten(place: Place, change: Mapping[str, Any]) -> str:
    """A bundle whose manifest was changed by somebody who makes the version fit again."""
    version = place.published()
    document = json.loads((place.bundle(version) / MANIFEST).read_bytes()) | change
    digits = bundles_module._digits(json.dumps(document))
    document["version"] = f"{version.split('-')[0]}-{digits}"
    shutil.copytree(place.bundle(version), place.bundle(document["version"]))
    (place.bundle(document["version"]) / MANIFEST).write_text(json.dumps(document))
    return str(document["version"])


@pytest.mark.parametrize(
    "name", ["../../../secret", "/etc/passwd", "..", "a/b.json", "A.json", "", "x\x00.json"]
)
def test_a_manifest_cannot_name_a_file_outside_its_bundle(local: Place, name: str) -> None:
    version = rewritten(local, {"sha256": {name: "0" * 64}})
    with pytest.raises(DamagedBundle, match="which none of ours has"):
        local.registry.load(version)


@pytest.mark.parametrize(
    "change", [{"schema_version": 0}, {"unknown": 1}, {"sha256": None}, {"info": {}}], ids=str
)
def test_a_manifest_of_another_kind_is_refused(local: Place, change: dict[str, Any]) -> None:
    with pytest.raises(DamagedBundle, match=r"manifest\.json is not one of ours"):
        local.registry.load(rewritten(local, change))


def test_damaged_bundles_do_not_hide_the_whole_ones(place: Place) -> None:
    whole, damaged = place.published(), place.published()
    (place.bundle(damaged) / MANIFEST).write_bytes(b"\x80\x04")
    (place.folder / "bundles" / "notes").mkdir()
    (place.folder / "bundles" / "README.md").write_text("hello")
    assert [manifest.version for manifest in place.registry.versions()] == [whole]


# -- names that are no names --------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    [
        *("", ".", "..", "../bundles", "current", "latest", "*", "20260102T030405Z-0a1b2c3"),
        *(f"{NOT_THERE}/", f"../bundles/{NOT_THERE}", f"{NOT_THERE}\n", NOT_THERE.upper()),
        "x" * 10_000,
    ],
)
def test_what_is_no_version_is_unknown_whatever_is_asked(local: Place, version: str) -> None:
    asked = [
        lambda: local.registry.manifest(version),
        lambda: local.registry.load(version),
        lambda: local.registry.promote("MSFT", version, "test"),
    ]
    for ask in asked:
        with pytest.raises(UnknownVersion, match="is not a version; one looks like") as caught:
            ask()
        assert len(str(caught.value)) < 200


def test_a_version_that_was_never_published_is_unknown(place: Place) -> None:
    with pytest.raises(UnknownVersion, match=f"no bundle {NOT_THERE}"):
        place.registry.load(NOT_THERE)


@pytest.mark.parametrize("symbol", ["../x", "a/b", "", "..", "current/../../x"])
def test_what_is_no_symbol_has_no_pointer(local: Place, symbol: str) -> None:
    version = local.published()
    asked = [
        lambda: local.registry.pointer(symbol),
        lambda: local.registry.promote(symbol, version, "test"),
        lambda: local.registry.rollback(symbol, "test"),
    ]
    for ask in asked:
        with pytest.raises(InvalidSymbol):
            ask()


# -- promoting ----------------------------------------------------------------------------------


def test_promoting_moves_the_pointer_and_remembers(place: Place) -> None:
    first, second = place.published(), place.published()
    place.registry.promote("msft", first, "first")
    pointer = place.registry.promote("MSFT", second, "second")
    assert place.registry.pointer("MSFT") == pointer
    assert (pointer.symbol, pointer.version, pointer.generation) == ("MSFT", second, 2)
    assert [(p.version, p.generation, p.reason) for p in pointer.history] == [
        (first, 1, "first"),
        (second, 2, "second"),
    ]


def test_symbols_have_pointers_of_their_own(place: Place) -> None:
    version = place.published("MSFT", "^BVSP", "VALE3.SA", "EURUSD=X")
    for symbol in ("MSFT", "^BVSP", "VALE3", "EURUSD=X"):
        place.registry.promote(symbol, version, "test")
    assert place.registry.symbols() == ["EURUSD=X", "MSFT", "VALE3.SA", "^BVSP"]
    assert place.registry.pointer("AAPL") is None


def test_a_bundle_is_promoted_only_for_its_symbols(place: Place) -> None:
    version = place.published("AAPL", "NVDA")
    with pytest.raises(UnknownVersion, match="is for AAPL, NVDA, not for MSFT"):
        place.registry.promote("MSFT", version, "test")
    assert place.registry.pointer("MSFT") is None


def test_a_damaged_bundle_is_not_promoted(local: Place) -> None:
    good, bad = local.published(), local.published()
    local.registry.promote("MSFT", good, "test")
    (local.bundle(bad) / "network.onnx").write_bytes(b"")
    with pytest.raises(DamagedBundle):
        local.registry.promote("MSFT", bad, "test")
    pointer = local.registry.pointer("MSFT")
    assert pointer is not None
    assert pointer.version == good


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"null", b"\x80\x04"])
def test_a_damaged_pointer_is_refused(local: Place, content: bytes) -> None:
    local.registry.promote("MSFT", local.published(), "test")
    local.pointer().write_bytes(content)
    with pytest.raises(DamagedBundle, match="pointer of MSFT is not one of ours") as caught:
        local.registry.pointer("MSFT")
    assert "\n" not in str(caught.value)


def test_a_pointer_of_another_symbol_is_refused(local: Place) -> None:
    local.registry.promote("AAPL", local.published("AAPL"), "test")
    local.pointer("MSFT").write_bytes(local.pointer("AAPL").read_bytes())
    with pytest.raises(DamagedBundle, match="pointer of MSFT is one of AAPL"):
        local.registry.pointer("MSFT")


# -- promoting against a generation -------------------------------------------------------------


def generation_of(pointer: Pointer | None) -> int:
    assert pointer is not None
    return pointer.generation


def test_the_newest_steps_are_kept_and_those_that_lead_back(place: Place) -> None:
    first, a, b = place.published(), place.published(), place.published()
    place.registry.promote("MSFT", first, "for tests", by="ana")
    for _ in range(HISTORY_KEPT // 2 + 3):
        place.registry.promote("MSFT", a, "for tests", by="ana")
        pointer = place.registry.promote("MSFT", b, "for tests", by="ana")
    kept = [step.generation for step in pointer.history]
    assert kept == [1, 2, *range(8, HISTORY_KEPT + 8)]
    assert place.registry.rollback("MSFT", "for tests", by="ana").version == a
    assert place.registry.rollback("MSFT", "for tests", by="ana").version == first


@patiently
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["promotion", "rollback"]), st.booleans()),
        min_size=1,
        max_size=250,
    )
)
def test_what_is_dropped_changes_nothing_of_the_way_back(
    moves: list[tuple[int, Any, bool]],
) -> None:
    steps: list[Promotion] = []
    for i, (v, kind, person) in enumerate(moves, 1):
        step = Promotion(
            version=f"v{v}",
            generation=i,
            at=datetime.now(UTC),
            reason="r",
            by="ana" if person else GATE,
            kind=kind,
            rolled_back=steps[-1].version if kind == "rollback" and steps else None,
        )
        steps.append(step)

    def rolled_back(history: Sequence[Promotion]) -> frozenset[str]:
        last = history[-1]
        return Pointer(
            symbol="MSFT", version=last.version, generation=last.generation, history=tuple(history)
        ).rolled_back

    kept: tuple[Promotion, ...] = ()
    for step in steps:
        kept = _kept((*kept, step))
    assert [s.version for s in _way_back(kept)] == [s.version for s in _way_back(steps)]
    assert rolled_back(kept) == rolled_back(steps)
    assert list(kept[-HISTORY_KEPT:]) == steps[-HISTORY_KEPT:]
    assert len(kept) <= HISTORY_KEPT + WAYS_BACK_KEPT + 13


def test_who_asked_when_and_why_stay_in_the_history(place: Place) -> None:
    began = datetime.now(UTC)
    a, b = place.published(), place.published()
    place.registry.promote("MSFT", a, "the gate let it through")
    place.registry.promote("MSFT", b, "better for me", by="ana")
    place.registry.rollback("MSFT", "it was not", by="ben")
    stored = place.registry.pointer("MSFT")
    assert stored is not None
    assert [(s.version, s.by, s.kind, s.reason, s.rolled_back) for s in stored.history] == [
        (a, "closecast", "promotion", "the gate let it through", None),
        (b, "ana", "promotion", "better for me", None),
        (a, "ben", "rollback", "it was not", b),
    ]
    moments = [step.at for step in stored.history]
    assert moments == sorted(moments)
    assert began <= moments[0] <= moments[-1] < began + timedelta(minutes=5)


def test_a_promotion_decided_against_the_pointer_as_it_is_goes_through(place: Place) -> None:
    a, b = place.published(), place.published()
    assert place.registry.promote("MSFT", a, "test", expected=0).generation == 1
    assert place.registry.promote("MSFT", b, "test", expected=1).generation == 2


@pytest.mark.parametrize("by", [GATE, "ana"])
def test_a_promotion_decided_against_another_pointer_changes_nothing(place: Place, by: str) -> None:
    a, b = promoted(place, 2)
    before = place.pointer().read_bytes()
    for expected, was in ((0, "no model at all"), (1, f"generation 1, version {a}"), (7, "7")):
        with pytest.raises(PointerMoved) as caught:
            place.registry.promote("MSFT", a, "test", by=by, expected=expected)
        assert was in str(caught.value)
        assert f"now there is generation 2, version {b}" in str(caught.value)
        assert caught.value.details() == {"expected_generation": expected, "generation": 2}
    assert place.pointer().read_bytes() == before


def test_a_pointer_that_went_away_has_moved(local: Place) -> None:
    (a,) = promoted(local, 1)
    local.pointer().unlink()
    with pytest.raises(PointerMoved, match=r"generation 1.*now there is no model at all"):
        local.registry.promote("MSFT", a, "test", expected=1)
    assert local.registry.pointer("MSFT") is None


def test_of_two_threads_that_decided_against_the_same_pointer_one_wins(local: Place) -> None:
    versions = promoted(local, 2)
    for expected in range(2, 22):
        together = threading.Barrier(2)

        def promote(version: str, expected: int = expected, both: Any = together) -> str:
            registry = Registry(local.url)
            both.wait()
            try:
                return registry.promote("MSFT", version, "test", expected=expected).version
            except PointerMoved:
                return "moved"

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(promote, versions))
        assert sorted(outcomes)[1] == "moved", outcomes
        pointer = local.registry.pointer("MSFT")
        assert pointer is not None
        assert [pointer.version, "moved"] == sorted(outcomes)
        assert [step.generation for step in pointer.history] == list(range(1, expected + 2))


_PROMOTE_WHEN_TOLD = """
import sys
from closecast.errors import PointerMoved
from closecast.registry.registry import Registry
registry = Registry(sys.argv[1])
for line in sys.stdin:
    try:
        print(registry.promote("MSFT", sys.argv[2], "test", expected=int(line)).version, flush=True)
    except PointerMoved as error:
        print(error.code, flush=True)
"""


def test_of_two_processes_that_decided_against_the_same_pointer_one_wins(local: Place) -> None:
    versions = promoted(local, 2)
    running = [started(_PROMOTE_WHEN_TOLD, local, version) for version in versions]
    for expected in range(2, 22):
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{expected}\n")
            process.stdin.flush()
        outcomes = []
        for process in running:
            assert process.stdout is not None
            outcomes.append(process.stdout.readline().strip())
        pointer = local.registry.pointer("MSFT")
        assert pointer is not None
        assert sorted(outcomes) == [pointer.version, "pointer_moved"]
        assert [step.generation for step in pointer.history] == list(range(1, expected + 2))
    for process in running:
        assert process.communicate()[1] == ""


# -- bundles that must not be served ------------------------------------------------------------

UNVERIFIED: list[dict[str, Any]] = [{}, {"passed": False}, {"passed": "true"}, {"passed": 1}]


@pytest.mark.parametrize("by", [GATE, "ana"])
@pytest.mark.parametrize("leak_check", UNVERIFIED, ids=str)
def test_nobody_promotes_a_bundle_without_a_passed_leak_check(
    local: Place, leak_check: dict[str, Any], by: str
) -> None:
    (good,) = promoted(local, 1)
    before = local.pointer().read_bytes()
    bad = local.published(leak_check=leak_check)
    with pytest.raises(UnverifiedBundle, match=f"`closecast verify {bad}` says what fails"):
        local.registry.promote("MSFT", bad, "test", by=by)
    assert local.pointer().read_bytes() == before
    assert local.current() == good


def test_a_bundle_to_serve_is_whole_verified_and_of_the_symbol(place: Place) -> None:
    good, bad = place.published("MSFT"), place.published("MSFT", leak_check={})
    assert place.registry.load_to_serve(good, "msft").files == FILES
    with pytest.raises(UnknownVersion, match=f"bundle {good} is for MSFT, not for AAPL"):
        place.registry.load_to_serve(good, "AAPL")
    with pytest.raises(UnverifiedBundle, match=bad):
        place.registry.load_to_serve(bad, "MSFT")
    (place.bundle(good) / "network.onnx").unlink()
    with pytest.raises(DamagedBundle, match=r"network\.onnx is missing"):
        place.registry.load_to_serve(good, "MSFT")


def with_an_unverified_step(local: Place) -> tuple[str, str, str]:
    """Three steps, the one in the middle as code before the leak check would have made it."""
    a, c = promoted(local, 2)
    b = local.published(leak_check={})
    document = json.loads(local.pointer().read_bytes())
    document["history"].insert(1, {**document["history"][0], "version": b})
    for generation, step in enumerate(document["history"], start=1):
        step["generation"] = generation
    document["generation"] = 3
    local.pointer().write_text(json.dumps(document))
    return a, b, c


def test_rolling_back_skips_an_unverified_one(local: Place) -> None:
    a, _, _ = with_an_unverified_step(local)
    assert rollback(local) == a


def test_an_unverified_one_that_is_named_is_refused(local: Place) -> None:
    _, b, c = with_an_unverified_step(local)
    with pytest.raises(UnverifiedBundle, match=b):
        rollback(local, b)
    assert local.current() == c


# -- what was rolled back stays so --------------------------------------------------------------


def test_the_gate_does_not_promote_what_was_rolled_back(place: Place) -> None:
    a, b = promoted(place, 2)
    place.registry.rollback("MSFT", "intervals too narrow", by="ana")
    before = place.pointer().read_bytes()
    said = rf"ana rolled MSFT back from {b} at {datetime.now(UTC):%Y}.*: intervals too narrow"
    with pytest.raises(RolledBack, match=said) as caught:
        place.registry.promote("MSFT", b, "better than naive")
    details = caught.value.details()
    assert (details["version"], details["by"]) == (b, "ana")
    assert place.pointer().read_bytes() == before
    assert place.current() == a


def test_what_a_person_promotes_again_is_no_longer_rolled_back(local: Place) -> None:
    a, b, c = promoted(local, 3)
    assert [rollback(local), rollback(local)] == [b, a]
    pointer = local.registry.pointer("MSFT")
    assert pointer is not None
    assert pointer.rolled_back == {b, c}
    assert local.registry.promote("MSFT", b, "it was not to blame", by="ana").rolled_back == {c}
    local.registry.promote("MSFT", b, "the gate again")
    with pytest.raises(RolledBack):
        local.registry.promote("MSFT", c, "the gate again")


def test_only_a_persons_promotion_clears_a_rollback() -> None:
    """Whatever wrote the history: the registry lets the gate take no such step."""

    def step(version: str, generation: int, **changes: Any) -> dict[str, Any]:
        at = "2026-01-02T03:04:05Z"
        return {"version": version, "generation": generation, "at": at, "reason": "r", **changes}

    def rolled_back(by: str) -> frozenset[str]:
        history = [
            *(step("a", 1), step("b", 2)),
            step("a", 3, by="ana", kind="rollback", rolled_back="b"),
            step("b", 4, by=by),
        ]
        pointer = {"symbol": "MSFT", "version": "b", "generation": 4, "history": history}
        return Pointer.model_validate(pointer).rolled_back

    assert rolled_back(GATE) == {"b"}
    assert rolled_back("ana") == set()


def test_a_rollback_after_a_persons_promotion_counts_again(local: Place) -> None:
    a, b = promoted(local, 2)
    rollback(local)
    local.registry.promote("MSFT", b, "it was not to blame", by="ana")
    assert local.registry.rollback("MSFT", "it was", by="ben").rolled_back == {b}
    with pytest.raises(RolledBack, match="ben rolled MSFT back"):
        local.registry.promote("MSFT", b, "the gate")
    assert local.current() == a


def test_the_gate_promotes_what_is_new_after_a_rollback(local: Place) -> None:
    promoted(local, 2)
    rollback(local)
    (d,) = promoted(local, 1)
    assert local.current() == d


def test_what_was_rolled_back_for_one_symbol_is_not_for_another(local: Place) -> None:
    a, b = local.published("MSFT", "AAPL"), local.published("MSFT", "AAPL")
    for version in (a, b):
        local.registry.promote("MSFT", version, "test")
    rollback(local)
    assert local.registry.promote("AAPL", b, "test").version == b


def test_a_pointer_of_older_code_still_loads(local: Place) -> None:
    a, b = promoted(local, 2)
    document = json.loads(local.pointer().read_bytes())
    for step in document["history"]:
        for later in ("by", "kind", "rolled_back"):
            del step[later]
    local.pointer().write_text(json.dumps(document))
    pointer = local.registry.pointer("MSFT")
    assert pointer is not None
    assert [(s.version, s.by, s.kind, s.rolled_back) for s in pointer.history] == [
        (a, "closecast", "promotion", None),
        (b, "closecast", "promotion", None),
    ]
    assert rollback(local) == a


# -- pointers that are damaged ------------------------------------------------------------------


@pytest.mark.parametrize("by", [GATE, "ana"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x80\x04"])
def test_a_promotion_mends_a_damaged_pointer(local: Place, content: bytes, by: str) -> None:
    a, b = promoted(local, 2)
    local.pointer().write_bytes(content)
    pointer = local.registry.promote("MSFT", a, "mend it", by=by)
    assert local.registry.pointer("MSFT") == pointer
    assert [(s.version, s.by) for s in pointer.history] == [(a, by)]
    assert generation_of(local.registry.promote("MSFT", b, "on")) == pointer.generation + 1


def test_a_mended_pointer_has_a_generation_that_nobody_served(local: Place) -> None:
    """Else a process that serves generation 2 could take the new pointer for its own."""
    a, b = promoted(local, 2)
    served = [generation_of(local.registry.pointer("MSFT"))]
    for _ in range(3):
        local.pointer().write_bytes(b"{")
        mended = generation_of(local.registry.promote("MSFT", a, "mend it", by="ana"))
        served += [mended, generation_of(local.registry.promote("MSFT", b, "on", expected=mended))]
    assert served == sorted(set(served)), "every one is larger than all before"
    assert served[-1] < 2**53, "other languages read JSON numbers as floats"
    local.pointer().write_bytes(b"{")
    local.registry.promote("MSFT", a, "mend it")
    with pytest.raises(PointerMoved):
        local.registry.promote("MSFT", b, "decided before the damage", expected=2)


@pytest.mark.parametrize("by", [GATE, "ana"])
def test_a_damaged_pointer_cannot_be_compared_with(local: Place, by: str) -> None:
    a, _ = promoted(local, 2)
    local.pointer().write_bytes(b"{")
    with pytest.raises(DamagedBundle, match="pointer of MSFT is not one of ours"):
        local.registry.promote("MSFT", a, "test", by=by, expected=2)
    assert local.pointer().read_bytes() == b"{"


def test_a_damaged_pointer_has_no_history_to_go_back_in(local: Place) -> None:
    promoted(local, 2)
    local.pointer().write_bytes(b"{")
    with pytest.raises(DamagedBundle, match="pointer of MSFT is not one of ours"):
        rollback(local)
    assert local.pointer().read_bytes() == b"{"


# -- rolling back -------------------------------------------------------------------------------


def promoted(place: Place, n: int) -> list[str]:
    """Versions promoted one after the other; the last one is current."""
    versions = [place.published() for _ in range(n)]
    for version in versions:
        place.registry.promote("MSFT", version, "test")
    return versions


def rollback(place: Place, version: str | None = None) -> str:
    return place.registry.rollback("MSFT", "test", version).version


def test_rolling_back_leads_to_the_one_before(place: Place) -> None:
    a, b = promoted(place, 2)
    pointer = place.registry.rollback("MSFT", "bad forecasts")
    assert (pointer.version, pointer.generation) == (a, 3)
    assert [step.version for step in pointer.history] == [a, b, a]
    step = pointer.history[-1]
    assert (step.kind, step.reason, step.rolled_back) == ("rollback", "bad forecasts", b)
    assert place.registry.pointer("MSFT") == pointer


def test_rolling_back_again_goes_further_back_and_never_forth(place: Place) -> None:
    a, b, c = promoted(place, 3)
    assert [rollback(place), rollback(place)] == [b, a]
    with pytest.raises(UnknownVersion, match="no earlier bundle"):
        rollback(place)
    assert c != place.registry.pointer("MSFT").version  # type: ignore[union-attr]


def test_what_is_promoted_after_a_rollback_goes_back_to_where_it_was_put_on(local: Place) -> None:
    a, b, _ = promoted(local, 3)
    rollback(local, a)
    (d,) = promoted(local, 1)
    assert rollback(local) == a
    assert d != a != b


def test_what_was_rolled_back_from_can_be_promoted_again(local: Place) -> None:
    a, b = promoted(local, 2)
    rollback(local)
    local.registry.promote("MSFT", b, "it was not to blame", by="ana")
    assert rollback(local) == a


def test_promoting_the_current_one_again_adds_nothing_to_go_back_to(local: Place) -> None:
    a, b = promoted(local, 2)
    local.registry.promote("MSFT", b, "again")
    assert rollback(local) == a


def test_a_damaged_one_is_skipped(place: Place) -> None:
    a, b, _ = promoted(place, 3)
    (place.bundle(b) / "predictor.json").write_bytes(b"{}")
    assert rollback(place) == a


def test_one_that_was_deleted_is_skipped(local: Place) -> None:
    a, b, _ = promoted(local, 3)
    shutil.rmtree(local.bundle(b))
    assert rollback(local) == a


def test_if_all_are_damaged_the_pointer_stays(local: Place) -> None:
    a, b = promoted(local, 2)
    (local.bundle(a) / "predictor.json").unlink()
    with pytest.raises(UnknownVersion, match="no earlier bundle that is whole and verified"):
        rollback(local)
    assert local.registry.pointer("MSFT").version == b  # type: ignore[union-attr]


def test_the_one_that_is_named_must_have_been_current(local: Place) -> None:
    a, b = promoted(local, 2)
    other = local.published()
    for version in (other, b, NOT_THERE, "../x"):
        with pytest.raises(UnknownVersion, match=f"earlier ones: {a}"):
            rollback(local, version)


def test_the_one_that_is_named_must_be_whole(local: Place) -> None:
    a, _, c = promoted(local, 3)
    (local.bundle(a) / "predictor.json").unlink()
    with pytest.raises(DamagedBundle, match=r"predictor\.json is missing"):
        rollback(local, a)
    assert local.registry.pointer("MSFT").version == c  # type: ignore[union-attr]


def test_a_symbol_without_a_model_has_nothing_to_go_back_to(local: Place) -> None:
    with pytest.raises(UnknownVersion, match="MSFT has no model yet"):
        rollback(local)


# -- when storage fails -------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_visible(local: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = local.published()
    for failing in range(len(FILES) + 3):  # every file, the manifest, both folders
        calls = iter(range(100))

        def fsync(handle: int, failing: int = failing, calls: Iterator[int] = calls) -> None:
            if next(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(StorageFailed, match="No space left on device; nothing was changed"):
                local.published()
        assert [path.name for path in (local.folder / "bundles").iterdir()] == [before]


def test_a_full_disk_leaves_the_pointer_where_it_was(
    local: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = promoted(local, 2)
    before = local.pointer().read_bytes()

    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        for change in (lambda: local.registry.promote("MSFT", a, ""), lambda: rollback(local)):
            with pytest.raises(StorageFailed, match="No space left"):
                change()
    assert local.pointer().read_bytes() == before
    assert {path.name for path in (local.folder / "current").iterdir()} == {"MSFT.json"}
    assert rollback(local) == a != b


_INFO = """
import resource, sys
from closecast.errors import StorageFailed
from closecast.registry.documents import BundleInfo
from closecast.registry.registry import Registry
info = BundleInfo(
    forecaster="naive", symbols=("MSFT",), seq_length=60, horizon=10, data=(), hyperparameters={}
)
registry = Registry(sys.argv[1])
"""
_PUBLISH_WITH_A_LIMIT = f"""{_INFO}
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    registry.publish(info, {{"small.json": b"{{}}", "network.onnx": bytes(100_000)}})
except StorageFailed as error:
    print(error)
"""
_PUBLISH_MANY = f"""{_INFO}
for i in range(20):
    registry.publish(info, {{"a.bin": bytes(200_000), "b.bin": b"x"}})
"""
_PROMOTE_MANY = f"""{_INFO}
versions = sys.argv[3:]
for i in range(int(sys.argv[2])):
    registry.promote("MSFT", versions[i % len(versions)], "test")
"""


def started(code: str, place: Place, *arguments: str) -> subprocess.Popen[str]:
    """Another process that works on the same folder."""
    command = [sys.executable, "-c", code, str(place.folder), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_a_file_that_the_system_does_not_let_grow_leaves_nothing_visible(local: Place) -> None:
    out, err = started(_PUBLISH_WITH_A_LIMIT, local).communicate()
    assert ("File too large; nothing was changed" in out, err) == (True, "")
    assert list((local.folder / "bundles").iterdir()) == []


_KILLED = """
import os, signal, sys
from closecast.registry.documents import BundleInfo
from closecast.registry.registry import Registry
info = BundleInfo(
    forecaster="naive", symbols=("MSFT",), seq_length=60, horizon=10, data=(), hyperparameters={}
)
setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
Registry(sys.argv[1]).publish(info, {"predictor.json": b"{}", "network.onnx": bytes(1000)})
"""


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_publisher_that_was_killed_leaves_nothing_visible_and_nothing_in_the_way(
    local: Place, step: str
) -> None:
    before = local.published()
    command = [sys.executable, "-c", _KILLED, str(local.folder), step]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [manifest.version for manifest in local.registry.versions()] == [before]
    after = local.published()
    assert {manifest.version for manifest in local.registry.versions()} == {before, after}
    assert local.registry.load(after).files == FILES


_KILLED_IN_THE_WRITE = """
import os, signal, sys
from closecast.registry.registry import Registry
setattr(os, sys.argv[2], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
Registry(sys.argv[1]).promote("MSFT", sys.argv[3], "test", expected=2)
"""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_promoter_that_was_killed_in_the_write_leaves_the_pointer_and_no_lock(
    local: Place, step: str
) -> None:
    a, b = promoted(local, 2)
    before = local.pointer().read_bytes()
    process = started(_KILLED_IN_THE_WRITE, local, step, a)
    assert process.communicate()[1] == ""
    assert process.returncode == -signal.SIGKILL
    scratch = {path.name for path in local.pointer().parent.iterdir()} - {"MSFT.json"}
    assert len(scratch) == 1, "it was killed between the first byte and the rename"
    assert local.pointer().read_bytes() == before
    assert local.registry.symbols() == ["MSFT"]
    assert local.current() == b
    assert generation_of(local.registry.promote("MSFT", a, "again", expected=2)) == 3


def test_publishing_clears_away_what_a_killed_publisher_left_an_hour_ago(local: Place) -> None:
    local.published()
    long_ago, just_now = (local.bundle(f".publishing-{name}") for name in ("old", "new"))
    for folder in (long_ago, just_now):
        folder.mkdir()
        (folder / "network.onnx").write_bytes(b"half")
    moment = long_ago.stat().st_mtime - 3700
    os.utime(long_ago, (moment, moment))
    local.published()
    assert not long_ago.exists()
    assert (just_now / "network.onnx").exists(), "it may belong to somebody at work"


def test_an_upload_that_breaks_off_leaves_nothing_visible(
    on_s3: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = on_s3.registry._store._fs.pipe_file
    uploaded = []

    def break_off(path: str, content: bytes) -> None:
        if path.endswith(MANIFEST):
            raise OSError(errno.EIO, "connection lost")
        uploaded.append(path)
        pipe(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(on_s3.registry._store._fs, "pipe_file", break_off)
        with pytest.raises(StorageFailed, match="connection lost"):
            on_s3.published()
    assert len(uploaded) == len(FILES), "the manifest comes last"
    assert list(on_s3.registry.versions()) == []


def test_what_is_no_address_of_a_store_is_a_bad_setting() -> None:
    with pytest.raises(BadSetting, match=r"CLOSECAST_MODELS_URL: .*nosuch"):
        Registry("nosuch://bucket/models")


def test_a_missing_bucket_is_a_storage_failure(on_s3: Place) -> None:
    with pytest.raises(StorageFailed, match="no-such-bucket"):
        Registry("s3://no-such-bucket/models").publish(info(), FILES)


def test_a_service_that_does_not_answer_is_a_storage_failure(
    on_s3: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = on_s3.registry

    def unreachable(*_: object, **__: object) -> None:
        raise botocore.exceptions.EndpointConnectionError(endpoint_url="http://s3.test")

    for name in ("cat_file", "pipe_file", "ls", "exists"):
        monkeypatch.setattr(registry._store._fs, name, unreachable)
    for ask in (
        lambda: registry.pointer("MSFT"),
        lambda: registry.load(NOT_THERE),
        lambda: registry.symbols(),
        lambda: list(registry.versions()),
        lambda: registry.publish(info(), FILES),
    ):
        with pytest.raises(StorageFailed, match=r"http://s3\.test"):
            ask()


def test_a_file_where_the_folder_should_be_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("I am a file")
    registry = Registry(str(tmp_path / "models"))
    for ask in (
        lambda: registry.publish(info(), FILES),
        lambda: registry.pointer("MSFT"),
        lambda: registry.symbols(),
        lambda: list(registry.versions()),
        lambda: registry.load(NOT_THERE),
        lambda: registry.promote("MSFT", NOT_THERE, "test"),
        lambda: registry.rollback("MSFT", "test"),
    ):
        with pytest.raises(StorageFailed, match="models"):
            ask()


# -- several processes --------------------------------------------------------------------------


def test_promotions_from_several_processes_are_all_remembered(local: Place) -> None:
    versions = [local.published() for _ in range(3)]
    running = [started(_PROMOTE_MANY, local, "10", version) for version in versions]
    for process in running:
        assert process.communicate()[1] == ""
    pointer = local.registry.pointer("MSFT")
    assert pointer is not None
    assert [step.generation for step in pointer.history] == list(range(1, 31))
    assert [sum(s.version == v for s in pointer.history) for v in versions] == [10, 10, 10]
    assert pointer.generation == 30


def test_a_reader_never_sees_half_a_pointer(local: Place) -> None:
    a, b = promoted(local, 2)
    process = started(_PROMOTE_MANY, local, "60", a, b)
    seen = set()
    while process.poll() is None:
        pointer = local.registry.pointer("MSFT")
        assert pointer is not None
        assert pointer.version == pointer.history[-1].version
        assert pointer.generation == len(pointer.history)
        seen.add(pointer.generation)
    assert process.communicate()[1] == ""
    assert len(seen) > 1, "the reader looked only when nothing was written"


def test_a_reader_never_sees_half_a_bundle(local: Place) -> None:
    """What is listed can be loaded, while somebody else publishes."""
    process = started(_PUBLISH_MANY, local)
    loaded: set[str] = set()
    while process.poll() is None:
        for manifest in local.registry.versions():
            if manifest.version not in loaded:
                assert local.registry.load(manifest.version).files["b.bin"] == b"x"
                loaded.add(manifest.version)
    assert process.communicate()[1] == ""
    assert len(list(local.registry.versions())) == 20


def test_a_manifest_stays_readable_for_years() -> None:
    """Written by the first version of closecast. If this fails, old bundles cannot be served."""
    document: dict[str, Any] = {
        "schema_version": 1,
        "version": NOT_THERE,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "info": {
            "forecaster": "lstm",
            "symbols": ["MSFT"],
            "seq_length": 60,
            "horizon": 10,
            "data": [
                {
                    "symbol": "MSFT",
                    "source": "sample",
                    "basis": "adjusted",
                    "first_session": "2005-01-03",
                    "last_session": "2022-12-30",
                    "closes": 4531,
                    "content_hash": "00",
                    "valid_start": "2017-01-03",
                    "test_start": "2020-01-02",
                }
            ],
            "hyperparameters": {"loss": "student_t"},
            "fine_tuned_from": None,
            "git_commit": None,
            "libraries": {},
            "training": {},
            "evaluation": {},
            "gate": {
                "MSFT": {
                    "outcome": "rejected",
                    "reason": "significantly worse than naive: CRPS 1.0123 of naive (p 0.074)",
                    "comparisons": [{"against": "naive", "ratio": 1.0123, "p": 0.074}],
                }
            },
            "leak_check": {},
        },
        "sha256": {"predictor.json": "0" * 64},
    }
    manifest = Manifest.model_validate_json(json.dumps(document))
    read = json.loads(manifest.model_dump_json())
    came_later = {name: read["info"].pop(name) for name in read["info"].keys() - document["info"]}
    assert read == document
    assert not any(came_later.values()), "an old bundle says nothing of what it did not know"
