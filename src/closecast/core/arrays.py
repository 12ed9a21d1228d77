"""Read-only numpy arrays that Pydantic can validate, serialise and describe."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

FloatArray = NDArray[np.float64]
"""An array of float64 of any shape."""


def read_only(values: Any, dtype: str = "float64") -> NDArray[Any]:
    """A contiguous copy that is read-only (an array that is so already stays as it is)."""
    array = np.asarray(values, dtype=dtype)
    if array.flags.writeable or not array.flags.c_contiguous:
        array = np.array(array, dtype=dtype, order="C", copy=True)
        array.flags.writeable = False
    return array


_NUMBERS: dict[str, Any] = {"type": "array", "items": {"type": "number"}}
_TABLE: dict[str, Any] = {"type": "array", "items": _NUMBERS}

Floats = Annotated[
    NDArray[np.float64],
    PlainValidator(read_only),
    PlainSerializer(lambda a: a.tolist(), return_type=list),
    WithJsonSchema(_NUMBERS),
]
"""One number per element, float64."""

FloatOrFloats = Annotated[
    NDArray[np.float64],
    PlainValidator(read_only),
    PlainSerializer(lambda a: a.tolist(), return_type=float | list[float]),
    WithJsonSchema({"anyOf": [{"type": "number"}, _NUMBERS]}),
]
"""One number, or one per window; float64."""

FloatsOrTable = Annotated[
    NDArray[np.float64],
    PlainValidator(read_only),
    PlainSerializer(lambda a: a.tolist(), return_type=list),
    WithJsonSchema({"anyOf": [_NUMBERS, _TABLE]}),
]
"""One number per step, or rows of them; float64."""

TableOrTables = Annotated[
    NDArray[np.float64],
    PlainValidator(read_only),
    PlainSerializer(lambda a: a.tolist(), return_type=list),
    WithJsonSchema({"anyOf": [_TABLE, {"type": "array", "items": _TABLE}]}),
]
"""Rows of numbers, or one such table per window; float64."""

Dates = Annotated[
    NDArray[np.datetime64],
    PlainValidator(lambda values: read_only(values, "datetime64[D]")),
    PlainSerializer(lambda a: a.astype(str).tolist(), return_type=list),
    WithJsonSchema({"type": "array", "items": {"type": "string", "format": "date"}}),
]
"""Calendar dates, datetime64[D]."""
