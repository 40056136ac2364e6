"""Estimated usage: marked as such, and never less than the bytes suggest (translation cases 52 and 56)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.content import Media, Opaque, Refusal, Text, Thinking, ToolCall
from headgate.domain.estimate import BYTES_PER_TOKEN, estimate_tokens, estimate_usage
from headgate.domain.response import Choice, Response


@given(st.integers(0, 10**9))
def test_tokens_are_rounded_up(size: int) -> None:
    tokens = estimate_tokens(size)
    assert tokens * BYTES_PER_TOKEN >= size > (tokens - 1) * BYTES_PER_TOKEN


@pytest.mark.parametrize(
    ("content", "text", "reasoning"),
    [
        ((), 0, 0),
        ((Text("12345678"),), 2, 0),
        ((Text("ÄÖ"),), 1, 0),
        ((Text("1234"), Refusal("1234")), 2, 0),
        ((Thinking("12345678"), Text("1")), 1, 2),
        ((ToolCall("id", "name", '{"a":1}'),), 3, 0),
        ((Opaque({"type": "x"}),), 3, 0),
    ],
)
def test_each_kind_of_block_counts(content: tuple[Text, ...], text: int, reasoning: int) -> None:
    usage = estimate_usage(9, Response(choices=(Choice(0, content),)))
    assert usage.source == "estimated"
    assert (usage.input_uncached, usage.output_text, usage.output_reasoning) == (3, text, reasoning)


def test_every_choice_counts() -> None:
    response = Response(choices=(Choice(0, (Text("1234"),)), Choice(1, (Text("12345"),))))
    assert estimate_usage(0, response).output_total == 3


def test_a_picture_in_an_answer_counts() -> None:
    assert estimate_usage(0, Response(choices=(Choice(0, (Media("image", "image/png", "aGk="),)),))).output_text > 0
