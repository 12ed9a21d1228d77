"""``closecast accept``: a person's decision that a close is right although it looks faulty."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable

from closecast.core.reasons import checked_author, checked_reason
from closecast.database import Database
from closecast.jobs.close_acceptance import accept_close
from closecast.settings import Settings


def reason(text: str) -> str:
    """Check the text of ``--reason``."""
    return _checked(text, checked_reason)


def author(text: str) -> str:
    """Check the text of ``--by``."""
    return _checked(text, checked_author)


def run_accept(arguments: argparse.Namespace, settings: Settings) -> None:
    """Accept a close, queue the update that absorbs it, and print both."""
    database = Database(settings.ledger_url)
    try:
        done = accept_close(
            settings,
            database,
            arguments.symbol,
            arguments.session,
            arguments.reason,
            arguments.by or user(),
        )
    finally:
        database.close()
    accepted = done.accepted
    print(
        f"{accepted.symbol}: the close of {accepted.session} is accepted, by {accepted.by} at "
        f"{accepted.at:%Y-%m-%dT%H:%M:%SZ}: {accepted.reason}"
    )
    if done.job is not None:
        print(
            f"update {done.job.id} is {done.job.state}: a running service absorbs the close by "
            "itself; without one, run `closecast worker --once`"
        )


def _checked(text: str, check: Callable[[str], str]) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def user() -> str:
    """Author of a decision where none is named: the system's user."""
    try:
        return checked_author(f"cli:{getpass.getuser()}")
    except (KeyError, OSError, ValueError):  # a container's user often has no name
        return "cli"
