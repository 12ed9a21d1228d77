"""The smallest request that still breaks the same promise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from tests.system.fuzz.fuzz_case import FuzzCase

_MOST_TRIES = 400


async def smallest_of(
    case: FuzzCase, wrong: str, wrong_with: Callable[[FuzzCase], Awaitable[str | None]]
) -> FuzzCase:
    """Leave out headers, parameters and pieces of the body, as long as the same is wrong."""
    tries, shrunk = 0, True
    while shrunk:
        shrunk = False
        for smaller in _smaller(case):
            tries += 1
            if tries > _MOST_TRIES:
                return case
            if await wrong_with(smaller) == wrong:
                case, shrunk = smaller, True
                break
    return case


def _smaller(case: FuzzCase) -> Iterator[FuzzCase]:
    for i in range(len(case.headers)):
        yield replace(case, headers=case.headers[:i] + case.headers[i + 1 :])
    path, mark, query = case.target.partition(b"?")
    if mark:
        yield replace(case, target=path)
        pairs = query.split(b"&")
        for i in range(len(pairs) if len(pairs) > 1 else 0):
            rest = b"&".join(pairs[:i] + pairs[i + 1 :])
            yield replace(case, target=path + b"?" + rest)
    size = len(case.body)
    while size:
        for start in range(0, len(case.body), size):
            yield case.with_body(case.body[:start] + case.body[start + size :])
        size //= 2
