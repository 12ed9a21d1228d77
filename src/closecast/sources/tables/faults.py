"""The one fault for which a file is refused."""

from __future__ import annotations


class Fault(Exception):
    """A reason to refuse a file, before the file and the symbol are named.

    Parameters
    ----------
    rule : str
        The rule that is broken, as in :class:`~closecast.errors.PriceProblem`.
    message : str
        One sentence for the whole file.
    date : str, optional
        ISO date of the first row concerned.
    advice : str, optional
        The next step of who has the file.

    Attributes
    ----------
    seen : tuple of (str, str)
        What was found before the fault, by name: layout, columns, lines left out.
    """

    def __init__(
        self, rule: str, message: str, date: str | None = None, *, advice: str = ""
    ) -> None:
        super().__init__(message)
        self.rule, self.message, self.date, self.advice = rule, message, date, advice
        self.seen: tuple[tuple[str, str], ...] = ()
