"""``closecast train``, ``verify``, ``show``, ``statistics`` and ``worker``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import textwrap
from collections.abc import Sequence

from closecast.cli.options import chosen_forecaster, hyperparameters
from closecast.core.short_history import SHORT_HISTORY
from closecast.core.symbols import canonical, canonical_list, panel_label, typed_symbols
from closecast.database import QUEUES
from closecast.errors import JobCancelled
from closecast.forecasters import AUTO, canonical_name
from closecast.infra.redaction import redacted
from closecast.jobs.supervisor import can_train, require_training
from closecast.registry.registry import Registry
from closecast.settings import Settings

_WIDTH = 100
"""Characters in a line of ``verify``."""


def run_train(arguments: argparse.Namespace, settings: Settings) -> None:
    """Collect, train, evaluate and publish a model, and print its scores."""
    source = arguments.source or settings.source
    symbols = symbols_to_train(arguments.symbols, source, settings)
    forecaster = chosen_forecaster(arguments)
    if arguments.if_missing and every_symbol_has_a_model(settings, symbols, forecaster):
        print(f"{panel_label(symbols)}: every symbol has a model already")
        return
    require_training()
    # Not at the top: the serving image has no training, and starts without its libraries.
    from closecast.cli.progress import ProgressBar
    from closecast.pipeline import TrainRequest, run_training

    request = TrainRequest(
        symbols=symbols,
        source=source,
        start=arguments.start,
        end=arguments.end,
        forecaster=forecaster,
        hyperparameters=hyperparameters(arguments).model_dump(),
        fine_tune=arguments.fine_tune,
        name=arguments.name,
    )
    with ProgressBar() as bar:
        published = run_training(settings, request, watch=bar.show)
    print(published.table)
    for symbol, decision in published.decisions.items():
        if symbol not in published.promoted or len(published.decisions) == 1:
            print(f"{symbol}: {decision.outcome}: {decision.reason}")
    print(
        f"current for {len(published.promoted)} of {len(published.decisions)} symbols: wrote "
        f"{published.manifest.version} to {redacted(settings.models_url)}, "
        f"scores and plots to {published.results}"
    )


def symbols_to_train(named: str | None, source: str, settings: Settings) -> tuple[str, ...]:
    """Symbols that were named; else all of the source's list if it holds the default symbol."""
    default = canonical(settings.default_symbol)
    if named is not None:
        return tuple(sorted(typed_symbols(named)))
    listed: Sequence[str] = ()
    if can_train():
        from closecast.sources import make_source

        listed = make_source(source, settings).symbols() or ()
    return canonical_list(listed if default in listed else [default])


def every_symbol_has_a_model(settings: Settings, symbols: Sequence[str], forecaster: str) -> bool:
    """Check that every symbol has a model, and that the forecaster was once trained to its end.

    The first training publishes ``ewma`` before the network; one that was interrupted in
    between has pointers, and still no network. A short history has ``ewma`` for good.
    """
    # Not at the top: the parent of the API processes rarely needs ONNX Runtime.
    from closecast.serving.loading import is_outdated

    registry = Registry(settings.models_url)
    for symbol in symbols:
        pointer = registry.pointer(symbol)
        if pointer is None or is_outdated(registry, pointer.version, symbol):
            return False
    made = (manifest.info for manifest in registry.versions(symbols[0]))
    return any(
        (
            SHORT_HISTORY in info.training.get("notes", {})
            or (
                info.chosen_from
                if forecaster == AUTO
                else canonical_name(info.forecaster) == forecaster
            )
        )
        and set(symbols) <= set(info.symbols)
        for info in made
    )


def run_verify(arguments: argparse.Namespace, settings: Settings) -> None:
    """Rebuild a bundle and print each check; exit code 1 if one failed."""
    require_training()
    from closecast.cli.progress import ProgressBar
    from closecast.pipeline.verification.verify import verify

    with ProgressBar() as bar:
        found = verify(
            settings,
            arguments.version,
            quick=arguments.quick,
            seed=arguments.seed,
            watch=bar.show,
        )
    for check in found.checks:
        head = f"{check.outcome:<14}{check.name:<18}"
        print(textwrap.fill(check.said, _WIDTH, initial_indent=head, subsequent_indent=" " * 32))
    if not found.passed:
        sys.exit(1)


def run_show(arguments: argparse.Namespace, settings: Settings) -> None:
    """Print a bundle's receipt."""
    require_training()
    from closecast.cli.progress import ProgressBar
    from closecast.pipeline.verification.receipt import (
        as_text,
        receipt,
        spread_as_text,
        spread_over_seeds,
    )

    made, spread = receipt(settings, arguments.version), None
    if arguments.seeds is not None:
        with ProgressBar() as bar:
            spread = spread_over_seeds(settings, arguments.version, arguments.seeds, bar.show)
    if arguments.json:
        more = {"spread": spread.to_dict()} if spread else {}
        print(json.dumps({**made.to_dict(), **more}, indent=1))
        return
    print(as_text(made))
    if spread:
        print(spread_as_text(spread))


def run_statistics(_: argparse.Namespace, settings: Settings) -> None:
    """Write the statistics of MLflow's experiments for ``GET /statistics``."""
    require_training()
    from closecast.tracking.export import write_experiments

    print(f"wrote {write_experiments(settings)}")


def run_worker_process(arguments: argparse.Namespace, settings: Settings) -> None:
    """Run queued jobs; without an option, by a process per queue, until a signal."""
    require_training()
    from closecast.infra.tempdirs import own_scratch
    from closecast.jobs.worker import run_worker, supervise_workers

    queues = tuple(dict.fromkeys(arguments.queue or QUEUES))
    if not arguments.once and arguments.queue is None:
        supervise_workers(settings)
        return
    try:
        with own_scratch(settings.data_dir / "scratch"):
            run_worker(settings, queues=queues, parent=arguments.parent, once=arguments.once)
    except JobCancelled as error:
        logging.getLogger(__name__).info(str(error))
