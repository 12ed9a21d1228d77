"""Words of the code: terms of the field, and first lines that name a thing or an action."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.house.words import count_words

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("src", "api", "scripts") for path in (ROOT / folder).rglob("*.py")]


def test_words_are_plain_and_openings_name_a_thing() -> None:
    count = count_words(FILES)
    assert count.words > 30_000
    assert count.per_thousand <= 1.6, "\n".join(count.riddles)
    assert count.question_share <= 0.01, "\n".join(count.questions)


@pytest.mark.parametrize(
    "text", ["Nobody looks.", "What became of a forecast.", "As it was told.", "Whoever comes."]
)
def test_a_riddle_is_counted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "module.py"
    file.write_text(f'"""{text}"""\n')
    assert count_words([file]).riddles


def test_a_question_that_opens_a_docstring_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        '"""Whether it fits the rest."""\nX = 1  # Whether comments do is another rule\n'
    )
    count = count_words([file])
    assert (count.docstrings, len(count.questions)) == (1, 1)
    assert count.question_share == 1


def test_terms_in_code_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('"""The member ``said`` of :class:`x.Told`."""\n')
    assert not count_words([file]).riddles
