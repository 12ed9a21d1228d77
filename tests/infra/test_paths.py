"""Nothing that a symbol, a version or a link says leads out of its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from closecast.core.calendars import session_table
from closecast.core.symbols import folder_name
from closecast.errors import (
    DamagedBundle,
    InvalidSymbol,
    StorageFailed,
    UnknownVersion,
)
from closecast.infra.paths import leads_out
from closecast.registry.registry import Registry
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache
from closecast.sources.price_cache import PriceCache
from tests.support.synthetic_prices import patiently, random_walk

NASTY = [
    *("../x", "..", ".", "a/b", "a\\b", "..\\..\\x", "/etc/passwd", "C:\\x", "//x", "~", "~root"),
    *("MSFT\x00", "MSFT\x00.npz", "\x00", "MSFT\n", "MSFT\r\n", "\tMSFT", "MSFT/", "MSFT/../KO"),
    *("%2e%2e%2f", "..%2f", "%00", "&#46;&#46;/", "ＭＳＦＴ", "．．／", "ı", "İ", "K", "ſ", "ß"),
    *("MSFT\u200b", "\u202eTFSM", "MSFT\ud800", "x" * 5000, "", " ", "-rf", "$(x)", "`x`", "*"),
]


def each(strategy: st.SearchStrategy[str]):  # type: ignore[no-untyped-def]
    """A property over arbitrary texts and all that is known to have worked elsewhere."""

    def decorate(test):  # type: ignore[no-untyped-def]
        for text in NASTY:
            test = example(text)(test)
        return patiently(given(strategy)(test))

    return decorate


PATHS = st.text() | st.text(alphabet="./\\%2eMSFT\x00\n^=-", max_size=20)


@each(PATHS)
def test_a_symbol_is_one_plain_component_or_refused(text: str) -> None:
    try:
        name = folder_name(text)
    except InvalidSymbol:
        return
    assert name.isascii()
    assert name == Path(name).name
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-%")
    assert not name.startswith(".")
    assert len(name) < 64


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nothing")


@each(PATHS)
def test_a_version_is_one_that_was_published_or_refused(empty: Path, text: str) -> None:
    registry = Registry(str(empty))
    for ask in (registry.manifest, registry.load, registry.files_of):
        with pytest.raises(UnknownVersion):
            ask(text)


@each(PATHS)
def test_closes_are_below_their_folder_or_refused(empty: Path, text: str) -> None:
    cache = PriceCache(empty / "prices")
    try:
        path = cache.path(text)
    except InvalidSymbol:
        return
    assert path.parent == cache.folder
    assert not leads_out(cache.folder, path)


# -- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["inside", "inside/below", "not there"])
def test_what_lies_inside_does_not_lead_out(tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "inside").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to(tmp_path / "root" / target)
    assert not leads_out(tmp_path / "root", tmp_path / "root" / "link")


def test_a_root_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk" / "inside").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    assert not leads_out(tmp_path / "root", tmp_path / "root" / "inside")


@pytest.mark.parametrize("target", ["..", "../other", "/etc/passwd", "../root2"])
def test_a_link_that_leads_elsewhere_does(tmp_path: Path, target: str) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(target)
    assert leads_out(tmp_path / "root", tmp_path / "root" / "link")


@pytest.mark.parametrize("place", ["..", "../other", "../root2", "inside/../../other"])
def test_dots_that_lead_elsewhere_do(tmp_path: Path, place: str) -> None:
    (tmp_path / "root" / "inside").mkdir(parents=True)
    assert leads_out(tmp_path / "root", tmp_path / "root" / place)
    assert not leads_out(tmp_path / "root", tmp_path / "root" / "inside" / ".." / "inside")


def test_a_nul_is_no_path(tmp_path: Path) -> None:
    assert leads_out(tmp_path, f"{tmp_path}/a\x00b")


def moved_out(path: Path, outside: Path) -> None:
    """The same content, now at the end of a link."""
    outside.mkdir(exist_ok=True)
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


@pytest.fixture
def registry(published: Settings) -> Registry:
    return Registry(published.models_url)


@pytest.fixture
def version(registry: Registry) -> str:
    pointer = registry.pointer("MSFT")
    assert pointer is not None
    return pointer.version


@pytest.mark.parametrize("part", ["", "manifest.json", "predictor.json", "baseline_stats.json"])
def test_a_bundle_that_lies_elsewhere_is_not_loaded(
    published: Settings, registry: Registry, version: str, part: str, tmp_path: Path
) -> None:
    assert registry.load(version).files
    moved_out(Path(published.models_url) / "bundles" / version / part, tmp_path / "outside")
    with pytest.raises(DamagedBundle, match="by a link"):
        registry.load(version)
    with pytest.raises(DamagedBundle):
        registry.load_to_serve(version, "MSFT")


@pytest.mark.parametrize("folder", ["bundles", "current"])
def test_a_folder_that_lies_elsewhere_is_neither_read_nor_written(
    published: Settings, registry: Registry, version: str, folder: str, tmp_path: Path
) -> None:
    moved_out(Path(published.models_url) / folder, tmp_path / "outside")
    before = sorted((tmp_path / "outside").rglob("*"))
    with pytest.raises(DamagedBundle):
        registry.symbols() if folder == "current" else registry.files_of(version)
    with pytest.raises(DamagedBundle):
        registry.promote("MSFT", version, "a test", by="tests")
    assert sorted((tmp_path / "outside").rglob("*")) == before


def test_a_pointer_that_lies_elsewhere_is_not_followed_and_a_promotion_replaces_it(
    published: Settings, registry: Registry, version: str, tmp_path: Path
) -> None:
    path = Path(published.models_url) / "current" / "MSFT.json"
    moved_out(path, tmp_path / "outside")
    content = (tmp_path / "outside" / "MSFT.json").read_bytes()
    with pytest.raises(DamagedBundle, match="by a link"):
        registry.pointer("MSFT")
    registry.promote("MSFT", version, "a test", by="tests")
    assert not path.is_symlink()
    assert (tmp_path / "outside" / "MSFT.json").read_bytes() == content


def test_links_that_stay_inside_are_followed(
    published: Settings, registry: Registry, version: str
) -> None:
    root = Path(published.models_url)
    moved_out(root / "bundles" / version, root / "large")
    assert registry.load(version).manifest.version == version


def test_closes_that_lie_elsewhere_are_not_read(tmp_path: Path) -> None:
    cache = PriceCache(tmp_path / "prices")
    path = cache.put(random_walk(100, 1))
    moved_out(path, tmp_path / "outside")
    with pytest.raises(StorageFailed, match="by a link"):
        PriceCache(tmp_path / "prices").get("MADE")
    cache.put(random_walk(100, 2))  # replaces the link, and follows it nowhere
    assert not path.is_symlink()
    found = cache.get("MADE")
    assert found is not None
    assert np.array_equal(found.closes, random_walk(100, 2).closes)


def test_a_calendar_that_lies_elsewhere_is_not_read(tmp_path: Path) -> None:
    cache = CalendarCache(tmp_path / "calendars")
    path = cache.put(session_table("XNYS"))
    assert path is not None
    moved_out(path, tmp_path / "outside")
    with pytest.raises(StorageFailed, match="by a link"):
        cache.get("XNYS")
