"""The ``closecast`` command: its arguments, and the function that each command calls."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from datetime import date

from pydantic import ValidationError

from closecast.cli import accept, move
from closecast.cli.inspect import run_inspect
from closecast.cli.keys import create_key, list_keys, revoke_key
from closecast.cli.options import add_fine_tune, add_hyperparameters, add_origin, add_symbols
from closecast.cli.serve import run_serve
from closecast.cli.settings import run_settings
from closecast.cli.train import run_show, run_statistics, run_train, run_verify, run_worker_process
from closecast.database import QUEUES
from closecast.errors import ClosecastError
from closecast.forecasters import AUTO, FORECASTERS
from closecast.infra.library_folders import use_writable_folders
from closecast.infra.logging import set_up_logging
from closecast.infra.redaction import redacted
from closecast.settings import Settings, describe
from closecast.settings.env_file import UnreadableEnvFile
from closecast.settings.remarks import remarks
from closecast.sources.market_cache import use_markets

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; exit with a one-line message and a code where it fails."""
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings()
        set_up_logging(settings.log_level, settings.log_format)
        if getattr(arguments, "parent", None) is None:  # a service has said so to its worker's logs
            for remark in remarks(settings):
                log.warning(remark)
        use_markets(settings)
        use_writable_folders(settings.data_dir)
        arguments.run(arguments, settings)
    except ValidationError as error:
        sys.exit(redacted(f"closecast: {describe(error)}"))
    except (ClosecastError, UnreadableEnvFile) as error:
        sys.exit(redacted(f"closecast: {error}"))
    except KeyboardInterrupt:
        sys.exit(130)


def _add_moves(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``promote`` and ``rollback``."""
    promoting = commands.add_parser(
        "promote", help="make a bundle current, also one that the gate rejected"
    )
    promoting.add_argument("version", metavar="VERSION")
    promoting.set_defaults(run=move.run_promote)
    back = commands.add_parser("rollback", help="make the model before this one current again")
    back.add_argument("--version", metavar="VERSION", help="an earlier one; by default the last")
    back.set_defaults(run=move.run_rollback)
    for made in (promoting, back):
        made.add_argument("--symbol", metavar="S", help="symbol (CLOSECAST_DEFAULT_SYMBOL)")
        made.add_argument(
            "--only",
            action="store_true",
            help="move this symbol alone; by default all that the same version serves move",
        )
        made.add_argument(
            "--reason", type=accept.reason, required=True, help="reason, which is kept"
        )
        made.add_argument(
            "--by",
            type=accept.author,
            help="name of the person; by default that of the system's user",
        )


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
    add_symbols(
        serve,
        "symbols that --train-if-missing trains one model for; as for closecast train. The first "
        "is the default one unless CLOSECAST_DEFAULT_SYMBOL is set",
    )
    serve.set_defaults(run=run_serve)

    train = commands.add_parser("train", help="collect, train, evaluate, publish; in this process")
    add_symbols(
        train,
        "symbols to train one model for; by default all of the sample, or "
        "CLOSECAST_DEFAULT_SYMBOL with another source",
    )
    add_origin(train)
    add_hyperparameters(train, (AUTO, *FORECASTERS))
    add_fine_tune(train)
    train.add_argument(
        "--name", help="name of the panel, for MLflow and GET /statistics; kept by retrainings"
    )
    train.add_argument(
        "--if-missing", action="store_true", help="do nothing if every symbol has a model already"
    )
    train.set_defaults(run=run_train)

    inspect = commands.add_parser("inspect", help="show how a file of closes is read")
    inspect.add_argument("file", metavar="FILE", help="path or fsspec URL of the file")
    inspect.add_argument("--symbol", metavar="S", help="symbol to read; checks its calendar, too")
    inspect.set_defaults(run=run_inspect)

    verify = commands.add_parser("verify", help="rebuild a bundle from its closes, and compare")
    verify.add_argument("version", metavar="VERSION")
    verify.add_argument("--quick", action="store_true", help="leave out the two trainings")
    verify.add_argument(
        "--seed", type=int, help="seed of the random days; by default other days each time"
    )
    verify.set_defaults(run=run_verify)

    show = commands.add_parser(
        "show", help="show a bundle's receipt: its data, training and scores"
    )
    show.add_argument("version", metavar="VERSION")
    show.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="train again with N seeds (3 or more) and show the range",
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=run_show)

    accepting = commands.add_parser(
        "accept", help="accept a close that is held back as faulty and is right"
    )
    accepting.add_argument("symbol", metavar="SYMBOL")
    accepting.add_argument(
        "session", type=date.fromisoformat, metavar="SESSION", help="its date, YYYY-MM-DD"
    )
    accepting.add_argument(
        "--reason", type=accept.reason, required=True, help="reason, which is kept"
    )
    accepting.add_argument(
        "--by", type=accept.author, help="name of the person; by default that of the system's user"
    )
    accepting.set_defaults(run=accept.run_accept)

    listing = commands.add_parser(
        "settings", help="list every setting with its value, its source and its meaning"
    )
    shown = listing.add_mutually_exclusive_group()
    shown.add_argument("--changed", action="store_true", help="only those that are set")
    shown.add_argument(
        "--example", action="store_true", help="print a file .env with every default instead"
    )
    listing.set_defaults(run=run_settings)

    _add_moves(commands)
    statistics = commands.add_parser(
        "statistics", help="read MLflow and write the data of GET /statistics"
    )
    statistics.set_defaults(run=run_statistics)
    keys = commands.add_parser("keys", help="create, list and revoke API keys")
    actions = keys.add_subparsers(title="actions", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="create a key and show it once")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--scope", choices=("read", "admin"), required=True)
    create.set_defaults(run=create_key)
    listed = actions.add_parser("list", help="list names, scopes and dates of creation")
    listed.set_defaults(run=list_keys)
    revoke = actions.add_parser("revoke", help="revoke a key")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=revoke_key)

    worker = commands.add_parser("worker", help="run queued jobs (serve starts one by itself)")
    worker.add_argument(
        "--queue",
        action="append",
        choices=QUEUES,
        help="run the jobs of this queue only, in this process; may be repeated. By default one "
        "process for each: fast (new closes) and train",
    )
    worker.add_argument("--once", action="store_true", help="exit when no job is queued")
    worker.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    worker.set_defaults(run=run_worker_process)
    return parser
