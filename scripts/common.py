"""What the numbered scripts share: arguments, and how errors become exit codes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

from pydantic import ValidationError

from closecast.errors import ClosecastError, InvalidHyperparameters, UnknownName
from closecast.forecasters import (
    DEFAULT_FORECASTER,
    FORECASTERS,
    Parameters,
    make_parameters,
    parameters_type,
    preset,
)
from closecast.logs import set_up_logging
from closecast.pipeline.workspace import Workspace
from closecast.settings import Settings, describe
from closecast.symbols import canonical_list


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments that every step takes."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument(
        "--symbols",
        "--symbol",
        metavar="A,B,C",
        help="ticker symbols, learned from together; VALE3 means VALE3.SA (default: the setting)",
    )
    return made


def add_origin(made: argparse.ArgumentParser) -> None:
    """``--source``, ``--start``, ``--end``: which closes are meant.

    Step 1 fetches these; the later steps make sure that they work on them.
    """
    made.add_argument("--source", help="sample, yahoo or file:URL (default: the setting)")
    made.add_argument("--start", type=date.fromisoformat, help="first session, YYYY-MM-DD")
    made.add_argument("--end", type=date.fromisoformat, help="last session, YYYY-MM-DD")


def add_hyperparameters(made: argparse.ArgumentParser) -> None:
    """``--forecaster``, ``--preset``, ``--set NAME=VALUE``."""
    made.add_argument(
        "--forecaster", choices=sorted(FORECASTERS), default=DEFAULT_FORECASTER, help="model"
    )
    made.add_argument("--preset", default="default", help="named values of the forecaster")
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyper-parameter, e.g. --set num_epochs=10; may be repeated",
    )


def hyperparameters(arguments: argparse.Namespace) -> Parameters:
    """Checked hyper-parameters from ``--preset`` and ``--set``."""
    known = parameters_type(arguments.forecaster).model_fields
    values = preset(arguments.forecaster, arguments.preset)
    for item in arguments.set:
        name, equals, text = item.partition("=")
        if not equals:
            raise InvalidHyperparameters([(item, "write it as NAME=VALUE")])
        if name not in known:
            raise UnknownName("hyper-parameter", name, known)
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return make_parameters(arguments.forecaster, values)


def symbols_of(arguments: argparse.Namespace, settings: Settings) -> tuple[str, ...]:
    """Canonical symbols from ``--symbols``, or the default one."""
    return canonical_list((arguments.symbols or settings.default_symbol).split(","))


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
        set_up_logging("ERROR" if settings.log_level == "INFO" else settings.log_level)
        step(settings)
    except ValidationError as error:
        sys.exit(f"error: {describe(error)}")
    except ClosecastError as error:
        sys.exit(f"error: {error}")
