"""``closecast promote`` and ``rollback``: a person moves the pointers of a panel or a symbol."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from closecast.cli.accept import user
from closecast.registry.documents import Pointer
from closecast.registry.registry import Registry
from closecast.settings import Settings


def run_promote(arguments: argparse.Namespace, settings: Settings) -> None:
    """Make a bundle current, and print each symbol that was moved."""
    registry = Registry(settings.models_url)
    symbol, by = arguments.symbol or settings.default_symbol, arguments.by or user()
    move = (symbol, arguments.version, arguments.reason)
    if arguments.only:
        _print([registry.promote(*move, by=by)])
    else:
        _print(registry.promote_panel(*move, by=by))


def run_rollback(arguments: argparse.Namespace, settings: Settings) -> None:
    """Make an earlier bundle current again, and print each symbol that was moved."""
    registry = Registry(settings.models_url)
    symbol, by = arguments.symbol or settings.default_symbol, arguments.by or user()
    move = (symbol, arguments.reason, arguments.version)
    if arguments.only:
        _print([registry.rollback(*move, by=by)])
    else:
        _print(registry.rollback_panel(*move, by=by))


def _print(moved: Sequence[Pointer]) -> None:
    for pointer in moved:
        step = pointer.history[-1]
        left = f", left {step.rolled_back}" if step.rolled_back else ""
        print(f"{pointer.symbol}: {pointer.version} is current{left}, by {step.by}: {step.reason}")
    print("running services follow within seconds")
