"""The tier an answer was served in, told on another wire: in that wire's words, or not at all."""

from __future__ import annotations

from typing import get_args

import pytest
from anthropic.types import Message, Usage
from openai.types.chat import ChatCompletion
from openai.types.responses import Response as OpenAIResponse
from pydantic import BaseModel

from headgate.dialects import anthropic_messages, bedrock_converse, gemini_generate, openai_chat, openai_responses
from headgate.dialects.base import ChatDialect, StreamContext
from headgate.domain.content import Text
from headgate.domain.events import BlockStart, Delta, Finished, Start, UsageSeen
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage as Buckets
from headgate.wire.json import decode

SAID = ("default", "standard", "standard_only", "priority", "flex", "scale", "auto", "batch", "reserved", "on_demand", "unspecified")
"""Every tier that answers name, on any wire."""
COUNTS = Buckets(input_uncached=3, output_text=2)


def whole(dialect: ChatDialect, tier: str) -> object:
    choice = Choice(content=(Text("x"),), finish=Finish.STOP)
    rendered = dialect.render_response(Response(id="a", model="m", created=1, choices=(choice,), usage=COUNTS, service_tier=tier))
    return decode(rendered)


def streamed(dialect: ChatDialect, tier: str) -> str | None:
    """The tier that the dialect's own decoder reads out of a stream."""
    encoder, decoder = dialect.stream_encoder(StreamContext("m", "a", 1, True)), dialect.stream_decoder()
    events = (Start("a", "m", 1), BlockStart(0, Text("")), Delta(0, "x"), Finished(Finish.STOP), UsageSeen(COUNTS, tier))
    data = b"".join(encoder.render_event(event) for event in events) + encoder.close()
    seen = [event.service_tier for event in (*decoder.feed(data), *decoder.close()) if isinstance(event, UsageSeen)]
    return seen[-1] if seen else None


def words(shape: type[BaseModel]) -> set[str]:
    """The tiers that an official client's type declares."""
    optional = shape.model_fields["service_tier"].annotation
    return {value for part in get_args(optional) for value in get_args(part)}


@pytest.mark.parametrize("tier", SAID)
def test_an_answer_names_a_tier_that_the_clients_know(tier: str) -> None:
    message = whole(anthropic_messages.DIALECT, tier)
    assert Message.model_validate(message).usage.service_tier in {None, *words(Usage)}
    completion = ChatCompletion.model_validate(whole(openai_chat.DIALECT, tier))
    assert completion.service_tier in {None, *words(ChatCompletion)}
    assert OpenAIResponse.model_validate(whole(openai_responses.DIALECT, tier)).service_tier in {None, *words(OpenAIResponse)}


@pytest.mark.parametrize(
    ("dialect", "tier", "word"),
    [
        (anthropic_messages.DIALECT, "default", "standard"),
        (anthropic_messages.DIALECT, "on_demand", "standard"),
        (anthropic_messages.DIALECT, "batch", "batch"),
        (anthropic_messages.DIALECT, "flex", None),
        (openai_chat.DIALECT, "standard", "default"),
        (openai_chat.DIALECT, "batch", None),
        (openai_chat.DIALECT, "on_demand", "default"),
        (openai_responses.DIALECT, "standard", "default"),
        (gemini_generate.DIALECT, "default", "standard"),
        (gemini_generate.DIALECT, "scale", None),
        (bedrock_converse.DIALECT, "priority", "priority"),
    ],
)
def test_whole_and_stream_say_the_same(dialect: ChatDialect, tier: str, word: str | None) -> None:
    answer = Response(id="a", model="m", choices=(Choice(content=(Text("x"),), finish=Finish.STOP),), usage=COUNTS, service_tier=tier)
    assert dialect.parse_response(dialect.render_response(answer)).service_tier == word
    assert streamed(dialect, tier) == word
