"""The ``closecast`` command: serve, train, verify, show, work, keys."""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from pydantic import ValidationError

from closecast.cli.options import add_fine_tune, add_hyperparameters, add_origin, hyperparameters
from closecast.cli.startup import FirstTraining, check_start
from closecast.core.symbols import canonical, canonical_list, panel_name
from closecast.errors import ClosecastError, DamagedBundle, JobCancelled
from closecast.forecasters import AUTO, DEFAULT_FORECASTER, FORECASTERS, canonical_name
from closecast.infra.api_keys import KeyStore
from closecast.infra.logging import set_up_logging
from closecast.infra.ports import check_port_is_free, port_of_several
from closecast.infra.redaction import redacted
from closecast.infra.shared_counters import shared_metrics
from closecast.jobs.supervisor import can_train, require_training
from closecast.registry.registry import Registry
from closecast.settings import Settings, describe


def main(argv: Sequence[str] | None = None) -> None:
    """Parse arguments, call one function, answer with an exit code."""
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings()
        set_up_logging(settings.log_level, settings.log_format)
        arguments.run(arguments, settings)
    except ValidationError as error:
        sys.exit(redacted(f"closecast: {describe(error)}"))
    except ClosecastError as error:
        sys.exit(redacted(f"closecast: {error}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="closecast", description="Honest forecasts of closing prices."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve forecasts, and retrain in the background")
    serve.add_argument("--host", help="address to bind (CLOSECAST_HOST)")
    serve.add_argument("--port", type=int, help="port to bind (CLOSECAST_PORT)")
    serve.add_argument("--workers", type=int, help="API processes (CLOSECAST_WORKERS)")
    serve.add_argument(
        "--train-if-missing",
        action="store_true",
        help="train first, in the background, if a symbol has no model; answer 503 meanwhile",
    )
    serve.add_argument(
        "--symbols",
        "--symbol",
        metavar="A,B,C",
        help="what --train-if-missing learns from together; as of closecast train",
    )
    serve.set_defaults(run=_serve)

    train = commands.add_parser("train", help="collect, train, evaluate, publish; in this process")
    train.add_argument(
        "--symbols",
        "--symbol",
        metavar="A,B,C",
        help="learned from together; all of the sample, or CLOSECAST_DEFAULT_SYMBOL, without it",
    )
    add_origin(train)
    add_hyperparameters(train, (AUTO, *FORECASTERS))
    add_fine_tune(train)
    train.add_argument(
        "--if-missing", action="store_true", help="do nothing if every symbol has a model already"
    )
    train.set_defaults(run=_train)

    verify = commands.add_parser("verify", help="make a bundle again and compare")
    verify.add_argument("version", metavar="VERSION")
    verify.add_argument("--quick", action="store_true", help="leave out the two trainings")
    verify.add_argument("--seed", type=int, help="of the random days; others each time without it")
    verify.set_defaults(run=_verify)

    show = commands.add_parser("show", help="a bundle's receipt: from what and how it was made")
    show.add_argument("version", metavar="VERSION")
    show.add_argument(
        "--seeds", type=int, metavar="N", help="train again with N seeds, 3 or more; show the range"
    )
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(run=_show)

    statistics = commands.add_parser("statistics", help="read MLflow, for GET /statistics")
    statistics.set_defaults(run=_statistics)
    keys = commands.add_parser("keys", help="who may ask, and who may change something")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and show it, this once")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--scope", choices=("read", "admin"), required=True)
    create.set_defaults(run=_create_key)
    listing = actions.add_parser("list", help="names, scopes, since when")
    listing.set_defaults(run=_list_keys)
    revoke = actions.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=_revoke_key)

    worker = commands.add_parser("worker", help="run queued jobs (serve starts one by itself)")
    worker.add_argument("--once", action="store_true", help="end when no job is queued")
    worker.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    worker.set_defaults(run=_worker)
    return parser


def _serve(arguments: argparse.Namespace, settings: Settings) -> None:
    changes = {
        key: value
        for key in ("host", "port", "workers")
        if (value := getattr(arguments, key)) is not None
    }
    settings = Settings(**changes)
    # Spawned API processes read their settings from the environment.
    os.environ |= {f"CLOSECAST_{key.upper()}": str(value) for key, value in changes.items()}
    KeyStore(settings.keys_path).load()  # damaged keys are said here, in one line
    check_port_is_free(settings.host, settings.port)
    check_start(settings, trains=arguments.train_if_missing)
    if not (arguments.train_if_missing and _train_first(settings, arguments.symbols)):
        print(_welcome(settings), flush=True)
    # Uvicorn drains on SIGTERM, then raises it again: a clean end is no death by signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with shared_metrics(settings.data_dir / "metrics", settings.workers):
        _run(
            settings.workers,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            http="api.middleware.buffered_protocol:BufferedProtocol",
            # The application believes the proxies of CLOSECAST_TRUSTED_PROXIES; uvicorn would
            # believe any program on this machine.
            proxy_headers=False,
            server_header=False,
            ws="none",  # no route speaks it, and what refuses it lies outside of the application
            timeout_graceful_shutdown=settings.drain_s,
        )


def _run(workers: int, **options: Any) -> None:
    """Until a signal. Uvicorn ends well where its processes failed to start; this does not."""
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    if workers == 1:
        uvicorn.run("api.main:app", workers=1, **options)
        return
    config = uvicorn.Config("api.main:app", workers=workers, **options)
    with port_of_several(config.host, config.port) as port:
        server = Multiprocess(config, sockets=[port])
        server.run()
    if any(process.exitcode == STARTUP_FAILURE for process in server.processes):
        sys.exit(1)


def _train_first(settings: Settings, named: str | None) -> bool:
    """Queue the first training, if there is need for one, and show how far it is."""
    if named is None and settings.source != "sample":
        # The other sources cannot list symbols, and would bring pandas into the serving process.
        named = settings.default_symbol
    symbols = _symbols(named, settings.source, settings)
    try:
        if _made_before(settings, symbols, DEFAULT_FORECASTER):
            return False
    except DamagedBundle:  # of a pointer: the API leads back from it, another training does not
        return False
    say = functools.partial(print, flush=True)
    FirstTraining(settings, symbols, say, lambda: _welcome(settings)).start()
    return True


def _welcome(settings: Settings) -> str:
    symbol = canonical(settings.default_symbol)
    address = f"http://{_reached_at(settings.host)}:{settings.port}"
    lines, length = [], 60
    try:
        registry = Registry(settings.models_url)
        pointer = registry.pointer(symbol)
        if pointer is None:
            lines.append(f"No model for {symbol} yet: `closecast train` makes one.")
        else:
            bundle = registry.load(pointer.version)
            length = bundle.manifest.info.seq_length
            if table := bundle.files.get("evaluation.txt"):
                lines += [table.decode(), ""]
            lines.append(
                f"Serving {symbol} with {bundle.manifest.info.forecaster} {pointer.version}."
            )
    except ClosecastError as error:
        lines.append(f"The model of {symbol} cannot be shown: {error}")
    lines += [
        "",
        f"Try next, in a second terminal (documentation: {address}/docs):",
        f"  curl -s '{address}/forecast/{symbol}?horizon=5&levels=0.8,0.95'",
        f"  curl -s {address}/model",
        f"  curl -s {address}/predict -H 'content-type: application/json' \\",
        f'    -d "{{\\"prices\\": [$(seq -s, 201 {200 + length})]}}"',
        f"  curl -s -X POST {address}/train -H 'content-type: application/json' \\",
        '    -d \'{"hyperparameters": {"num_epochs": 10, "learning_rate": 0.005}}\'',
        "",
    ]
    return "\n".join(lines)


def _reached_at(host: str) -> str:
    """The address to type for one that is bound: "any" is no place to go to."""
    try:
        bound = ip_address(host)
    except ValueError:
        return host
    if bound.version == 6:
        return "[::1]" if bound.is_unspecified else f"[{bound}]"
    return "127.0.0.1" if bound.is_unspecified else host


def _train(arguments: argparse.Namespace, settings: Settings) -> None:
    source = arguments.source or settings.source
    symbols = _symbols(arguments.symbols, source, settings)
    if arguments.if_missing and _made_before(settings, symbols, arguments.forecaster):
        print(f"{panel_name(symbols)}: every symbol has a model already")
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
        forecaster=arguments.forecaster,
        hyperparameters=hyperparameters(arguments).model_dump(),
        fine_tune=arguments.fine_tune,
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


def _symbols(named: str | None, source: str, settings: Settings) -> tuple[str, ...]:
    """Those named; else all that the source can list, if the default symbol is among them."""
    default = canonical(settings.default_symbol)
    if named:
        return canonical_list(named.split(","))
    listed: Sequence[str] = ()
    if can_train():
        from closecast.sources import make_source

        listed = make_source(source, settings).symbols() or ()
    return canonical_list(listed if default in listed else [default])


def _made_before(settings: Settings, symbols: Sequence[str], forecaster: str) -> bool:
    """Whether every symbol has a model, and the forecaster was once trained to its end.

    The first training publishes ``ewma`` before the network; one that was interrupted in
    between has pointers, and still no network.
    """
    registry = Registry(settings.models_url)
    if any(registry.pointer(symbol) is None for symbol in symbols):
        return False
    made = (manifest.info for manifest in registry.versions(symbols[0]))
    return any(
        (info.chosen_from if forecaster == AUTO else canonical_name(info.forecaster) == forecaster)
        and set(symbols) <= set(info.symbols)
        for info in made
    )


_WIDTH = 100


def _verify(arguments: argparse.Namespace, settings: Settings) -> None:
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


def _show(arguments: argparse.Namespace, settings: Settings) -> None:
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


def _statistics(_: argparse.Namespace, settings: Settings) -> None:
    require_training()
    from closecast.tracking.export import write_experiments

    print(f"wrote {write_experiments(settings)}")


def _create_key(arguments: argparse.Namespace, settings: Settings) -> None:
    token = KeyStore(settings.keys_path).create(arguments.name, arguments.scope)
    print(token)
    print("This is shown once. From now on every request needs a key.", file=sys.stderr)


def _list_keys(_arguments: argparse.Namespace, settings: Settings) -> None:
    for key in KeyStore(settings.keys_path).listed():
        print(f"{key.name:<24}{key.scope:<8}{key.created_at:%Y-%m-%dT%H:%M:%SZ}")


def _revoke_key(arguments: argparse.Namespace, settings: Settings) -> None:
    left = KeyStore(settings.keys_path).revoke(arguments.name)
    print(f"revoked {arguments.name}; {left} left")
    if not left:
        print(
            "No key is left: whoever reaches the service may read, and programs on this machine "
            "may change something if it listens on loopback only.",
            file=sys.stderr,
        )


def _worker(arguments: argparse.Namespace, settings: Settings) -> None:
    require_training()
    from closecast.infra.tempdirs import own_scratch
    from closecast.jobs.worker import run_worker

    try:
        with own_scratch(settings.data_dir / "scratch"):
            run_worker(settings, parent=arguments.parent, once=arguments.once)
    except JobCancelled as error:
        logging.getLogger(__name__).info(str(error))
