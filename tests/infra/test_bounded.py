"""Calls that may hang never keep an answer waiting for long."""

from __future__ import annotations

import threading

import pytest

from closecast.infra.bounded import BoundedCall


def test_the_result_is_answered() -> None:
    call = BoundedCall("test", lambda: 7)
    call.begin()
    assert call.answer().value == 7
    assert call.answer().silent_s == 0


def test_a_result_is_kept_for_a_while() -> None:
    calls: list[int] = []
    call = BoundedCall("test", lambda: calls.append(1), keep_s=60)
    for _ in range(3):
        call.begin()
        call.answer()
    assert len(calls) == 1


def test_a_call_that_hangs_is_reported_with_the_last_value() -> None:
    go_on, values = threading.Event(), iter([1, 2])
    go_on.set()

    def hang() -> int:
        go_on.wait(30)
        return next(values)

    call = BoundedCall("test", hang, patience_s=0.05)
    call.begin()
    assert call.answer().value == 1
    go_on.clear()
    call.begin()
    hanging = call.answer()
    assert (hanging.value, hanging.silent_s > 0) == (1, True)
    threads = threading.active_count()
    for _ in range(5):
        call.begin()
        call.answer()
    assert threading.active_count() == threads, "one call hangs, not one per question"
    go_on.set()
    call = BoundedCall("test", lambda: 3)
    call.begin()
    assert call.answer().value == 3


def test_a_call_that_fails_is_no_call_that_hangs() -> None:
    outcomes: list[int | None] = [1, None, 2]

    def fail() -> int:
        if (value := outcomes.pop(0)) is None:
            raise PermissionError("no look inside")
        return value

    call = BoundedCall("test", fail, patience_s=10)
    seen = []
    for _ in range(3):
        call.begin()
        seen.append((call.answer().value, call.answer().silent_s))
    assert seen == [(1, 0), (1, 0), (2, 0)]


def test_a_thread_that_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    call = BoundedCall("test", lambda: 7, patience_s=10)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda self: _no_thread())
        with pytest.raises(RuntimeError):
            call.begin()
    call.begin()
    assert call.answer().value == 7


def _no_thread() -> None:
    raise RuntimeError("can't start new thread")
