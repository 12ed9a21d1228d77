"""Pictures of a panel: one of each symbol, of a large panel those that are worst."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from closecast.pipeline import TrainRequest, publication, run_training
from closecast.pipeline.evaluate import PublishedBundle
from closecast.settings import Settings

PANEL = ("JNJ", "KO", "PG")


def trained(settings: Settings, *symbols: str) -> PublishedBundle:
    request = TrainRequest(
        symbols=symbols, source="sample", start=date(2017, 1, 3), forecaster="ewma"
    )
    return run_training(settings, request)


def drawn(published: PublishedBundle) -> set[str]:
    return {path.name for path in (Path(published.results) / "symbols").glob("*.png")}


def test_every_symbol_of_a_panel_has_a_picture(settings: Settings) -> None:
    published = trained(settings, *PANEL)
    assert drawn(published) == {f"{symbol}.png" for symbol in PANEL}
    picture = (published.results / "symbols" / "KO.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
    assert (published.results / "forecast_vs_actual.png").exists()


def test_of_a_large_panel_the_worst_are_drawn(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "MOST_DRAWN", 2)
    published = trained(settings, *PANEL)
    ratios = {
        symbol: one.row("ewma", "with history").overall.crps_ratio
        for symbol, one in published.evaluations.items()
    }
    worst = sorted(ratios, key=lambda symbol: ratios[symbol])[1:]
    assert drawn(published) == {f"{symbol}.png" for symbol in worst}


def test_one_symbol_alone_has_the_large_pictures_only(settings: Settings) -> None:
    published = trained(settings, "KO")
    assert drawn(published) == set()
    assert len(list(published.results.glob("*.png"))) == 3
