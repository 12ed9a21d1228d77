"""The valid name that a misspelt one resembles."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_COMPARED = 60  # characters; comparing takes a time that grows with the square of the length


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that a misspelt one resembles most, in any case; ``None`` if none does.

    >>> nearest("horzion", ["horizon", "levels"]), nearest("Levels", ["horizon", "levels"])
    ('horizon', 'levels')
    >>> nearest("x", ["horizon", "levels"]) is None
    True
    """
    by_folded = {one.casefold(): one for one in valid}
    found = get_close_matches(name[:_COMPARED].casefold(), by_folded, 1)
    return by_folded[found[0]] if found else None
