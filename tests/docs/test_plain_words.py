"""Rules of the documentation's language: short lines, plain words, decimals with a zero."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

WIDTH = 100
LINTED = [*PAGES, ROOT / "CHANGELOG.md"]

RIDDLES = re.compile(
    r"\b(nobody|whoever|whatever|whichever|somebody who|what became of|said|told|asked)\b", re.I
)
RELATIVE = r"(?:What|Who|Whose|Where|How|Which|Whether)\b"
OPENING = re.compile(rf"(?:^|[.!?:] |^[-*] |^#+ |^\d+\. ){RELATIVE}(?![^.!?]*\?)", re.MULTILINE)
BARE_DECIMAL = re.compile(r"(?<![\w.…/*])\.\d")


def prose(text: str) -> str:
    """The text without code, addresses and comments; paragraphs on one line each."""
    text = re.sub(r"^( *)```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"`[^`]*`", "`code`", text)
    return re.sub(r"(?<=\S)\n(?=[^\s|#>:*-])(?!\d+\. )", " ", text)


def long_lines(text: str) -> list[str]:
    """Lines over the width that are neither of a table, nor of code, nor of an address alone."""
    without_code = re.sub(r"^( *)```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [
        line
        for line in without_code.splitlines()
        if len(line) > WIDTH
        and not line.startswith("|")
        and not re.search(r"https?://\S{60}", line)
    ]


@pytest.mark.parametrize("path", LINTED, ids=lambda path: path.name)
def test_lines_are_short(path: Path) -> None:
    assert not long_lines(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_words_are_plain(path: Path) -> None:
    text = prose(path.read_text(encoding="utf-8"))
    assert not [match[0] for match in RIDDLES.finditer(text)]
    assert not [text[m.start() : m.end() + 40] for m in OPENING.finditer(text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_decimals_have_a_leading_zero(path: Path) -> None:
    text = prose(path.read_text(encoding="utf-8"))
    assert not [text[max(0, m.start() - 20) : m.end() + 5] for m in BARE_DECIMAL.finditer(text)]


@pytest.mark.parametrize(
    "text",
    [
        "What one day says.",
        "It holds. Which model serves, the pointer says.",
        "- Whether it fits",
        "## How fast",
    ],
)
def test_a_sentence_that_begins_with_a_relative_word_is_seen(text: str) -> None:
    assert OPENING.search(text)


@pytest.mark.parametrize("text", ["How fast is it?", "It shows how fast.", "The whole is whole."])
def test_a_question_and_a_subordinate_clause_are_not(text: str) -> None:
    assert not OPENING.search(text)


@pytest.mark.parametrize("text", ["Nobody knows.", "what became of a forecast", "as it was told"])
def test_a_riddle_is_seen(text: str) -> None:
    assert RIDDLES.search(text)


def test_a_bare_decimal_is_seen_and_a_file_name_is_not() -> None:
    assert BARE_DECIMAL.search("less than .5 %")
    assert not BARE_DECIMAL.search("0.5 % of v1.2, file.5, `..`")
