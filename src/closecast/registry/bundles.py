"""Bundles of trained models below one root: published whole, and never changed again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from closecast.core.symbols import canonical
from closecast.errors import DamagedBundle, UnknownVersion
from closecast.registry.documents import (
    Bundle,
    BundleInfo,
    Manifest,
    hashes_of,
    problems_in,
    require_symbol,
    require_verified,
)
from closecast.registry.formats import refuse_newer_bundle
from closecast.registry.former_names import renamed_bundle, renamed_manifest
from closecast.registry.object_store import Store

MANIFEST = "manifest.json"

_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


class Bundles:
    """Publishes and loads bundles: ``<root>/bundles/<version>/``.

    A bundle becomes visible whole: in a folder by one rename, on an object store by its manifest,
    which is written last.
    """

    _store: Store

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
        """A bundle's manifest, with today's spellings of its symbols.

        Raises
        ------
        UnknownVersion, DamagedBundle
        """
        return renamed_manifest(self._published(version))

    def _published(self, version: str) -> Manifest:
        _check_version(version)
        try:
            content = self._store.read(f"bundles/{version}/{MANIFEST}")
        except FileNotFoundError:
            if self._store.exists(f"bundles/{version}"):
                raise DamagedBundle(f"bundle {version} has no {MANIFEST}: half written") from None
            raise UnknownVersion(f"no bundle {version}; GET /model/versions lists them") from None
        refuse_newer_bundle(version, content)
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise DamagedBundle(
                f"bundle {version}: {MANIFEST} is not one of ours ({problems_in(error)})"
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

        One of an earlier version answers to today's spellings of its symbols.

        Raises
        ------
        UnknownVersion, DamagedBundle
        """
        manifest = self._published(version)
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
        return renamed_bundle(Bundle(manifest, files))

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
                continue  # it can never be served; loading it by name raises the reason
            if wanted is None or wanted in manifest.info.symbols:
                yield manifest


def _digits(manifest: str | bytes) -> str:
    """Hash (eight digits) of all of a manifest but its version, which ends in them."""
    said = {key: value for key, value in json.loads(manifest).items() if key != "version"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise UnknownVersion(
            f"{version[:40]!r} is not a version; one looks like 20260102T030405Z-0a1b2c3d"
        )
