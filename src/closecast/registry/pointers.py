"""Pointers below one root: the bundle that is current for each symbol, and its history."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from urllib.parse import unquote

from pydantic import ValidationError

from closecast.core.symbols import canonical, folder_name, former_names, present_name, quoted
from closecast.errors import (
    DamagedBundle,
    OtherFormat,
    PointerMoved,
    RolledBack,
    UnknownVersion,
    UnverifiedBundle,
)
from closecast.registry.documents import (
    GATE,
    Bundle,
    Manifest,
    Pointer,
    Promotion,
    problems_in,
)
from closecast.registry.formats import refuse_newer_pointer
from closecast.registry.object_store import Stamps, Store

HISTORY_KEPT = 100
"""Newest steps of a pointer that are kept; every process reads all of them after every move.

Older steps are kept where they lead back to one of the last ``WAYS_BACK_KEPT`` versions (unless a
move went back further than that), or record that a version was rolled back."""

WAYS_BACK_KEPT = 20


class Pointers(ABC):
    """Reads and moves pointers: ``<root>/current/<symbol>.json``."""

    _store: Store

    @abstractmethod
    def load_to_serve(self, version: str, symbol: str) -> Bundle:
        """A bundle that may be current for a symbol, or an error."""

    @abstractmethod
    def manifest(self, version: str) -> Manifest:
        """The manifest of a bundle, or an error."""

    def pointer(self, symbol: str) -> Pointer | None:
        """The pointer of a symbol, or ``None``; one under an earlier spelling where that is all.

        Raises
        ------
        DamagedBundle
            If the pointer's file is not one of ours.
        """
        wanted = canonical(symbol)
        content = self._content(wanted)
        if content is None:
            return None
        refuse_newer_pointer(symbol, content)
        try:
            pointer = Pointer.model_validate_json(content)
        except ValidationError as error:
            raise DamagedBundle(
                f"the pointer of {symbol} is not one of ours ({problems_in(error)})"
            ) from error
        if present_name(pointer.symbol) != wanted:
            raise DamagedBundle(f"the pointer of {symbol} is one of {pointer.symbol}")
        return pointer.model_copy(update={"symbol": wanted})

    def _content(self, symbol: str) -> bytes | None:
        # Nothing is moved: the first promotion writes under today's name, and that is read first.
        for name in (symbol, *former_names(symbol)):
            with suppress(FileNotFoundError):
                return self._store.read(f"current/{quoted(name)}.json")
        return None

    @property
    def is_local(self) -> bool:
        """True if reading the pointers costs no request over a network."""
        return self._store.is_local

    def pointer_stamps(self, before: Stamps | None = None) -> Stamps:
        """Something per pointer that is another one after the pointer was moved.

        Costs one look at a folder where nothing has moved, or one listing on an object store,
        however many pointers there are.

        Parameters
        ----------
        before : Stamps, optional
            Of an earlier look; answered again as it is where nothing has moved since.

        Raises
        ------
        StorageFailed
            If the place does not answer.
        """
        return self._store.stamps("current", before)

    def symbols(self) -> list[str]:
        """Symbols that have a pointer."""
        names = (
            n.removesuffix(".json") for n in self._store.names("current") if n.endswith(".json")
        )
        return sorted({present_name(unquote(name)) for name in names})

    def promote(
        self,
        symbol: str,
        version: str,
        reason: str,
        *,
        by: str = GATE,
        expected: int | None = None,
    ) -> Pointer:
        """Make a published bundle current for a symbol.

        A pointer whose file is damaged is replaced, unless ``expected`` is given. Its history is
        lost, and with it what was rolled back. The new generation is a time (microseconds since
        1970): larger than any count of steps and than any such time before, so no process takes
        the new pointer for one that it has served.

        Parameters
        ----------
        by : str
            Author: the gate, or a person, who may also promote what was rolled back.
        expected : int, optional
            Generation of the pointer that this was decided against, 0 for none: compare and
            swap. In a folder that is one step under the lock of all writers. Object stores have
            no lock: there, another writer can come between the comparison and the swap.

        Raises
        ------
        UnknownVersion, DamagedBundle, UnverifiedBundle
            If it could not be served; the pointer stays. Also :class:`DamagedBundle` if the
            pointer is damaged, and so cannot be compared with ``expected``.
        PointerMoved
            If the pointer is not at the expected generation.
        RolledBack
            If the author is the gate, and the version was rolled back from.
        """
        symbol = canonical(symbol)
        self.load_to_serve(version, symbol)
        with self._store.one_writer():
            pointer = self._promoted(symbol, version, reason, by, expected)
            self._put(pointer)
        return pointer

    def _promoted(
        self, symbol: str, version: str, reason: str, by: str, expected: int | None
    ) -> Pointer:
        """The pointer after a promotion; nothing is written."""
        before, generation = self._before(symbol, expected)
        if before is not None and by == GATE and version in before.rolled_back:
            left = next(s for s in reversed(before.history) if s.rolled_back == version)
            raise RolledBack(symbol, version, left.by, left.at, left.reason)
        step = Promotion(
            version=version,
            generation=generation + 1,
            at=datetime.now(UTC),
            reason=reason,
            by=by,
        )
        return _after(symbol, before, step)

    def rollback(
        self,
        symbol: str,
        reason: str,
        version: str | None = None,
        *,
        by: str = GATE,
        expected: int | None = None,
    ) -> Pointer:
        """Make an earlier bundle of the pointer's history current again.

        Parameters
        ----------
        version : str, optional
            One of the history. Without it, the one that was current before this one first was,
            and may still be served: going back again and again walks down the history, and
            never up to what was left.
        by : str
            Author. The gate will not promote the version that is left here again.
        expected : int, optional
            Generation of the pointer that this was decided against, as of :meth:`promote`.

        Raises
        ------
        UnknownVersion
            If the history holds no such bundle.
        DamagedBundle
            If the named one fails its hashes, or the pointer is damaged: promote instead.
        UnverifiedBundle
            If the named one carries no passed leak check.
        PointerMoved
            If the pointer is not at the expected generation.
        """
        symbol = canonical(symbol)
        with self._store.one_writer():
            pointer = self._rolled_back(
                symbol, reason, version, by, expected, partial(self.load_to_serve, symbol=symbol)
            )
            self._put(pointer)
        return pointer

    def _rolled_back(
        self,
        symbol: str,
        reason: str,
        version: str | None,
        by: str,
        expected: int | None,
        require: Callable[[str], object],
    ) -> Pointer:
        """The pointer after a rollback; nothing is written.

        Parameters
        ----------
        require : callable
            Raises for a version that may not be current for the symbol.
        """
        if expected is None:
            pointer = self.pointer(symbol)
        else:
            pointer, _ = self._before(symbol, expected)
        if pointer is None:
            raise UnknownVersion(f"{symbol} has no model yet, so there is nothing to go back to")
        earlier = _earlier_versions(pointer)
        if version is not None and version not in earlier:
            raise UnknownVersion(
                f"{version[:40]!r} was never current for {symbol} before {pointer.version}; "
                f"earlier ones: {', '.join(earlier) or 'none'}"
            )
        for candidate in [version] if version else earlier:
            try:
                require(candidate)
            except (DamagedBundle, UnknownVersion, UnverifiedBundle):
                if version:
                    raise
                continue
            step = Promotion(
                version=candidate,
                generation=pointer.generation + 1,
                at=datetime.now(UTC),
                reason=reason,
                by=by,
                kind="rollback",
                rolled_back=pointer.version,
            )
            return _after(symbol, pointer, step)
        raise UnknownVersion(f"{symbol} has no earlier bundle that is whole and verified")

    def _before(self, symbol: str, expected: int | None) -> tuple[Pointer | None, int]:
        """The pointer to replace, and the generation that the next one comes after."""
        try:
            before = self.pointer(symbol)
        except OtherFormat:
            raise  # whole, and of use to the code that wrote it
        except DamagedBundle:
            if expected is not None:
                raise
            return None, time.time_ns() // 1000
        generation = before.generation if before else 0
        if expected is not None and expected != generation:
            history = before.history if before else ()
            was = next((s.version for s in history if s.generation == expected), None)
            found = (generation, before.version if before else None)
            raise PointerMoved(symbol, (expected, was), found)
        return before, generation

    def _put(self, pointer: Pointer) -> None:
        content = pointer.model_dump_json(indent=1).encode()
        self._store.write(_place_of(pointer.symbol), content)


def _after(symbol: str, before: Pointer | None, step: Promotion) -> Pointer:
    """The pointer of a symbol after one more step."""
    return Pointer(
        symbol=symbol,
        version=step.version,
        generation=step.generation,
        history=_kept((*(before.history if before else ()), step)),
    )


def _place_of(symbol: str) -> str:
    return f"current/{folder_name(symbol)}.json"


def _earlier_versions(pointer: Pointer) -> list[str]:
    """Versions to go back to, the best first: a stack that a rollback pops, not a ping-pong."""
    stack = [step.version for step in _way_back(pointer.history)]
    return [version for version in reversed(stack) if version != pointer.version]


def _way_back(history: Sequence[Promotion]) -> list[Promotion]:
    """The stack: each step to a version that is on it removes all later steps."""
    stack: list[Promotion] = []
    for step in history:
        versions = [one.version for one in stack]
        if step.version in versions:
            del stack[versions.index(step.version) + 1 :]
        else:
            stack.append(step)
    return stack


def _kept(history: Sequence[Promotion]) -> tuple[Promotion, ...]:
    """The newest steps, those that lead back, and the last word on what was rolled back."""
    last_word: dict[str, Promotion] = {}
    for step in history:
        if step.rolled_back is not None:
            last_word[step.rolled_back] = step
        elif step.by != GATE and step.version in last_word:
            last_word[step.version] = step
    wanted = (*history[-HISTORY_KEPT:], *_way_back(history)[-WAYS_BACK_KEPT:], *last_word.values())
    generations = {step.generation for step in wanted}
    return tuple(step for step in history if step.generation in generations)
