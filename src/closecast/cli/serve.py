"""``closecast serve``: check, train a first model if requested, run the API processes."""

from __future__ import annotations

import argparse
import functools
import logging
import os
from ipaddress import ip_address

from closecast.cli.api_process import serve_alone
from closecast.cli.api_processes import serve_together
from closecast.cli.startup import FirstTraining, check_start
from closecast.cli.train import every_symbol_has_a_model, symbols_to_train
from closecast.core.symbols import canonical, typed_symbols
from closecast.errors import ClosecastError, DamagedBundle
from closecast.forecasters import DEFAULT_FORECASTER
from closecast.infra.addresses import is_loopback
from closecast.infra.api_keys import KeyStore
from closecast.infra.descriptors import raise_descriptor_limit
from closecast.infra.logging import set_up_logging
from closecast.infra.ports import listening_socket
from closecast.infra.shared_counters import shared_metrics
from closecast.registry.registry import Registry
from closecast.settings import Settings

log = logging.getLogger(__name__)


def run_serve(arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until a signal ends the process; train a first model beside it if requested."""
    changes = {
        key: value
        for key in ("host", "port", "workers")
        if (value := getattr(arguments, key)) is not None
    }
    # The first symbol that a person names is the one that is meant where none is named.
    if arguments.symbols is not None and "default_symbol" not in settings.model_fields_set:
        changes["default_symbol"] = typed_symbols(arguments.symbols)[0]
    # Spawned API processes read their settings from the environment.
    os.environ |= {f"CLOSECAST_{key.upper()}": str(value) for key, value in changes.items()}

    def checked() -> Settings:
        """Settings as they are now; raises what would keep a start from working."""
        found = Settings(**changes)
        _check_keys(found)
        check_start(found, trains=arguments.train_if_missing)
        return found

    settings = checked()
    listener = listening_socket(settings.host, settings.port)
    raise_descriptor_limit()
    set_up_logging(settings.log_level, settings.log_format)
    if not (arguments.train_if_missing and _train_first(settings, arguments.symbols)):
        print(_welcome(settings), flush=True)
    serve = serve_alone if settings.workers == 1 else serve_together
    with shared_metrics(settings.data_dir / "metrics", settings.workers):
        serve(settings, listener, checked)


def _check_keys(settings: Settings) -> None:
    """End the command here if the keys cannot be used; warn where the network needs none."""
    keys = KeyStore(settings.keys_path)
    keys.load(required=bool(settings.api_keys_file))
    if not keys.are_there and not is_loopback(settings.host):
        log.warning(
            f"no API keys: every program that reaches {settings.host}:{settings.port} may read "
            "forecasts; `closecast keys create NAME --scope read` makes a key, and from then on "
            "every request needs one"
        )


def _train_first(settings: Settings, named: str | None) -> bool:
    """Queue the first training, if there is need for one, and show how far it is."""
    if named is None and settings.source != "sample":
        # The other sources cannot list symbols, and would bring pandas into the serving process.
        named = settings.default_symbol
    symbols = symbols_to_train(named, settings.source, settings)
    try:
        if every_symbol_has_a_model(settings, symbols, DEFAULT_FORECASTER):
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
