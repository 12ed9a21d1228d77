"""Requests at random, each from the seed and its number alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

from tests.system.fuzz.fuzz_case import FuzzCase, Header
from tests.system.fuzz.json_texts import NUMBERS, TEXTS, Raw, spoiled

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get")
_JSON: Header = (b"content-type", b"application/json")
_NDJSON: Header = (b"content-type", b"application/x-ndjson")
_CONTENT_TYPES = (
    *(
        b"text/plain",
        b"",
        b"application/problem+json",
        b"application/x-www-form-urlencoded",
        b"json",
    ),
    *(b"application/json; charset=utf-16", b"APPLICATION/JSON", b"multipart/form-data; boundary=x"),
    *(
        b"application/json" * 50,
        b"\xff",
        b"application/vnd.api+json",
        b"image/png, application/json",
    ),
)
_VALUES: Mapping[bytes, Sequence[bytes]] = {
    b"x-request-id": (b"ab.c-1", b"", b"x" * 65, b"a b", b"\xe9", b"<script>", b"a\tb", b"1" * 64),
    b"accept-language": (
        *(b"pt-BR,pt;q=0.9", b"en", b"*", b"", b"pt;q=1e9", b"pt;q=nan", b";;;,,,", b"pt;q=0.0001"),
        *(b"\xff\xfe", b"pt," * 500, b"q=1", b"pt;q=1;q=0", "pt;q=\u0661".encode()),
    ),
    b"accept": (b"text/html", b"application/json", b"*/*;q=0", b"text/html;q=x", b"", b"a/" * 500),
    b"accept-encoding": (b"gzip", b"gzip;q=0", b"br", b"identity;q=0", b"*", b"gzip" * 100),
    b"idempotency-key": (b"a", b"", b"x" * 255, b"x" * 256, b"\xe9\xff", b"'", b"a,b", b"\t"),
    b"if-match": (
        b"*",
        b'"0"',
        b"0",
        b'W/"1"',
        b'"' * 64,
        b'"0", "1"',
        b"x" * 65,
        b"\xff",
        b"",
        b",",
    ),
    b"if-none-match": (b"*", b'"0"', b'W/"x"', b'"' * 300, b"\xff", b"", b"x" * 5_000),
    b"authorization": (
        b"Bearer",
        b"Bearer ",
        b"Basic eDp5",
        b"bearer \xff",
        b"Bearer " + b"x" * 5_000,
    ),
    b"x-api-key": (b"x", b"", b"\xff", b"closecast_" + b"A" * 43, b"y" * 5_000),
    b"x-forwarded-for": (b"127.0.0.1", b"::1, 10.0.0.1", b"", b"\xff", b"," * 300, b"unknown"),
    b"x-forwarded-proto": (b"https", b"gopher", b""),
    b"forwarded": (b"for=127.0.0.1", b"\xff"),
    b"sec-fetch-site": (b"cross-site", b"same-site", b"same-origin", b"none", b"\xff"),
    b"origin": (b"http://evil.example", b"null", b""),
    b"host": (
        *(
            b"127.0.0.1:8000",
            b"localhost",
            b"[::1]:8000",
            b"evil.example",
            b"",
            b"[",
            b"]",
            b"[::1",
        ),
        *(
            b"a b",
            b"x@y",
            b"127.0.0.1:99999999",
            b"127.0.0.1:x",
            b"\xff",
            b"/",
            b"?",
            b"#",
            b"a/b\\c",
        ),
        *(b"[v1.x]", b"\xe2\x84\x80", b"x" * 5_000),
    ),
    b"range": (b"bytes=0-0", b"bytes=-1", b"lines=x"),
    b"expect": (b"100-continue", b"x"),
    b"cookie": (b"a=b; " * 100, b"\xff"),
    b"content-encoding": (b"gzip", b"identity"),
    b"connection": (b"close", b"x"),
    b"x-http-method-override": (b"DELETE",),
}
_TRICKS: Sequence[Callable[[bytes], bytes]] = (
    lambda path: b"/" + path,
    lambda path: path + b"/",
    lambda path: path + b"//",
    lambda path: path.replace(b"/", b"//"),
    lambda path: b"/x/.." + path,
    lambda path: b"/%2e%2e" + path,
    lambda path: b"/." + path,
    lambda path: path + b"%00",
    lambda path: path + b"%0d%0aX-Evil:%201",
    lambda path: path + b";x=1",
    lambda path: path + b".json",
    lambda path: path + b"%2f..%2f..%2fetc%2fpasswd",
    lambda path: path.upper(),
    lambda path: b"/%" + path[1:2].hex().encode() + path[2:],
    lambda path: path.replace(b"e", b"%D0%B5"),  # a Cyrillic letter that looks the same
    lambda path: path.replace(b"/", b"%2f"),
    lambda path: path.replace(b"/", b"%5c"),
    lambda path: path + b"%ff%fe",
    lambda path: path + b"%ed%a0%80",
    lambda path: path + b"%",
    lambda path: path[:-1],
    lambda path: b"/static-offline-docs/.." + path,
    lambda path: b"/static-offline-docs/" + path[1:],
    lambda path: b"/static-offline-docs/..%2f..%2f..%2f..%2fetc%2fpasswd",
    lambda path: b"/" + b"a/" * 500,
    lambda path: b"/" + b"%41" * 3_000,
    lambda path: b"*",
)
_PAGES = (
    "/docs",
    "/redoc",
    "/openapi.json",
    "/docs/oauth2-redirect",
    "/static-offline-docs/swagger-ui.css",
)
_LARGE = 0.03  # of the bodies for a batch: they take a hundred times as long
_CLIENTS = ("127.0.0.1",) * 8 + ("203.0.113.7", "2001:db8::1")


class Maker:
    """Makes requests to the routes of a document.

    Parameters
    ----------
    document : mapping
        OpenAPI.
    bodies : mapping
        By path, valid bodies of its POST; for other paths the examples of the document are used.
    known : mapping
        By the name of a parameter, values that lead somewhere.
    tokens : sequence of str
        API keys; without any, some requests still bring made-up ones.
    """

    def __init__(
        self,
        seed: int,
        document: Mapping[str, Any],
        bodies: Mapping[str, Sequence[Any]],
        known: Mapping[str, Sequence[str]],
        tokens: Sequence[str] = (),
    ) -> None:
        self._seed = seed
        self._operations = [
            (method.upper(), path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]
        # What computes most is asked most.
        weights = {"/predict": 6, "/predict/batch": 4, "/drift": 3, "/train": 2, "/config": 2}
        self._weights = [
            weights.get(path, 1) if method == "POST" else 1 for method, path, _ in self._operations
        ]
        self._bodies = {
            **{
                path: examples
                for _, path, operation in self._operations
                if (examples := examples_of(document, operation))
            },
            **bodies,
        }
        self._known = known
        self._tokens = tokens

    def make(self, number: int) -> FuzzCase:
        """The request of a number; the same one for the same seed."""
        random = Random(f"{self._seed}:{number}")
        [(method, template, operation)] = random.choices(self._operations, self._weights)
        parameters = operation.get("parameters", [])
        path = self._path(random, template, parameters)
        query = self._query(random, parameters)
        headers = self._headers(random)
        body = b""
        if "requestBody" in operation:
            valid = random.choice(self._bodies[template])
            body = spoiled(random, valid) if random.random() < 0.97 else b""
            kind = _JSON
            if template == "/predict/batch" and random.random() < _LARGE:
                kind, body = _NDJSON, _lines(random, valid["windows"])
            if random.random() < 0.95:
                headers = (kind, *headers)
        elif random.random() < 0.03:
            body = spoiled(random, {"prices": [1.0, 2.0]})
        if random.random() < 0.06:
            method = random.choice(_METHODS)
        return FuzzCase(method, path + query, headers, body, random.choice(_CLIENTS))

    def _path(self, random: Random, template: str, parameters: Sequence[Any]) -> bytes:
        if random.random() < 0.02:
            template = random.choice(_PAGES)
        path = template
        for parameter in parameters:
            if parameter["in"] == "path":
                name = parameter["name"]
                value = self._value(random, name, 0.6)
                path = path.replace(f"{{{name}}}", _quoted(random, value, safe=""))
        sent = path.encode("ascii")
        if random.random() < 0.08:
            sent = random.choice(_TRICKS)(sent)
        return sent

    def _query(self, random: Random, parameters: Sequence[Any]) -> bytes:
        pairs = []
        for parameter in parameters:
            if parameter["in"] == "query" and random.random() < 0.5:
                value = self._value(random, parameter["name"], 0.5)
                pairs.append(f"{parameter['name']}={_quoted(random, value, safe=',:')}")
        if random.random() < 0.05:
            pairs.append(
                random.choice(("", "&", "=", "a", "%", "%ff=%ff", "x=" + "y" * 5_000, "a[]=1"))
            )
        if pairs and random.random() < 0.1:
            pairs.append(pairs[0])
        return ("?" + "&".join(pairs)).encode("ascii") if pairs else b""

    def _value(self, random: Random, name: str, valid: float) -> str:
        if random.random() < valid and name in self._known:
            return random.choice(self._known[name])
        value = random.choice((*TEXTS, *NUMBERS))
        return value.text if isinstance(value, Raw) else str(value)

    def _headers(self, random: Random) -> tuple[Header, ...]:
        headers: list[Header] = []
        for _ in range(random.choice((0, 0, 0, 1, 1, 2, 4))):
            name = random.choice([*_VALUES])
            headers.append((name, random.choice(_VALUES[name])))
        if not any(name == b"host" for name, _ in headers):
            headers.insert(0, (b"host", b"127.0.0.1:8000"))
        if self._tokens and random.random() < 0.9:
            token = random.choice(self._tokens).encode()
            one = (b"authorization", b"Bearer " + token), (b"x-api-key", token)
            headers.insert(random.randrange(len(headers) + 1), random.choice(one))
        return tuple(headers)


def examples_of(document: Mapping[str, Any], operation: Mapping[str, Any]) -> list[Any]:
    """Examples of an operation's JSON body: its named ones, else those of its schema, else ``{}``.

    >>> body = {"content": {"application/json": {"schema": {"examples": [{"a": 1}]}}}}
    >>> examples_of({}, {"requestBody": body}), examples_of({}, {})
    ([{'a': 1}], [])
    """
    if "requestBody" not in operation:
        return []
    content = operation["requestBody"]["content"].get("application/json", {})
    if named := content.get("examples"):
        return [example["value"] for example in named.values()]
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return [*schema.get("examples", [{}])]


def _lines(random: Random, windows: Sequence[Any]) -> bytes:
    """Hundreds of windows, one per line; some batches have a spoiled line, or end too early."""
    lines = [json.dumps(random.choice(windows)).encode() for _ in range(random.randrange(1, 900))]
    way = random.random()
    if way < 0.3:
        lines[random.randrange(len(lines))] = spoiled(random, random.choice(windows))
    body = b"\n".join(lines)
    return body if way < 0.9 else body[: random.randrange(len(body))]


def _quoted(random: Random, text: str, safe: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")[:3_000]
    if random.random() < 0.1:
        return "".join(f"%{byte:02x}" for byte in raw)
    return quote_from_bytes(raw, safe)


def bodies_of(
    closes: Sequence[float], sessions: Sequence[str], version: str
) -> dict[str, list[Any]]:
    """Valid bodies by path, around one real window of closes.

    Parameters
    ----------
    sessions : sequence of str
        Their dates.
    version : str
        Of a bundle that may be promoted.
    """
    window = {"prices": [*closes]}
    dated = {**window, "symbol": "MSFT", "sessions": [*sessions], "volume": [1e6] * len(closes)}
    short = {"prices": [100.0, 101.5, 99.25]}
    windows = [window, {**window, "symbol": "AAPL"}, {**window, "symbol": "ACME"}, short, dated]
    return {
        "/predict": [
            *({**one, "levels": [0.5, 0.9], "timing": True} for one in windows),
            *(window, {**window, "symbol": "MSFT", "as_of": sessions[-1]}, dated),
            *({"predict": [*closes], "symbol": "AAPL"}, {"stock": "MSFT", "levels": [0.9]}),
        ],
        "/predict/batch": [{"windows": windows, "levels": [0.8]}, {"windows": [window] * 3}],
        "/drift": [{"windows": windows[:2]}, {"windows": [dated]}],
        "/train": [
            {"hyperparameters": {"num_epochs": 2, "learning_rate": 0.005}, "preset": "quick"},
            {"symbols": ["MSFT", "KO"], "source": "sample", "start": "2016-01-04", "end": None},
            {"symbol": "KO", "forecaster": "ewma", "fine_tune": False},
            {"stock": "KO", "inicio": "2016-01-04", "fim": "2021-12-31", "forecaster": "ewma"},
            {"symbol": "MSFT", "fine_tune": True},
        ],
        "/config": [
            {"hyperparameters": {"hidden_size": 32, "num_epochs": None}},
            {"hyperparameters": {}, "forecaster": "lstm"},
        ],
        "/model/reload": [{"symbol": "MSFT"}, {}],
        "/model/promote": [
            {"symbol": "AAPL", "version": version, "reason": "fuzz", "by": "fuzz"},
            {"version": version, "reason": "fuzz", "expected_generation": 1},
        ],
        "/model/rollback": [{"symbol": "AAPL", "reason": "fuzz", "by": "fuzz"}, {"reason": "fuzz"}],
    }
