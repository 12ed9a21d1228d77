"""Check of the scores: all rows of the test part, compared with the right closes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from closecast.calibration import AdaptiveState
from closecast.core.arrays import FloatArray
from closecast.core.forecast import Forecast
from closecast.core.prices import Prices
from closecast.evaluation import Evaluation, HistoryForecasts
from closecast.forecasters import Predictor
from closecast.validation.leakage.evidence import LeakEvidence, LeakFindings, windows_of


def check_scores(
    evidence: LeakEvidence,
    evaluations: Sequence[Evaluation],
    followed: HistoryForecasts,
    findings: LeakFindings,
) -> None:
    """Require every origin after the purge with all its targets, and errors of the right closes."""
    length, horizon = evidence.predictor.seq_length, evidence.predictor.horizon
    name = evidence.predictor.name
    for split, evaluation in zip(evidence.splits, evaluations, strict=True):
        prices = evidence.closes_of(split)
        symbol, begin = prices.symbol, len(prices) - len(split.test)
        origins = np.arange(begin + length - 1, len(prices) - horizon)
        days = prices.sessions[origins]
        judged = (evaluation.symbol, evaluation.first_origin, evaluation.last_origin)
        findings.expect(
            judged == (symbol, str(days[0]), str(days[-1])) and evaluation.origins == len(days),
            "evaluation",
            symbol,
            f"judged {evaluation.origins} origins from {evaluation.first_origin} to "
            f"{evaluation.last_origin}; the test part has {len(days)} from {days[0]} to {days[-1]}",
        )
        live = followed.forecasts[symbol]
        whole = len(live.location) == len(origins)
        findings.expect(
            whole and np.array_equal(live.last_close, prices.closes[origins]),
            "evaluation",
            symbol,
            "its forecasts with history do not start from the closes of its origins",
        )
        if not whole:
            continue
        closes = prices.closes[origins[:, None] + np.arange(1, horizon + 1)]
        window = evidence.predictor.predict_batch(windows_of(prices.closes, origins, length))
        naive = np.abs(closes - prices.closes[origins][:, None]).mean(axis=0)
        for mode, forecast in (("window only", window), ("with history", live)):
            row = next(r for r in evaluation.rows if (r.forecaster, r.mode) == (name, mode))
            stated = np.array([(step.mae, step.naive_mae) for step in row.steps])
            findings.expect(
                np.allclose(stated, np.stack([_errors(forecast, closes), naive], 1), rtol=1e-7),
                "scores",
                symbol,
                f"{mode}: the stated errors are not those against the collected closes",
            )


def _errors(forecast: Forecast, closes: FloatArray) -> FloatArray:
    return np.asarray(np.abs(closes - forecast.price).mean(axis=0))


def check_followed(
    evidence: LeakEvidence, followed: HistoryForecasts, findings: LeakFindings
) -> None:
    """Require that live states, from which serving continues, are as of the last close."""
    for split in evidence.splits:
        prices = evidence.closes_of(split)
        state = followed.states[prices.symbol]
        findings.expect(
            state.session == prices.sessions[-1] and state.last_close == prices.closes[-1],
            "live calibration",
            prices.symbol,
            f"is as of {state.session}, the closes end on {prices.sessions[-1]}",
        )
        check_realised(state, prices, findings)


def check_realised(state: AdaptiveState, prices: Prices, findings: LeakFindings) -> None:
    """Require that each live score was added after its target session, and is that session's."""
    row = int(np.searchsorted(prices.sessions, state.session))
    waiting = len(state.origins)
    for back in range(min(waiting, len(state.scores))):  # sessions since the origin
        scores = state.scores[-1 - back]
        findings.expect(
            np.isnan(scores[back:]).all(),
            "live calibration",
            prices.symbol,
            f"as of {state.session} holds scores of sessions that were yet to come",
        )
        moves = np.log(prices.closes[row - back + 1 : row + 1] / prices.closes[row - back])
        errors = (moves - state.location[-1 - back, :back]) / state.scale[-1 - back, :back]
        known = np.isfinite(scores[:back])
        findings.expect(
            np.allclose(scores[:back][known], errors[known], rtol=1e-6, atol=1e-9),
            "live calibration",
            prices.symbol,
            f"as of {state.session} holds scores that are not of its forecasts' target sessions",
        )


def check_baselines(
    evidence: LeakEvidence, baselines: Iterable[tuple[str, Predictor]], findings: LeakFindings
) -> None:
    """Require that baselines were fitted to the same training part as the candidate."""
    allowed = {split.test.symbol: split.train.content_hash for split in evidence.splits}
    for symbol, predictor in baselines:
        findings.expect(
            tuple(predictor.training.learned_from) == (allowed[symbol],),
            "fit",
            symbol,
            f"{predictor.name} was learned from other closes than the training part",
        )
