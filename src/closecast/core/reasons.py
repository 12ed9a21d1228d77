"""Reasons and authors of a decision: one line of text each, which is kept, logged and shown."""

from __future__ import annotations

import re

LONGEST_REASON, LONGEST_AUTHOR = 500, 100
"""Characters."""

# Line ends, NUL and other controls, marks that reorder text, halves of surrogate pairs: a log or
# a database may refuse them, and a page may show something else than was written.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def checked_reason(text: str) -> str:
    """Return a reason without the spaces around it.

    Raises
    ------
    ValueError
        If it is blank, has more than :data:`LONGEST_REASON` characters, or one that is not shown.

    Examples
    --------
    >>> checked_reason(" a real halving, see the filing of 5 July ")
    'a real halving, see the filing of 5 July'
    """
    return _line(text, LONGEST_REASON)


def checked_author(text: str) -> str:
    """Return a name without the spaces around it.

    Raises
    ------
    ValueError
        If it is blank, has more than :data:`LONGEST_AUTHOR` characters, or one that is not shown.
    """
    return _line(text, LONGEST_AUTHOR)


def _line(text: str, longest: int) -> str:
    line = text.strip(" ")
    if not line.strip():
        raise ValueError("it is blank; write a few words, which are kept")
    if len(line) > longest:
        raise ValueError(f"it has {len(line)} characters; at most {longest}")
    if found := _UNSHOWN.search(line):
        raise ValueError(f"character {found.start() + 1} is a control character; write one line")
    return line
