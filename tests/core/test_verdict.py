"""``Verdict``: findings, and the level that follows from them."""

from __future__ import annotations

import json
from itertools import permutations

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from closecast.core.verdict import Finding, Verdict
from scripts.write_schemas import FOLDER, schema

ADAPTER = TypeAdapter(Verdict)
REGIME = Finding("volatility_high", "regime", "volatility ratio", 3.2, 1.5, "High volatility.")
FAULT = Finding("frozen_feed", "fault", "longest run", 9.0, 4.0, "Is the feed frozen?")
VERDICTS = [Verdict(), Verdict((), sufficient=False), Verdict((REGIME,)), Verdict((FAULT, REGIME))]


@pytest.mark.parametrize(
    ("findings", "level"),
    [
        ((), "ok"),
        ((REGIME,), "regime"),
        ((REGIME, REGIME), "regime"),
        ((FAULT,), "fault"),
        *((order, "fault") for order in permutations([REGIME, FAULT, REGIME])),
    ],
)
def test_the_level_is_the_gravest_whatever_the_order(
    findings: tuple[Finding, ...], level: str
) -> None:
    assert Verdict(findings).level == level


def test_too_little_to_judge_by_is_not_ok() -> None:
    assert Verdict(sufficient=False).level == "insufficient"


def test_a_finding_outweighs_too_little_to_judge_by() -> None:
    assert Verdict((REGIME,), sufficient=False).level == "regime"


@pytest.mark.parametrize(
    ("verdict", "warning"), list(zip(VERDICTS, [False, False, True, True], strict=True))
)
def test_a_warning_is_any_finding(verdict: Verdict, warning: bool) -> None:
    assert verdict.warning is warning


@pytest.mark.parametrize("verdict", VERDICTS)
def test_json_round_trip(verdict: Verdict) -> None:
    assert ADAPTER.validate_json(ADAPTER.dump_json(verdict)) == verdict


@pytest.mark.parametrize("verdict", VERDICTS)
def test_json_fits_the_schema(verdict: Verdict) -> None:
    jsonschema.Draft202012Validator(ADAPTER.json_schema(mode="serialization")).validate(
        json.loads(ADAPTER.dump_json(verdict))
    )


@pytest.mark.parametrize("level", ["ok", "grave", None])
def test_a_finding_is_a_regime_or_a_fault(level: str | None) -> None:
    document = json.loads(ADAPTER.dump_json(Verdict((FAULT,))))
    document["findings"][0]["level"] = level
    with pytest.raises(ValidationError):
        ADAPTER.validate_json(json.dumps(document))
    assert not jsonschema.Draft202012Validator(ADAPTER.json_schema()).is_valid(document)


def test_the_schema_file_is_up_to_date() -> None:
    stored = (FOLDER / "verdict.schema.json").read_text(encoding="utf-8")
    assert stored == schema("verdict"), "renew it: python -m scripts.write_schemas"
