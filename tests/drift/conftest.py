"""Drift answers the same with compiled code and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from closecast.drift import native


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test twice: with the code compiled here, if any, and with NumPy alone."""
    with pytest.MonkeyPatch.context() as patched:
        if request.param == "numpy":
            patched.setattr(native, "loaded", None)
        yield
