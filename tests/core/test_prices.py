"""``Prices``: checked once, never changed."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from datetime import date

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from closecast.core.prices import MAX_PRICE, MIN_PRICE, Prices
from closecast.errors import InvalidPrices, InvalidSymbol, PriceProblem, TooFewCloses
from scripts.write_schemas import FOLDER, schema
from tests.support.synthetic_prices import as_prices, closes, patiently, random_walk

DAYS = np.array(["2022-01-03", "2022-01-04", "2022-01-05", "2022-01-06"], dtype="datetime64[D]")
CLOSES = np.array([10.0, 11.0, 10.5, 12.0])
ADAPTER = TypeAdapter(Prices)


def made(sessions: object = DAYS, closes: object = CLOSES) -> Prices:
    return Prices("MSFT", sessions, closes, "test")  # type: ignore[arg-type]


def rules(sessions: object = DAYS, closes: object = CLOSES) -> list[tuple[str, str | None]]:
    with pytest.raises(InvalidPrices) as caught:
        made(sessions, closes)
    return [(problem.rule, problem.date) for problem in caught.value.problems]


def with_close(row: int, value: float) -> np.ndarray:
    changed = CLOSES.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "not_finite"),
        (float("inf"), "not_finite"),
        (-float("inf"), "not_finite"),
        (0.0, "not_positive"),
        (-1.0, "not_positive"),
        (MIN_PRICE / 2, "out_of_bounds"),
        (MAX_PRICE * 2, "out_of_bounds"),
    ],
)
def test_an_impossible_close_is_refused_with_its_date(value: float, rule: str) -> None:
    assert rules(closes=with_close(2, value)) == [(rule, "2022-01-05")]


@pytest.mark.parametrize("value", [MIN_PRICE, MAX_PRICE])
def test_the_bounds_themselves_are_prices(value: float) -> None:
    assert made(closes=with_close(0, value)).closes[0] == value


def test_a_date_twice_is_refused() -> None:
    assert rules(sessions=DAYS[[0, 1, 1, 2]]) == [("duplicate", "2022-01-04")]


def test_dates_out_of_order_are_refused() -> None:
    assert rules(sessions=DAYS[[1, 0, 2, 3]]) == [("unsorted", "2022-01-03")]


def test_a_missing_date_is_refused() -> None:
    sessions = DAYS.copy()
    sessions[1] = "NaT"
    assert ("missing_date", None) in rules(sessions=sessions)


def test_no_closes_at_all_are_refused() -> None:
    assert rules(DAYS[:0], CLOSES[:0]) == [("empty", None)]


@pytest.mark.parametrize("shape", [(3,), (4, 1), (2, 2)])
def test_a_close_for_every_session(shape: tuple[int, ...]) -> None:
    assert rules(closes=np.ones(shape)) == [("shape", None)]


def test_every_problem_is_listed_at_once() -> None:
    bad = np.array([np.nan, -1.0, 10.0, 11.0])
    assert rules(DAYS[[0, 1, 1, 2]], bad) == [
        ("not_finite", "2022-01-03"),
        ("not_positive", "2022-01-04"),
        ("duplicate", "2022-01-04"),
    ]


def test_the_message_says_where_what_and_what_to_do() -> None:
    with pytest.raises(
        InvalidPrices,
        match=r"MSFT from test: 2022-01-05: close -1 is not positive\. Correct these rows",
    ):
        made(closes=with_close(2, -1))


def test_a_long_list_of_problems_makes_a_short_message() -> None:
    with pytest.raises(InvalidPrices, match="and 99 more like it") as caught:
        as_prices(np.full(100, -1.0))
    assert len(caught.value.problems) == 100
    assert len(str(caught.value)) < 1000


def test_a_problem_is_json_also_where_the_value_is_not() -> None:
    with pytest.raises(InvalidPrices) as caught:
        made(closes=with_close(0, float("nan")))
    json.dumps(caught.value.details(), allow_nan=False)


def test_the_symbol_becomes_canonical() -> None:
    assert Prices("vale3", DAYS, CLOSES, "test").symbol == "VALE3.SA"


def test_a_text_that_is_no_symbol_is_refused() -> None:
    with pytest.raises(InvalidSymbol):
        Prices("../x", DAYS, CLOSES, "test")


@pytest.mark.parametrize("array", ["closes", "sessions"])
def test_arrays_cannot_be_written_to(array: str) -> None:
    prices = made()
    with pytest.raises(ValueError, match="read-only"):
        getattr(prices, array)[0] = getattr(prices, array)[1]


def test_fields_cannot_be_replaced() -> None:
    with pytest.raises(FrozenInstanceError):
        made().closes = CLOSES  # type: ignore[misc]


def test_what_the_caller_does_to_his_array_changes_nothing() -> None:
    theirs = CLOSES.copy()
    prices = made(closes=theirs)
    theirs[0] = 99
    assert prices.closes[0] == 10


def test_length_and_span() -> None:
    assert len(made()) == 4
    assert made().span == ("2022-01-03", "2022-01-06")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [0, 1, 2, 3]),
        ("2022-01-04", None, [1, 2, 3]),
        (None, "2022-01-05", [0, 1, 2]),
        (date(2022, 1, 4), date(2022, 1, 5), [1, 2]),
        ("2021-01-01", "2022-01-03", [0]),
        ("2022-01-06", "2030-01-01", [3]),
    ],
)
def test_between_includes_both_ends(start: object, end: object, expected: list[int]) -> None:
    assert made().between(start, end).closes.tolist() == CLOSES[expected].tolist()


@pytest.mark.parametrize(
    ("start", "end"), [("2022-01-07", None), (None, "2022-01-02"), ("2022-01-05", "2022-01-04")]
)
def test_between_refuses_an_empty_span_and_says_what_there_is(
    start: str | None, end: str | None
) -> None:
    with pytest.raises(TooFewCloses, match="test has 2022-01-03 to 2022-01-06"):
        made().between(start, end)


def test_rows_keep_everything_else() -> None:
    prices = Prices("MSFT", DAYS, CLOSES, "test", "adjusted", (PriceProblem("rule", "text"),))
    part = prices.rows(1, 3)
    assert part.closes.tolist() == [11.0, 10.5]
    assert part.span == ("2022-01-04", "2022-01-05")
    assert replace(part, sessions=DAYS, closes=CLOSES) == prices
    assert (part.source, part.basis, part.notes) == ("test", "adjusted", prices.notes)


def test_the_hash_is_of_the_content_not_of_where_it_came_from() -> None:
    one = Prices("MSFT", DAYS, CLOSES, "yahoo", "adjusted", (PriceProblem("rule", "text"),))
    other = Prices("msft", DAYS.copy(), CLOSES.copy(), "file", "adjusted")
    assert one.content_hash == other.content_hash
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "other",
    [
        Prices("AAPL", DAYS, CLOSES, "test"),
        Prices("MSFT", DAYS + 1, CLOSES, "test"),
        Prices("MSFT", DAYS, np.nextafter(CLOSES, 100), "test"),
        Prices("MSFT", DAYS, CLOSES, "test", "raw"),
        "something else",
    ],
    ids=["symbol", "sessions", "closes", "basis", "type"],
)
def test_different_content_is_unequal(other: object) -> None:
    assert made() != other


def test_the_hash_is_the_same_on_every_machine() -> None:
    """Bundles remember it for years: a change of this number orphans them."""
    assert made().content_hash == (
        "c1e6cb1da258dc50421348dee225e4c03d731826fde216f113feae17d0a5ec26"
    )


@patiently
@given(closes(1, 300), st.sampled_from(["raw", "adjusted", "unknown"]))
def test_json_round_trip_keeps_every_bit(values: np.ndarray, basis: str) -> None:
    prices = as_prices(values, basis=basis)  # type: ignore[arg-type]
    again = ADAPTER.validate_json(ADAPTER.dump_json(prices))
    assert again == prices
    assert (again.source, again.notes) == (prices.source, prices.notes)


def test_json_fits_the_schema() -> None:
    noted = replace(random_walk(5, 0), notes=(PriceProblem("rule", "text", "2022-01-03", 1.5),))
    jsonschema.Draft202012Validator(
        ADAPTER.json_schema(mode="serialization"),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    ).validate(json.loads(ADAPTER.dump_json(noted)))


@pytest.mark.parametrize(
    "change",
    [
        {"closes": None},
        {"closes": 1.0},
        {"closes": ["1"]},
        {"sessions": ["2022-13-01"]},
        {"sessions": [20220103]},
        {"basis": "guessed"},
        {"symbol": None},
    ],
    ids=str,
)
def test_the_schema_refuses_what_does_not_fit(change: dict[str, object]) -> None:
    document = json.loads(ADAPTER.dump_json(random_walk(5, 0))) | change
    checker = jsonschema.Draft202012Validator(
        ADAPTER.json_schema(mode="serialization"),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )
    assert not checker.is_valid(document)


def test_json_of_impossible_prices_is_refused() -> None:
    document = json.loads(ADAPTER.dump_json(random_walk(5, 0)))
    document["closes"][2] = -1
    with pytest.raises(InvalidPrices, match="not positive"):
        ADAPTER.validate_json(json.dumps(document))


def test_the_schema_file_is_up_to_date() -> None:
    stored = (FOLDER / "prices.schema.json").read_text(encoding="utf-8")
    assert stored == schema("prices"), "renew it: python -m scripts.write_schemas"
