"""``Trouble``: a reason for which a service is degraded, and the next step against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TroubleCode = Literal[
    "no_model",
    "bundle_gone",
    "bundle_refused",
    "other_format",
    "models_unreadable",
    "disk_full",
    "disk_low",
    "inodes_low",
    "folder_missing",
    "folder_read_only",
    "folder_failing",
    "folder_silent",
    "ledger_unusable",
    "ledger_damaged",
    "ledger_new",
    "worker_failing",
    "keys_unreadable",
    "log_failing",
    "clock_off",
]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One reason for which a service is degraded.

    Attributes
    ----------
    code : str
        Stable, for machines.
    message : str
        A sentence that names the place and the reason.
    remedy : str
        The next step, in the imperative.
    """

    code: TroubleCode
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}"
