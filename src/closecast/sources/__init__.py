"""Where closes come from. A new source: one file, one line in ``SOURCES``, one contract test."""

from __future__ import annotations

from importlib import import_module

from closecast.errors import UnknownName
from closecast.settings import Settings
from closecast.sources.base import PriceSource

# name -> "module:Class"; imported when asked for, so that nobody pays for pandas unasked.
SOURCES = {
    "sample": "closecast.sources.sample:SampleSource",
    "file": "closecast.sources.file:FileSource",
    "yahoo": "closecast.sources.yahoo:YahooSource",
}


def make_source(name: str, settings: Settings) -> PriceSource:
    """The source called ``name``; ``file:URL`` names a file source and its URL at once.

    ``file`` alone is the file that the settings name.

    Raises
    ------
    UnknownName
        If no source has this name.
    """
    kind, _, argument = name.partition(":")
    if kind not in SOURCES:
        raise UnknownName("price source", kind, SOURCES)
    if name == "file" and settings.source.startswith("file:"):
        argument = settings.source.removeprefix("file:")
    module, _, cls = SOURCES[kind].partition(":")
    source: PriceSource = getattr(import_module(module), cls).from_settings(settings, argument)
    return source


def source_again(recorded: str, settings: Settings) -> str:
    """The name under which to ask again for closes that came from the source ``recorded``.

    With the argument that the settings give it (``yahoo:raw``); not so a file, which ``file``
    alone finds as well: its URL may hold a password, and this name is shown.
    """
    if recorded != "file" and settings.source.partition(":")[0] == recorded:
        return settings.source
    return recorded


__all__ = ["SOURCES", "PriceSource", "make_source", "source_again"]
