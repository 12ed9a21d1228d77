"""Plain words: a count of riddle words and of question openings in docstrings and comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

RIDDLES = re.compile(
    r"\b(nobody|no one|somebody|everybody|anybody|whoever|whomever|whatever|whichever|wherever"
    r"|those who|of whom|what (?:became|becomes|came|comes|may come|is said|was said)"
    r"|said|says|say|told|tells|tell|asked|asks|ask|wanted|wants|sought|made again|so many"
    r"|as it says|speaks?|knows nothing|else's|bury|buried|siege|besiege|batter|blame|foretold"
    r"|held against|in one go|of old|lest|whence|thereof|beheld)\b",
    re.IGNORECASE,
)
"""Words that keep the subject or the object of a sentence from a newcomer."""

QUESTION = re.compile(
    r"(?:What|Who|Whose|Where|How|Which|Whether|Why|When|Is|Does|Are|Did)\b(?!\s+\w+\s*$)"
)
"""An opening of a docstring that names neither a thing nor an action."""

_CODE = re.compile(r"``[^`]*``|:\w+:`[^`]*`|^\s*>>>.*$", re.MULTILINE)


@dataclass(frozen=True)
class WordCount:
    """Words, riddle words and openings of some texts.

    Attributes
    ----------
    riddles, questions : tuple of str
        ``file:line: word`` of each riddle word, and of each docstring that opens with a question.
    """

    words: int
    docstrings: int
    riddles: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def per_thousand(self) -> float:
        """Riddle words per 1,000 words of docstrings and comments."""
        return 1000 * len(self.riddles) / max(self.words, 1)

    @property
    def question_share(self) -> float:
        """Share of docstrings that open with a question word, in [0, 1]."""
        return len(self.questions) / max(self.docstrings, 1)


def count_words(files: Iterable[Path]) -> WordCount:
    """Count over the docstrings and comments of Python files."""
    words = docstrings = 0
    riddles: list[str] = []
    questions: list[str] = []
    for path in files:
        source = path.read_text(encoding="utf-8")
        for line, text, is_docstring in texts_of(source):
            plain = _CODE.sub("", text)
            words += len(re.findall(r"[A-Za-z']+", plain))
            riddles += (f"{path}:{line}: {match[0]}" for match in RIDDLES.finditer(plain))
            docstrings += is_docstring
            if is_docstring and QUESTION.match(text):
                questions.append(f"{path}:{line}: {text.splitlines()[0]}")
    return WordCount(words, docstrings, tuple(riddles), tuple(questions))


def texts_of(source: str) -> Iterator[tuple[int, str, bool]]:
    """Line, text, and whether it is a docstring, of each docstring, note and comment.

    >>> list(texts_of("X = 1  # a reason"))
    [(1, 'a reason', False)]
    """
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    seen: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            line = node.body[0].lineno
            seen.add(line)
            yield line, text, True
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and node.lineno not in seen
        ):
            yield node.lineno, node.value.value, False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# "), False
