"""Hyper-parameters and names of forecasters in the OpenAPI document, for every registered one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from closecast.forecasters import AUTO, FORECASTERS, parameters_type

_NULL = {"type": "null"}


@dataclass(frozen=True, slots=True)
class _SchemaOf:
    """A JSON schema that is built with the document: a forecaster may be registered until then."""

    build: Callable[[], JsonSchemaValue]

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        del core_schema, handler
        return self.build()


def _variants() -> dict[str, list[dict[str, Any]]]:
    """Schemas of each hyper-parameter; several where forecasters differ in bounds or default."""
    variants: dict[str, list[dict[str, Any]]] = {}
    for name in FORECASTERS:
        for key, field in parameters_type(name).model_json_schema()["properties"].items():
            field.pop("title", None)
            known = variants.setdefault(key, [])
            if field not in known:
                known.append(field)
    return variants


def _hyperparameters(*more: dict[str, Any]) -> JsonSchemaValue:
    """Every hyper-parameter of any forecaster; the server checks that one forecaster has them all.

    Parameters
    ----------
    more : dict
        Schemas of values that are allowed for each of them beside its own.
    """
    properties: dict[str, Any] = {}
    for key, variants in _variants().items():
        allowed = [*variants, *more]
        properties[key] = (
            allowed[0]
            if len(allowed) == 1
            else {"description": variants[0]["description"], "anyOf": allowed}
        )
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _complete() -> JsonSchemaValue:
    return {**_hyperparameters(), "examples": [{"num_epochs": 10, "learning_rate": 0.005}]}


def _changes() -> JsonSchemaValue:
    return _hyperparameters(_NULL)


def _name() -> JsonSchemaValue:
    return {"type": ["string", "null"], "enum": [*sorted(FORECASTERS), AUTO, None]}


Hyperparameters = Annotated[dict[str, Any], _SchemaOf(_complete)]
HyperparameterChanges = Annotated[dict[str, Any], _SchemaOf(_changes)]
"""As :data:`Hyperparameters`; ``None`` goes back to the default."""

ForecasterName = Annotated[str | None, _SchemaOf(_name)]
