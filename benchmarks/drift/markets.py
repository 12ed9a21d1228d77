"""Rates of false alarms by kind of market, crashes that all coins share, faults of coins.

``python -m benchmarks.drift.markets``

Models end before the windows that they judge. Stocks are the embedded sample, each judged without
its own windows; coins are two made panels by which nothing was chosen
(:mod:`benchmarks.drift.coin_panel`), seventeen coins each. A window is either *named* (the symbol,
its known closes, those of the others of its market, and dates) or *bare*: sixty closes alone, which
the service compares with its default symbol, MSFT or the panel's BTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.drift.cases import LENGTH, Case, clean_case, injected, sample_series
from benchmarks.drift.coin_panel import CRASH, HELD_OUT, RETURN, coins
from benchmarks.drift.rates import exact_interval
from closecast.core.market_moves import MarketPanel
from closecast.core.prices import Prices
from closecast.core.verdict import Verdict
from closecast.drift import Baseline, Context, DriftDetector

STEP = 20
"""Sessions between two windows of a symbol."""

MOST_FALSE = 1.5
"""Times the stated rate."""

FTX = ("2022-11-08", "2022-11-09")
FAULTS = (
    *("split 2:1", "split 10:1", "split 1:2", "x100, last close", "frozen, 5 still days"),
    *("spike 20 %", "spike 10 %", "volatility x3"),
)


@dataclass(frozen=True)
class Family:
    """Symbols of one kind, with models that end on a day.

    Attributes
    ----------
    default : str
        Symbol that bare windows are compared with.
    until : str
        Last day of training.
    """

    name: str
    series: Sequence[Prices]
    default: str
    until: str

    def detectors(self) -> dict[str, DriftDetector]:
        """By symbol; all are trained together."""
        parts = [prices.between(None, self.until) for prices in self.series]
        return {
            part.symbol: DriftDetector(Baseline.fit(part, LENGTH, companions=parts))
            for part in parts
        }

    def later(self, step: int = STEP) -> Iterator[Case]:
        """Clean windows that begin after training."""
        for prices in self.series:
            first = int(np.searchsorted(prices.sessions, np.datetime64(self.until), "right"))
            for row in range(first, len(prices) - LENGTH + 1, step):
                yield clean_case(prices, row)


def families() -> list[Family]:
    """Stocks up to 2013 and 2018, and two panels of coins up to 2021."""
    stocks = sample_series()
    return [
        Family("stocks, model to 2013", stocks, "MSFT", "2013-12-31"),
        Family("stocks, model to 2018", stocks, "MSFT", "2018-12-31"),
        *(
            Family(f"coins {panel.seed}, model to 2021", coins(panel), "BTC-USDT", "2021-12-31")
            for panel in HELD_OUT
        ),
    ]


Judge = Callable[[Case], Verdict]


def judges(family: Family, detectors: dict[str, DriftDetector]) -> dict[str, Judge]:
    """A verdict on a case by what is sent with it."""
    market = MarketPanel(family.series)
    default = detectors[family.default]

    def named(case: Case) -> Verdict:
        context = Context(
            known=case.known, sessions=case.sessions, market=market.without(case.symbol)
        )
        return detectors[case.symbol].check(case.closes, context)

    return {"bare": lambda case: default.check(case.closes), "named": named}


def rates_table() -> str:
    """Share of clean windows with a finding of each channel, and the rate that is stated."""
    lines = [
        "clean windows after training, % with a finding (exact 95 % interval); stated is `upper`",
        f"{'':<26}{'sent':<8}{'windows':>8}{'FAULT':>22}{'stated':>8}{'REGIME':>22}{'stated':>8}",
    ]
    for family in families():
        detectors = family.detectors()
        for sent, judge in judges(family, detectors).items():
            verdicts = [judge(case) for case in family.later()]
            rates = detectors[family.default].baseline.rates
            cells, codes = [], Counter[str]()
            for channel in ("fault", "regime"):
                count = sum(any(f.level == channel for f in v.findings) for v in verdicts)
                stated = rates["alone" if sent == "bare" else "with_before"][channel].upper
                share = f"{100 * count / len(verdicts):.2f}"
                interval = "{:.2f} to {:.2f}".format(
                    *(100 * end for end in exact_interval(count, len(verdicts)))
                )
                cells.append(f"{share:>7} {interval:>14}{100 * stated:>8.2f}")
            for verdict in verdicts:
                codes.update({f"{f.level} {f.code}" for f in verdict.findings})
            line = f"{family.name:<26}{sent:<8}{len(verdicts):>8}{''.join(cells)}  "
            lines.append(line + ", ".join(f"{code} {n}" for code, n in codes.most_common(6)))
    return "\n".join(lines)


def crash_table() -> str:
    """Verdicts on windows that end on the days of two crashes, and on the four days after."""
    lines = [
        "coins on days of a crash of the market: symbols with REGIME on the day, and symbol-days "
        "with FAULT",
        f"{'':<26}{'sent':<8}{'day':<12}{'REGIME':>8}{'FAULT, day to 4 after':>24}",
    ]
    for panel in HELD_OUT:
        series = coins(panel)
        for until, days in (("2019-12-31", (CRASH,)), ("2021-12-31", (*FTX, RETURN))):
            family = Family(f"coins {panel.seed}, model to {until[:4]}", series, "BTC-USDT", until)
            for sent, judge in judges(family, family.detectors()).items():
                for day in days:
                    row = int(np.searchsorted(series[0].sessions, np.datetime64(day)))
                    after = [
                        [judge(clean_case(p, row + k - LENGTH + 1)) for p in series]
                        for k in range(5)
                    ]
                    regime = np.mean([_on_the_day(verdict) for verdict in after[0]])
                    fault = np.mean([[v.level == "fault" for v in day] for day in after])
                    about = f"{family.name:<26}{sent:<8}{day:<12}"
                    lines.append(f"{about}{100 * regime:>8.0f}{100 * fault:>24.1f}")
    return "\n".join(lines)


def faults_table() -> str:
    """Faults put into clean windows of coins: seen, and rightly named or unsure with it first."""
    lines = [
        "faults in clean windows of coins, % of windows: FAULT; seen at all; named so, alone or "
        "first of two",
        f"{'':<26}{'sent':<8}{'':<22}{'FAULT':>8}{'seen':>8}{'named':>8}",
    ]
    for panel in HELD_OUT:
        name, series = f"coins {panel.seed}, model to 2021", coins(panel)
        family = Family(name, series, "BTC-USDT", "2021-12-31")
        for sent, judge in judges(family, family.detectors()).items():
            quiet = [case for case in family.later(5 * STEP) if judge(case).level == "ok"]
            for fault in FAULTS:
                cases = [injected(fault, case, series) for case in quiet]
                found = [judge(case) for case in cases]
                pairs = zip(found, cases, strict=True)
                shares = (
                    np.mean([verdict.level == "fault" for verdict in found]),
                    np.mean([verdict.warning for verdict in found]),
                    np.mean([first_named(verdict) in case.causes for verdict, case in pairs]),
                )
                cells = "".join(f"{100 * share:>8.1f}" for share in shares)
                lines.append(f"{name:<26}{sent:<8}{fault:<22}{cells}")
    return "\n".join(lines)


def _on_the_day(verdict: Verdict) -> bool:
    return verdict.level == "regime"


def first_named(verdict: Verdict) -> str:
    """The first cause of the gravest finding: of an unsure one, the likelier alternative."""
    if not verdict.findings:
        return ""
    first = verdict.findings[0]
    return first.alternatives[0] if first.code in first.alternatives else first.code


def main() -> None:
    """Print every table."""
    for table in (rates_table, crash_table, faults_table):
        print(table(), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
