"""Calibrated forecasts of the next closing prices.

The names below are the public interface; each is imported when it is first used, so that
``import closecast`` loads neither NumPy nor a training library.

>>> import closecast
>>> closecast.Settings.__name__, "Prices" in dir(closecast)
('Settings', True)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from closecast.core.dataset import split_by_share
    from closecast.core.forecast import Forecast
    from closecast.core.prices import Prices
    from closecast.core.verdict import Verdict
    from closecast.errors import ClosecastError
    from closecast.evaluation import as_table, calibrate, evaluate
    from closecast.forecasters import make_forecaster
    from closecast.registry.registry import Registry
    from closecast.settings import Settings
    from closecast.sources import make_source

__version__ = "0.1.0"
__all__ = [
    "ClosecastError",
    "Forecast",
    "Prices",
    "Registry",
    "Settings",
    "Verdict",
    "as_table",
    "calibrate",
    "evaluate",
    "make_forecaster",
    "make_source",
    "split_by_share",
]

_MODULES = {
    "ClosecastError": "closecast.errors",
    "Forecast": "closecast.core.forecast",
    "Prices": "closecast.core.prices",
    "Registry": "closecast.registry.registry",
    "Settings": "closecast.settings",
    "Verdict": "closecast.core.verdict",
    "as_table": "closecast.evaluation",
    "calibrate": "closecast.evaluation",
    "evaluate": "closecast.evaluation",
    "make_forecaster": "closecast.forecasters",
    "make_source": "closecast.sources",
    "split_by_share": "closecast.core.dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
