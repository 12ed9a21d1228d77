"""A statistic that is newer than the compiled loops, and than some bundles."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from closecast.core.arrays import FloatArray
from closecast.drift import Baseline, Context, DriftDetector, unmeasured, warn_of_unmeasured
from closecast.drift import native as compiled
from closecast.drift.features import WindowFeatures
from closecast.drift.statistics import STATISTICS, Cause, Statistic
from closecast.drift.thresholds import TAIL, Threshold
from tests.contracts.statistic import BASELINE, BEFORE, CLEAN
from tests.drift.test_detector import ODD
from tests.drift.test_statistics import with_jump


class LastMove(Statistic):
    """Size of the last move, in volatilities."""

    key = "last_move"
    channel = "regime"
    name = "size of the last move"
    weights = (1.0, 1.0)

    def measure(self, reading: WindowFeatures) -> FloatArray:
        return np.asarray(reading.sizes[:, -1] / reading.volatility)

    def cause(self, reading: WindowFeatures, i: int, value: float) -> Cause:
        return Cause("trend", facts={"sessions": 1, "move": round(100 * value, 1)})


THRESHOLD = Threshold(0.7, 0.5, tuple(np.linspace(0.5, 4.0, len(TAIL)).tolist()))
"""So low that half of all clean windows are beyond it: a prefilter that hid them would show."""

WINDOWS = np.array([*CLEAN, *ODD.values()])


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that has one statistic more."""
    monkeypatch.setitem(STATISTICS, "last_move", LastMove())


def contexts(*, known: bool) -> list[Context | None]:
    days = BEFORE.sessions[-1] + np.arange(1, WINDOWS.shape[1] + 1)
    return [Context(known=BEFORE, sessions=days) if known else None] * len(WINDOWS)


def first(alone: dict[str, Threshold]) -> dict[str, Threshold]:
    """The new threshold before all others: the order of a baseline is that of its findings."""
    return {"last_move": THRESHOLD, **alone}


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize("known", [False, True])
def test_verdicts_are_those_of_numpy_alone(known: bool) -> None:
    baseline = replace(
        BASELINE, alone=first({**BASELINE.alone}), with_before=first({**BASELINE.with_before})
    )
    said = DriftDetector(baseline).check_batch(WINDOWS, contexts(known=known))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compiled, "loaded", None)
        defined = DriftDetector(baseline).check_batch(WINDOWS, contexts(known=known))
    assert said == defined
    found = [f for v in said for f in v.findings if f.statistic == LastMove.name]
    assert 5 < len(found) < len(WINDOWS)


@pytest.mark.usefixtures("newer")
@pytest.mark.skipif(compiled.loaded is None, reason="there is no C compiler here")
def test_the_others_keep_their_compiled_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = replace(BASELINE, alone=first({**BASELINE.alone}))
    clean = np.array(CLEAN)
    screened: list[int] = []
    looked_at: dict[str, int] = dict.fromkeys(baseline.alone, 0)
    real = compiled.NativeLoops.suspicious

    def counting(*about: object) -> list[int]:
        screened.extend(real(*about))  # type: ignore[arg-type]
        return screened

    monkeypatch.setattr(compiled.NativeLoops, "suspicious", counting)
    for key in baseline.alone:
        statistic = STATISTICS[key]

        def measure(
            reading: WindowFeatures, key: str = key, statistic: Statistic = statistic
        ) -> FloatArray:
            looked_at[key] += len(reading)
            return type(statistic).measure(statistic, reading)

        monkeypatch.setattr(statistic, "measure", measure)
    DriftDetector(baseline).check_batch(clean, [None] * len(clean))
    assert len(screened) < len(clean) / 2
    assert looked_at.pop("last_move") == len(clean)
    assert set(looked_at.values()) == {len(screened)}


@pytest.mark.usefixtures("newer")
def test_a_missing_threshold_is_logged_once_for_all_symbols_and_reloads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unmeasured, "_logged", set())
    with caplog.at_level(logging.INFO):
        for symbol in ("MSFT", "AAPL", "MSFT"):
            warn_of_unmeasured(replace(BASELINE, symbol=symbol), "the-version")
        with_it = replace(
            BASELINE, alone=first({**BASELINE.alone}), with_before=first({**BASELINE.with_before})
        )
        warn_of_unmeasured(with_it, "another-version")
    [line] = caplog.records
    about = {name: getattr(line, name) for name in ("version", "symbol", "statistics")}
    assert about == {"version": "the-version", "symbol": "MSFT", "statistics": ["last_move"]}
    assert line.levelno == logging.WARNING


@pytest.mark.usefixtures("newer")
def test_a_window_is_not_judged_by_it_without_a_threshold() -> None:
    assert BASELINE.unmeasured == ("last_move",)
    verdicts = DriftDetector(BASELINE).check_batch(WINDOWS, contexts(known=False))
    assert LastMove.name not in {f.statistic for v in verdicts for f in v.findings}


def test_a_bundle_from_before_news_were_parted_from_splits_lacks_those_statistics() -> None:
    """Its thresholds of moves apply to what they were made for: splits and units, not news."""
    gone = {"shock_lately", "large_move"}
    former = {key: t for key, t in BASELINE.alone.items() if key not in gone}
    former["shock"] = replace(BASELINE.alone["shock_lately"], value=17.8)
    known = {key: t for key, t in BASELINE.with_before.items() if key not in gone}
    older = Baseline.from_json(replace(BASELINE, alone=former, with_before=known).to_json())
    assert set(older.unmeasured) == gone
    detector = DriftDetector(older)
    verdicts = {f: detector.check(with_jump(f)) for f in (0.8, 2 / 3, 0.5, 100.0)}
    first = {f: [finding.code for finding in v.findings][:1] for f, v in verdicts.items()}
    assert first == {0.8: [], 2 / 3: [], 0.5: ["split"], 100.0: ["unit_error"]}
