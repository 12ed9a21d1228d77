"""Cells that stand for nothing."""

from __future__ import annotations

from typing import Any

import pandas as pd

_NOTHING = r"nan,null,none,na,n/a,n.a.,#n/a,#n/a n/a,<na>,nat,n/d,nd,#n/d,#value!,\n,-,--,—,.,"
_MISSING = frozenset(_NOTHING.split(","))


def is_missing(cell: Any) -> bool:
    """True for an empty cell and for what exporters write instead of one.

    >>> [is_missing(cell) for cell in (None, float("nan"), " ", "N/A", ".", 0, "0")]
    [True, True, True, True, True, False, False]
    """
    if isinstance(cell, str):
        return cell.strip().lower() in _MISSING
    if cell is None or cell is pd.NaT or cell is pd.NA:
        return True
    return isinstance(cell, float) and cell != cell
