"""Sentences on the parts of a request that do not fit, with place, unit and the nearest name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from closecast.nearest import nearest

Item = Mapping[str, Any]

_UNITS = {
    "prices": ("close", "closes"),
    "sessions": ("date", "dates"),
    "volume": ("volume", "volumes"),
    "windows": ("window", "windows"),
    "symbols": ("symbol", "symbols"),
    "levels": ("level", "levels"),
    "horizon": ("session", "sessions"),
    "limit": ("row", "rows"),
}
_OF_TEXT = ("character", "characters")
_BOUNDS = ("ge", "gt", "le", "lt")


def problems_of(items: Sequence[Item], body: type[Any] | None) -> list[dict[str, str]]:
    """Members of a problem's ``errors``, from validation errors in FastAPI's form.

    Parameters
    ----------
    body : type, optional
        Model of the route's body, whose members an unknown one may resemble. An item's own
        `form`, the model that it was read as, goes before it.
    """
    return [
        {
            "pointer": _pointer(item),
            "detail": _sentence(item, body),
            "code": str(item["type"]),
        }
        for item in items
        if item["type"] != "none_required"  # no caller can write null into a query
    ]


def summary(problems: Sequence[Mapping[str, str]]) -> str:
    """The first problems in one line; one about the body as a whole has no place before it."""
    shown = [
        f"{problem['pointer']}: {problem['detail']}" if problem["pointer"] else problem["detail"]
        for problem in problems[:3]
    ]
    more = [f"and {len(problems) - 3} more"] if len(problems) > 3 else []
    return "; ".join([*shown, *more])


def _pointer(item: Item) -> str:
    where, *path = item["loc"]
    if where != "body":  # what follows the name is a part of our own annotation
        return f"{where}:{path[0]}"
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _sentence(item: Item, body: type[Any] | None) -> str:
    kind, context = item["type"], item.get("ctx", {})
    _, *path = item["loc"]
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), _models_at(item.get("form", body), path[:-1]))
    if kind == "missing":
        return "it is missing, and needed"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        whole = "" if path else ", and not one inside a text (JSON that was encoded twice)"
        return f"it should be a JSON object{whole}"
    if kind.startswith("date_"):
        return "it should be a date, written as YYYY-MM-DD"
    if kind == "timezone_aware" or kind.startswith("datetime_"):
        return "it should be a moment with its time zone, written as 2026-01-02T00:00:00Z"
    text = str(item["msg"])
    # Of our own checks none has a context: their sentence is whole.
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long") and context:
        return _length(item, str(path[-1]) if path else "")
    if kind in ("float_type", "int_type"):
        return f"{text}, without quotes; null is none"
    bounds = [context[name] for name in _BOUNDS if name in context]
    units = [_UNITS[str(part)] for part in path if part in _UNITS]
    if bounds and units and path[-1] in _UNITS:
        return f"{text} {_unit(bounds[0], units[-1])}"
    return text


def _length(item: Item, name: str) -> str:
    context = item["ctx"]
    low = "min_length" in context
    bound = context["min_length" if low else "max_length"]
    unit = _unit(bound, _OF_TEXT if item["type"].startswith("string") else _UNITS.get(name))
    got = f", not {context['actual_length']}" if "actual_length" in context else ""
    return f"it should have at {'least' if low else 'most'} {bound} {unit}{got}"


def _unit(count: float, names: tuple[str, str] | None) -> str:
    return (names or ("item", "items"))[count != 1]


def _unknown(name: str, models: Sequence[type[BaseModel]]) -> str:
    """Of several forms of a body the first one is ours; the others only lend their names."""
    if not models:
        return "it is unknown here"
    near = nearest(name, (member for model in models for member in _members(model)))
    meant = f"did you mean {near!r}? There are" if near else "there are"
    return f"it is unknown here; {meant}: {', '.join(_members(models[0]))}"


def _members(model: type[BaseModel]) -> list[str]:
    """Names of a model's members as they are sent."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_at(kind: Any, path: Sequence[Any]) -> list[type[BaseModel]]:
    """Models at a path in a body."""
    models = _models_in([kind])
    for part in path:
        # A batch in lines is validated line by line; the document knows its JSON form.
        name = "windows" if str(part).startswith("line ") else part
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if fields:  # the number of an item stands for the model in the list
            models = _models_in([field.annotation for field in fields])
    return models


def _models_in(kinds: Sequence[Any]) -> list[type[BaseModel]]:
    """Models in annotations: itself, of a list's items, of a union."""
    found: list[type[BaseModel]] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found.append(kind)
        else:
            found += _models_in(get_args(kind))
    return found
