"""The how-to page of contributors: CONTRIBUTING.md, its links turned to pages of the site."""

from __future__ import annotations

import re
from pathlib import Path


def page(source: Path) -> str:
    """The text with links relative to ``docs/how-to``; files outside of ``docs/`` lose theirs."""
    text = source.read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/decisions/\)", "](../decisions/README.md)", text)
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](../\1)", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|\.\./|#)[^)]+\)", r"\1", text)
