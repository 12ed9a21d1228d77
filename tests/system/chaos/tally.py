"""What was broken, when, how often, and which promise did not hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Blows by what they hit and at which moment, and the violations that came of them."""

    blows: Counter[tuple[str, str]] = field(default_factory=Counter)
    kept: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def blow(self, what: str, moment: str) -> None:
        """Count one."""
        self.blows[what, moment] += 1

    def hold(self, promise: str, times: int = 1) -> None:
        """Count promises that were looked at, whatever came of it."""
        self.kept[promise] += times

    def blame(self, where: str, broken: Iterable[str]) -> None:
        """Note what did not hold."""
        self.violations += [f"{where}: {one}" for one in broken]

    @property
    def kills(self) -> int:
        """Processes (or groups of them) that got SIGKILL."""
        return sum(n for (what, _), n in self.blows.items() if what.startswith("kill -9"))

    def text(self) -> str:
        """The table."""
        lines = [f"{'what':<44}{'moment':<48}{'times':>6}"]
        lines += [
            f"{what:<44}{moment:<48}{times:>6}"
            for (what, moment), times in sorted(self.blows.items())
        ]
        lines += ["", *(f"looked at: {promise}: {n}" for promise, n in sorted(self.kept.items()))]
        lines += [f"VIOLATION: {one}" for one in self.violations]
        lines.append(f"kill -9: {self.kills}; violations: {len(self.violations)}")
        return "\n".join(lines)
