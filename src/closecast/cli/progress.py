"""Progress of long work for people: one bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

_LINE_EVERY_S = 10.0
_FORMAT = "{desc:<12} {percentage:3.0f} % |{bar:30}| {elapsed} so far, {remaining} left{postfix}"


class ProgressBar:
    """Draws what a pipeline reports on standard error; pass :meth:`show` as its ``watch``.

    The bar is full only once the work has ended without an error.
    """

    def __enter__(self) -> Self:
        from tqdm import tqdm  # not at the top: the serving image is without it

        self._lines = None if sys.stderr.isatty() else ProgressLines(_to_standard_error)
        self._bar = tqdm(
            total=100.0,
            bar_format=_FORMAT,
            file=sys.stderr,
            disable=self._lines is not None,
            dynamic_ncols=True,
            smoothing=0,  # stages differ in pace: the mean pace estimates the rest best
        )
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
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
        self._bar.update(percent - self._bar.n)
        if percent == self._bar.n:  # without a step, the times move all the same
            self._bar.refresh()


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
