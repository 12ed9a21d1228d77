"""Hooks of the documentation build: pages made from code, and the folder that pages lie in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators import (
    closes,
    command_line,
    contributing,
    errors,
    http_api,
    markets,
    messages,
    python_api,
    settings,
)
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
DECISIONS = "decisions/README.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read pages from the folder of ``mkdocs.yml``, so that links work in an editor as well.

    MkDocs refuses that folder as a value of ``docs_dir``, for it would publish its own
    configuration; ``exclude_docs`` names what is not published.
    """
    config.docs_dir = str(DOCS)
    config.nav = with_decisions(config.nav)
    return config


def with_decisions(nav: Any) -> Any:
    """The navigation with every decision below their introduction, in the order of numbers."""
    if isinstance(nav, list):
        return [with_decisions(entry) for entry in nav]
    if isinstance(nav, dict):
        return {title: with_decisions(entry) for title, entry in nav.items()}
    if nav != DECISIONS:
        return nav
    return [nav, *(f"decisions/{path.name}" for path in sorted(DOCS.glob("decisions/0*.md")))]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code at each build."""
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give the room of an empty table of contents to the page; its tables are wide."""
    if "\n## " not in markdown and not page.is_homepage:
        page.meta.setdefault("hide", ["toc"])
    return markdown


def generated_pages() -> dict[str, str]:
    """Markdown by the path of its page, relative to ``docs/``."""
    return {
        **http_api.pages(DOCS / "openapi.json"),
        "reference/errors.md": errors.page(),
        "reference/messages.md": messages.page(),
        "reference/command-line.md": command_line.page(),
        "reference/settings.md": settings.page(),
        "reference/markets.md": markets.page(),
        "reference/closes.md": closes.page(),
        "reference/python.md": python_api.page(),
        "how-to/contributing.md": contributing.page(DOCS.parent / "CONTRIBUTING.md"),
    }
