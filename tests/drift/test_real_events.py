"""Crises by name, and splits as a raw feed has them, by name."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from benchmarks.drift.cases import sample_series
from benchmarks.drift.events import (
    AFTER,
    CRISES,
    IMPOSSIBLE,
    MOST_FAULTS,
    MOST_SESSIONS,
    Crisis,
    RawMove,
    Replay,
    raw_verdict,
    replay,
)
from benchmarks.drift.power import ALONE, MEMORY

LEHMAN, COVID = CRISES
crises = pytest.mark.parametrize("crisis", CRISES, ids=lambda crisis: crisis.name)
known = pytest.mark.parametrize("known", [ALONE, MEMORY])
after = pytest.mark.parametrize("after", AFTER)
volume = pytest.mark.parametrize("with_volume", [True, False], ids=["volume", "closes alone"])

SPLITS = (("AAPL", "2000-06-21"), ("AAPL", "2005-02-28"), ("MSFT", "2003-02-18"))
NEWS = RawMove("AAPL", "2000-09-29", split=False)  # a profit warning: -52 %


@lru_cache(maxsize=4)
def replayed(crisis: Crisis, known: str) -> Replay:
    return replay(crisis, sample_series(), known)


@known
@pytest.mark.parametrize(
    ("crisis", "start"),
    [(LEHMAN, "2008-10-01"), (COVID, "2020-02-24")],
    ids=["Lehman", "COVID"],
)
def test_a_crisis_is_a_regime_within_five_sessions(crisis: Crisis, start: str, known: str) -> None:
    """Median over 20 symbols; 2020-02-24 is the Monday on which the market fell."""
    assert np.median(replayed(crisis, known).delays(start)) <= MOST_SESSIONS


@known
@crises
def test_a_crisis_is_never_called_impossible(crisis: Crisis, known: str) -> None:
    codes = {code.split()[1] for code in replayed(crisis, known).codes}
    assert codes.isdisjoint(IMPOSSIBLE)


@known
@crises
def test_a_crisis_is_hardly_ever_a_fault(crisis: Crisis, known: str) -> None:
    assert replayed(crisis, known).fault_share <= MOST_FAULTS


@volume
@after
@pytest.mark.parametrize(("symbol", "day"), SPLITS)
def test_a_raw_split_is_a_split(symbol: str, day: str, after: int, with_volume: bool) -> None:
    verdict = raw_verdict(RawMove(symbol, day, split=True), after, with_volume)
    assert (verdict.level, verdict.findings[0].code) == ("fault", "split")
    assert verdict.findings[0].row == 59 - after


@after
def test_news_is_no_split_where_volume_speaks(after: int) -> None:
    """24 times the usual volume; the splits had about the usual one."""
    verdict = raw_verdict(NEWS, after, with_volume=True)
    assert "split" not in {finding.code for finding in verdict.findings}
    assert verdict.level == "regime"


@after
def test_without_volume_it_is_said_that_news_looks_the_same(after: int) -> None:
    """Or, where the days after it are wild enough to tell, that it was news."""
    verdict = raw_verdict(NEWS, after, with_volume=False)
    [finding] = [f for f in verdict.findings if f.code in ("split", "shock")]
    if after == 0:  # nothing but the move itself is there to tell
        assert finding.code == "split"
    if finding.code == "split":
        assert finding.alternatives == ("shock",)
        assert "volume" in finding.sentence
