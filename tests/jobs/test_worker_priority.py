"""Priority of worker processes beside that of the service."""

from __future__ import annotations

import pytest

from closecast.jobs import worker
from closecast.settings import Settings


@pytest.mark.parametrize(("own", "wanted"), [(0, 10), (5, 10), (15, 15)])
def test_a_worker_is_never_to_have_more_than_the_service(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, own: int, wanted: int
) -> None:
    niceness = own

    def nice(increment: int) -> int:
        nonlocal niceness
        if increment < 0:
            raise PermissionError(1, "Operation not permitted")
        niceness += increment
        return niceness

    monkeypatch.setattr(worker.os, "nice", nice)
    worker.run_worker(settings, queues=("fast",), once=True)
    assert niceness == wanted
