"""Compiled code only spares work: every verdict is the one that NumPy comes to."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.core.arrays import FloatArray
from closecast.core.verdict import Verdict
from closecast.drift import Baseline, Context, DriftDetector, OtherSymbols, native
from closecast.drift.features import WindowReturns
from closecast.drift.native import Prefilter
from closecast.drift.statistics import STATISTICS
from closecast.sources.sample import SampleSource
from scripts.compile_drift import compile_library
from tests.contracts.statistic import BASELINE, LENGTH, reading_of
from tests.drift.test_detector import ODD
from tests.support.synthetic_prices import as_prices, patiently

SAMPLE = SampleSource()
MSFT, AAPL = SAMPLE.fetch("MSFT"), SAMPLE.fetch("AAPL")
OTHERS = OtherSymbols([AAPL, MSFT, SAMPLE.fetch("JNJ")])
DETECTOR = DriftDetector(Baseline.fit(MSFT.between(None, "2016-06-30"), LENGTH))

compiler = shutil.which(os.environ.get("CC", "cc"))


def without(
    detector: DriftDetector, windows: FloatArray, contexts: list[Context | None]
) -> list[Verdict]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(native, "loaded", None)
        return detector.check_batch(windows, contexts)


def spoiled(kind: int, closes: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One of the ways in which callers get closes wrong; ``LENGTH`` of them."""
    closes = closes.copy()
    row = int(rng.integers(5, LENGTH - 5))
    if kind == 1:
        closes = np.delete(closes, rng.integers(5, LENGTH - 10, 3))
    if kind == 2:
        closes = closes[:LENGTH][::-1]
    if kind == 3:
        closes = np.round(closes / 20, 2)
    if kind == 4:
        closes[row:] /= 2
    if kind == 5:
        closes[row : row + 9] = closes[row]
    if kind == 6:
        closes[row] *= 1.2
    if kind == 7:
        closes = 200 * np.exp(np.cumsum(rng.normal(0, 0.015, LENGTH)))
    if kind == 8:  # beyond all that is known
        closes = np.concatenate([MSFT.closes[-40:], closes * MSFT.closes[-1] / closes[0]])
    if kind == 9:
        closes = np.full(LENGTH, closes[0])
    if kind == 10:
        closes = np.round(10 + 0.01 * rng.integers(-1, 2, LENGTH), 2)  # ticks: many equal moves
    return np.asarray(closes[:LENGTH])


def test_it_is_there_where_a_compiler_is() -> None:
    assert (native.loaded is not None) == (compiler is not None)


def test_every_verdict_is_the_same() -> None:
    rng = np.random.default_rng(4)
    windows, contexts = [], []
    for kind in 60 * list(range(12)):
        prices = AAPL if rng.random() < 0.2 else MSFT
        first = int(rng.integers(0, len(prices) - LENGTH - 20))
        windows.append(spoiled(kind, prices.closes[first : first + LENGTH + 20], rng))
        known = MSFT.rows(0, 2000) if rng.random() < 0.3 else MSFT
        others = OTHERS if rng.random() < 0.8 else None
        contexts.append(None if rng.random() < 0.05 else Context(known=known, others=others))
    sent = np.array(windows)
    said, defined = DETECTOR.check_batch(sent, contexts), without(DETECTOR, sent, contexts)
    assert said == defined
    matches = {v.provenance.match for v in said if v.provenance is not None}
    assert {"exact", "reversed", "gapped", "other_symbol", "undated"} <= matches
    assert {"split", "spike", "frozen_feed"} <= {f.code for v in said for f in v.findings}


@patiently
@given(
    st.lists(
        st.sampled_from([-0.6931, -0.02, -0.01, 0.0, 0.01, 0.012, 0.03, 4.6]),
        min_size=9,
        max_size=90,
    ),
    st.integers(0, 2**32),
)
def test_of_any_moves_and_any_length(steps: list[float], seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.004, len(steps)) * (np.array(steps) != 0)
    closes = 100 * np.exp(np.clip(np.cumsum([0.0, *(noise + steps)]), -18, 13))[None]
    detector = DriftDetector(BASELINE)
    for known in (None, MSFT):
        context = [Context(known=known, others=OTHERS)]
        assert detector.check_batch(closes, context) == without(detector, closes, context)


@pytest.mark.parametrize("length", [10, 11, 511, 1025, 1026])
def test_of_long_windows(length: int) -> None:
    closes = MSFT.closes[100 : 100 + length][None]
    context: list[Context | None] = [Context(known=MSFT, others=OTHERS)]
    assert DETECTOR.check_batch(closes, context) == without(DETECTOR, closes, context)


@pytest.mark.skipif(native.loaded is None, reason="there is no C compiler here")
def test_windows_that_are_odd_are_suspicious_and_few_others() -> None:
    screen = DETECTOR._screens[False]
    rows = range(100, 2500, 20)
    clean = WindowReturns.of(np.array([MSFT.closes[i : i + LENGTH] for i in rows]))
    assert len(screen.suspicious(clean.returns, None, None)) < len(clean) / 5
    odd = WindowReturns.of(np.array([*ODD.values()]))
    assert list(DriftDetector(BASELINE)._screens[False].suspicious(odd.returns, None, None)) == [
        *range(len(ODD))
    ]


@pytest.mark.skipif(native.loaded is None, reason="there is no C compiler here")
@pytest.mark.parametrize(
    ("key", "known"),
    [
        (key, known)
        for key in native.STATISTICS
        for known in (False, True)
        if STATISTICS[key].weights[known]
    ],
)
def test_each_statistic_alone_makes_a_window_suspicious(key: str, known: bool) -> None:
    """Were one forgotten there, or measured too low, its findings would be lost."""
    windows = np.array([*ODD.values(), *(MSFT.closes[i : i + LENGTH] for i in range(0, 2400, 80))])
    reading = reading_of(windows, known=known)
    values = STATISTICS[key].measure(reading)
    for share in (0.2, 0.5, 0.9):
        limit = float(np.quantile(values[values > values.min()], share)) - 1e-6
        own = BASELINE
        screen = Prefilter(
            own.volatility, own.volatility, own.still_share, own.volatility, {key: limit}
        )
        rows = set(screen.suspicious(reading.returns, reading.before, reading.gap))
        beyond = set(np.flatnonzero(values > limit).tolist())
        assert beyond
        # Three are bounded from above, not measured.
        assert beyond <= rows if key in ("jump", "frozen_feed", "filled_days") else beyond == rows


def ticks(n: int, price: float) -> FloatArray:
    """Closes that go up and down by single cents: nearly every move is like very many others."""
    cents = np.random.default_rng(8).integers(-1, 2, n).cumsum() % 5
    return np.round(price + cents / 100, 2)


KNOWN = {
    "ticks": as_prices(ticks(12_000, 0.9)),
    "few ticks": as_prices(ticks(1_500, 0.9)),
    "ticks at the end": as_prices(np.concatenate([MSFT.closes, ticks(1_200, 40.0)])),
    "still at the end": as_prices(np.concatenate([MSFT.closes, np.full(25, MSFT.closes[-1])])),
    "every day the same week": as_prices(np.tile([10.0, 11.0, 10.5, 12.0, 9.0], 400)),
    "dear": as_prices(10_000 * MSFT.closes),
}


@pytest.mark.parametrize("name", KNOWN)
def test_in_places_that_are_hard_to_tell_apart(name: str) -> None:
    """Crowds of like moves, too many pieces, ends of what is known, least and most tolerance."""
    known = KNOWN[name]
    rng = np.random.default_rng(6)
    fresh = 1 + rng.normal(0, 0.01, LENGTH)
    windows = []
    for back in (3, 9, 10, 11, 12, 20, 26, 30, 36, 40, 59, 61, 75, *rng.integers(80, 1400, 25)):
        closes = known.closes[-back:][:LENGTH]
        closes = np.concatenate([closes, closes[-1] * fresh[: LENGTH - len(closes)]])
        windows += [closes, closes[::-1], closes * (1 + rng.normal(0, 4e-6, LENGTH))]
        windows += [closes * (1 + rng.normal(0, 4e-4, LENGTH)), np.roll(closes, 30)]
        windows += [np.where(rng.random(LENGTH) < 0.1, 1.01 * closes, closes)]
    sent = np.array(windows)
    for context in (Context(known=known), Context(known=AAPL, others=OtherSymbols([MSFT, known]))):
        contexts: list[Context | None] = [context] * len(sent)
        said = DETECTOR.check_batch(sent, contexts)
        assert said == without(DETECTOR, sent, contexts)
        assert len({v.provenance.match for v in said if v.provenance is not None}) > 1


def test_a_library_of_other_code_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = tmp_path / "_native.so"
    monkeypatch.setattr(native, "LIBRARY", library)
    assert native._load() is None  # there is none
    library.write_bytes(b"no library")
    with caplog.at_level(logging.WARNING):
        assert native._load() is None
    assert "drift without its compiled loops" in caplog.text


@pytest.mark.skipif(compiler is None, reason="there is no C compiler here")
def test_a_changed_source_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, library = tmp_path / "native.c", tmp_path / "_native.so"
    source.write_bytes(native.SOURCE.read_bytes() + b"\n")
    assert compile_library(source, library) is None
    with pytest.raises(ValueError, match="other code"):
        native.NativeLoops(library)
    monkeypatch.setattr(native, "SOURCE", source)
    native.NativeLoops(library)


def test_code_that_does_not_compile_is_no_library(tmp_path: Path) -> None:
    source, library = tmp_path / "native.c", tmp_path / "_native.so"
    source.write_text("this is not C")
    why = compile_library(source, library)
    assert why is not None
    assert ("failed" in why) if compiler else (why == "no C compiler")
    assert [path.name for path in tmp_path.iterdir()] == ["native.c"]


def test_without_a_compiler_the_installation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    assert compile_library(native.SOURCE, tmp_path / "_native.so") == "no C compiler"


def test_a_folder_that_does_not_take_it_is_no_error(tmp_path: Path) -> None:
    why = compile_library(native.SOURCE, tmp_path / "nowhere" / "_native.so")
    assert why is not None
    assert ("No such file" in why) if compiler else (why == "no C compiler")
