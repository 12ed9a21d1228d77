"""Rows that are not one close per session are refused by name, or noted where they are old."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from closecast.core.calendars import Dates, sessions_between
from closecast.core.prices import Prices
from closecast.errors import InvalidPrices, PriceProblem
from closecast.sources.file import FileSource
from tests.sources.test_cleaning import fetch

NYSE = sessions_between("XNYS", date(2014, 1, 2), date(2021, 12, 31))
DAYS = np.arange("2016-01-01", "2022-01-01", dtype="datetime64[D]")


def weekday(days: Dates) -> np.ndarray:
    return (days.astype(np.int64) + 3) % 7  # Monday is 0


def of(days: Dates, symbol: str = "MSFT") -> Prices:
    rng = np.random.default_rng(7)
    return fetch(days, 40 * np.exp(np.cumsum(rng.normal(0, 0.02, len(days)))), symbol)


def refused(days: Dates, symbol: str = "MSFT") -> PriceProblem:
    with pytest.raises(InvalidPrices) as caught:
        of(days, symbol)
    [problem] = caught.value.problems
    return problem


def months(step: int) -> Dates:
    return np.arange("2001-01", "2022-01", step, dtype="datetime64[M]").astype("datetime64[D]")


@pytest.mark.parametrize(
    ("days", "symbol", "name"),
    [
        (NYSE[weekday(NYSE) == 0], "MSFT", "weekly bars"),
        (NYSE[weekday(NYSE) == 4], "MSFT", "weekly bars"),
        (np.arange("2010-01-03", "2020-01-01", 7, dtype="datetime64[D]"), "MSFT", "weekly bars"),
        (np.arange("2010-01-04", "2020-01-01", 7, dtype="datetime64[D]"), "MSFT", "weekly bars"),
        (NYSE[::5][:15], "MSFT", "weekly bars"),
        (NYSE[::10], "MSFT", "fortnightly bars"),
        (NYSE[::2], "MSFT", "one close every 2 sessions"),
        (NYSE[::3], "MSFT", "one close every 3 sessions"),
        (NYSE[np.isin(weekday(NYSE), [0, 2, 4])], "MSFT", "one close every 2 sessions"),
        (months(1), "MSFT", "monthly bars"),
        (months(1) - 1, "MSFT", "monthly bars"),
        (months(3) - 1, "MSFT", "quarterly bars"),
        (months(6), "MSFT", "half-yearly bars"),
        (months(12), "MSFT", "yearly bars"),
        (DAYS[::7], "BTC-USD", "weekly bars"),
        (months(1), "BTC-USD", "monthly bars"),
        (np.concatenate([NYSE[:1500], NYSE[1500::5]]), "MSFT", "weekly bars"),
    ],
)
def test_bars_of_another_frequency_are_refused_by_name(days: Dates, symbol: str, name: str) -> None:
    problem = refused(days, symbol)
    assert problem.rule == "other_frequency"
    assert problem.message.startswith(f"{name}: ")


def test_the_sentence_says_how_many_sessions_have_no_row() -> None:
    fridays = NYSE[weekday(NYSE) == 4]
    due = len(NYSE[(fridays[0] <= NYSE) & (fridays[-1] >= NYSE)])
    assert refused(fridays) == PriceProblem(
        "other_frequency",
        f"weekly bars: {due - len(fridays):,} of {due:,} sessions of XNYS up to {fridays[-1]} "
        "have no row",
        str(fridays[0]),
    )


@pytest.mark.parametrize(
    ("days", "symbol", "name"),
    [
        (DAYS[weekday(DAYS) < 5], "BTC-USDT", "business days only, no Saturdays and Sundays"),
        (DAYS[weekday(DAYS) < 6], "ETH-BRL", "some weekdays only, no Sundays"),
        (NYSE[weekday(NYSE) != 2], "MSFT", "some weekdays only, no Wednesdays"),
    ],
)
def test_weekdays_without_rows_are_named(days: Dates, symbol: str, name: str) -> None:
    problem = refused(days, symbol)
    assert problem.rule == "missing_weekdays"
    assert problem.message.startswith(f"{name}: ")


@pytest.mark.parametrize(("rows", "name"), [(7, "hourly"), (2, "intraday"), (390, "intraday")])
def test_several_rows_a_day_are_named(rows: int, name: str) -> None:
    problem = refused(np.repeat(NYSE[:40], rows))
    assert problem.rule == "intraday_bars"
    assert problem.message.startswith(name)
    assert f"40 of 40 days have several rows, most of them {rows}" in problem.message


def test_hours_of_a_coin_are_named() -> None:
    assert refused(np.repeat(DAYS[:40], 24), "BTC-USD").message.startswith("hourly bars")


def test_hours_in_a_file_are_named(tmp_path: Path) -> None:
    hours = [f"{day} {hour:02}:30:00,{40 + hour}" for day in NYSE[:40] for hour in range(9, 16)]
    path = tmp_path / "hours.csv"
    path.write_text("\n".join(["Datetime,Close", *hours]))
    with pytest.raises(InvalidPrices, match="hourly bars: 40 of 40 days have several rows"):
        FileSource(str(path)).fetch("MSFT")


def test_rows_without_a_close_do_not_hide_the_frequency() -> None:
    """Weekly closes on a daily grid."""
    closes = np.where(weekday(NYSE) == 4, 50.0, np.nan)
    with pytest.raises(InvalidPrices, match="weekly bars"):
        fetch(NYSE, closes)


@pytest.mark.parametrize(
    ("rows", "name"), [(5, "weekly bars"), (21, "monthly bars"), (2, "one close every 2 sessions")]
)
def test_bars_that_are_repeated_on_the_days_between_are_named(rows: int, name: str) -> None:
    bars = 40 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.03, 1 + len(NYSE) // rows)))
    with pytest.raises(InvalidPrices, match=f"{name} that are repeated on the days between"):
        fetch(NYSE, np.repeat(bars, rows)[: len(NYSE)])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_share_that_is_traded_rarely_is_not_repeated_bars(share: float) -> None:
    rng = np.random.default_rng(2)
    returns = rng.normal(0, 0.03, len(NYSE)) * (rng.random(len(NYSE)) > share)
    assert fetch(NYSE, 40 * np.exp(np.cumsum(returns))).notes == ()


def test_dates_of_another_time_zone_are_the_wrong_calendar_not_missing_weekdays() -> None:
    assert refused(NYSE - 1).rule == "wrong_calendar"


def test_many_sessions_without_a_row_are_refused() -> None:
    kept = np.random.default_rng(5).random(len(NYSE)) > 0.2
    problem = refused(NYSE[kept])
    assert problem.rule == "sparse_sessions"
    assert "sessions of XNYS" in problem.message


def test_a_few_closes_after_weekly_bars_are_refused_with_their_number() -> None:
    problem = refused(np.concatenate([NYSE[:1000:5], NYSE[1000:1020]]))
    assert "20 closes since then, a window has 60" in problem.message


def test_old_bars_of_another_frequency_are_noted() -> None:
    prices = of(np.concatenate([NYSE[:1000:5], NYSE[1000:]]))
    missing, before = prices.notes
    assert missing.rule == "missing_sessions"
    assert (before.rule, before.date) == ("other_frequency_before", str(NYSE[1000]))
    assert "weekly bars until then, 800 of 1,001 sessions have no row" in before.message
    assert f"models learn from the 1,015 closes since {NYSE[1000]}" in before.message


def test_a_long_gap_is_noted_with_what_is_learned_from() -> None:
    prices = of(np.delete(NYSE, [*range(100, 130), *range(400, 900)]))
    missing, before = prices.notes
    assert "530 sessions of XNYS have no row" in missing.message
    assert (before.rule, before.date) == ("long_gap_before", str(NYSE[900]))
    assert f"no close in the 500 sessions of XNYS after {NYSE[399]} (2 gaps" in before.message
    assert f"models learn from the {len(NYSE) - 900:,} closes since" in before.message


@pytest.mark.parametrize("share", [0.0, 0.02, 0.04])
def test_a_few_sessions_without_a_row_are_one_note(share: float) -> None:
    kept = np.random.default_rng(5).random(len(NYSE)) >= share
    notes = of(NYSE[kept]).notes
    assert [note.rule for note in notes] == ["missing_sessions"] * (share > 0)
