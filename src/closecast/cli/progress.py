"""Training progress for people: one bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Self

from tqdm import tqdm


class ProgressBar:
    """Shows what a pipeline reports; pass :meth:`show` as its ``watch``."""

    def __enter__(self) -> Self:
        self._bar = tqdm(
            total=100.0,
            bar_format="{desc:<22} {percentage:3.0f}% |{bar:30}| {elapsed}{postfix}",
            file=sys.stderr,
            # A log file gets a line now and then instead of hundreds.
            mininterval=0.1 if sys.stderr.isatty() else 10.0,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: Mapping[str, Any]) -> None:
        """Draw one report of the pipeline."""
        stage = str(progress.get("stage", ""))
        if stage != self._bar.desc.removesuffix(": "):
            self._bar.set_description_str(stage)
        if "valid_loss" in progress:
            self._bar.set_postfix_str(
                f"epoch {progress['epoch']}/{progress['epochs']}, "
                f"validation loss {progress['valid_loss']:.4f}",
                refresh=False,
            )
        self._bar.update(float(progress.get("percent", self._bar.n)) - self._bar.n)
