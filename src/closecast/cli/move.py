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
    move = registry.promote if arguments.only else registry.promote_panel
    moved = move(
        arguments.symbol or settings.default_symbol,
        arguments.version,
        arguments.reason,
        by=arguments.by or user(),
    )
    _print([moved] if isinstance(moved, Pointer) else moved)


def run_rollback(arguments: argparse.Namespace, settings: Settings) -> None:
    """Make an earlier bundle current again, and print each symbol that was moved."""
    registry = Registry(settings.models_url)
    move = registry.rollback if arguments.only else registry.rollback_panel
    moved = move(
        arguments.symbol or settings.default_symbol,
        arguments.reason,
        arguments.version,
        by=arguments.by or user(),
    )
    _print([moved] if isinstance(moved, Pointer) else moved)


def _print(moved: Sequence[Pointer]) -> None:
    for pointer in moved:
        step = pointer.history[-1]
        left = f", left {step.rolled_back}" if step.rolled_back else ""
        print(f"{pointer.symbol}: {pointer.version} is current{left}, by {step.by}: {step.reason}")
    print("running services follow within seconds")
