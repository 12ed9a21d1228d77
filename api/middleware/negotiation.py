"""Headers that choose an answer (RFC 9110, 12.4, 12.5) and those that describe it.

Chosen: a page or JSON, English or Portuguese. Described: the language, and the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from closecast.drift import Language

NDJSON = "application/x-ndjson"
"""Media type of lines that are a JSON text each."""

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def qualities(header: str) -> dict[str, float]:
    """Parse a header of the ``Accept`` family: names in lower case, in their order, to weights.

    A name that occurs twice has its last weight; an invalid weight counts as 0.

    >>> qualities("pt-BR, pt;q=0.9, en;q=high")
    {'pt-br': 1.0, 'pt': 0.9, 'en': 0.0}
    """
    found = {}
    for item in header.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                valid = _WEIGHT.fullmatch(parameter)
                weight = float(valid[1]) if valid else 0.0
        if name:
            found[name] = weight
    return found


def prefers_html(accept: str) -> bool:
    """Prefer a page: true if ``text/html`` is named with a higher weight than JSON."""
    named = qualities(accept)
    return named.get("text/html", 0.0) > named.get("application/json", 0.0)


def prefers_ndjson(accept: str) -> bool:
    """Prefer lines: true if ``application/x-ndjson`` has a higher weight than JSON.

    >>> prefers_ndjson("application/x-ndjson"), prefers_ndjson("application/json, */*")
    (True, False)
    """
    if NDJSON not in accept.lower():
        return False
    named = qualities(accept)
    return named.get(NDJSON, 0.0) > named.get("application/json", 0.0)


def prefers_csv(accept: str) -> bool:
    """Prefer a table: true if ``text/csv`` has a higher weight than JSON, ranges included.

    >>> prefers_csv("text/csv"), prefers_csv("text/csv;q=0.5, application/json"), prefers_csv("*/*")
    (True, False, False)
    >>> prefers_csv("text/csv, */*;q=0.1"), prefers_csv("text/csv;q=0"), prefers_csv("")
    (True, False, False)
    """
    if "text/" not in accept.lower():
        return False
    named = qualities(accept)
    return _weight(named, "text", "csv") > _weight(named, "application", "json")


def prefers_bytes(accept: str) -> bool:
    """Prefer bytes: true if ``application/octet-stream`` has a higher weight than a picture.

    >>> prefers_bytes("application/octet-stream"), prefers_bytes("*/*"), prefers_bytes("image/png")
    (True, False, False)
    """
    named = qualities(accept)
    return _weight(named, "application", "octet-stream") > _weight(named, "image", "png")


def _weight(named: Mapping[str, float], kind: str, subtype: str) -> float:
    """Weight of a media type: that of the narrowest range that holds it."""
    ranges = (f"{kind}/{subtype}", f"{kind}/*", "*/*")
    return next((named[one] for one in ranges if one in named), 0.0)


def language_of(accept_language: str) -> Language:
    """Choose Portuguese if any kind of it has a higher weight than English; else English.

    Of equal weights the first one wins, as browsers mean it.

    >>> language_of("pt-BR,pt;q=0.9,en;q=0.8"), language_of("en,pt"), language_of("fr")
    ('pt', 'en', 'en')
    """
    if not accept_language:
        return "en"
    named = qualities(accept_language)
    best: tuple[float, int] = (0.0, 0)
    chosen: Language = "en"
    for language in ("en", "pt"):
        own = [
            (weight, -place)
            for place, (name, weight) in enumerate(named.items())
            if name == language or name.startswith(f"{language}-")
        ]
        if not own and language == "en":  # the wildcard stands for the default
            own = [(named.get("*", 0.0), -len(named))]
        if own and max(own) > best:
            best, chosen = max(own), language
    return chosen


def request_language(request: Request) -> Language:
    """Language that a request prefers; its ``Accept-Language`` may be sent several times."""
    return language_of(",".join(request.headers.getlist("accept-language")))


def language_headers(language: Language) -> dict[str, str]:
    """Headers of an answer with sentences in a language that the request chose."""
    return {"Content-Language": language, "Vary": "Accept-Language"}


AcceptLanguage = Annotated[
    str | None,
    Header(
        alias="Accept-Language",
        description="Language of the sentences: English, or Portuguese if that is preferred.",
        openapi_examples={
            "English": {"value": "en"},
            "Portuguese": {"value": "pt-BR, pt;q=0.9, en;q=0.5"},
        },
    ),
]
"""The header in the OpenAPI document; :func:`request_language` reads it."""


def _chosen(
    request: Request, response: Response, _accept_language: AcceptLanguage = None
) -> Language:
    language = request_language(request)
    response.headers["Content-Language"] = language
    response.headers.add_vary_header("Accept-Language")
    return language


LanguageDep = Annotated[Language, Depends(_chosen)]
"""Dependency: the language of the sentences, which the headers of the answer then name."""


def _as_table(
    request: Request,
    response: Response,
    named: Annotated[
        Literal["json", "csv"] | SkipJsonSchema[None],
        Query(alias="format", description="`csv`: a table. Goes before the header `Accept`."),
    ] = None,
) -> bool:
    response.headers.add_vary_header("Accept")
    if named is not None:
        return named == "csv"
    return prefers_csv(",".join(request.headers.getlist("accept")))


CsvDep = Annotated[bool, Depends(_as_table)]
"""Dependency: true if the answer is to be CSV; the headers of the answer then say what chose it."""


GENERATION_HEADER: dict[str, Any] = {
    "X-Model-Generation": {
        "schema": {"type": "integer"},
        "description": "Generation of the symbol's pointer that led to the model.",
    }
}
"""Header of answers in the OpenAPI document."""


def model_headers(version: str, generation: int) -> dict[str, str]:
    """Headers that name the bundle of an answer, and the generation of its symbol's pointer.

    A version may be current more than once; a generation never is.
    """
    return {"X-Model-Version": version, "X-Model-Generation": str(generation)}


def name_model(response: Response, version: str, generation: int) -> None:
    """Add :func:`model_headers` to an answer that FastAPI makes."""
    response.headers.update(model_headers(version, generation))
