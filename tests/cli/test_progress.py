"""Progress for people: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import io
import re
import sys
from contextlib import suppress

import pytest

from closecast.cli import progress as progress_module
from closecast.cli.progress import ProgressBar, ProgressLines


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def percents(screen: io.StringIO) -> list[int]:
    return [int(found) for found in re.findall(r"(\d+) %", screen.getvalue())]


def on_screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """In a test itself: a fixture's stream is replaced by pytest's before the test."""
    stream = Screen()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_on_a_terminal_one_bar_moves_from_start_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    with ProgressBar() as bar:
        for percent in range(0, 90, 10):
            bar.show({"stage": "train", "percent": percent})
        assert "\n" not in screen.getvalue()
        assert "left" not in screen.getvalue().split("%")[1]
    assert "left" in screen.getvalue(), "an estimate, once there is something to estimate from"
    assert percents(screen) == sorted(percents(screen))
    assert percents(screen)[-1] == 100
    assert screen.getvalue().count("\n") == 1


def test_work_that_fails_does_not_fill_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_screen(monkeypatch)
    with suppress(ValueError), ProgressBar() as bar:
        bar.show({"stage": "train", "percent": 40.0})
        raise ValueError("failed")
    with ProgressBar() as bar:
        bar.show({"stage": "train", "percent": 40.0})
        bar.abandon()
    assert max(percents(screen)) == 40


def test_elsewhere_a_line_is_printed_per_stage_and_not_per_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    lines: list[str] = []
    with ProgressBar(lines.append) as bar:
        bar.show({"stage": "collect"})
        for percent in range(10, 90):
            bar.show({"stage": "train", "percent": percent})
        bar.show({"stage": "evaluate", "percent": 90.0})
    assert lines == ["collect", "train, 10 %", "evaluate, 90 %"]
    assert sys.stderr.getvalue() == ""


def test_a_long_stage_prints_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now)
    lines: list[str] = []
    shown = ProgressLines(lines.append)
    for second in range(25):
        now = 100.0 + second
        shown.show({"stage": "train", "percent": second, "paused": second > 15})
    assert lines == [
        "train, 0 %",
        "train, 10 %",
        "train, 20 %, paused for predictions",
    ]
