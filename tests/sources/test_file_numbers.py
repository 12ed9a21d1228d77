"""Numbers of files: one convention, found over all columns and rows, or a refusal."""

from __future__ import annotations

import pytest

from tests.support.file_reading import FileReader

DAYS = ("2022-01-03", "2022-01-04", "2022-01-05", "2022-01-06", "2022-01-07")
OPEN = "may be in thousands or have three decimals"


def table(closes: tuple[str, ...], other: tuple[str, ...] = (), header: str = "Date;Close") -> str:
    rows = [
        ";".join(cells) for cells in zip(DAYS, closes, *([other] if other else []), strict=False)
    ]
    return "\n".join([header + (";Other" if other else ""), *rows]) + "\n"


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        (("1.234,56", "1.235,00", "999,00"), [1234.56, 1235, 999]),
        (("1'234.56", "1’235.00", "999.00"), [1234.56, 1235, 999]),
        (("1 234,56", "1\u202f235,00", "999,00"), [1234.56, 1235, 999]),
        (("1,23,456.78", "1,23,999.00", "99,999.00"), [123456.78, 123999, 99999]),
        (("1,23,456", "1,23,999", "99,999"), [123456, 123999, 99999]),
        (("12,50 €", "13,50 €", "14,50 €"), [12.5, 13.5, 14.5]),
        (("₹1,234.50", "Rs. 1,235.50", "₹ 999.00"), [1234.5, 1235.5, 999]),
        (("1,5e1", "1,6e1", "1,7e1"), [15, 16, 17]),
        (("0,123", "0,124", "0,125"), [0.123, 0.124, 0.125]),
    ],
)
def test_conventions(reader: FileReader, closes: tuple[str, ...], expected: list[float]) -> None:
    assert reader.fetch(table(closes)).closes.tolist() == expected


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (("12,75M", "-0,53%", "1,2K"), [100719, 101294, 101100]),
        (("1.234.567", "1.234.567", "9"), [100719, 101294, 101100]),
        (("12.75M", "-0.53%", ""), [100.719, 101.294, 101.1]),
        (("1,234,567", "1,234,567", "9"), [100.719, 101.294, 101.1]),
    ],
)
def test_the_other_columns_decide(
    reader: FileReader, other: tuple[str, ...], expected: list[float]
) -> None:
    text = table(("100.719", "101.294", "101.100"), other)
    assert reader.fetch(text).closes.tolist() == expected
    assert "as in the file's other columns" in reader.read_as(text)


def test_the_sizes_of_neighbours_decide(reader: FileReader) -> None:
    text = table(("998", "997", "999", "1,003", "1,010"))
    assert reader.fetch(text).closes.tolist() == [998, 997, 999, 1003, 1010]
    assert "as the sizes of neighbouring closes leave no other" in reader.read_as(text)
    text = table(("99.875", "100", "101.250", "102", "103"))
    assert reader.fetch(text).closes.tolist() == [99.875, 100, 101.25, 102, 103]


def test_few_closes_of_another_size_may_be_in_another_unit_and_decide_nothing(
    reader: FileReader,
) -> None:
    rule, _ = reader.refusal(table(("1.234", "1.240", "120", "1.236", "1.238")))
    assert rule == "ambiguous_number"


def test_other_symbols_rows_decide(reader: FileReader) -> None:
    rows = [f"{day},MSFT,100.719" for day in DAYS[:3]] + [f"{DAYS[0]},T,12.5"]
    assert reader.fetch("\n".join(["Date,Symbol,Close", *rows])).closes.tolist() == [100.719] * 3


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("other", [(), ("1", "2", "3"), ("1,5", "1.5", "")])
def test_both_marks_are_refused_alike_where_nothing_decides(
    reader: FileReader, mark: str, other: tuple[str, ...]
) -> None:
    closes = tuple(f"{whole}{mark}719" for whole in (100, 101, 102))
    rule, message = reader.refusal(table(closes, other))
    assert rule == "ambiguous_number"
    assert message == f"close '100{mark}719' {OPEN}"


@pytest.mark.parametrize(
    ("closes", "bad"),
    [
        (("1.234,50", "1,234.50", "1.235,50"), "1,234.50"),
        (("28.30", "28,45", "28.60"), "28,45"),
        (("1,23,4.5", "1.5", "1.6"), "1,23,4.5"),
        (("1.5", "yes", "1.6"), "yes"),
    ],
)
def test_another_convention_within_the_column_is_no_number(
    reader: FileReader, closes: tuple[str, ...], bad: str
) -> None:
    assert reader.refusal(table(closes)) == ("not_a_number", f"close {bad!r} is not a number")
