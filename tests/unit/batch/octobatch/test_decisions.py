"""Octobatch's words for failures in ours, and records without what is not a unit's own."""

from __future__ import annotations

import pytest

from headgate.batch.octobatch.decisions import cleaned, errors_of, reason_of
from headgate.batch.octobatch.index import Answer, answer_of
from headgate.batch.reasons import Reason
from headgate.wire.json import Json, JsonObject


def answer(finish: str | None = None, error: str | None = None) -> Answer:
    return Answer((0, 0), 1, 1, "m", finish, error)


@pytest.mark.parametrize(
    ("line", "raw", "found", "reason"),
    [
        ({"failure_stage": "schema_validation"}, "{}", None, Reason.SCHEMA),
        ({"failure_stage": "validation"}, "{}", answer("STOP"), Reason.RULE),
        ({"failure_stage": "validation"}, "{", answer("MAX_TOKENS"), Reason.TRUNCATED),
        ({"failure_stage": "schema_validation"}, "", answer("ERROR", "503"), Reason.PROVIDER_ERROR),
        ({"failure_stage": "pipeline_internal"}, "no JSON", None, Reason.PARSE_ERROR),
        ({"failure_stage": "pipeline_internal"}, " ", None, Reason.LOST),
        ({"failure_stage": ["odd"]}, "x", None, Reason.PARSE_ERROR),
        ({}, "", None, Reason.LOST),
        ({"failure_stage": "pipeline_internal", "_reason": "refusal"}, "x", None, Reason.REFUSAL),
        ({"failure_stage": "validation", "_reason": "made up", "reason": "refusal"}, "x", None, Reason.RULE),
    ],
)
def test_why_a_unit_failed(line: JsonObject, raw: str, found: Answer | None, reason: Reason) -> None:
    assert reason_of(line, raw, found) is reason


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (None, []),
        ("text", []),
        (["text", 5], [("", "", "text"), ("", "", "5")]),
        ([{"path": "$.a", "message": "m", "more": 1}], [("$.a", "", "m")]),
    ],
)
def test_complaints(errors: Json, told: list[tuple[str, str, str]]) -> None:
    assert [(error["path"], error["rule"], error["message"]) for error in errors_of(errors)] == told


def test_what_is_a_units_own() -> None:
    record = {"unit_id": "a", "x": 1, "_raw_text": "…", "retry_count": 2, "_metadata": {"model": "m", "input_tokens": 1, "iterations": 4}}
    assert cleaned(record) == {"unit_id": "a", "x": 1, "_metadata": {"iterations": 4}}
    assert cleaned({"unit_id": "a", "_metadata": {"model": "m"}}) == {"unit_id": "a"}
    assert cleaned({"unit_id": "a", "_metadata": "odd"}) == {"unit_id": "a", "_metadata": "odd"}


@pytest.mark.parametrize("tokens", [-1, True, "5", 1.5, 10**15, None, [1]])
def test_odd_tokens_are_unknown(tokens: Json) -> None:
    assert answer_of({"unit_id": "a", "_metadata": {"input_tokens": tokens, "output_tokens": 7}}, (0, 0)).input_tokens is None
    assert answer_of({"unit_id": "a", "_metadata": tokens}, (0, 0)).output_tokens is None


def test_an_answer_that_is_none() -> None:
    assert answer_of({"unit_id": "a", "response": None, "error": "429 too many"}, (0, 0)).error == "429 too many"
    assert answer_of({"unit_id": "a", "error": "a field of the answer"}, (0, 0)).error is None
