"""Rules for closes: what is refused, left out or noted, and why, in the words of the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from closecast.core.data_quality import FROZEN_SESSIONS
from closecast.core.prices import MAX_PRICE, MIN_PRICE, UNIT_RATIO
from closecast.core.shown_prices import price_text
from closecast.core.spacing import LONG_GAP, WINDOW
from closecast.core.units import STAYS_DOWN, STAYS_UP

Outcome = Literal["refused", "left out", "noted", "fault"]


@dataclass(frozen=True, slots=True)
class PriceRule:
    """A rule for closes.

    Attributes
    ----------
    name : str
        Stable name, ``rule`` of :class:`closecast.errors.PriceProblem`.
    outcome : {"refused", "left out", "noted", "fault"}
        Nothing is collected; the row is dropped with a note; the note alone; or the closes before
        it are not learned from, and closes from it on are held back.
    meaning, reason : str
        Condition, and why it has this outcome.
    """

    name: str
    outcome: Outcome
    meaning: str
    reason: str


PRICE_RULES = (
    PriceRule("shape", "refused", "As many dates as closes.", "Rows cannot be told apart."),
    PriceRule("empty", "refused", "No close at all.", "There is nothing to learn from."),
    PriceRule("not_finite", "refused", "A close is infinite.", "No return follows from it."),
    PriceRule("not_positive", "refused", "A close is 0 or less.", "No return follows from it."),
    PriceRule(
        "out_of_bounds",
        "refused",
        f"A close is outside {price_text(MIN_PRICE)} to {price_text(MAX_PRICE)}.",
        "No market quotes it, and forecasts from it could overflow.",
    ),
    PriceRule("missing_date", "refused", "A row has no date.", "Its place is not known."),
    PriceRule("duplicate", "refused", "A date appears twice.", "Either close may be right."),
    PriceRule(
        "unsorted",
        "refused",
        "Dates are neither in order nor in the opposite one.",
        "Rows of several tables may be mixed.",
    ),
    PriceRule(
        "other_frequency",
        "refused",
        "Weekly, monthly, quarterly bars, every second session: a fourth of the sessions of "
        f"{WINDOW} rows in a row has no row, and fewer than {WINDOW} rows follow; or such bars "
        "repeated on the days between.",
        "A step is one session; weekly bars served as daily are 2.2 times too wide.",
    ),
    PriceRule(
        "missing_weekdays",
        "refused",
        "A weekday has hardly any row: a coin without week-ends.",
        "The step over a week-end means three days.",
    ),
    PriceRule(
        "sparse_sessions",
        "refused",
        "More than a tenth of the sessions has no row.",
        "A step means 1.1 sessions or more, and intervals are 5 % too wide or more.",
    ),
    PriceRule(
        "intraday_bars",
        "refused",
        "More than half of the days have several rows.",
        "A step is one session, not an hour; or the file holds several symbols.",
    ),
    PriceRule(
        "wrong_calendar",
        "refused",
        "More than a tenth of the rows are on days on which the symbol's exchange is closed; or "
        "another exchange's calendar fits clearly better, and none is set for the symbol.",
        "The symbol names another market than the one that the closes come from.",
    ),
    PriceRule(
        "unit_error",
        "refused",
        f"A move beyond {UNIT_RATIO:g} times in a session that is taken back, after any number of "
        f"rows; or that is not, with fewer than {STAYS_UP} rows on one side of a rise and "
        f"{STAYS_DOWN} of a fall, and is no whole split up to 50:1.",
        "Pence among pounds, thousands among points. One that stays longer is a fault: it may be "
        "a reverse split.",
    ),
    PriceRule(
        "missing_close",
        "left out",
        "A row without a close.",
        "Exports have empty rows on holidays; a session that lacks its close counts as missing.",
    ),
    PriceRule(
        "not_a_session",
        "left out",
        "A row on a day on which the exchange is closed, where such rows are few.",
        "Vendors fill holidays with the last close; its return of 0 is none.",
    ),
    PriceRule(
        "sunday_bars",
        "left out",
        "Rows of Sundays among closes of currencies.",
        "Some brokers give the first hours of Monday a bar of their own.",
    ),
    PriceRule(
        "unfinished_bar",
        "left out",
        "The session is not over.",
        "Its close is not known yet; the next update has it.",
    ),
    PriceRule("no_symbol", "left out", "A row of a long file names no symbol.", "It is a total."),
    PriceRule(
        "missing_sessions",
        "noted",
        "Sessions without a row, fewer than above.",
        "Calendars do not know every closure. A window with one of 60 steps over two sessions is "
        "1 % too wide in the mean.",
    ),
    PriceRule(
        "long_gap_before",
        "noted",
        f"{LONG_GAP} sessions in a row without a row.",
        "Closes before the newest such gap are collected and not learned from, and no window spans "
        "it: the volatility after it would be 1.2 times too large, or more. New closes after one "
        "are held back until they are a window.",
    ),
    PriceRule(
        "other_frequency_before",
        "noted",
        f"Old bars of another frequency, followed by {WINDOW} daily closes or more.",
        "Closes since then are sound; those before are collected and not learned from.",
    ),
    PriceRule(
        "missing_weekdays_before",
        "noted",
        "The same of weekdays without rows.",
        "As above: a market may have had fewer days once.",
    ),
    PriceRule(
        "sparse_sessions_before",
        "noted",
        "The same of many sessions without a row.",
        "As above: a share may have been traded rarely once.",
    ),
    PriceRule(
        "remarkable_move",
        "noted",
        "A move by +50 % or -40 % in a session.",
        "Real news reaches it. Whether it is a fault is decided from the days around it, below.",
    ),
    PriceRule(
        "read_as",
        "noted",
        "The layout, language and order in which a file was read.",
        "It is no doubt, and shows a wrong reading at a glance.",
    ),
    PriceRule(
        "lines_around",
        "noted",
        "Lines before and after the table of a file.",
        "Titles, sums and licences are no closes.",
    ),
    PriceRule(
        "quoted_per_many",
        "noted",
        "Prices of COTAHIST that are those of many shares at once.",
        "The file says of how many; they are divided by it.",
    ),
    PriceRule(
        "frozen_feed",
        "fault",
        f"{FROZEN_SESSIONS} sessions in a row hardly move.",
        "A suspended share looks the same; a model must not learn stillness either way.",
    ),
    PriceRule(
        "suspected_split",
        "fault",
        "A move of a share by the ratio of a split that stays, beyond twelve usual days; of a coin "
        "or an index one by ten or more. Not where the others of the pool went half as far.",
        "A halving on news looks the same: a person can accept it, and alone a symbol is trained "
        "on it with a warning.",
    ),
)
"""All rules, in the order of the checks."""
