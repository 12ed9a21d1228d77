"""Moves of a whole panel: all symbols that one version serves go to another one together."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pydantic import BaseModel, ValidationError

from closecast.core.symbols import canonical
from closecast.errors import (
    ClosecastError,
    DamagedBundle,
    OtherFormat,
    StorageFailed,
    UnknownVersion,
)
from closecast.registry.documents import (
    GATE,
    Bundle,
    Pointer,
    require_symbol,
    require_verified,
)
from closecast.registry.pointers import Pointers

log = logging.getLogger(__name__)

_FOLDER = "moves"


class _Move(BaseModel):
    """A move that was decided: every pointer as it is to be."""

    pointers: tuple[Pointer, ...]


class PanelMoves(Pointers):
    """Moves the pointers of a panel together.

    All new pointers are written down before the first one moves. A process that is killed in
    between leaves that note, and the next move, or the next start of a service or worker,
    completes it.
    """

    def panel_of(self, symbol: str) -> tuple[str, ...]:
        """Symbols that the symbol's current version serves, itself among them.

        Raises
        ------
        DamagedBundle
            If the symbol's own pointer is damaged.
        """
        symbol = canonical(symbol)
        pointer = self.pointer(symbol)
        if pointer is None:
            return (symbol,)
        found = {symbol}
        for other in self._possible_members(pointer.version):
            try:
                its = self.pointer(other)
            except DamagedBundle:
                continue
            if its is not None and its.version == pointer.version:
                found.add(other)
        return tuple(sorted(found))

    def promote_panel(
        self,
        symbol: str,
        version: str,
        reason: str,
        *,
        by: str = GATE,
        expected: int | None = None,
    ) -> list[Pointer]:
        """Make a bundle current for a symbol, and for all that share its version and its panel.

        Parameters
        ----------
        expected : int, optional
            Generation of the symbol's own pointer, as of :meth:`promote`.

        Returns
        -------
        list of Pointer
            The new pointers, that of the symbol first.

        Raises
        ------
        ClosecastError
            As :meth:`promote`; then no pointer moves.
        """
        symbol = canonical(symbol)
        bundle = self.load_to_serve(version, symbol)
        made_for = bundle.manifest.info.symbols
        with self._moving():
            try:
                together = self.panel_of(symbol)
            except DamagedBundle:  # replaced, unless a generation was named
                together = (symbol,)
            members = [other for other in together if other in made_for]
            return self._move_all(
                symbol,
                members,
                lambda member, own: self._promoted(member, version, reason, by, own),
                expected,
            )

    def rollback_panel(
        self,
        symbol: str,
        reason: str,
        version: str | None = None,
        *,
        by: str = GATE,
        expected: int | None = None,
    ) -> list[Pointer]:
        """Go back with all symbols that the symbol's current version serves.

        Each goes back to its own earlier version, as :meth:`rollback` chooses it, or all to the
        named one.

        Returns
        -------
        list of Pointer
            The new pointers, that of the symbol first.

        Raises
        ------
        ClosecastError
            As :meth:`rollback`, of any of them; then no pointer moves.
        """
        symbol = canonical(symbol)
        bundles: dict[str, Bundle] = {}

        def require(candidate: str, member: str) -> None:
            if candidate not in bundles:
                bundles[candidate] = self.load_to_serve(candidate, member)
            require_symbol(bundles[candidate].manifest, member)
            require_verified(bundles[candidate].manifest)

        with self._moving():
            return self._move_all(
                symbol,
                self.panel_of(symbol),
                lambda member, own: self._rolled_back(
                    member, reason, version, by, own, lambda found: require(found, member)
                ),
                expected,
            )

    def finish_moves(self) -> list[str]:
        """Complete moves whose process was killed; answers the symbols that were still to move.

        Raises
        ------
        StorageFailed
        """
        if not self._store.names(_FOLDER):
            return []
        with self._store.one_writer():
            return self._finish()

    def _move_all(
        self,
        symbol: str,
        members: Sequence[str],
        step: Callable[[str, int | None], Pointer],
        expected: int | None,
    ) -> list[Pointer]:
        moved = []
        for member in sorted(members, key=lambda one: one != symbol):
            try:
                moved.append(step(member, expected if member == symbol else None))
            except UnknownVersion as error:
                if member == symbol:
                    raise
                raise UnknownVersion(
                    f"nothing was moved: {symbol} moves together with {len(members) - 1} more, "
                    f"and of these {error}; `only` moves {symbol} alone"
                ) from error
        if len(moved) == 1:
            self._put(moved[0])
            return moved
        place = f"{_FOLDER}/{uuid.uuid4().hex}.json"
        self._store.write(place, _Move(pointers=tuple(moved)).model_dump_json().encode())
        for done, pointer in enumerate(moved):
            try:
                self._put(pointer)
            except StorageFailed as error:
                if not done:
                    self._store.remove(place)
                    raise
                raise StorageFailed(
                    f"{error}; {done} of {len(moved)} symbols were moved, the others follow with "
                    "the next move or the next start"
                ) from error
        self._store.remove(place)
        return moved

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """One writer at a time, after what an earlier one has left undone."""
        with self._store.one_writer():
            self._finish()
            yield

    def _finish(self) -> list[str]:
        late = []
        for name in self._store.names(_FOLDER):
            if not name.endswith(".json"):
                continue
            place = f"{_FOLDER}/{name}"
            try:
                move = _Move.model_validate_json(self._store.read(place))
            except FileNotFoundError:  # on an object store its own process was just ready
                continue
            except ValidationError:
                log.error("a move of pointers cannot be read, and is dropped", extra={"file": name})
                self._store.remove(place)
                continue
            for pointer in move.pointers:
                if self._is_behind(pointer):
                    self._put(pointer)
                    late.append(pointer.symbol)
            self._store.remove(place)
        if late:
            log.warning(
                "completed a move of pointers whose process was killed", extra={"symbols": late}
            )
        return late

    def _is_behind(self, pointer: Pointer) -> bool:
        """Whether a symbol's pointer still is where a decided move found it."""
        try:
            now = self.pointer(pointer.symbol)
        except OtherFormat:
            return False  # a newer closecast has moved it since
        except DamagedBundle:
            return True
        return now is None or now.generation < pointer.generation

    def _possible_members(self, version: str) -> Sequence[str]:
        """Symbols of a bundle; every symbol with a pointer where the manifest cannot be read."""
        try:
            return self.manifest(version).info.symbols
        except ClosecastError:
            return self.symbols()
