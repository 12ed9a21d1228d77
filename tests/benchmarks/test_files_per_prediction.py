"""The files that one prediction runs through: the house rule, held for the default network."""

from __future__ import annotations

import asyncio

from benchmarks.serving.files_per_prediction import MOST, record_prediction
from closecast.drift import native
from closecast.settings import Settings


def test_one_prediction_runs_through_few_files_of_ours(published: Settings) -> None:
    mlp = published.model_copy(update={"default_symbol": "AAPL"})
    files = asyncio.run(record_prediction(mlp)).files
    assert "api/routes/predict.py" in files
    assert "src/closecast/forecasters/mlp/predict.py" in files
    # Without compiled loops every window is measured by the seven files of drift/statistics.
    assert len(files) <= MOST + (0 if native.loaded else 7), "\n".join(files)
