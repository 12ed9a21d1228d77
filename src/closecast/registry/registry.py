"""Registry: bundles of trained models, and the pointers to the current ones.

``<root>/bundles/<version>/`` holds a bundle, ``<root>/current/<symbol>.json`` a pointer, and
``<root>/moves/`` a move of several pointers until all of them are written.
The root is a folder or any fsspec URL.
"""

from __future__ import annotations

from closecast.registry.bundles import Bundles
from closecast.registry.object_store import Store
from closecast.registry.panel_moves import PanelMoves


class Registry(Bundles, PanelMoves):
    """Reads and writes one root. Safe for several processes on one local folder.

    Parameters
    ----------
    url : str
        A folder, or any URL that fsspec understands (``s3://…``).
    """

    def __init__(self, url: str) -> None:
        self._store = Store(url)

    def require_writable(self, reserve_bytes: int = 0) -> None:
        """Check that bundles can be published and pointers moved, without doing either.

        Raises
        ------
        StorageFailed
            If one of the folders cannot be written, or less than ``reserve_bytes`` are free.
        """
        self._store.require_writable(("bundles", "current"), reserve_bytes)
