"""What a caller would rather have, by the headers of the ``Accept`` family."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api.middleware.negotiation import language_of, prefers_html, qualities
from tests.api.test_predict import WINDOW


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("pt", "pt"),
        ("pt-BR", "pt"),
        ("PT-br", "pt"),
        ("pt-PT;q=1.000", "pt"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("en-US,en;q=0.9,pt;q=0.8", "en"),
        ("en;q=0.8, pt;q=0.9", "pt"),
        ("en-GB;q=0.2, pt;q=0.1, en;q=0.05", "en"),  # any kind of English
        ("pt, en", "pt"),  # wanted as much: the first
        ("en, pt", "en"),
        ("pt;q=0.5,en;q=0.5", "pt"),
        ("fr", "en"),
        ("fr, pt;q=0.5", "pt"),  # better than what is not wanted at all
        ("*", "en"),
        ("pt, *", "pt"),
        ("pt;q=0.5, *", "en"),
        ("pt;q=0.5, *;q=0.4", "pt"),
        ("pt;q=0", "en"),
        ("pt;q=0.000", "en"),
        ("pt;q=0, pt-BR", "pt"),
        ("pt ; q=0.9 , en;q=0.1", "pt"),
        ("pt;q=high, en;q=0.1", "en"),
        ("pt;q=1.1, en;q=0.1", "en"),
        ("pt;q=-1, en;q=0.1", "en"),
        ("pt;q=0.1234, en;q=0.1", "en"),  # three digits at most
        ("pt;q=², en;q=0.1", "en"),
        ("pt;q=, en;q=0.1", "en"),
        ("ptx", "en"),
        ("p", "en"),
        (",;,", "en"),
        (";q=1", "en"),
    ],
)
def test_portuguese_is_for_who_wants_it_more_than_english(header: str, language: str) -> None:
    assert language_of(header) == language


@given(st.text(alphabet="pten-BR*;q=0.19, ²\x00", max_size=60))
def test_no_header_breaks_it(header: str) -> None:
    assert language_of(header) in ("en", "pt")
    assert all(0 <= weight <= 1 for weight in qualities(header).values())
    assert prefers_html(header) is False


def test_a_header_that_is_sent_twice_is_one(client: TestClient) -> None:
    headers = [("accept-language", "en;q=0.5"), ("accept-language", "pt")]
    answer = client.post("/predict", json={"prices": WINDOW}, headers=headers)
    assert answer.headers["content-language"] == "pt"
