"""The interval benchmarks: nothing looks ahead, coverage is what it says, every row is printed."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.forecast import intervals, paths
from benchmarks.forecast.distributions import (
    BASELINE,
    constant_gaussian,
    crps_ratios,
    crps_table,
    three_ewma_half,
    without_drift,
)
from benchmarks.forecast.interval_table import Judge, replace_unusable
from benchmarks.forecast.methods import METHODS, REFERENCE
from benchmarks.forecast.methods.conformal import half_ends, half_quantiles, ordered, symmetric
from benchmarks.forecast.methods.scale import scores
from benchmarks.forecast.panel import Panel, sample_panel
from benchmarks.forecast.peer_methods import STEPS, PeerAnswers, ask_peers, late_origins
from benchmarks.peers import runner, statistical, volatility
from closecast.core.forecast import PROBABILITIES

PEERS = (*volatility.MODELS, *statistical.NAMES)


def noise(rows: int, symbols: int, seed: int = 0, moving: bool = False) -> np.ndarray:
    """Gaussian returns of 1 %, or such whose size wanders."""
    rng = np.random.default_rng(seed)
    size = np.exp(np.cumsum(rng.normal(0, 0.03, (rows, symbols)), axis=0)) if moving else 1.0
    return 0.01 * size * rng.standard_normal((rows, symbols))


def made_panel(first: str, rows: int, symbols: int = 2, seed: int = 1) -> Panel:
    days = np.arange(np.datetime64(first), np.datetime64("2040-01-01"))
    sessions = days[np.is_busday(days)][:rows]
    closes = np.vstack([np.zeros(symbols), np.cumsum(noise(rows, symbols, seed, True), axis=0)])
    return Panel(tuple(f"S{i}" for i in range(symbols)), sessions, closes)


# --- methods -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("cut", [45, 300, 560])
def test_bounds_depend_on_the_past_alone(name: str, cut: int) -> None:
    returns = noise(620, 3, moving=True)
    changed = returns.copy()
    changed[cut + 1 :] = 5 * noise(620, 3, seed=9)[cut + 1 :]
    for before, after in zip(METHODS[name](returns), METHODS[name](changed), strict=True):
        np.testing.assert_array_equal(before[: cut + 1], after[: cut + 1])


@pytest.mark.parametrize("name", METHODS)
def test_ninety_per_cent_of_even_noise_are_inside(name: str) -> None:
    returns = noise(2600, 6, seed=4)
    (lower, upper), _, _ = replace_unusable(METHODS[name](returns), np.full_like(returns, 0.01))
    inside = (lower[600:-1] <= returns[601:]) & (returns[601:] <= upper[600:-1])
    assert inside.mean() == pytest.approx(0.9, abs=0.02)


def test_the_symmetric_quantile_has_the_ranks_of_split_conformal() -> None:
    known = np.array([[-3.0], [1.0], [2.0], [-4.0]])  # n = 4: ranks over n + 1 = 5
    found = [symmetric(ordered(known), np.array([a]))[0] for a in (0.6, 0.2, 0.19, 1.0)]
    np.testing.assert_array_equal(found, [2.0, 4.0, np.inf, np.nan])


def test_half_quantiles_are_the_mean_of_both_kinds() -> None:
    known = noise(101, 2, seed=3)
    low, middle, high = half_quantiles(known, np.array([0.05, 0.5, 0.95]))
    signed = np.quantile(known, [0.05, 0.5, 0.95], axis=0, method="weibull")
    even = np.sort(np.abs(known), axis=0)[int(np.ceil(102 * 0.9)) - 1]
    symmetric_ones = np.stack([-even, 0 * even, even])
    np.testing.assert_allclose([low, middle, high], (signed + symmetric_ones) / 2)


def test_half_ends_are_half_quantiles_at_one_alpha_per_symbol() -> None:
    known = noise(101, 2, seed=3)
    lower, upper = half_ends(known, np.array([0.1, 0.2]))
    for s, ends in enumerate(([0.05, 0.95], [0.1, 0.9])):
        expected = half_quantiles(known, np.array(ends))[:, s]
        np.testing.assert_allclose([lower[s], upper[s]], expected)


# --- the table -----------------------------------------------------------------------------


def test_unusable_sets_become_the_widest_finite_one_so_far() -> None:
    volatility_ = np.array([[1.0], [1.0], [2.0], [1.0], [1.0]])
    lower = np.array([[-np.inf], [-1.5], [-np.inf], [np.nan], [-9.0]])
    (low, high), infinite, empty = replace_unusable((lower, -lower), volatility_)
    np.testing.assert_array_equal(high[:, 0], [3.0, 1.5, 3.0, 1.5, 9.0])
    np.testing.assert_array_equal(low, -high)
    assert (infinite.sum(), empty.sum()) == (2, 1)


def test_scores_of_known_bounds() -> None:
    panel = made_panel("2005-01-03", 1200)
    judge = Judge(panel)
    wide = np.full_like(panel.returns, 1.0)
    row = judge.score("wide", (-wide, wide))
    assert (row.coverage, row.worst_run, row.spread, row.crises[0]) == (1.0, 1.0, 0.0, 1.0)
    assert np.isnan(row.crises[1])  # the made sessions end before 2020
    width = 100 * (np.expm1(1.0) - np.expm1(-1.0))
    assert row.width * judge.reference_losses[0] == pytest.approx(width)
    assert row.winkler * judge.reference_losses[1] == pytest.approx(width)
    half = np.where(np.arange(2) == 0, 1.0, np.nan) * wide
    assert judge.score("one symbol", (-half, half)).symbols == 1
    reference = judge.score(REFERENCE, METHODS[REFERENCE](panel.returns))
    assert (reference.width, reference.winkler) == (1.0, 1.0)


def test_every_row_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = made_panel("2005-01-03", 1200)
    bounds = METHODS[REFERENCE](panel.returns)
    monkeypatch.setattr(intervals, "product_rows", lambda panel: {"the product": bounds})
    answers = PeerAnswers(
        {"a peer": bounds}, missing={"another": "could not be installed"}, notes=["0 of 3 failed"]
    )
    printed = intervals.interval_report(panel, answers)
    for name in (*METHODS, "the product", "a peer", "another", "could not be", "0 of 3 failed"):
        assert name in printed


def test_a_panel_without_a_scored_session_is_refused() -> None:
    with pytest.raises(ValueError, match="no session"):
        Judge(made_panel("2030-01-01", 50))


# --- peers ---------------------------------------------------------------------------------


def test_a_peer_that_cannot_be_installed_is_printed_as_such(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(runner, "_run", lambda command, log: "pip" not in command)
    monkeypatch.setattr(intervals, "product_rows", lambda panel: {})
    panel = made_panel("2005-01-03", 1200)
    answers = ask_peers(panel, home=tmp_path / ".peers")
    printed = intervals.interval_report(panel, answers).splitlines()
    for name in PEERS:
        [line] = [line for line in printed if line.startswith(name)]
        assert "could not be installed" in line
        assert str(tmp_path) not in line


def test_an_answer_is_kept_until_the_question_changes(monkeypatch, tmp_path) -> None:
    runs = []

    def run(command, log):
        if command[1].endswith("volatility.py"):
            runs.append(command)
            np.savez(command[3], doubled=2 * np.load(command[2])["values"])
        (tmp_path / "volatility").mkdir(exist_ok=True)
        return True

    monkeypatch.setattr(runner, "_run", run)
    for values in ([1.0, 2.0], [1.0, 2.0], [3.0]):
        found = runner.run_peer("volatility", {"values": np.array(values)}, tmp_path)
        np.testing.assert_array_equal(found["doubled"], 2 * np.array(values))
    assert len(runs) == 2


def test_a_script_that_fails_is_named(monkeypatch, tmp_path) -> None:
    (tmp_path / "volatility").mkdir()
    monkeypatch.setattr(runner, "_run", lambda command, log: "question" not in str(command))
    with pytest.raises(runner.PeerUnavailable, match="failed; see"):
        runner.run_peer("volatility", {"values": np.zeros(1)}, tmp_path)


LAW = volatility.Law(0.02, 0.05, 0.05, 0.1, 0.85, 6.0, 1.5)


def test_variance_follows_the_returns_between_fits_and_sees_no_later_one() -> None:
    returns, origins = noise(700, 1, seed=5)[:, 0], np.arange(520, 700)
    seen = []

    def fit(values, lags):
        seen.append(len(values))
        return LAW

    found, fits, failures = volatility.roll(returns, origins, PROBABILITIES, 10, 1, fit)
    assert (fits, failures, seen) == (3, 0, [521, 584, 647])
    variance = 1.5  # of row 520; by hand to what is said after row 525
    for value in 100 * returns[520:526]:
        error = value - 0.02
        variance = 0.05 + (0.05 + 0.1 * (error < 0)) * error**2 + 0.85 * variance
    quantiles = LAW.quantiles(PROBABILITIES)
    np.testing.assert_allclose(found[5, 0], (0.02 + np.sqrt(variance) * quantiles) / 100)
    two_days = variance + 0.05 + 0.95 * variance  # persistence .05 + .1 / 2 + .85
    np.testing.assert_allclose(found[5, 1], (0.04 + np.sqrt(two_days) * quantiles) / 100)
    changed = np.where(np.arange(700) > 600, 0.3, returns)
    again, _, _ = volatility.roll(changed, origins, PROBABILITIES, 10, 1, fit)
    np.testing.assert_array_equal(found[:81], again[:81])
    assert not np.array_equal(found[81], again[81])


def test_a_fit_that_fails_leaves_the_last_law_and_is_counted() -> None:
    returns, origins = noise(700, 1, seed=5)[:, 0], np.arange(520, 700)

    def fit(values, lags):
        if len(values) > 600:
            raise ValueError("no convergence")
        return LAW

    found, fits, failures = volatility.roll(returns, origins, PROBABILITIES, 1, 0, fit)
    assert (fits, failures) == (3, 1)
    assert np.isfinite(found).all()


class FakeModel:
    """Says one per cent around the last log close; refuses one length of history."""

    def __init__(self, seen: list[int]) -> None:
        self.seen = seen

    def fit(self, past):
        self.seen.append(len(past))
        return self

    def forward(self, past, h, level):
        if len(past) == 303:
            raise RuntimeError("numerical trouble")
        return {"lo-90": past[-1:] - 0.01, "hi-90": past[-1:] + 0.01}


def test_statistical_models_are_chosen_yearly_and_their_failures_counted() -> None:
    closes, origins = np.cumsum(noise(400, 1)[:, 0]), np.arange(290, 310)
    years, seen = np.where(origins < 300, 2006, 2007), []
    found, tries, failures = statistical.roll(closes, origins, years, lambda: FakeModel(seen), True)
    assert (seen, tries, failures) == ([292, 302], 22, 1)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(found[0])), [11])
    np.testing.assert_allclose(np.delete(found, 11, axis=1)[1], 0.01)


# --- distributions and paths ---------------------------------------------------------------


def test_crps_of_the_constant_gaussian_is_one_to_itself() -> None:
    panel = made_panel("2016-01-04", 800)
    ratios = crps_ratios(panel, {"constant": constant_gaussian(panel)})
    np.testing.assert_allclose(ratios["constant"], 1.0)
    assert ratios[BASELINE].shape == (2, len(STEPS))
    assert "constant" in crps_table(ratios)


def test_a_law_without_drift_has_median_zero() -> None:
    panel = made_panel("2016-01-04", 800)
    [(name, moved)] = without_drift({"half": three_ewma_half(panel)}).items()
    assert name == "half, no drift"
    assert (moved[..., 19] == 0).all()


def test_half_quantiles_ahead_depend_on_the_past_alone() -> None:
    panel = made_panel("2016-01-04", 800)
    origins = late_origins(panel)
    cut = 40
    closes = panel.log_closes.copy()
    closes[origins[cut] + 2 :] *= 3  # row t + 1 is the close of origin t
    changed = three_ewma_half(replace(panel, log_closes=closes))
    unchanged = three_ewma_half(panel)
    np.testing.assert_array_equal(unchanged[: cut + 1], changed[: cut + 1])
    assert not np.array_equal(unchanged[cut + 1], changed[cut + 1])


def test_future_returns_are_sums_of_the_next_ones() -> None:
    panel = made_panel("2016-01-04", 30)
    future = panel.future_returns(10)
    np.testing.assert_allclose(future[4, :, 9], panel.returns[5:15].sum(axis=0))
    assert np.isnan(future[20, :, 9]).all()
    assert np.isfinite(future[19]).all()
    next_one = scores(panel.returns, np.ones_like(panel.returns))
    np.testing.assert_allclose(future[:, :, 0], next_one)


def test_the_path_band_holds_ninety_per_cent_and_is_narrower_than_bonferroni() -> None:
    closes = np.vstack([np.zeros(3), np.cumsum(noise(1500, 3, seed=8), axis=0)])
    days = np.arange(np.datetime64("2010-01-01"), np.datetime64("2010-01-01") + 1500)
    panel = Panel(("A", "B", "C"), days, closes)
    scale = 0.01 * np.ones((1500, 3, 1)) * np.sqrt(np.arange(1, 11))
    rows = paths.score_bands(panel, scale, origins=range(800, 1500, 2))
    marginal, bonferroni, band = rows
    assert band.coverage == pytest.approx(0.9, abs=0.04)
    assert marginal.coverage < 0.75
    assert bonferroni.coverage > 0.93
    assert marginal.width < band.width < bonferroni.width
    printed = paths.path_table(rows)
    assert all(name in printed for name in paths.BANDS)


def test_a_band_is_handed_paths_that_had_ended() -> None:
    panel = made_panel("2016-01-04", 900, symbols=1)
    handed = []

    def band(known):
        handed.append(known)
        return known.min(axis=0), known.max(axis=0)

    scale = np.ones((900, 1, 10))
    paths.score_bands(panel, scale, {"spy": band}, origins=[880])
    np.testing.assert_allclose(handed[0][-1, -1], panel.returns[871:881].sum())
    assert len(handed[0]) == paths.MEMORY


def test_the_sample_begins_before_what_is_scored() -> None:
    panel = sample_panel(["MSFT", "KO"])
    assert panel.returns.shape == (len(panel.sessions), 2)
    rows = panel.origins(*intervals.SPAN)
    assert rows[0] >= 500  # the first origin has the closes that GARCH asks for
    assert str(panel.sessions[rows[0] + 1]) == "2007-01-03"
    assert str(panel.sessions[late_origins(panel)[0]]) == "2018-07-02"
