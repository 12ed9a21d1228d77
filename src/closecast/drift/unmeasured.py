"""Warning for statistics without a threshold in a bundle, logged once."""

from __future__ import annotations

import logging

from closecast.drift.baseline import Baseline

log = logging.getLogger(__name__)

_logged: set[tuple[str, ...]] = set()


def warn_of_unmeasured(baseline: Baseline, version: str) -> None:
    """Warn that a bundle is older than some statistics, once per process and set of statistics.

    A thousand symbols of one pool lack the same thresholds, and every reload reads them again: one
    line is enough.

    Parameters
    ----------
    version : str
        Version of the bundle that holds the baseline.
    """
    missing = baseline.unmeasured
    if not missing or missing in _logged:
        return
    _logged.add(missing)
    log.warning(
        "drift statistics without a threshold are not measured; train again to have them",
        extra={"version": version, "symbol": baseline.symbol, "statistics": list(missing)},
    )
