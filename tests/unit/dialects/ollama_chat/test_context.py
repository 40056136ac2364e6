"""The least a prompt can be, the context it is sent with, and prompts that a server has cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.ollama_chat.context import (
    SMALLEST_DEFAULT,
    SMALLEST_WINDOW,
    check_fit,
    prompt_estimate,
    prompt_floor,
    text_floor,
    truncated,
    window,
)
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Media, Text, Thinking, ToolResult
from headgate.domain.request import Message, Request, Tool, user_message
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError


def request_of(*messages: Message, max_tokens: int | None = None, tools: tuple[Tool, ...] = ()) -> Request:
    return Request(model="m", messages=messages, max_tokens=max_tokens, tools=tools)


@given(st.text(max_size=200))
def test_the_least_is_never_more_than_a_token_a_byte(text: str) -> None:
    assert 0 <= text_floor(text) <= len(text.encode("utf-8", "replace"))


@given(st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), max_size=40), st.sampled_from([" ", "\n", "\t\t", " \n "]))
def test_no_token_spans_two_words(words: list[str], between: str) -> None:
    assert text_floor(between.join(words)) >= len(words)


@pytest.mark.parametrize("text", ["", " " * 5000, "\n" * 999, "=" * 4000, "ab" + "-" * 4000])
def test_blanks_and_repetitions_may_be_few_tokens(text: str) -> None:
    assert text_floor(text) <= 1


def test_a_long_text_without_blanks_is_counted_by_its_bytes() -> None:
    assert text_floor("ab" * 3200) == 200
    assert text_floor("漢字" * 160) == 30


def test_what_a_template_may_leave_out_is_not_counted() -> None:
    talk = (
        Message("system", (Text("one two"),)),
        Message("assistant", (Thinking("not this"), Text("<think>\nnor this\n</think>three"))),
        Message("user", (Media("image", "image/png", data="QUJD" * 999), Text("</think> four"))),
        Message("tool", (ToolResult("c", (Text("five six"),)),)),
    )
    assert prompt_floor(talk) == 7  # the tag in the user's words is a word


@given(st.integers(0, 4000), st.none() | st.integers(0, 40_000), st.integers(1000, 200_000))
def test_the_window_holds_the_estimate_and_the_answer_and_is_a_power_of_two(words: int, limit: int | None, context: int) -> None:
    request = request_of(user_message("word " * words), max_tokens=limit)
    free, bound = window(request, ANY_MODEL), window(request, Capabilities(context=context))
    needed = prompt_estimate(request) + (limit or 0)
    if free is None:
        assert needed <= SMALLEST_DEFAULT and bound is None
    else:
        assert free >= max(needed, SMALLEST_WINDOW) and free & (free - 1) == 0
        assert free == SMALLEST_WINDOW or free < 2 * (needed + 5000)
        assert bound == min(free, context)


def test_tools_and_images_need_room() -> None:
    bare = request_of(user_message("hi"))
    tool = Tool("f", "Does it.", {"type": "object", "properties": {"a": {"type": "string"}}})
    assert prompt_estimate(request_of(user_message("hi"), tools=(tool,))) > prompt_estimate(bare) + 500
    picture = Message("user", (Media("image", "image/png", data="AA"),))
    assert prompt_estimate(request_of(picture)) > 2048
    assert window(request_of(picture), ANY_MODEL) == 8192


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 99))
def test_a_prompt_is_refused_exactly_when_it_cannot_fit(words: int, answer: int, limit: int) -> None:
    request = request_of(user_message("word " * words))
    fits = words + answer <= limit
    for capabilities, num_ctx in ((Capabilities(context=limit), None), (Capabilities(context=limit + 9), limit), (ANY_MODEL, limit)):
        if fits:
            check_fit(request, capabilities, num_ctx, answer)
        else:
            with pytest.raises(ProviderError) as refusal:
                check_fit(request, capabilities, num_ctx, answer)
            assert refusal.value.kind is ErrorKind.CONTEXT_LENGTH and str(limit) in refusal.value.message
    check_fit(request, ANY_MODEL, None, answer)


@pytest.mark.parametrize(
    ("usage", "floor", "cut"),
    [
        (Usage(input_uncached=2048), 2049, True),
        (Usage(input_uncached=1000, cache_read=1048), 2049, True),
        (Usage(input_uncached=2049), 2049, False),
        (Usage(input_uncached=0), 2049, False),
        (Usage(input_uncached=5, source="estimated"), 2049, False),
    ],
)
def test_a_count_below_the_least_means_a_cut(usage: Usage, floor: int, cut: bool) -> None:
    assert truncated(usage, floor) is cut
