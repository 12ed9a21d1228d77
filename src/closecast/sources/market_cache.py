"""Markets that files named, one small file each, for all processes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from closecast.core.market_names import markets_named
from closecast.core.markets import Market, name_markets
from closecast.core.symbols import folder_name
from closecast.infra.files import write_atomically
from closecast.settings import Settings

log = logging.getLogger(__name__)


class MarketCache:
    """Files ``<folder>/<symbol>.json``. Several processes may write one at once: all the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, symbol: str) -> Path:
        """Path of a symbol's market."""
        return self.folder / f"{folder_name(symbol)}.json"

    def get(self, symbol: str) -> Market | None:
        """Market that a file named for a canonical symbol, or ``None``."""
        try:
            stored = json.loads(self.path(symbol).read_bytes())
            return Market(stored["calendar"], stored["kind"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("market unreadable", extra={"symbol": symbol, "reason": repr(error)})
            return None

    def put(self, symbol: str, market: Market) -> None:
        """Keep the market of a symbol.

        Raises
        ------
        StorageFailed
            If the folder cannot be written.
        """
        about = {"symbol": symbol, "calendar": market.calendar, "kind": market.kind}
        write_atomically(self.path(symbol), json.dumps(about, indent=1).encode())


def use_markets(settings: Settings) -> None:
    """Have this process know the markets that the settings and collected files name.

    Called once at the start of each process.

    Raises
    ------
    BadSetting
        If ``CLOSECAST_MARKETS`` cannot be read.
    """
    name_markets(markets_named(settings.markets), MarketCache(settings.data_dir / "markets"))
