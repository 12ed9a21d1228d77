"""Windows as they are sent, fitted to a model: cut to its length, with the closes known beside."""

from __future__ import annotations

from collections.abc import Mapping

from api.schemas.predictions import Window, newest_of
from closecast.drift import Context, Language
from closecast.serving import MarketContext, Snapshot

_LEFT_OUT: Mapping[Language, str] = {
    "en": "{left_out} older closes were left out: the model reads the newest {used}.",
    "pt": "{left_out} fechamentos mais antigos ficaram de fora: o modelo lê os {used} mais novos.",
}
_POOLED: Mapping[Language, str] = {
    "en": "{symbol} has no model of its own: that of {model_symbol} answered, with past errors of "
    "all symbols that it was trained on.",
    "pt": "{symbol} não tem modelo próprio: respondeu o de {model_symbol}, com os erros passados "
    "de todos os símbolos em que foi treinado.",
}


def fit_to_model(window: Window, snapshot: Snapshot) -> tuple[Window, int]:
    """Cut a longer window to the model's newest closes; also count those that are left out."""
    length = snapshot.manifest.info.seq_length
    if len(window.prices) <= length:
        return window, 0
    cut = newest_of(window, length)
    return cut, cut.sent - length


def context_of(
    window: Window, symbol: str | None, snapshot: Snapshot, closes: MarketContext
) -> Context:
    """Find what is known beside a window; ``symbol`` is the canonical one, if one was named."""
    if snapshot.is_pooled and symbol is not None:
        return closes.context_without_model(symbol, window.as_of, window.sessions, window.volume)
    return closes.context(
        snapshot, symbol is not None, window.as_of, window.sessions, window.volume
    )


def notes_of(
    snapshot_symbol: str, symbol: str | None, used: int, left_out: int, language: Language
) -> list[str]:
    """Write sentences on how a window was read, in a caller's language.

    Parameters
    ----------
    snapshot_symbol : str
        Symbol whose model answered.
    symbol : str or None
        Symbol without a model that was named; ``None`` if it has one, or none was named.
    used, left_out : int
        Newest closes that the model reads, and older ones that were sent before them.
    """
    notes = []
    if symbol is not None:
        notes.append(_POOLED[language].format(symbol=symbol, model_symbol=snapshot_symbol))
    if left_out:
        notes.append(_LEFT_OUT[language].format(left_out=left_out, used=used))
    return notes
