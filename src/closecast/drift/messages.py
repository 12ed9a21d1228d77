"""Sentences of findings, in English and Portuguese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from closecast.core.verdict import Code, Verdict

Language = Literal["en", "pt"]

_ENGLISH: Mapping[str, str] = {
    "unit_error": "A close is {factor} times the one before: another unit (cents, thousands)?",
    "unit_error:whole": "The closes are {factor} times the known ones: another unit?",
    "unit_error:known": "Your closes leave ours on {date}: × {ratio}, another unit?",
    "unit_error:gap": "The first close is {factor} times the last known one: another unit?",
    "split": "A move of {move} % like a {ratio} split that was not adjusted for.",
    "split:known": "Your closes leave ours on {date}: × {ratio}, a {split} split or bonus that "
    "only one of us adjusted for.",
    "split:or_news": "A real move of that size looks the same: volumes would tell.",
    "split:unsure": "A move of {move} %, {times} times the usual day: news, or a {ratio} split "
    "that was not adjusted for? Volumes would tell.",
    "frozen_feed": "The close did not change for {rows} rows in a row: is the feed frozen?",
    "filled_days": "{rows} days repeat the close before: days without a session, filled?",
    "filled_days:known": "{rows} closes are repeated or on a line where ours move, the first on "
    "{date}: filled?",
    "filled_days:again": "{rows} rows repeat earlier closes, the first those of {date}: sent "
    "twice, or days without a session?",
    "missing_days": "{missing} sessions are missing inside, the first {date}: these are not closes "
    "of one session after the other.",
    "filled_days:dated": "{rows} rows are of days without a session, the first of {date}.",
    "wrong_symbol": "The first close is {distance} % from the last known one: another symbol's?",
    "wrong_symbol:named": "These are the closes of {symbol} from {first} to {last}.",
    "wrong_symbol:known": "From {date} on, {rows} closes are not the symbol's: other ones spliced "
    "in?",
    "wrong_symbol:unlike": "Not the symbol's closes: on {rows} known days the moves differ "
    "(correlation {correlation}).",
    "stale_window": "These closes end on {last}, not on {claimed}: {sessions} sessions apart.",
    "spike": "One close stands apart ({move} %, {times} times the usual day) and the next is back: "
    "a wrong close?",
    "spike:known": "Your closes leave ours on {date}: × {ratio} ({rows} of them differ): a wrong "
    "close?",
    "reversed_order:known": "{rows} closes are out of order, the first on {date}.",
    "reversed_order": "The closes are in reversed order, or out of order: oldest first is needed.",
    "level_gap:known": "Your closes leave ours on {date}: × {ratio} in {rows} rows: another price "
    "basis?",
    "level_gap": "The first close is {distance} % from the last known one, more than the market "
    "moves in that time: another symbol, unit or price basis?",
    "volatility_high": "High volatility detected ({times}x the training level).",
    "volatility_high:before": "High volatility detected ({times}x that just before the window).",
    "volatility_high:week": "High volatility detected (the last five sessions: {times}x those "
    "before).",
    "volatility_low": "Low volatility detected ({times}x the training level).",
    "volatility_low:before": "Low volatility detected ({times}x that just before the window).",
    "trend": "The last {sessions} sessions moved {move} % in one direction, more than chance does.",
    "shock": "One session moved {move} %, {times} times the usual day: news, not a usual market.",
    "shock:market": "One session moved {move} % when the others of the market moved {market} % in "
    "the median: news, not a wrong close.",
    "closes_held": "Closes since {held_since} are held back as probably wrong: nothing learns from "
    "them, and the forecast starts from the close of {origin}.",
    "shock:unsure": "A move of {move} %, {times} times the usual day: news, or a {ratio} split "
    "that was not adjusted for? Volumes would tell.",
}
_PORTUGUESE: Mapping[str, str] = {
    "unit_error": "Um fechamento é {factor} vezes o anterior: outra unidade (centavos, milhares)?",
    "unit_error:whole": "Os fechamentos são {factor} vezes os conhecidos: outra unidade?",
    "unit_error:known": "Seus fechamentos deixam os nossos em {date}: × {ratio}, outra unidade?",
    "unit_error:gap": "O primeiro fechamento é {factor} vezes o último conhecido: outra unidade?",
    "split": "Um movimento de {move} % como um desdobramento {ratio} sem ajuste.",
    "split:known": "Seus fechamentos deixam os nossos em {date}: × {ratio}, um desdobramento ou "
    "bonificação {split} que só um de nós ajustou.",
    "split:or_news": "Um movimento real desse tamanho é igual: o volume diria qual dos dois é.",
    "split:unsure": "Um movimento de {move} %, {times} vezes o dia usual: notícia, ou um "
    "desdobramento {ratio} sem ajuste? O volume diria qual dos dois é.",
    "frozen_feed": "O fechamento não mudou por {rows} linhas seguidas: a fonte travou?",
    "filled_days": "{rows} dias repetem o fechamento anterior: dias sem pregão, preenchidos?",
    "filled_days:known": "{rows} fechamentos se repetem ou ficam em linha reta onde os nossos "
    "andam, o primeiro em {date}: preenchidos?",
    "filled_days:again": "{rows} linhas repetem fechamentos anteriores, as primeiras os de {date}: "
    "enviados duas vezes, ou dias sem pregão?",
    "missing_days": "Faltam {missing} pregões dentro da janela, o primeiro em {date}: estes não "
    "são fechamentos de um pregão após o outro.",
    "filled_days:dated": "{rows} linhas são de dias sem pregão, a primeira de {date}.",
    "wrong_symbol": "O primeiro fechamento está a {distance} % do último conhecido: de outro "
    "ativo?",
    "wrong_symbol:named": "Estes são os fechamentos de {symbol} de {first} a {last}.",
    "wrong_symbol:known": "A partir de {date}, {rows} fechamentos não são os do ativo: de outro, "
    "emendados?",
    "wrong_symbol:unlike": "Não são os fechamentos do ativo: em {rows} dias conhecidos os "
    "movimentos diferem (correlação {correlation}).",
    "stale_window": "Estes fechamentos terminam em {last}, não em {claimed}: {sessions} pregões de "
    "diferença.",
    "spike": "Um fechamento destoa ({move} %, {times} vezes o dia usual) e o seguinte volta: "
    "fechamento errado?",
    "spike:known": "Seus fechamentos deixam os nossos em {date}: × {ratio} ({rows} deles "
    "diferem): fechamento errado?",
    "reversed_order:known": "{rows} fechamentos estão fora de ordem, o primeiro em {date}.",
    "reversed_order": "Os fechamentos estão em ordem inversa, ou fora de ordem: o mais antigo deve "
    "vir primeiro.",
    "level_gap:known": "Seus fechamentos deixam os nossos em {date}: × {ratio} em {rows} linhas: "
    "outra base de preço?",
    "level_gap": "O primeiro fechamento está a {distance} % do último conhecido, mais do que o "
    "mercado anda nesse tempo: outro ativo, unidade ou base de preço?",
    "volatility_high": "Volatilidade alta detectada ({times}x o nível de treino).",
    "volatility_high:before": "Volatilidade alta detectada ({times}x a de logo antes da janela).",
    "volatility_high:week": "Volatilidade alta detectada (os últimos cinco pregões: {times}x os "
    "anteriores).",
    "volatility_low": "Volatilidade baixa detectada ({times}x o nível de treino).",
    "volatility_low:before": "Volatilidade baixa detectada ({times}x a de logo antes da janela).",
    "trend": "Os últimos {sessions} pregões andaram {move} % em uma direção, mais do que o acaso.",
    "shock": "Um pregão andou {move} %, {times} vezes o dia usual: notícia, não mercado comum.",
    "shock:market": "Um pregão andou {move} % quando os outros do mercado andaram {market} % na "
    "mediana: notícia, não fechamento errado.",
    "closes_held": "Os fechamentos desde {held_since} estão retidos por serem provavelmente "
    "errados: nada aprende com eles, e a previsão parte do fechamento de {origin}.",
    "shock:unsure": "Um movimento de {move} %, {times} vezes o dia usual: notícia, ou um "
    "desdobramento {ratio} sem ajuste? O volume diria qual dos dois é.",
}
SENTENCES: Mapping[Language, Mapping[str, str]] = {"en": _ENGLISH, "pt": _PORTUGUESE}
"""Language to code (and variant) to template over a finding's facts."""


def sentence(
    code: Code,
    facts: Mapping[str, int | float | str],
    alternatives: Sequence[Code] = (),
    language: Language = "en",
) -> str:
    """Write the sentence of a finding.

    >>> sentence("frozen_feed", {"rows": 7}, language="pt")
    'O fechamento não mudou por 7 linhas seguidas: a fonte travou?'
    """
    templates = SENTENCES[language]
    name = "closes_held" if "held_since" in facts else f"{code}{_variant(code, facts)}"
    text = templates[name].format(**facts)
    if code == "split" and tuple(alternatives) == ("shock",):
        text = f"{text} {templates['split:or_news']}"
    return text


def in_language(verdict: Verdict, language: Language) -> Verdict:
    """Return a verdict with its sentences in another language."""
    return replace(
        verdict,
        findings=tuple(
            replace(f, sentence=sentence(f.code, f.facts, f.alternatives, language))
            for f in verdict.findings
        ),
    )


def _variant(code: Code, facts: Mapping[str, int | float | str]) -> str:
    if "known" in facts and code != "frozen_feed":  # known closes beside it
        return ":again" if facts["known"] == "again" else ":known"
    if code == "unit_error":
        return ":whole" if "whole" in facts else ":gap" if "distance" in facts else ""
    if code == "wrong_symbol":
        return ":named" if "symbol" in facts else ":unlike" if "correlation" in facts else ""
    if code == "filled_days":
        return ":dated" if "date" in facts else ""
    if code in ("split", "shock"):
        return ":market" if "market" in facts else ":unsure" if "unsure" in facts else ""
    than = facts.get("than", "training")
    return "" if than == "training" else f":{than}"
