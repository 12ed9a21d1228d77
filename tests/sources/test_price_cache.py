"""The price cache: what was collected last, or a clear word that it cannot be read."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.prices import Prices
from closecast.errors import InvalidSymbol, PriceProblem, StorageFailed
from closecast.sources.price_cache import PriceCache
from tests.support.synthetic_prices import as_prices, closes, patiently, random_walk

PRICES = random_walk(10, seed=1, symbol="MSFT")
NOTES = (
    PriceProblem("filler", "a holiday's row was dropped — não é pregão", "2022-12-26", 10.0),
    PriceProblem("jump", "moved by 60 %"),
)


@pytest.fixture
def cache(tmp_path: Path) -> PriceCache:
    return PriceCache(tmp_path / "prices")


def known(cache: PriceCache, symbol: str = "MSFT") -> Prices:
    prices = cache.get(symbol)
    assert prices is not None
    return prices


def everything(prices: Prices) -> tuple[object, ...]:
    return (
        *(prices.symbol, prices.source, prices.basis, prices.notes),
        *(prices.sessions.tolist(), prices.closes.tolist(), prices.content_hash),
    )


# -- what is there ------------------------------------------------------------------------------


@settings(patiently, max_examples=25)
@given(
    closes=closes(1, 50),
    symbol=st.sampled_from(["MSFT", "VALE3.SA", "^BVSP", "EURUSD=X", "BTC-USD"]),
    basis=st.sampled_from(["raw", "adjusted", "unknown"]),
    source=st.text(max_size=10),
    notes=st.lists(st.sampled_from(NOTES), max_size=3),
)
def test_what_was_put_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory,
    closes: FloatArray,
    symbol: str,
    basis: Any,
    source: str,
    notes: list[PriceProblem],
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    prices = replace(as_prices(closes, symbol, basis), source=source, notes=tuple(notes))
    PriceCache(folder).put(prices)
    assert everything(known(PriceCache(folder), symbol)) == everything(prices)


def test_what_was_never_collected_is_none(cache: PriceCache) -> None:
    assert cache.get("MSFT") is None
    cache.put(PRICES)
    assert cache.get("AAPL") is None


def test_any_spelling_of_a_symbol_finds_it(cache: PriceCache) -> None:
    cache.put(random_walk(10, seed=1, symbol="VALE3.SA"))
    assert known(cache, "vale3") is known(cache, " VALE3.SA ")


def test_putting_answers_where_the_file_is(cache: PriceCache) -> None:
    path = cache.put(PRICES)
    assert path == cache.path("msft") == cache.folder / "MSFT.npz"
    assert [p.name for p in cache.folder.iterdir()] == ["MSFT.npz"]


def test_symbols_do_not_disturb_each_other(cache: PriceCache) -> None:
    symbols = ["MSFT", "BRK-B", "BRK-A", "^GSPC", "GSPC", "EURUSD=X"]
    for seed, symbol in enumerate(symbols):
        cache.put(random_walk(10, seed, symbol=symbol))
    for seed, symbol in enumerate(symbols):
        assert known(cache, symbol) == random_walk(10, seed, symbol=symbol)


@pytest.mark.parametrize(
    ("former", "symbol"),
    [("BRK.B", "BRK-B"), ("PETR4F", "PETR4F.SA"), ("BTCUSDT", "BTC-USDT"), ("IBOV", "^BVSP")],
)
def test_closes_that_were_stored_under_an_earlier_name_are_found(
    cache: PriceCache, former: str, symbol: str
) -> None:
    path = cache.put(PRICES)
    with np.load(path) as file:
        arrays = dict(file)
    about = arrays["about"].tobytes().replace(b'"MSFT"', f'"{former}"'.encode())
    path.unlink()
    np.savez(cache.folder / f"{former}.npz", **arrays | {"about": np.frombuffer(about, np.uint8)})
    found = known(cache, former)
    assert found.symbol == symbol
    assert found.closes.tolist() == PRICES.closes.tolist()
    assert cache.symbols() == [symbol]
    cache.put(random_walk(10, 3, symbol=symbol))
    assert known(cache, symbol) == known(cache, former) == random_walk(10, 3, symbol=symbol)
    assert cache.symbols() == [symbol]


# -- what is new --------------------------------------------------------------------------------


def test_an_unchanged_file_is_not_read_again(cache: PriceCache) -> None:
    cache.put(PRICES)
    assert known(cache) is known(cache)


def test_what_another_process_collected_is_seen(cache: PriceCache) -> None:
    longer = random_walk(11, seed=2, symbol="MSFT")
    cache.put(PRICES)
    assert known(cache) == PRICES
    PriceCache(cache.folder).put(longer)
    assert known(cache) == longer


def test_a_change_within_one_tick_of_the_clock_is_seen(cache: PriceCache) -> None:
    other = random_walk(10, seed=2, symbol="MSFT")
    moment = 1_700_000_000_000_000_000
    for prices in (PRICES, other):
        os.utime(cache.put(prices), ns=(moment, moment))
        assert known(cache) == prices


def test_what_was_deleted_is_none(cache: PriceCache) -> None:
    path = cache.put(PRICES)
    assert known(cache) == PRICES
    path.unlink()
    assert cache.get("MSFT") is None


def test_a_file_that_is_deleted_while_it_is_looked_at_is_none(
    cache: PriceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cache.put(PRICES)
    stat = os.stat

    def stat_and_delete(name: Path) -> os.stat_result:
        status = stat(name)
        path.unlink()
        return status

    with monkeypatch.context() as patch:
        patch.setattr("closecast.infra.npz_folder.os.stat", stat_and_delete)
        assert cache.get("MSFT") is None


def test_a_full_disk_leaves_what_was_there(
    cache: PriceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache.put(PRICES)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageFailed, match=r"MSFT\.npz: No space left on device"):
            cache.put(random_walk(10, seed=2, symbol="MSFT"))
    assert [p.name for p in cache.folder.iterdir()] == ["MSFT.npz"]
    assert known(PriceCache(cache.folder)) == PRICES


_PUT_IN_TURN = """
import sys
from pathlib import Path
import numpy as np
from closecast.sources.price_cache import PriceCache
from closecast.core.prices import Prices
cache = PriceCache(Path(sys.argv[1]))
for i in range(60):
    n = (10, 4000)[i % 2]
    cache.put(Prices("MSFT", np.arange(n), np.linspace(1, 2, n), "made"))
"""


def test_a_reader_never_sees_half_of_a_change(cache: PriceCache) -> None:
    cache.put(PRICES)
    process = subprocess.Popen([sys.executable, "-c", _PUT_IN_TURN, str(cache.folder)])
    seen = {len(known(cache))}
    while process.poll() is None:
        seen.add(len(known(cache)))
    seen.add(len(known(cache)))
    assert process.returncode == 0
    assert seen == {10, 4000}


# -- damage -------------------------------------------------------------------------------------

DAMAGED = r"the price cache of MSFT is damaged .*; delete MSFT\.npz and collect again"


def read(cache: PriceCache, content: bytes) -> Prices | str:
    """What is made of these bytes: prices, or what is said about them."""
    cache.folder.mkdir(exist_ok=True)
    cache.path("MSFT").write_bytes(content)
    try:
        return known(PriceCache(cache.folder))
    except StorageFailed as refusal:
        return str(refusal)


def test_one_damaged_byte_changes_nothing_unnoticed(cache: PriceCache) -> None:
    content = cache.put(PRICES).read_bytes()
    refused = 0
    for i, byte in enumerate(content):
        got = read(cache, content[:i] + bytes([byte ^ 1 << i % 8]) + content[i + 1 :])
        if isinstance(got, str):
            assert re.match(DAMAGED, got)
            refused += 1
        else:
            assert everything(got) == everything(PRICES), f"byte {i}"
    # Zip has fields that nobody reads, such as a member's date.
    assert refused > len(content) / 2


def test_a_file_that_was_cut_is_refused_wherever(cache: PriceCache) -> None:
    content = cache.put(PRICES).read_bytes()
    for length in range(0, len(content), 11):
        assert isinstance(read(cache, content[:length]), str), f"{length} bytes"


def npz(**changes: Any) -> bytes:
    """A cache file by hand; ``None`` leaves a member out."""
    members: dict[str, Any] = {
        "sessions": PRICES.sessions.astype("int64"),
        "closes": PRICES.closes,
        "about": {"symbol": "MSFT", "source": "made", "basis": "adjusted", "notes": []},
    } | changes
    if isinstance(members["about"], dict | list):
        members["about"] = np.frombuffer(json.dumps(members["about"]).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in members.items() if value is not None})
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, PRICES.closes)
    return buffer.getvalue()


def test_a_file_made_by_hand_is_read(cache: PriceCache) -> None:
    assert read(cache, npz()) == PRICES


def test_closes_that_are_left_out_are_missed(cache: PriceCache) -> None:
    """numpy reads as much as an array's header says, and the checksum only at the very end."""
    long = random_walk(2000, seed=3, symbol="MSFT")
    content = npz(closes=long.closes, sessions=long.sessions.astype("int64"))
    shorter = content.replace(b"'shape': (2000,)", b"'shape': (1000,)")
    with np.load(io.BytesIO(shorter)) as arrays:
        assert len(arrays["closes"]) == 1000
    assert re.match(DAMAGED, str(read(cache, shorter)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"date,close\n2022-01-03,1\n", id="CSV"),
        pytest.param(npy(), id="a single array"),
        pytest.param(npz(about=None), id="no about"),
        pytest.param(npz(closes=None), id="no closes"),
        pytest.param(npz(about=[]), id="about is a list"),
        pytest.param(npz(about={"symbol": "MSFT"}), id="about lacks fields"),
        pytest.param(npz(about=np.frombuffer(b"{", dtype=np.uint8)), id="about is no JSON"),
        pytest.param(npz(about=np.frombuffer(b"\xff", dtype=np.uint8)), id="about is no UTF-8"),
        *(
            pytest.param(
                npz(about={"symbol": "MSFT", "source": "", "basis": "raw", "notes": []} | wrong),
                id=str(wrong),
            )
            for wrong in (
                {"symbol": 1},
                {"symbol": "../x"},
                {"symbol": "AAPL"},
                {"notes": [1]},
                {"notes": [{"unknown": 1}]},
            )
        ),
        pytest.param(npz(closes=PRICES.closes[1:]), id="lengths differ"),
        pytest.param(npz(closes=np.full(10, np.nan)), id="NaN"),
        pytest.param(npz(closes=np.full(10, "x")), id="text"),
        pytest.param(npz(sessions=np.zeros(10, dtype="int64")), id="one session twice"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(cache: PriceCache, content: bytes) -> None:
    assert re.match(DAMAGED, str(read(cache, content)))


class _Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("member", ["closes", "sessions", "about", None])
def test_no_pickle_is_ever_opened(cache: PriceCache, tmp_path: Path, member: str | None) -> None:
    trace = tmp_path / "trace"
    bomb = _Bomb(trace)
    content = npz(**{member: np.array([bomb], dtype=object)}) if member else pickle.dumps(bomb)
    assert re.match(DAMAGED, str(read(cache, content)))
    assert not trace.exists()


def test_after_collecting_again_a_damaged_file_is_forgotten(cache: PriceCache) -> None:
    cache.folder.mkdir()
    cache.path("MSFT").write_bytes(b"damaged")
    with pytest.raises(StorageFailed):
        cache.get("MSFT")
    cache.put(PRICES)
    assert known(cache) == PRICES


def test_a_folder_where_the_file_should_be_is_named(cache: PriceCache) -> None:
    cache.path("MSFT").mkdir(parents=True)
    with pytest.raises(StorageFailed, match=r"price cache of MSFT cannot be read: .*MSFT\.npz"):
        cache.get("MSFT")
    with pytest.raises(StorageFailed, match=r"cannot write .*MSFT\.npz"):
        cache.put(PRICES)


def test_a_file_where_the_folder_should_be_is_named(cache: PriceCache) -> None:
    cache.folder.write_text("I am a file")
    with pytest.raises(StorageFailed, match=f"cannot be read: .*; check {cache.folder}"):
        cache.get("MSFT")
    with pytest.raises(StorageFailed, match=r"cannot write .*MSFT\.npz"):
        cache.put(PRICES)


# -- names that are no names --------------------------------------------------------------------


@pytest.mark.parametrize(
    "symbol",
    ["", ".", "..", "../MSFT", "a/b", "/etc/passwd", "MSFT\x00", "MSFT.npz/../x", "%2e%2e"],
)
def test_what_is_no_symbol_leads_nowhere(cache: PriceCache, symbol: str) -> None:
    cache.put(PRICES)
    for ask in (cache.get, cache.path):
        with pytest.raises(InvalidSymbol):
            ask(symbol)


def test_it_says_whose_closes_it_holds(tmp_path: Path) -> None:
    cache = PriceCache(tmp_path)
    assert cache.symbols() == []
    for symbol in ("MSFT", "^BVSP", "VALE3.SA"):
        cache.put(as_prices(np.linspace(10, 20, 30), symbol))
    (tmp_path / "..npz").touch()
    (tmp_path / "no symbol at all.npz").touch()
    assert sorted(cache.symbols()) == ["MSFT", "VALE3.SA", "^BVSP"]
