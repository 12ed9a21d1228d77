"""The calendar cache: what the worker wrote, or a clear word that it cannot be read."""

from __future__ import annotations

import io
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closecast.core.calendars import SessionTable, session_table
from closecast.errors import StorageFailed
from closecast.pipeline import collect
from closecast.settings import Settings
from closecast.sources.calendar_cache import CalendarCache

TABLE = session_table("XNYS", np.datetime64("2022-01-01"), np.datetime64("2022-12-31"))
DAMAGED = r"the calendar of XNYS is damaged .*; delete XNYS\.npz and collect again"


@pytest.fixture
def cache(tmp_path: Path) -> CalendarCache:
    return CalendarCache(tmp_path / "calendars")


def known(cache: CalendarCache, exchange: str = "XNYS") -> SessionTable:
    table = cache.get(exchange)
    assert table is not None
    return table


def same(a: SessionTable, b: SessionTable) -> bool:
    arrays = np.array_equal(a.sessions, b.sessions) and np.array_equal(a.final_at, b.final_at)
    return a.exchange == b.exchange and arrays


def test_what_was_put_comes_back(cache: CalendarCache) -> None:
    assert cache.put(TABLE) == cache.path("XNYS")
    assert same(known(cache), TABLE)
    assert [p.name for p in cache.folder.iterdir()] == ["XNYS.npz"]


def test_what_was_never_written_is_none(cache: CalendarCache) -> None:
    cache.put(TABLE)
    assert cache.get("BVMF") is None


def test_every_day_needs_no_file(cache: CalendarCache) -> None:
    assert cache.put(session_table("24/7")) is None
    assert not cache.folder.exists()
    assert same(known(cache, "24/7"), session_table("24/7"))


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(cache: CalendarCache) -> None:
    cache.put(TABLE)
    assert known(cache) is known(cache)
    longer = session_table("XNYS")
    CalendarCache(cache.folder).put(longer)
    assert same(known(cache), longer)


def test_collecting_writes_the_whole_calendar_of_the_exchange(settings: Settings) -> None:
    collect(settings, "MSFT", "sample")
    cache = CalendarCache(settings.data_dir / "calendars")
    assert same(known(cache), session_table("XNYS"))


def test_reading_needs_neither_pandas_nor_the_calendars(cache: CalendarCache) -> None:
    cache.put(TABLE)
    code = (
        "import sys, pathlib; from closecast.sources.calendar_cache import CalendarCache; "
        "cache = CalendarCache(pathlib.Path(sys.argv[1])); "
        "print(len(cache.get('XNYS').sessions), len(cache.get('24/7').sessions) > 10_000, "
        "*sorted({'pandas', 'exchange_calendars', 'scipy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(cache.folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(len(TABLE.sessions)), "True"]


def npz(**changes: Any) -> bytes:
    """A cache file by hand; ``None`` leaves a member out."""
    members: dict[str, Any] = {
        "exchange": np.array("XNYS"),
        "sessions": TABLE.sessions.astype("int64"),
        "final_at": TABLE.final_at.astype("int64"),
    } | changes
    buffer = io.BytesIO()
    np.savez(buffer, **{name: value for name, value in members.items() if value is not None})
    return buffer.getvalue()


def read(cache: CalendarCache, content: bytes) -> SessionTable | str:
    cache.folder.mkdir(exist_ok=True)
    cache.path("XNYS").write_bytes(content)
    try:
        return known(CalendarCache(cache.folder))
    except StorageFailed as refusal:
        return str(refusal)


def test_a_file_made_by_hand_is_read(cache: CalendarCache) -> None:
    table = read(cache, npz())
    assert isinstance(table, SessionTable)
    assert same(table, TABLE)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(json.dumps({"exchange": "XNYS"}).encode(), id="JSON"),
        pytest.param(npz(exchange=np.array("BVMF")), id="another exchange"),
        pytest.param(npz(exchange=None), id="no exchange"),
        pytest.param(npz(sessions=None), id="no sessions"),
        pytest.param(npz(final_at=TABLE.final_at.astype("int64")[1:]), id="lengths differ"),
        pytest.param(npz(sessions=TABLE.sessions.astype("int64")[::-1]), id="backwards"),
        pytest.param(npz(sessions=np.array([print], dtype=object)), id="an object"),
        pytest.param(pickle.dumps({"exchange": "XNYS"}), id="a pickle"),
    ],
)
def test_what_is_no_calendar_is_refused(cache: CalendarCache, content: bytes) -> None:
    assert re.match(DAMAGED, str(read(cache, content)))


def test_one_damaged_byte_changes_nothing_unnoticed(cache: CalendarCache) -> None:
    path = cache.put(TABLE)
    assert path is not None
    content, refused = path.read_bytes(), 0
    for i, byte in enumerate(content):
        got = read(cache, content[:i] + bytes([byte ^ 1 << i % 8]) + content[i + 1 :])
        if isinstance(got, str):
            refused += 1
        else:
            assert same(got, TABLE), f"byte {i}"
    assert refused > len(content) / 2


def test_a_folder_where_the_file_should_be_is_named(cache: CalendarCache) -> None:
    cache.path("XNYS").mkdir(parents=True)
    with pytest.raises(StorageFailed, match=r"calendar of XNYS cannot be read: .*XNYS\.npz"):
        cache.get("XNYS")
    with pytest.raises(StorageFailed, match=r"cannot write .*XNYS\.npz"):
        cache.put(TABLE)
