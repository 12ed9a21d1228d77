"""The table of rules names every rule that the code applies, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import closecast
from closecast.core.price_rules import PRICE_RULES

SOURCE = Path(closecast.__file__).parent
RULES = {rule.name for rule in PRICE_RULES}


def code_of(*folders: str) -> str:
    files = (path for folder in folders for path in sorted((SOURCE / folder).rglob("*.py")))
    return "\n".join(path.read_text() for path in files if path.name != "price_rules.py")


def test_every_rule_of_a_close_is_in_the_table() -> None:
    named = re.findall(
        r'(?:PriceProblem\(|_problem\(\s*prices,|drop\(int\(i\),)\s*"([a-z_]+)"',
        code_of("core", "sources"),
    )
    assert len(named) > 10
    assert set(named) - {"long_gap"} <= RULES  # `long_gap` is the reason within a sentence


def test_every_name_in_the_table_is_in_the_code() -> None:
    text = code_of("core", "sources")
    assert [name for name in RULES if f'"{name.removesuffix("_before")}"' not in text] == []


def test_names_are_there_once() -> None:
    assert len(RULES) == len(PRICE_RULES)
