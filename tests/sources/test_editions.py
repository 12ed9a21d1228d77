"""Editions of sources: equal as long as no other closes can come."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from closecast.settings import Settings
from closecast.sources import SOURCES, source_edition
from tests.conftest import settings_in


def edition(settings: Settings, symbol: str = "MSFT") -> str | None:
    return source_edition(settings.source, settings, symbol)


def test_the_sample_stays_as_it_is(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert edition(settings) is not None
    assert edition(settings) == edition(settings)


@pytest.mark.parametrize("source", ["yahoo", "yahoo:raw", "file:https://x.example/{symbol}.csv"])
def test_of_a_remote_source_nothing_is_known(tmp_path: Path, source: str) -> None:
    assert edition(settings_in(tmp_path, source=source)) is None


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_file_has_another_edition_after_each_change(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "MSFT.csv"
    path.write_text("Date,Close\n2022-01-03,1.0\n")
    settings = settings_in(tmp_path, source=f"file:{prefix}{tmp_path}/{{symbol}}.csv")
    seen = [edition(settings)]
    assert edition(settings) == seen[0]
    with path.open("a") as file:
        file.write("2022-01-04,1.1\n")
    seen.append(edition(settings))
    # A copy that keeps the times, as rsync makes it, with as many bytes.
    times = path.stat()
    other = tmp_path / "other.csv"
    other.write_text(path.read_text().replace("1.1", "1.2"))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.move(other, path)
    seen.append(edition(settings))
    os.utime(path, ns=(0, 0))
    seen.append(edition(settings))
    assert None not in seen
    assert len({*seen}) == len(seen)


def test_two_files_never_have_one_edition(tmp_path: Path) -> None:
    path = tmp_path / "MSFT.csv"
    path.write_text("Date,Close\n2022-01-03,1.0\n")
    os.link(path, tmp_path / "KO.csv")
    settings = settings_in(tmp_path, source=f"file:{tmp_path}/{{symbol}}.csv")
    assert edition(settings, "KO") != edition(settings, "MSFT")


@pytest.mark.parametrize("source", ["file", "file:missing.csv", "file:", "pigeon", "file:a\0b"])
def test_an_unreadable_or_unknown_source_has_none(tmp_path: Path, source: str) -> None:
    assert edition(settings_in(tmp_path, source=source)) is None


def test_every_source_may_name_one_and_loads_nothing_for_it() -> None:
    assert {name for name, entry in SOURCES.items() if entry.edition} == {"sample", "file"}
