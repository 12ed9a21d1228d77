"""All messages, read from the code: none is hidden in part, or in a library's jargon."""

from __future__ import annotations

import re
import sys

import pytest

from closecast.infra.redaction import redacted
from tests.docs.blocks import ROOT

sys.path.insert(0, str(ROOT / "docs"))
try:
    from generators.messages import Message, messages, page
finally:
    sys.path.pop(0)

MESSAGES = sorted(set(messages()))
_JARGON = re.compile(r"Value error|Traceback|NoneType|\bNone\b|Input should|1e[-+]\d")


def test_the_table_holds_errors_refusals_rules_and_validators() -> None:
    found = {(message.code, message.place.partition("/")[0]) for message in MESSAGES}
    wanted = {("key_needed", "api"), ("no_model", "api"), ("out_of_bounds", "src")}
    assert wanted | {("invalid_request", "api"), ("bad_setting", "src")} <= found
    assert "`key_needed`" in page()
    assert len(MESSAGES) > 150


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: f"{m.place}-{m.text[:40]}")
def test_a_message_is_whole_and_plain(message: Message) -> None:
    assert redacted(message.text) == message.text
    assert not message.text.startswith((":", ";", " "))
    assert not _JARGON.search(message.text)
