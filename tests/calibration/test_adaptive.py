"""Live calibration: learns from every close, forgets nothing at a restart, never breaks."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closecast.calibration import (
    MEMORY,
    AdaptiveState,
    OriginForecast,
    PanelObservation,
    SplitConformal,
    dump_states,
    follow,
    half_quantiles,
    load_state,
)
from closecast.calibration.adaptive import FAST_DAYS, LEAST_DAYS
from closecast.core.arrays import FloatArray
from closecast.core.forecast import PROBABILITIES
from closecast.core.prices import Prices
from closecast.errors import DamagedBundle, TooFewCloses
from tests.support.calibration_members import (
    HORIZON,
    LENGTH,
    ahead,
    broken,
    history,
    last,
    member,
    predictor_of,
)
from tests.support.synthetic_prices import as_prices, from_returns, garch, patiently, random_walk

LEVEL_99 = np.array([0.005, 0.995])
ENDS_90 = np.array([0.05, 0.95])
PRICES = garch(250, seed=1)


def step(state: AdaptiveState, prices: Prices, row: int) -> AdaptiveState:
    """Absorb one close as a service does: it knows the closes up to now, and no later ones."""
    [forecast] = predictor_of().predict_along([prices.rows(0, row + 1)], 1)
    origins = np.searchsorted(prices.sessions, state.origins)
    scored = state.score(np.log(prices.closes[row]) - np.log(prices.closes[origins]))
    session, close = prices.sessions[row], float(prices.closes[row])
    return state.absorb(
        session, close, scored, PanelObservation.of([scored]), OriginForecast.of(forecast[0])
    )


def begun(prices: Prices) -> AdaptiveState:
    """At the first origin."""
    [forecast] = predictor_of().predict_along([prices.rows(0, LENGTH)])
    return AdaptiveState.start(
        prices.sessions[LENGTH - 1],
        float(prices.closes[LENGTH - 1]),
        OriginForecast.of(forecast[0]),
    )


def stored(state: AdaptiveState) -> AdaptiveState:
    """As after a restart."""
    return AdaptiveState.from_parts(state.to_parts())


# -- learning -----------------------------------------------------------------------------------


@pytest.mark.parametrize("between", [lambda state: state, stored], ids=["kept", "stored"])
def test_close_by_close_it_is_what_following_the_whole_series_gives(between) -> None:  # type: ignore[no-untyped-def]
    states = dict(history(PRICES))
    state = begun(PRICES)
    assert state.to_parts() == states[LENGTH - 1].to_parts()
    for row in range(LENGTH, len(PRICES)):
        state = step(between(state), PRICES, row)
        assert state.to_parts() == states[row].to_parts()


def test_the_revision_counts_closes_and_the_session_is_the_newest() -> None:
    for row, state in history(PRICES):
        assert state.revision == row - LENGTH + 2
        assert state.session == state.origins[-1] == PRICES.sessions[row]
        assert state.last_close == PRICES.closes[row]


def test_scores_are_errors_in_units_of_the_scale_that_was_forecast() -> None:
    states = dict(history(PRICES))
    row = 200
    for h in range(1, HORIZON + 1):
        then = states[row - h]
        returns = ahead(PRICES, row - h)[h - 1]
        expected = (returns - then.location[-1, h - 1]) / then.scale[-1, h - 1]
        assert states[row].scores[-1 - h, h - 1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(states[row].scores[-1]).all()
    assert np.isnan(states[row].scores[-2]).tolist() == [False, True, True]


def test_absorbing_leaves_the_state_as_it_was() -> None:
    state = begun(PRICES)
    before = state.to_parts()
    step(state, PRICES, LENGTH)
    assert state.to_parts() == before


def test_memory_is_bounded() -> None:
    for _, state in history(garch(LENGTH + MEMORY + 60, seed=2)):
        assert len(state.scores) <= MEMORY + HORIZON
        assert len(state.surprises) <= MEMORY
        assert len(state.origins) <= HORIZON
    assert len(state.scores) == MEMORY + HORIZON
    assert len(state.surprises) == MEMORY
    assert np.isfinite(state.scores).sum(axis=0).min() >= MEMORY


def test_old_scores_are_forgotten() -> None:
    n = MEMORY + HORIZON + 5
    wild_first = np.concatenate([np.full(30, 0.3) * (-1) ** np.arange(30), np.zeros(n)])
    calm = random_walk(n + 1, seed=3)
    returns = wild_first + np.concatenate([np.zeros(30), np.diff(np.log(calm.closes))])
    forecast = last(history(from_returns(returns))).forecast(PROBABILITIES)
    assert np.abs(forecast.quantiles).max() < 0.3


# -- forecasting --------------------------------------------------------------------------------


def test_quantiles_are_those_of_the_scores_tilted_and_scaled() -> None:
    state = last(history(PRICES))
    forecast = state.forecast(PROBABILITIES)
    n = np.isfinite(state.scores).sum(axis=0).min()
    for h in range(HORIZON):
        known = state.scores[np.isfinite(state.scores[:, h]), h][-n:]
        spread = state.scale[-1, h] * np.exp(state.tilt[h])
        expected = state.location[-1, h] + spread * half_quantiles(known, PROBABILITIES)
        assert forecast.quantiles[h] == pytest.approx(expected, rel=1e-12)
    assert forecast.last_close == PRICES.closes[-1]


def test_any_probabilities_can_be_asked_for() -> None:
    state = last(history(PRICES))
    wide, narrow = (state.forecast(np.array(p)) for p in ([0.01, 0.99], [0.2, 0.5, 0.8]))
    assert (wide.quantiles[:, 0] < narrow.quantiles[:, 0]).all()
    assert (wide.quantiles[:, 1] > narrow.quantiles[:, 2]).all()


@pytest.mark.parametrize(("level", "needed"), [(0.99, 199), (0.95, 39), (0.9, 19)])
def test_too_few_scores_name_the_number_of_closes_that_is_really_needed(
    level: float, needed: int
) -> None:
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    seen = 0
    for row, state in history(garch(260, seed=4)):
        known = max(0, row - LENGTH + 2 - HORIZON)
        if known >= needed:
            assert np.isfinite(state.forecast(ends).quantiles).all()
            continue
        seen += 1
        with pytest.raises(
            TooFewCloses,
            match=rf"^a {100 * level:.4g} % interval needs {needed} .* there are {known}: "
            rf"{needed - known} more closes are needed$",
        ):
            state.forecast(ends)
    assert seen == needed + HORIZON - 1  # as many closes as it said


MOVES = {
    "calm": 0.01,
    "crash": -0.9,
    "rocket": 1.2,
    "frozen": 0.0,
    "times 100": np.log(100),
    "by 100": -np.log(100),
    "unknown": np.nan,
}


def absorb_moves(
    moves: list[tuple[str, int]], horizon: int, panel: str, scale: float
) -> list[AdaptiveState]:
    """States after moves (a name, how often in a row), each day's base of the same scale."""
    steps = np.sqrt(np.arange(1, horizon + 1))
    base = OriginForecast(np.zeros(horizon), scale * steps, np.tile([-1.6, 1.7], (horizon, 1)))
    day = np.datetime64("2010-01-01")
    logs, states = [0.0], [AdaptiveState.start(day, 100.0, base)]
    rng = np.random.default_rng(0)
    for name, times in moves:
        for _ in range(times):
            state = states[-1]
            size = MOVES[name] * (rng.normal() if name == "calm" else 1)
            now = logs[-1] + (0.0 if np.isnan(size) else size)
            now = float(np.clip(now, -20, 25))
            returns = now - np.array(logs[-len(state.origins) :])
            if np.isnan(size):
                returns = np.full_like(returns, np.nan)
            logs.append(now)
            scored = state.score(returns)
            everybody = {
                "alone": [scored],
                "all miss": [scored, replace(scored, misses=np.ones(horizon), surprise=50.0)],
                "nobody": [],
            }[panel]
            nothing = PanelObservation(np.nan, np.full(horizon, np.nan))
            today = PanelObservation.of(everybody) if everybody else nothing
            states.append(state.absorb(day + len(logs) - 1, 100 * np.exp(now), scored, today, base))
    return states


@patiently
@given(
    moves=st.lists(st.tuples(st.sampled_from(sorted(MOVES)), st.integers(1, 25)), max_size=12),
    horizon=st.integers(1, 4),
    panel=st.sampled_from(["alone", "all miss", "nobody"]),
    scale=st.sampled_from([1e-6, 0.01, 1.0]),
)
def test_no_sequence_of_closes_breaks_an_interval(
    moves: list[tuple[str, int]], horizon: int, panel: str, scale: float
) -> None:
    states = absorb_moves([("calm", 45), *moves], horizon, panel, scale)
    for state in states[45 + horizon :: 3]:
        assert (np.abs(state.tilt) <= 1).all()
        assert np.isfinite(state.scale).all()
        assert (state.scale > 0).all()
        assert np.isfinite(state.ends).all()
        assert (state.ends[..., 0] <= state.ends[..., 1]).all()
        forecast = state.forecast(PROBABILITIES)
        assert (np.diff(forecast.quantiles) >= 0).all()
        for level in (0.5, 0.8, 0.9, 0.95):
            lower, upper = forecast.interval(level)
            assert np.isfinite(upper).all()
            assert (lower > 0).all()
            assert (lower <= upper).all()
        assert (np.diff(forecast.quantiles[:, [0, -1]]) > 0).all(), "an interval of one point"
        lower, upper = state.path_band(0.9)
        assert np.isfinite([lower, upper]).all()
        assert (lower < upper).all()
        assert stored(state).to_parts() == state.to_parts()


def test_a_feed_that_never_moves_has_finite_intervals() -> None:
    for _, state in history(as_prices(np.full(200, 50.0))):
        if state.revision > 39 + HORIZON:
            forecast = state.forecast(PROBABILITIES)
            assert (forecast.scale > 0).all()
            assert np.isfinite(forecast.quantiles).all()
            assert (np.diff(forecast.quantiles) >= 0).all()
            lower, upper = state.path_band(0.9)
            assert (lower <= upper).all()


# -- the tracker and the fast factor ------------------------------------------------------------


def test_misses_widen_and_hits_narrow_within_bounds() -> None:
    base = OriginForecast(np.zeros(2), np.array([0.01, 0.014]), np.tile([-1.6, 1.6], (2, 1)))
    always = {}
    for name, move in (("miss", 0.1), ("hit", 0.0)):
        state = AdaptiveState.start(np.datetime64("2010-01-01"), 100.0, base)
        tilts = []
        for i in range(300):
            sign = (-1) ** i
            scored = state.score(np.full(len(state.origins), sign * move))
            forced = replace(scored, misses=np.full(2, float(name == "miss")))
            today = PanelObservation(1.0, forced.misses)
            day = np.datetime64("2010-01-02") + i
            state = state.absorb(day, 100.0, forced, today, base)
            tilts.append(state.tilt)
        always[name] = np.array(tilts)
    assert (np.diff(always["miss"], axis=0) >= 0).all()
    assert (np.diff(always["hit"], axis=0) <= 0).all()
    assert always["miss"].max() == 1
    assert -1 <= always["hit"].min() < -0.5
    assert (always["miss"][5:10, 0] > always["miss"][5:10, 1]).all(), "later steps move less"


def test_the_fast_factor_answers_a_crisis_within_days() -> None:
    at, factor = 400, 4.0
    prices = broken(at + 40, at, factor, seed=5)
    states = dict(history(prices, "naive"))  # its own scale never moves
    usual = predictor_of("naive").predict(prices.closes[:LENGTH]).scale
    before, during = (states[row].scale[-1] / usual for row in (at - 1, at + FAST_DAYS))
    assert before == pytest.approx(1, abs=0.35)
    assert during[0] > 1.5
    assert 1 < during[-1] < during[0], "further ahead a crisis may be over"
    assert states[at + FAST_DAYS].surprises.shape == (at + FAST_DAYS - LENGTH + 1,)


def test_the_fast_factor_waits_until_it_knows_enough() -> None:
    prices = broken(LENGTH + LEAST_DAYS + 5, LENGTH + 20, 5.0, seed=5)
    usual = predictor_of("naive").predict(prices.closes[:LENGTH]).scale
    for _, state in history(prices, "naive"):
        waits = len(state.surprises) < LEAST_DAYS
        assert np.array_equal(state.scale[-1], usual) is waits


# -- coverage -----------------------------------------------------------------------------------


def hits(prices: Prices, first: int, last_row: int, name: str = "ewma") -> FloatArray:
    """Whether the 90 % interval held, shape (days, horizon)."""
    found = []
    for row, state in history(prices.rows(0, last_row + HORIZON), name):
        if first <= row < last_row:
            lower, upper = state.forecast(ENDS_90).quantiles.T
            came = ahead(prices, row)
            found.append((lower <= came) & (came <= upper))
    return np.array(found)


def static_hits(prices: Prices, first: int, last_row: int, name: str = "ewma") -> FloatArray:
    """The same with scores fixed on the 750 origins before ``first``."""
    [forecast] = predictor_of(name).predict_along([prices])
    start = LENGTH - 1
    rows = np.arange(max(start, first - MEMORY), first)
    calibration = SplitConformal.from_forecasts(
        forecast[rows[0] - start : first - start], np.array([ahead(prices, row) for row in rows])
    )
    table = calibration.at(forecast[first - start : last_row - start], ENDS_90).quantiles
    came = np.array([ahead(prices, row) for row in range(first, last_row)])
    return (table[..., 0] <= came) & (came <= table[..., 1])


def test_coverage_over_calm_and_wild_times_is_the_level() -> None:
    first, days = 300, 2200
    held = hits(garch(first + days + 10, seed=6), first, first + days)
    for h, coverage in enumerate(held.mean(axis=0), start=1):
        # Errors of h steps overlap: days / h of them are independent.
        assert coverage == pytest.approx(0.905, abs=3.5 * (0.9 * 0.1 * h / days) ** 0.5 + 0.005)


@pytest.mark.parametrize("factor", [2.5, 0.4])
def test_coverage_returns_after_a_break_of_volatility(factor: float) -> None:
    at, days, seeds = 500, 250, range(4)
    live, fixed = [], []
    for seed in seeds:
        prices = broken(at + days + 10, at, factor, seed)
        live.append(hits(prices, at + 1, at + days, "naive"))
        fixed.append(static_hits(prices, at + 1, at + days, "naive"))
    ours, theirs = (np.array(held).mean(axis=(0, 1)) for held in (live, fixed))
    assert (np.abs(ours - 0.9) < np.abs(theirs - 0.9)).all()
    n = days * len(seeds)
    # A quarter of the time it is still learning how much larger the errors have become.
    assert ours[0] == pytest.approx(0.9, abs=3.5 * (0.09 / n) ** 0.5 + 0.035)


def test_first_weeks_of_a_crisis_are_held_better_than_by_fixed_scores() -> None:
    at, days, seeds = 400, 30, range(8)
    live, fixed = [], []
    for seed in seeds:
        prices = broken(at + days + 10, at, 3.0, seed)
        live.append(hits(prices, at + 1, at + days))
        fixed.append(static_hits(prices, at + 1, at + days))
    assert np.mean(live) > np.mean(fixed) + 0.03


def test_a_path_band_holds_whole_paths_and_the_intervals_of_single_steps() -> None:
    first, days = 300, 1500
    prices = garch(first + days + 10, seed=7)
    held = []
    for row, state in history(prices.rows(0, first + days)):
        if row < first:
            continue
        lower, upper = state.path_band(0.9)
        came = ahead(prices, row)
        held.append(((lower <= came) & (came <= upper)).all())
        inner = state.forecast(ENDS_90).quantiles
        assert (lower <= inner[:, 0] + 1e-12).all()
        assert (upper >= inner[:, 1] - 1e-12).all()
    n = len(held) / HORIZON  # paths overlap
    assert np.mean(held) == pytest.approx(0.905, abs=3.5 * (0.09 / n) ** 0.5)


def test_a_path_band_needs_whole_paths() -> None:
    for row, state in history(garch(80, seed=8)):
        paths = max(0, row - LENGTH + 2 - HORIZON)
        if paths >= 39:
            state.path_band(0.9)
            break
        with pytest.raises(
            TooFewCloses, match=rf"needs 39 past paths .* there are {paths}: {39 - paths} more"
        ):
            state.path_band(0.9)
    else:
        pytest.fail("never enough")


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_path_bands_widen_with_their_level(level: float) -> None:
    state = last(history(PRICES))
    inner, outer = state.path_band(level), state.path_band(0.97)
    assert (outer[0] < inner[0]).all()
    assert (outer[1] > inner[1]).all()


# -- storing ------------------------------------------------------------------------------------


def test_parts_are_one_for_all_steps_and_one_per_step() -> None:
    state = last(history(PRICES))
    assert len(state.to_parts()) == 1 + HORIZON
    again = stored(state)
    for name, value in vars(state).items():
        if not name.startswith("_"):
            assert np.array_equal(getattr(again, name), value, equal_nan=value is state.scores), (
                name
            )


def test_states_of_a_bundle_are_one_file_that_executes_nothing() -> None:
    states = {
        symbol: last(history(replace(garch(n, seed), symbol=symbol)))
        for seed, (symbol, n) in enumerate([("AAPL", 120), ("^BVSP", 90), ("BRK-B", 60)])
    }
    content = dump_states(states)
    assert dump_states(dict(reversed(states.items()))) == content
    for symbol, state in states.items():
        assert load_state(content, symbol).to_parts() == state.to_parts()
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        assert all(file[name].dtype == np.uint8 for name in file.files)
    with pytest.raises(DamagedBundle, match=r"no calibration state of AAP$"):
        load_state(content, "AAP")


def test_a_loaded_state_learns_on_as_if_it_had_never_been_away() -> None:
    states = dict(history(PRICES))
    content = dump_states({"MADE": states[150]})
    state = load_state(content, "MADE")
    rest = follow([member(PRICES)], PRICES.sessions[151], {"MADE": state})
    for row, (_, after) in enumerate(rest, start=151):
        assert after["MADE"].to_parts() == states[row].to_parts()
    assert row == len(PRICES) - 1


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_a_damaged_bundle(kept: float) -> None:
    content = dump_states({"MADE": last(history(PRICES))})
    with pytest.raises(DamagedBundle):
        load_state(content[: int(kept * len(content))], "MADE")


@pytest.mark.parametrize("at", np.linspace(0.01, 0.99, 25).round(2))
def test_one_changed_byte_is_a_damaged_bundle_or_changes_nothing(at: float) -> None:
    state = last(history(PRICES))
    content = bytearray(dump_states({"MADE": state}))
    content[int(at * len(content))] ^= 0xFF
    try:
        again = load_state(bytes(content), "MADE")
    except DamagedBundle:
        return
    assert again.to_parts() == state.to_parts()


def _shared(**changes: object) -> bytes:
    state = last(history(PRICES.rows(0, 60)))
    with np.load(io.BytesIO(state.to_parts()[0]), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = np.asarray(value)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "shared",
    [
        b"",
        b"null",
        b"\x80\x04N.",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00",
        *(
            pytest.param(lambda changes=changes: _shared(**changes), id=str(changes))
            for changes in (
                {"tilt": None},
                {"session": "soon"},
                {"session": [1, 2]},
                {"tilt": [0.0, np.nan, 0.0]},
                {"tilt": [0.0]},
                {"tilt": 0.0},
                {"scale": np.full((3, 3), np.inf)},
                {"location": np.zeros((2, 3))},
                {"ends": np.zeros((3, 3))},
                {"origins": []},
                {"surprises": [np.nan]},
                {"unknown": 1},
            )
        ),
    ],
)
def test_damaged_parts_are_refused(shared) -> None:  # type: ignore[no-untyped-def]
    columns = last(history(PRICES.rows(0, 60))).to_parts()[1:]
    content = shared() if callable(shared) else shared
    with pytest.raises(DamagedBundle, match="calibration state"):
        AdaptiveState.from_parts((content, *columns))


@pytest.mark.parametrize("change", ["none", "one less", "one more", "odd bytes", "other lengths"])
def test_damaged_columns_are_refused(change: str) -> None:
    shared, *columns = last(history(PRICES.rows(0, 60))).to_parts()
    wrong = {
        "none": [],
        "one less": columns[:-1],
        "one more": [*columns, columns[0]],
        "odd bytes": [columns[0][:-3], *columns[1:]],
        "other lengths": [columns[0][:-8], *columns[1:]],
    }[change]
    with pytest.raises(DamagedBundle, match="calibration state"):
        AdaptiveState.from_parts((shared, *wrong))


def test_no_parts_at_all_are_refused() -> None:
    with pytest.raises(DamagedBundle):
        AdaptiveState.from_parts(())
