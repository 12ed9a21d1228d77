"""Command-line options that ``closecast train`` and the numbered scripts share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from closecast.errors import InvalidHyperparameters, UnknownName
from closecast.forecasters import (
    DEFAULT_FORECASTER,
    FORECASTERS,
    Parameters,
    canonical_name,
    forecaster_for,
    make_parameters,
    parameters_type,
    preset,
    preset_names,
)
from closecast.sources import source_names


class _Joined(argparse.Action):
    """Texts of one option with commas between, so that blanks in a list need no quotes."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, ",".join(values or ()))


def add_symbols(made: argparse.ArgumentParser, meaning: str) -> None:
    """``--symbols A,B,C``, as a person writes a list."""
    made.add_argument(
        "--symbols", "--symbol", nargs="+", action=_Joined, metavar="A,B,C", help=meaning
    )


def add_origin(made: argparse.ArgumentParser) -> None:
    """``--source``, ``--start``, ``--end``: which closes are meant."""
    made.add_argument(
        "--source", help=f"{', '.join(source_names(with_urls=True))} (CLOSECAST_SOURCE)"
    )
    made.add_argument("--start", type=date.fromisoformat, help="first session, YYYY-MM-DD")
    made.add_argument("--end", type=date.fromisoformat, help="last session, YYYY-MM-DD")


def add_hyperparameters(
    made: argparse.ArgumentParser, forecasters: Sequence[str] = tuple(sorted(FORECASTERS))
) -> None:
    """``--forecaster``, ``--preset``, ``--set NAME=VALUE``."""
    made.add_argument(
        "--forecaster",
        type=canonical_name,
        choices=forecasters,
        help=f"model; by default the first that has the preset and the hyper-parameters, of "
        f"{DEFAULT_FORECASTER} and all others",
    )
    made.add_argument(
        "--preset", default="default", help=f"named values: {', '.join(preset_names())}"
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyper-parameter, e.g. --set num_epochs=10; may be repeated",
    )


def add_fine_tune(made: argparse.ArgumentParser) -> None:
    """``--fine-tune``."""
    made.add_argument(
        "--fine-tune", action="store_true", help="start from the current model's weights"
    )


def chosen_forecaster(arguments: argparse.Namespace) -> str:
    """The forecaster of ``--forecaster``, or the first that has what the other options name."""
    named: str | None = arguments.forecaster
    names = [item.partition("=")[0] for item in arguments.set]
    return named or forecaster_for(names, arguments.preset)


def hyperparameters(arguments: argparse.Namespace) -> Parameters:
    """Checked hyper-parameters from ``--preset`` and ``--set``.

    Raises
    ------
    UnknownName, InvalidHyperparameters
    """
    forecaster = chosen_forecaster(arguments)
    known = parameters_type(forecaster).model_fields
    values: dict[str, Any] = preset(forecaster, arguments.preset)
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
    return make_parameters(forecaster, values)
