"""Sources of closes: one file, one line in ``SOURCES`` and one contract test each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from closecast.errors import UnknownName
from closecast.settings import Settings
from closecast.sources import editions
from closecast.sources.base import PriceSource


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """One registered price source; its module, often with pandas, is imported on first use.

    Attributes
    ----------
    path : str
        ``MODULE:CLASS``.
    arguments : tuple of str
        Fixed arguments that may follow its name after a colon.
    takes_url : bool
        Whether the argument is a file or address. A caller of the API cannot name one, or could
        have the service read any of them.
    edition : callable, optional
        From the argument and a canonical symbol to the state of the source, as
        :func:`source_edition` returns it. Without one, only reading shows new closes.
    """

    path: str
    arguments: tuple[str, ...] = ()
    takes_url: bool = False
    edition: Callable[[str, str], str | None] | None = None

    def source(self) -> type[PriceSource]:
        """The class of the source."""
        module, _, name = self.path.partition(":")
        kind: type[PriceSource] = getattr(import_module(module), name)
        return kind


SOURCES = {
    "sample": SourceEntry("closecast.sources.sample:SampleSource", edition=editions.of_sample),
    "file": SourceEntry(
        "closecast.sources.file:FileSource", takes_url=True, edition=editions.of_file
    ),
    "yahoo": SourceEntry("closecast.sources.yahoo:YahooSource", arguments=("raw",)),
}


def source_names(*, with_urls: bool) -> list[str]:
    """List the names that sources are chosen by, with their fixed arguments.

    >>> "yahoo:raw" in source_names(with_urls=False)
    True
    >>> "file:URL" in source_names(with_urls=True), "file:URL" in source_names(with_urls=False)
    (True, False)
    """
    names = []
    for name, entry in SOURCES.items():
        if not entry.takes_url:
            names += [name, *(f"{name}:{argument}" for argument in entry.arguments)]
        elif with_urls:
            names.append(f"{name}:URL")
    return names


def make_source(name: str, settings: Settings) -> PriceSource:
    """Make the source called ``name``; ``file:URL`` names a file source and its URL at once.

    ``file`` alone is the file that the settings name.

    Raises
    ------
    UnknownName
        If no source has this name.
    """
    kind, argument = _kind_and_argument(name, settings)
    entry = SOURCES.get(kind)
    if entry is None:
        raise UnknownName("price source", name, source_names(with_urls=True), sentence=_path(name))
    if argument and not entry.takes_url and not entry.arguments:
        sentence = f"the price source {kind!r} has no variant {argument[:40]!r}"
        raise UnknownName("price source", name, source_names(with_urls=True), sentence=sentence)
    return entry.source().from_settings(settings, argument)


def _path(name: str) -> str | None:
    """Sentence on a path or an address without the name of its source."""
    if "/" not in name and "\\" not in name and not name.lower().endswith(".csv"):
        return None
    return "a file or an address is named with 'file:' before it, such as file:prices/{symbol}.csv"


def source_edition(name: str, settings: Settings, symbol: str) -> str | None:
    """Name the state of a source: as long as it stays, no other closes of a symbol can come.

    Reads no closes and loads no library, for a service looks before it has closes collected.

    Parameters
    ----------
    name : str
        As for :func:`make_source`.
    symbol : str
        Canonical.

    Returns
    -------
    str or None
        ``None`` where only reading shows whether there are other closes.
    """
    kind, argument = _kind_and_argument(name, settings)
    look = SOURCES[kind].edition if kind in SOURCES else None
    return None if look is None else look(argument, symbol)


def _kind_and_argument(name: str, settings: Settings) -> tuple[str, str]:
    kind, _, argument = name.partition(":")
    if name == "file" and settings.source.startswith("file:"):
        argument = settings.source.removeprefix("file:")
    return kind, argument


def source_again(recorded: str, settings: Settings) -> str:
    """Answer the name by which to collect again from the source ``recorded``.

    With the argument that the settings give it (``yahoo:raw``); not so a file, which ``file``
    alone finds as well: its URL may hold a password, and this name is shown.
    """
    if recorded != "file" and settings.source.partition(":")[0] == recorded:
        return settings.source
    return recorded


__all__ = [
    "SOURCES",
    "PriceSource",
    "SourceEntry",
    "make_source",
    "source_again",
    "source_edition",
    "source_names",
]
