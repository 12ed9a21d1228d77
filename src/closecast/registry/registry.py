"""Bundles and pointers: what was trained, never changed again, and which of it is current.

``<root>/bundles/<version>/`` holds a bundle, ``<root>/current/<symbol>.json`` a pointer.
The root is a folder or any fsspec URL. A bundle becomes visible whole: locally by one
rename, on an object store by its manifest, which is written last.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from closecast.core.symbols import canonical, folder_name
from closecast.errors import (
    DamagedBundle,
    PointerMoved,
    RolledBack,
    UnknownVersion,
    UnverifiedBundle,
)
from closecast.registry.documents import (
    GATE,
    Bundle,
    BundleInfo,
    Manifest,
    Pointer,
    Promotion,
    hashes_of,
    require_symbol,
    require_verified,
)
from closecast.registry.object_store import Stamps, Store

MANIFEST = "manifest.json"
HISTORY_KEPT = 100
"""Newest steps of a pointer, for every process reads all of them at every move. Kept besides: what
leads back to the last ``WAYS_BACK_KEPT`` versions, unless a move went back further than that, and
what says that a version was rolled back."""

WAYS_BACK_KEPT = 20

_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class Registry:
    """Reads and writes one root. Safe for several processes on one local folder."""

    def __init__(self, url: str) -> None:
        self._store = Store(url)

    # -- bundles ---------------------------------------------------------------------------

    def publish(self, info: BundleInfo, files: Mapping[str, bytes]) -> Manifest:
        """Store a bundle whole and for good; it is not current yet.

        Raises
        ------
        StorageFailed
            If the disk is full or not writable; nothing of the bundle is visible then.
        """
        now = datetime.now(UTC)
        draft = Manifest(version="", created_at=now, info=info, sha256=hashes_of(files))
        version = f"{now:%Y%m%dT%H%M%SZ}-{_digits(draft.model_dump_json())}"
        manifest = draft.model_copy(update={"version": version})
        content = manifest.model_dump_json(indent=1).encode()
        self._store.publish(f"bundles/{version}", {**files, MANIFEST: content})
        return manifest

    def manifest(self, version: str) -> Manifest:
        """A bundle's manifest.

        Raises
        ------
        UnknownVersion, DamagedBundle
        """
        _check_version(version)
        try:
            content = self._store.read(f"bundles/{version}/{MANIFEST}")
        except FileNotFoundError:
            if self._store.exists(f"bundles/{version}"):
                raise DamagedBundle(f"bundle {version} has no {MANIFEST}: half written") from None
            raise UnknownVersion(f"no bundle {version}; GET /model/versions lists them") from None
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise DamagedBundle(
                f"bundle {version}: {MANIFEST} is not one of ours ({_problems(error)})"
            ) from error
        if manifest.version != version:
            raise DamagedBundle(f"bundle {version} says it is {manifest.version}: a foreign folder")
        if _digits(content) != version.rpartition("-")[2]:
            raise DamagedBundle(
                f"bundle {version}: {MANIFEST} was altered (its version is not of its content)"
            )
        return manifest

    def load(self, version: str) -> Bundle:
        """A bundle with all its files, each checked against its SHA-256.

        Raises
        ------
        UnknownVersion, DamagedBundle
        """
        manifest = self.manifest(version)
        files = {}
        for name, expected in manifest.sha256.items():
            if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", name):
                raise DamagedBundle(
                    f"bundle {version} names a file {name!r}, which none of ours has"
                )
            try:
                content = self._store.read(f"bundles/{version}/{name}")
            except FileNotFoundError:
                raise DamagedBundle(f"bundle {version}: {name} is missing") from None
            if hashlib.sha256(content).hexdigest() != expected:
                raise DamagedBundle(
                    f"bundle {version}: {name} was altered (its SHA-256 is not the manifest's)"
                )
            files[name] = content
        return Bundle(manifest, files)

    def load_to_serve(self, version: str, symbol: str) -> Bundle:
        """A bundle that may be current for a symbol: whole, made for it, checked for leaks.

        Promotion, rollback and serving all load by this, so none takes what another refuses.

        Raises
        ------
        UnknownVersion
            If there is none, or it is for other symbols.
        DamagedBundle, UnverifiedBundle
        """
        bundle = self.load(version)
        require_symbol(bundle.manifest, canonical(symbol))
        require_verified(bundle.manifest)
        return bundle

    def files_of(self, version: str) -> set[str]:
        """Names of the files that a bundle's folder really holds now."""
        _check_version(version)
        return set(self._store.names(f"bundles/{version}"))

    def versions(self, symbol: str | None = None) -> Iterator[Manifest]:
        """Manifests of the bundles that are whole, newest first; of one symbol if named."""
        wanted = canonical(symbol) if symbol else None
        for version in sorted(self._store.names("bundles"), reverse=True):
            if not _VERSION.fullmatch(version):
                continue
            try:
                manifest = self.manifest(version)
            except (DamagedBundle, UnknownVersion):
                continue  # it can never be served, and asking for it by name says why
            if wanted is None or wanted in manifest.info.symbols:
                yield manifest

    # -- pointers --------------------------------------------------------------------------

    def pointer(self, symbol: str) -> Pointer | None:
        """What is current for a symbol, or ``None``.

        Raises
        ------
        DamagedBundle
            If the pointer's file is not one of ours.
        """
        try:
            content = self._store.read(_place_of(symbol))
        except FileNotFoundError:
            return None
        try:
            pointer = Pointer.model_validate_json(content)
        except ValidationError as error:
            raise DamagedBundle(
                f"the pointer of {symbol} is not one of ours ({_problems(error)})"
            ) from error
        if pointer.symbol != canonical(symbol):
            raise DamagedBundle(f"the pointer of {symbol} is one of {pointer.symbol}")
        return pointer

    @property
    def is_local(self) -> bool:
        """Whether a look at the pointers costs no request over a network."""
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
        return sorted(n.replace("%5E", "^").replace("%3D", "=") for n in names)

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
            Who asks: the gate, or a person, who may also promote what was rolled back.
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
            If the gate asks for a version that was rolled back from.
        """
        symbol = canonical(symbol)
        self.load_to_serve(version, symbol)
        with self._store.one_writer():
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
            return self._point(symbol, before, step)

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
            Who asks. The gate will not promote the version that is left here again.
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
            if expected is None:
                pointer = self.pointer(symbol)
            else:
                pointer, _ = self._before(symbol, expected)
            if pointer is None:
                raise UnknownVersion(
                    f"{symbol} has no model yet, so there is nothing to go back to"
                )
            earlier = _earlier_versions(pointer)
            if version is not None and version not in earlier:
                raise UnknownVersion(
                    f"{version[:40]!r} was never current for {symbol} before {pointer.version}; "
                    f"earlier ones: {', '.join(earlier) or 'none'}"
                )
            for candidate in [version] if version else earlier:
                try:
                    self.load_to_serve(candidate, symbol)
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
                return self._point(symbol, pointer, step)
            raise UnknownVersion(f"{symbol} has no earlier bundle that is whole and verified")

    # -- below ------------------------------------------------------------------------------

    def _before(self, symbol: str, expected: int | None) -> tuple[Pointer | None, int]:
        """The pointer to replace, and the generation that the next one comes after."""
        try:
            before = self.pointer(symbol)
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

    def _point(self, symbol: str, before: Pointer | None, step: Promotion) -> Pointer:
        pointer = Pointer(
            symbol=symbol,
            version=step.version,
            generation=step.generation,
            history=_kept((*(before.history if before else ()), step)),
        )
        self._store.write(_place_of(symbol), pointer.model_dump_json(indent=1).encode())
        return pointer


def _problems(error: ValidationError) -> str:
    """In one line: how many there are, and where the first one is."""
    place = ".".join(map(str, error.errors()[0]["loc"])) or "the top"
    return f"{error.error_count()} problems, first at {place}"


def _place_of(symbol: str) -> str:
    return f"current/{folder_name(symbol)}.json"


def _digits(manifest: str | bytes) -> str:
    """Eight digits over all that a manifest says but its version, which ends in them."""
    said = {key: value for key, value in json.loads(manifest).items() if key != "version"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def _earlier_versions(pointer: Pointer) -> list[str]:
    """Versions to go back to, the best first: a stack that a rollback pops, not a ping-pong."""
    stack = [step.version for step in _way_back(pointer.history)]
    return [version for version in reversed(stack) if version != pointer.version]


def _way_back(history: Sequence[Promotion]) -> list[Promotion]:
    """The stack: each step to a version that is on it takes what came after that away."""
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


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise UnknownVersion(
            f"{version[:40]!r} is not a version; one looks like 20260102T030405Z-0a1b2c3d"
        )
