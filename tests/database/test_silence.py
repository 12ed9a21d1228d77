"""Silence of processes, watched by several threads at once."""

from __future__ import annotations

from collections.abc import Iterator

from closecast.database.silence import SilenceWatch


def test_a_key_that_another_thread_sees_meanwhile_is_no_error() -> None:
    watch = SilenceWatch(lambda: 0.0)

    class Key(str):
        """Its comparison is the moment at which the other thread comes in."""

        def __hash__(self) -> int:
            if watch_is_full:
                watch.silent_s(next(names), 1)
            return super().__hash__()

    watch_is_full = False
    names: Iterator[str] = (f"process {n}" for n in range(100))
    keys = [Key("a"), Key("b")]
    for key in keys:
        watch.silent_s(key, 1)
    watch_is_full = True
    watch.forget_all_but(["c"])
    watch_is_full = False
    assert watch.silent_s("a", 1) == 0.0
