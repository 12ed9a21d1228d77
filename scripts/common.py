"""Arguments and exit codes that the numbered scripts share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from closecast.cli.options import add_symbols
from closecast.core.symbols import typed_symbols
from closecast.errors import ClosecastError
from closecast.infra.library_folders import use_writable_folders
from closecast.infra.logging import set_up_logging
from closecast.pipeline.workspace import Workspace
from closecast.settings import Settings, describe
from closecast.sources.market_cache import use_markets


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that every step takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add_symbols(
        made,
        "ticker symbols, learned from together; VALE3 means VALE3.SA (default: the setting)",
    )
    return made


def symbols_of(arguments: argparse.Namespace, settings: Settings) -> tuple[str, ...]:
    """Canonical symbols from ``--symbols``, or the default one."""
    return tuple(sorted(typed_symbols(arguments.symbols or settings.default_symbol)))


@contextmanager
def working_on(arguments: argparse.Namespace, settings: Settings) -> Iterator[Workspace]:
    """The workspace that a later step works in, kept from other processes meanwhile."""
    workspace = Workspace(settings, symbols_of(arguments, settings))
    with workspace.alone():
        workspace.require_origin(arguments.source, arguments.start, arguments.end)
        yield workspace


def run(step: Callable[[Settings], None]) -> None:
    """Call a step; an error of ours is one line and exit code 1, never a traceback."""
    try:
        settings = Settings()
        level = "ERROR" if settings.log_level == "INFO" else settings.log_level
        set_up_logging(level, settings.log_format)
        use_markets(settings)
        use_writable_folders(settings.data_dir)
        step(settings)
    except ValidationError as error:
        sys.exit(f"error: {describe(error)}")
    except ClosecastError as error:
        sys.exit(f"error: {error}")
