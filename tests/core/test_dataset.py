"""From closes to windows; above all: nothing at an origin knows what comes after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from closecast.core import dataset
from closecast.core.arrays import FloatArray
from closecast.core.dataset import (
    EWMA_DECAYS,
    FLOOR_SHARE,
    Examples,
    Split,
    cut_examples,
    ewma_volatility,
    log_returns,
    long_run_volatility,
    make_examples,
    split_at,
    split_by_share,
    split_panel,
    standardise,
)
from closecast.core.prices import Prices
from closecast.errors import TooFewCloses
from tests.support.synthetic_prices import as_prices, closes, garch, patiently, random_walk

LENGTHS = st.integers(3, 20)
HORIZONS = st.integers(1, 6)

# -- volatility ---------------------------------------------------------------------------------


def test_log_returns_run_along_the_last_axis() -> None:
    table = np.array([[1.0, 2.0, 1.0], [4.0, 4.0, 8.0]])
    ln2 = np.log(2)
    assert log_returns(table) == pytest.approx(np.array([[ln2, -ln2], [0, ln2]]))


def test_ewma_volatility_by_hand() -> None:
    returns = np.array([0.03, -0.01, 0.02])
    by_hand = []
    for decay in (0.9, 0.94, 0.98):
        weights = [decay**2, decay, 1]
        squares = [0.0009, 0.0001, 0.0004]
        mean = sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights)
        by_hand.append(mean**0.5)
    assert ewma_volatility(returns) == pytest.approx(sum(by_hand) / 3, rel=1e-12)
    assert EWMA_DECAYS == (0.9, 0.94, 0.98)


def test_newer_returns_weigh_more() -> None:
    calm_then_wild = np.array([0.01] * 30 + [0.03] * 30)
    assert ewma_volatility(calm_then_wild) > 1.3 * ewma_volatility(calm_then_wild[::-1])


def test_volatility_never_falls_below_the_floor() -> None:
    returns = np.array([[0.0] * 20, [0.05] * 20])
    assert ewma_volatility(returns, floor=0.01) == pytest.approx([0.01, 0.05])


@patiently
@given(closes(30, 60), st.integers(3, 29))
def test_a_window_has_the_same_bits_alone_and_beside_others(series: FloatArray, n: int) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(series, n)
    together = standardise(windows, 0.001)
    for row in (0, len(windows) // 2, len(windows) - 1):
        alone = standardise(windows[row].copy()[None], 0.001)
        assert alone[0].tobytes() == together[0][row].tobytes()
        assert alone[1][0] == together[1][row]


def test_long_run_volatility_by_hand() -> None:
    assert long_run_volatility(np.array([0.01, -0.03])) == pytest.approx(0.02 * (np.pi / 2) ** 0.5)


def test_long_run_volatility_is_the_standard_deviation_of_a_normal_law() -> None:
    returns = np.random.default_rng(0).normal(0, 0.02, 20_000)
    # The estimator's relative standard error is sqrt((pi/2 - 1) / n), .0053; four of them.
    assert long_run_volatility(returns) == pytest.approx(0.02, rel=0.022)


def test_one_wrong_row_moves_it_less_than_a_standard_deviation() -> None:
    returns = np.random.default_rng(0).normal(0, 0.01, 1000)
    wrong = np.append(returns, np.log(100))  # a close in cents
    robust = long_run_volatility(wrong) / long_run_volatility(returns)
    assert robust < 2
    assert wrong.std() / returns.std() > 10


def test_a_series_that_never_moved_has_a_volatility_above_zero() -> None:
    assert long_run_volatility(np.zeros(50)) > 0


# -- standardising ------------------------------------------------------------------------------


@patiently
@given(closes(12, 80), st.floats(1e-6, 1e6))
def test_inputs_do_not_change_with_level_or_currency(series: FloatArray, factor: float) -> None:
    floor = 1e-4  # far above the rounding of a logarithm, as in use
    inputs, volatility = standardise(series[None], floor)
    again, volatility_again = standardise(series[None] * factor, floor)
    assert again == pytest.approx(inputs, abs=1e-8)
    assert volatility_again == pytest.approx(volatility, rel=1e-8)


@patiently
@given(closes(12, 80))
def test_inputs_times_volatility_are_the_returns(series: FloatArray) -> None:
    inputs, volatility = standardise(series[None], 1e-4)
    inside = np.abs(inputs) < 10
    returns = log_returns(series[None])
    assert (inputs * volatility[:, None])[inside] == pytest.approx(returns[inside], abs=1e-12)


def test_a_frozen_window_gives_zeros_and_the_floor() -> None:
    inputs, volatility = standardise(np.full((2, 60), 12.34), floor=0.001)
    assert not inputs.any()
    assert volatility.tolist() == [0.001, 0.001]


def test_one_wild_session_after_a_frozen_feed_stays_within_the_limit() -> None:
    window = np.append(np.full(59, 10.0), 1000.0)
    inputs, _ = standardise(window[None, ::-1], floor=1e-6)
    assert np.isfinite(inputs).all()
    assert inputs.min() == -10


# -- examples -----------------------------------------------------------------------------------


@patiently
@given(closes(30, 60), LENGTHS, HORIZONS)
def test_every_example_is_a_window_and_what_followed_it(
    series: FloatArray, length: int, horizon: int
) -> None:
    examples = make_examples(as_prices(series), length, horizon)
    assert len(examples) == len(series) - length - horizon + 1
    for i, origin in enumerate(examples.origins):
        assert examples.windows[i].tolist() == series[origin - length + 1 : origin + 1].tolist()
        following = series[origin + 1 : origin + 1 + horizon]
        assert examples.targets[i].tolist() == np.log(following / series[origin]).tolist()
        assert examples.future_closes[i] == pytest.approx(following, rel=1e-12)


def test_the_shortest_series_makes_one_example() -> None:
    examples = make_examples(random_walk(25, seed=0), 20, 5)
    assert examples.origins.tolist() == [19]


def test_a_shorter_one_is_refused_with_the_number_needed() -> None:
    with pytest.raises(TooFewCloses, match="MADE: 24 closes, at least 25 are needed"):
        make_examples(random_walk(24, seed=0), 20, 5)


# -- splits -------------------------------------------------------------------------------------


@st.composite
def splits(draw: st.DrawFn) -> tuple[Prices, Split, int, int]:
    length, horizon = draw(LENGTHS), draw(HORIZONS)
    prices = as_prices(draw(closes(60, 300)))
    share = draw(st.floats(0.3, 0.9))
    try:
        return prices, split_by_share(prices, share, length, horizon), length, horizon
    except TooFewCloses:
        assume(False)
        raise


@patiently
@given(splits())
def test_the_parts_are_the_data_in_order(
    made: tuple[Prices, Split, int, int],
) -> None:
    prices, split, _, _ = made
    parts = (split.train, split.valid, split.test)
    assert np.concatenate([p.sessions for p in parts]).tolist() == prices.sessions.tolist()
    assert np.concatenate([p.closes for p in parts]).tolist() == prices.closes.tolist()


@patiently
@given(splits())
def test_no_target_of_one_part_is_in_a_window_of_the_next(
    made: tuple[Prices, Split, int, int],
) -> None:
    prices, split, length, horizon = made
    for earlier, later in ((split.train, split.valid), (split.valid, split.test)):
        before, after = (
            np.searchsorted(prices.sessions, part.sessions)[
                make_examples(part, length, horizon).origins
            ]
            for part in (earlier, later)
        )
        last_origin, first_origin = before[-1], after[0]
        last_target, first_in_window = last_origin + horizon, first_origin - length + 1
        assert last_target < first_in_window
        assert first_origin - last_origin >= length + horizon


def test_shares() -> None:
    split = split_by_share(random_walk(1000, seed=0), 0.7, 60, 10)
    assert [len(part) for part in (split.train, split.valid, split.test)] == [700, 150, 150]


def test_the_smallest_part_still_holds_a_window_with_its_targets() -> None:
    split = split_by_share(random_walk(99, seed=0), 0.5, 20, 5)
    assert [len(part) for part in (split.train, split.valid, split.test)] == [49, 25, 25]
    with pytest.raises(TooFewCloses, match="98 closes leave a part of 24 rows, 25 are needed"):
        split_by_share(random_walk(98, seed=0), 0.5, 20, 5)


@patiently
@given(st.integers(1, 400), st.floats(0.3, 0.9), LENGTHS, HORIZONS)
def test_a_refusal_names_a_number_of_closes_that_is_enough(
    n: int, share: float, length: int, horizon: int
) -> None:
    try:
        split_by_share(random_walk(n, seed=0), share, length, horizon)
    except TooFewCloses as error:
        enough = int(str(error).split("about ")[1].split()[0])
        assert enough > n
        split = split_by_share(random_walk(enough, seed=0), share, length, horizon)
        for part in (split.train, split.valid, split.test):
            make_examples(part, length, horizon)


@patiently
@given(splits())
def test_boundaries_are_enough_to_split_again(made: tuple[Prices, Split, int, int]) -> None:
    prices, split, _, _ = made
    assert split_at(prices, *split.boundaries) == split


# -- look-ahead ---------------------------------------------------------------------------------


def assert_blind_to_the_future(
    past: FloatArray, futures: tuple[FloatArray, FloatArray], length: int, horizon: int
) -> None:
    """Everything known by the end of ``past`` is the same bits, whatever comes after it.

    ``futures`` have one length, so that the split (by the number of rows) is the same one.
    Goes through the module, so that a mutant put there is what is tested.
    """
    share = 0.5
    whole = [as_prices(np.concatenate([past, future])) for future in futures]
    cut = len(past)
    split = [dataset.split_by_share(p, share, length, horizon) for p in whole]
    assert cut >= len(split[0].train), "the floor is learned from training, which is past"
    for one, other in zip(*((s.train, s.valid, s.test) for s in split), strict=True):
        assert one.sessions.tolist() == other.sessions.tolist(), "split"

    examples = [dataset.make_examples(p, length, horizon) for p in [*whole, as_prices(past)]]
    floor = FLOOR_SHARE * long_run_volatility(log_returns(split[0].train.closes))
    known = cut - length + 1  # windows that end before the cut
    resolved = cut - length - horizon + 1  # those whose targets lie before it as well
    made = [dataset.standardise(e.windows, floor) for e in examples]
    for name, arrays, rows in (
        ("inputs", [inputs for inputs, _ in made], known),
        ("volatility", [volatility for _, volatility in made], known),
        ("targets", [e.targets for e in examples], resolved),
    ):
        first, second, short = (array[:rows] for array in arrays)
        assert_same_bits(first, second, name)
        assert_same_bits(first[: len(short)], short, name)
    first, second, short = (e.windows[:known] for e in examples)
    assert_same_bits(first, second, "windows")
    assert_same_bits(first[: len(short)], short, "windows")


def assert_same_bits(first: FloatArray, second: FloatArray, name: str) -> None:
    # Compared outside the assertion: pytest would explain the difference of the bytes for a minute
    # where the variable CI is set.
    same = first.tobytes() == second.tobytes()
    assert same, name


@st.composite
def histories(draw: st.DrawFn) -> tuple[FloatArray, tuple[FloatArray, FloatArray], int, int]:
    length, horizon = draw(st.integers(3, 12)), draw(st.integers(1, 5))
    needed = length + horizon
    n = draw(st.integers(4 * needed + 4, 4 * needed + 120))
    after = draw(st.integers(horizon, n // 2 - 1))
    past = draw(closes(n - after, n - after))
    first, second = draw(closes(after, after)), draw(closes(after, after))
    return past, (first, second), length, horizon


@patiently
@given(histories())
def test_nothing_before_a_cut_depends_on_what_comes_after_it(
    made: tuple[FloatArray, tuple[FloatArray, FloatArray], int, int],
) -> None:
    assert_blind_to_the_future(*made)


def _full_sample_volatility(returns: FloatArray, floor: float = 0.0) -> FloatArray:
    return np.full(returns.shape[:-1], max(returns.std(), floor))


def _centred_volatility(returns: FloatArray, floor: float = 0.0) -> FloatArray:
    ahead = np.roll(returns, -1, axis=0)  # the window one session later
    return np.maximum(np.concatenate([returns, ahead], axis=-1).std(axis=-1), floor)


def _demeaned_returns(prices: FloatArray) -> FloatArray:
    returns = log_returns(prices)
    return returns - returns.mean()


def _windows_one_row_late(series: FloatArray, length: int, horizon: int) -> Examples:
    honest = cut_examples(series, length, horizon)
    return Examples(honest.origins, np.roll(honest.windows, -1, axis=0), honest.targets)


def _targets_one_row_late(series: FloatArray, length: int, horizon: int) -> Examples:
    honest = cut_examples(series, length, horizon)
    return Examples(honest.origins, honest.windows, np.roll(honest.targets, -1, axis=0))


def _split_at_the_highest_close(prices: Prices, share: float, length: int, horizon: int) -> Split:
    first = len(prices) // 2
    second = first + length + int(np.argmax(prices.closes[first + length : -length]))
    return Split(prices.rows(0, first), prices.rows(first, second), prices.rows(second, None))


@pytest.mark.parametrize(
    ("function", "mutant", "seen_in"),
    [
        ("ewma_volatility", _full_sample_volatility, "inputs"),
        ("ewma_volatility", _centred_volatility, "volatility"),
        ("log_returns", _demeaned_returns, "inputs"),
        ("cut_examples", _windows_one_row_late, "inputs"),
        ("cut_examples", _targets_one_row_late, "targets"),
        ("split_by_share", _split_at_the_highest_close, "split"),
    ],
    ids=lambda value: getattr(value, "__name__", value).strip("_"),
)
def test_the_property_catches_what_looks_ahead(
    function: str, mutant: Callable[..., Any], seen_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last stretch of the past is frozen, so that the floor reaches a feature.
    past = np.append(garch(140, seed=3).closes, np.full(20, 90.0))
    futures = garch(60, seed=4).closes, 5 * garch(60, seed=5).closes[::-1]
    assert_blind_to_the_future(past, futures, 10, 3)
    monkeypatch.setattr(dataset, function, mutant)
    with pytest.raises(AssertionError, match=f"^{seen_in}"):
        assert_blind_to_the_future(past, futures, 10, 3)


# -- several symbols ----------------------------------------------------------------------------


def panel() -> list[Prices]:
    """Other starts, ends and holidays; one trades every day of the week."""
    days = np.datetime64("2010-06-01") + np.arange(600)
    kept = np.random.default_rng(0).random(500) > 0.1
    second = garch(500, seed=2, symbol="GAPS")
    return [
        garch(500, seed=1),
        Prices("GAPS", second.sessions[kept], second.closes[kept], "made"),
        as_prices(garch(450, seed=3).closes, "LATE", first="2010-04-01"),
        Prices("COIN-USD", days, garch(600, seed=4).closes, "made"),
    ]


def test_a_panel_is_cut_at_the_same_two_days() -> None:
    series = panel()
    splits, left_out = split_panel(series, 0.6, 20, 3)
    assert not left_out
    last_train = max(split.train.sessions[-1] for split in splits)
    first_valid = min(split.valid.sessions[0] for split in splits)
    last_valid = max(split.valid.sessions[-1] for split in splits)
    first_test = min(split.test.sessions[0] for split in splits)
    assert last_train < first_valid
    assert last_valid < first_test
    for prices, split in zip(series, splits, strict=True):
        assert split.whole == prices
        assert split.whole.sessions.tolist() == prices.sessions.tolist()


def test_a_panel_is_cut_where_one_series_of_all_its_days_would_be() -> None:
    series = panel()
    days = np.unique(np.concatenate([prices.sessions for prices in series]))
    one = split_by_share(Prices("DAYS", days, np.ones(len(days)), "made"), 0.6, 20, 3)
    for split in split_panel(series, 0.6, 20, 3)[0]:
        assert split.train.sessions[-1] < one.valid.sessions[0] <= split.valid.sessions[0]
        assert split.valid.sessions[-1] < one.test.sessions[0] <= split.test.sessions[0]


@pytest.mark.parametrize(
    ("rows", "judged", "chosen"),
    [
        (480, 50, 50),  # so few that nothing can be spared
        (900, 126, 100),  # validation is down to what it needs
        (1300, 247, 100),
        (1700, 250, 216),
        (3000, 428, 428),  # halves hold enough
    ],
)
def test_the_test_part_has_250_origins_where_the_data_allow(
    rows: int, judged: int, chosen: int
) -> None:
    split = split_by_share(garch(rows, seed=1), 0.7, 20, 3)
    assert len(make_examples(split.test, 20, 3)) == judged
    assert len(make_examples(split.valid, 20, 3)) == chosen
    assert len(split.train) == int(rows * 0.7)


def test_one_symbol_is_split_as_alone() -> None:
    prices = garch(500, seed=1)
    [split], left_out = split_panel([prices], 0.7, 20, 3, 5)
    alone = split_by_share(prices, 0.7, 20, 3, 5)
    assert not left_out
    assert (split.train, split.valid, split.test) == (alone.train, alone.valid, alone.test)


def test_series_of_the_same_days_are_split_as_each_alone() -> None:
    series = [garch(500, seed, symbol=f"S{seed}") for seed in range(3)]
    for prices, split in zip(series, split_panel(series, 0.7, 20, 3)[0], strict=True):
        assert split.boundaries == split_by_share(prices, 0.7, 20, 3).boundaries


def test_only_days_decide_where_a_panel_is_cut() -> None:
    series = panel()
    others = [Prices(p.symbol, p.sessions, p.closes[::-1] * 7, p.source, p.basis) for p in series]
    here, there = (split_panel(s, 0.6, 20, 3)[0] for s in (series, others))
    assert [s.boundaries for s in here] == [s.boundaries for s in there]


@pytest.mark.parametrize(
    ("short", "why"),
    [
        (as_prices(garch(130, seed=5).closes, "YOUNG", first="2011-08-01"), "a part of "),
        (as_prices(garch(330, seed=5).closes, "GONE", first="2010-01-04"), "a part of "),
    ],
)
def test_who_is_too_short_in_a_part_is_left_out_with_the_reason(short: Prices, why: str) -> None:
    series = panel()
    splits, left_out = split_panel([series[0], short, series[1]], 0.6, 20, 3, 39)
    assert [split.train.symbol for split in splits] == ["MADE", "GAPS"]
    assert set(left_out) == {short.symbol}
    assert left_out[short.symbol].startswith(why)
    assert "61 are needed in each" in left_out[short.symbol]


def test_a_symbol_without_a_single_close_in_a_part_is_left_out() -> None:
    series = panel()[0]
    early = as_prices(garch(100, seed=5).closes, "EARLY", first="2010-01-04")
    splits, left_out = split_panel([series, early], 0.6, 20, 3)
    assert [split.train.symbol for split in splits] == ["MADE"]
    assert "a part of 0 rows" in left_out["EARLY"]


def test_a_panel_of_nobody_long_enough_is_refused_with_every_reason() -> None:
    series = [garch(60, seed, symbol=f"S{seed}") for seed in range(2)]
    with pytest.raises(TooFewCloses, match=r"^no symbol is long enough: S0: .*; S1: "):
        split_panel(series, 0.6, 20, 3)
