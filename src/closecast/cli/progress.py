"""Progress of long work for people: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

_LINE_EVERY_S = 10.0
_ETA_FROM = 3.0
"""Percent; the estimate of a shorter stretch would only mislead."""
_EARLY_FORMAT = "{desc:<20} {percentage:3.0f} % |{bar:30}| {elapsed} so far{postfix}"
_FORMAT = "{desc:<20} {percentage:3.0f} % |{bar:30}| {elapsed} so far, {remaining} left{postfix}"


class ProgressBar:
    """Draws what a pipeline reports on standard error; pass :meth:`show` as its ``watch``.

    The bar is full only once the work has ended without an error.

    Parameters
    ----------
    write : callable, optional
        Prints a line where standard error is no terminal; to standard error by default.
    """

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or _to_standard_error
        self._abandoned = False

    def __enter__(self) -> Self:
        from tqdm import tqdm  # not at the top: the serving image is without it

        self._lines = None if sys.stderr.isatty() else ProgressLines(self._write)
        self._bar = tqdm(
            total=100.0,
            bar_format=_EARLY_FORMAT,
            file=sys.stderr,
            disable=self._lines is not None,
            dynamic_ncols=True,
            miniters=0,  # without a step, the times move all the same
            smoothing=0,  # stages differ in pace: the mean pace estimates the rest best
        )
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and not self._abandoned:
            self._bar.set_description_str("done", refresh=False)
            self._bar.set_postfix_str("", refresh=False)
            self._bar.update(100.0 - self._bar.n)
        self._bar.close()

    def show(self, progress: Mapping[str, Any]) -> None:
        """Draw one report: its stage, percentage, epoch and validation loss."""
        if self._lines is not None:
            self._lines.show(progress)
            return
        percent = float(progress.get("percent", self._bar.n))
        if percent < self._bar.n:
            self._bar.reset()  # of work whose stages each begin at 0 %
        self._bar.set_description_str(str(progress.get("stage", "")), refresh=False)
        notes = []
        if "valid_loss" in progress:
            notes.append(
                f"epoch {progress['epoch']}/{progress['epochs']}, "
                f"validation loss {progress['valid_loss']:.4f}"
            )
        if progress.get("paused"):
            notes.append("paused for predictions")
        self._bar.set_postfix_str(", ".join(notes), refresh=False)
        self._bar.bar_format = _FORMAT if percent >= _ETA_FROM else _EARLY_FORMAT
        self._bar.update(percent - self._bar.n)

    def abandon(self) -> None:
        """Leave the bar where it is at the end, as of work that has failed."""
        self._abandoned = True


class ProgressLines:
    """Prints a line when a stage begins, and every ten seconds of a stage that goes on.

    Parameters
    ----------
    write : callable
        Prints one line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._stage: object = None
        self._last = ""
        self._written_at = 0.0

    def show(self, progress: Mapping[str, Any]) -> None:
        """Print one report if it is due."""
        stage, percent = progress.get("stage"), progress.get("percent")
        line = f"{stage}{'' if percent is None else f', {percent:.0f} %'}"
        line += ", paused for predictions" if progress.get("paused") else ""
        now = time.monotonic()
        due = line != self._last and now - self._written_at >= _LINE_EVERY_S
        if stage != self._stage or due:
            self._write(line)
            self._stage, self._last, self._written_at = stage, line, now


def _to_standard_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
