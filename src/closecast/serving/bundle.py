"""Parts of a bundle that the snapshots of all its symbols share: read and tried out once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from closecast.calibration import AdaptiveState, SplitConformal, StatesFile
from closecast.errors import DamagedBundle
from closecast.forecasters import Predictor, load_predictor
from closecast.registry.documents import (
    BASELINE_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    Bundle,
    Manifest,
)
from closecast.registry.formats import judged_by_format


@dataclass(frozen=True, slots=True)
class AnswerSpeed:
    """Times of answers, measured when a bundle was tried out on this machine.

    Attributes
    ----------
    alone, each : float
        Seconds of one answer alone, and of each answer of a batch.
    same_together : bool
        True if a window is answered with the same bits in a batch as alone, which depends on the
        matrix products of the network's engine on this machine.
    """

    alone: float = 0.0
    each: float = 0.0
    same_together: bool = False


class LoadedBundle:
    """A bundle with its files parsed.

    Attributes
    ----------
    size : int
        Bytes of all files of the bundle.
    speed : AnswerSpeed or None
        ``None`` until one of its symbols was tried out.

    Raises
    ------
    DamagedBundle
        If a file is missing or does not parse.
    OtherFormat
        If that is because older code made the bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        with judged_by_format(bundle.manifest):
            self._read(bundle)

    def _read(self, bundle: Bundle) -> None:
        self.manifest: Manifest = bundle.manifest
        self.predictor: Predictor = load_predictor(bundle.manifest.info.forecaster, bundle.files)
        self.size = sum(map(len, bundle.files.values()))
        self.speed: AnswerSpeed | None = None
        self._documents = {
            name: _by_symbol(bundle, name)
            for name in (BASELINE_FILE, INTERVALS_FILE, EVALUATION_FILE)
        }
        self._states = StatesFile(_file(bundle, LIVE_FILE))
        self._first_states: dict[str, AdaptiveState] = {}

    def document(self, name: str, symbol: str) -> bytes:
        """Part of a JSON file that belongs to one symbol.

        Raises
        ------
        DamagedBundle
            If the file holds nothing of the symbol.
        """
        try:
            return self._documents[name][symbol]
        except KeyError:
            raise DamagedBundle(f"{name} holds nothing of {symbol}") from None

    @cached_property
    def pooled_calibration(self) -> SplitConformal:
        """Calibration by past errors of all symbols of the bundle, for symbols without a model.

        Raises
        ------
        DamagedBundle
            If that of one does not parse.
        """
        own = self._documents[INTERVALS_FILE].values()
        return SplitConformal.pooled([SplitConformal.from_json(content) for content in own])

    def first_state(self, symbol: str) -> AdaptiveState:
        """Live calibration of a symbol at the end of the bundle's data.

        Raises
        ------
        DamagedBundle
            If it is missing, or of another horizon.
        """
        state = self._first_states.get(symbol)
        if state is None:
            state, horizon = self._states.get(symbol), self.manifest.info.horizon
            if state.horizon != horizon:
                raise DamagedBundle(f"{LIVE_FILE} is of {state.horizon} steps, not {horizon}")
            self._first_states[symbol] = state
        return state


def _file(bundle: Bundle, name: str) -> bytes:
    if name not in bundle.files:
        raise DamagedBundle(f"bundle {bundle.manifest.version} has no {name}")
    return bundle.files[name]


def _by_symbol(bundle: Bundle, name: str) -> dict[str, bytes]:
    content = _file(bundle, name)
    try:
        try:  # ten times as fast, and the only one of both that takes no NaN
            documents: dict[str, Any] = orjson.loads(content)
            return {symbol: orjson.dumps(one) for symbol, one in documents.items()}
        except orjson.JSONDecodeError:
            documents = json.loads(content)
            return {symbol: json.dumps(one).encode() for symbol, one in documents.items()}
    except (ValueError, AttributeError) as error:
        raise DamagedBundle(f"{name} does not parse: {error!r}") from error
