"""Bundles that an earlier version published under another spelling of a symbol.

Files stay as they were published; what is read of them carries today's names.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from closecast.core.prices import Prices
from closecast.core.symbols import present_name
from closecast.errors import DamagedBundle
from closecast.registry.closes import load_closes
from closecast.registry.documents import (
    BASELINE_FILE,
    CLOSES_FILE,
    EVALUATION_FILE,
    INTERVALS_FILE,
    LIVE_FILE,
    Bundle,
    BundleInfo,
    Manifest,
)

_JSON_BY_SYMBOL = (BASELINE_FILE, INTERVALS_FILE, EVALUATION_FILE)
_ARRAYS_BY_SYMBOL = (CLOSES_FILE, LIVE_FILE)


def renamed_manifest(manifest: Manifest) -> Manifest:
    """The manifest with today's spellings of its symbols; itself if they are today's."""
    info = manifest.info
    if not _changed(info):
        return manifest
    data = {present_name(span.symbol): span for span in info.data}
    changes: dict[str, Any] = {
        "symbols": tuple(dict.fromkeys(present_name(symbol) for symbol in info.symbols)),
        "data": tuple(span.model_copy(update={"symbol": symbol}) for symbol, span in data.items()),
    }
    for name in ("left_out", "evaluation", "gate"):
        changes[name] = _renamed(getattr(info, name))
    return manifest.model_copy(update={"info": info.model_copy(update=changes)})


def renamed_bundle(bundle: Bundle) -> Bundle:
    """The bundle with today's spellings in its manifest and its files.

    Raises
    ------
    DamagedBundle
        If a file does not hold what the manifest names.
    """
    if not _changed(bundle.manifest.info):
        return bundle
    files = dict(bundle.files)
    try:
        files |= {n: _renamed_json(files[n]) for n in _JSON_BY_SYMBOL if n in files}
        files |= {n: _renamed_arrays(files[n]) for n in _ARRAYS_BY_SYMBOL if n in files}
    except Exception as error:  # numpy's and zip's readers raise a dozen kinds on wrong bytes
        raise DamagedBundle(f"its files cannot be read under today's names: {error!r}") from error
    manifest = renamed_manifest(bundle.manifest)
    if CLOSES_FILE not in files:
        return Bundle(manifest, files)
    # Hashes of closes are also those of their symbol.
    closes = {one.symbol: one for one in load_closes(files[CLOSES_FILE], ())}
    if BASELINE_FILE in files:
        files[BASELINE_FILE] = _rehashed(files[BASELINE_FILE], closes)
    data = tuple(
        span.model_copy(update={"content_hash": closes[span.symbol].content_hash})
        if span.symbol in closes
        else span
        for span in manifest.info.data
    )
    info = manifest.info.model_copy(update={"data": data})
    manifest = manifest.model_copy(update={"info": info})
    return Bundle(manifest, files)


def _changed(info: BundleInfo) -> bool:
    names = (*info.symbols, *(span.symbol for span in info.data), *info.left_out)
    return any(present_name(name) != name for name in names)


def _renamed(by_symbol: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in today's spelling; where both were there, the entry of today's counts."""
    former = {present_name(name): one for name, one in by_symbol.items()}
    return former | {name: one for name, one in by_symbol.items() if present_name(name) == name}


def _renamed_json(content: bytes) -> bytes:
    documents = _renamed(json.loads(content))
    for symbol, document in documents.items():
        if isinstance(document, dict) and "symbol" in document:
            document["symbol"] = symbol
    return json.dumps(documents).encode()


def _rehashed(baselines: bytes, closes: Mapping[str, Prices]) -> bytes:
    documents = json.loads(baselines)
    for symbol, document in documents.items():
        if symbol in closes and {"first_session", "last_session", "data_hash"} <= document.keys():
            train = closes[symbol].between(document["first_session"], document["last_session"])
            document["data_hash"] = train.content_hash
    return json.dumps(documents).encode()


def _renamed_arrays(content: bytes) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays: dict[str, Any] = {}
        for name in file.files:
            symbol, slash, part = name.partition("/")
            arrays[f"{present_name(symbol)}{slash}{part}"] = file[name]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
