"""What a caller would rather have: a page or JSON, English or Portuguese (RFC 9110, 12.4, 12.5)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from closecast.drift import Language

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def qualities(header: str) -> dict[str, float]:
    """What a header of the ``Accept`` family names, in lower case and in its order, to its weight.

    What is named twice counts as it is named last; a weight that is none counts as 0.

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
    """Whether ``text/html`` is named and no JSON is wanted as much."""
    named = qualities(accept)
    return named.get("text/html", 0.0) > named.get("application/json", 0.0)


def language_of(accept_language: str) -> Language:
    """Portuguese where any kind of it is wanted more than English; else English.

    Of two that are wanted as much, the one that is named first: so browsers mean it.

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
        if not own and language == "en":  # the wildcard: whatever there is, so the default
            own = [(named.get("*", 0.0), -len(named))]
        if own and max(own) > best:
            best, chosen = max(own), language
    return chosen


def request_language(request: Request) -> Language:
    """What the header ``Accept-Language`` (perhaps sent several times) of a request asks for."""
    return language_of(",".join(request.headers.getlist("accept-language")))


def language_headers(language: Language) -> dict[str, str]:
    """Of an answer whose sentences are in a language that was chosen by the request."""
    return {"Content-Language": language, "Vary": "Accept-Language"}


AcceptLanguage = Annotated[
    str | None,
    Header(
        alias="Accept-Language",
        description="Of the sentences: English, or Portuguese where that is preferred.",
        openapi_examples={
            "English": {"value": "en"},
            "Portuguese": {"value": "pt-BR, pt;q=0.9, en;q=0.5"},
        },
    ),
]
"""The header as it is documented; :func:`request_language` reads it."""


def _chosen(
    request: Request, response: Response, _accept_language: AcceptLanguage = None
) -> Language:
    language = request_language(request)
    response.headers.update(language_headers(language))
    return language


LanguageDep = Annotated[Language, Depends(_chosen)]
"""The language of a route's sentences; names it in the headers of the answer."""
