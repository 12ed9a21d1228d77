"""Experiments of MLflow: one per symbol or panel, under a name that people can read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PREFIX = "closecast/"
"""Begins the name of every experiment."""

KEY_TAG = "closecast.panel"
SYMBOLS_TAG = "closecast.symbols"
_LONGEST_TAG = 4_000
"""MLflow's databases hold 5000 characters."""


@dataclass(frozen=True, slots=True)
class ExperimentName:
    """Name of an experiment.

    Attributes
    ----------
    name : str
        As people read it: ``closecast/AAPL and 19 more``.
    key : str
        Short name of the panel, which holds a hash of all its symbols; empty for one symbol.
    symbols : tuple of str
    """

    name: str
    key: str = ""
    symbols: tuple[str, ...] = ()

    @property
    def tags(self) -> dict[str, str]:
        """Tags by which the experiment is found again under any name."""
        if not self.key:
            return {}
        return {KEY_TAG: self.key, SYMBOLS_TAG: ",".join(self.symbols)[:_LONGEST_TAG]}


def find_or_create(client: Any, wanted: ExperimentName, place: str | None) -> str:
    """Identifier of an experiment.

    A panel's experiment is found by its key. One of an earlier version, named by that key, is
    renamed: its runs stay with the new ones.

    Parameters
    ----------
    client : MlflowClient
    place : str, optional
        Where a new experiment keeps its artefacts.
    """
    found = _of_panel(client, wanted) if wanted.key else None
    holder = client.get_experiment_by_name(wanted.name)
    if found is None and holder is not None and _is_of(holder, wanted):
        return str(holder.experiment_id)
    name = wanted.name
    if holder is not None and found is None:  # another panel of as many symbols has the name
        name = f"{wanted.name} ({wanted.key.rpartition('.')[2]})"
        holder = client.get_experiment_by_name(name)
        if holder is not None:
            return str(holder.experiment_id)
    if found is None:
        return str(client.create_experiment(name, artifact_location=place, tags=wanted.tags))
    experiment_id = str(found.experiment_id)
    if found.name != name and holder is None and not found.name.startswith(f"{name} ("):
        client.rename_experiment(experiment_id, name)
    for key, value in wanted.tags.items():
        if found.tags.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)
    return experiment_id


def _of_panel(client: Any, wanted: ExperimentName) -> Any | None:
    """A panel's experiment: by its tag, or by the name that earlier versions gave it."""
    tagged = client.search_experiments(
        filter_string=f"tags.`{KEY_TAG}` = '{wanted.key}'", max_results=1
    )
    return tagged[0] if tagged else client.get_experiment_by_name(f"{PREFIX}{wanted.key}")


def _is_of(experiment: Any, wanted: ExperimentName) -> bool:
    return not wanted.key or experiment.tags.get(KEY_TAG) == wanted.key
