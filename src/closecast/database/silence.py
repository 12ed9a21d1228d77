"""Silence of another process, measured without its clock."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable


class SilenceWatch:
    """Measures for how long signs of life have not changed, on the clock of the watching process.

    The times that another machine writes down are those of its own clock, which may be hours away
    or be set at any moment; that something changed needs no clock to be seen.

    Parameters
    ----------
    clock : callable
        Seconds on a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[Hashable, float]] = {}

    def silent_s(self, key: str, sign: Hashable) -> float:
        """Return the seconds since this sign of life was first seen; 0 at the first look.

        Parameters
        ----------
        key : str
            Name of the job or process.
        sign : hashable
            Its last sign of life: any value that is another after the next one.
        """
        now = self._clock()
        last = self._seen.get(key)
        if last is None or last[0] != sign:
            self._seen[key] = (sign, now)
            return 0.0
        return now - last[1]

    def forget_all_but(self, keys: Iterable[str]) -> None:
        """Drop everything that is no longer watched."""
        kept = {*keys}
        # A copy: another thread may see a new key meanwhile.
        self._seen = {key: seen for key, seen in [*self._seen.items()] if key in kept}
