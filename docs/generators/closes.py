"""The reference page of the checks of closes, from the table of rules."""

from __future__ import annotations

from generators.names import PRICE_RULES, resolve
from generators.tables import table

HEAD = """# Checks of closes

Closes of every source are checked once, when they are collected, and never repaired silently. A
refusal is one sentence for the whole file: the rule, how many rows, the first and the last date.
`rule` is a stable name in the answer's `problems`. This page is made from the code at each build.

"""
SECTIONS = (
    (
        "refused",
        "Refused",
        "Nothing is collected, and the closes known before stay in use. Correct the rows, or "
        "choose a span without them (`--start`, `--end`).",
    ),
    ("left out", "Left out", "The row is dropped, and a note names it."),
    ("noted", "Noted", "The closes are used. The note is a warning in the log."),
    (
        "fault",
        "Faults of a history",
        "Collected and not learned from: in a pool of symbols, and wherever a training starts by "
        "itself, the closes before the fault are left out, and the symbol keeps those since then. "
        "New closes from a fault on are [held back](../how-to/held-closes.md).",
    ),
)


def page() -> str:
    """One table for each outcome."""
    return HEAD + "".join(_section(*section) for section in SECTIONS)


def _section(outcome: str, title: str, text: str) -> str:
    rows = [
        (f"`{rule.name}`", rule.meaning, rule.reason)
        for rule in resolve(PRICE_RULES)
        if rule.outcome == outcome
    ]
    return f"## {title}\n\n{text}\n\n" + table(("rule", "condition", "why"), rows)
