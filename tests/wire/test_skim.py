"""A skim tells what reading the whole answer tells, of every recorded answer it has an opinion on, and costs less."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects import anthropic_messages, openai_chat
from headgate.dialects.base import ChatDialect
from headgate.domain.response import Response
from headgate.domain.usage import BUCKETS
from headgate.errors import HeadgateError
from headgate.wire.json import encode

DIALECTS = {dialect.name: dialect for dialect in (openai_chat.DIALECT, anthropic_messages.DIALECT)}


def account(response: Response) -> tuple[object, ...]:
    usage = response.usage
    buckets = None if usage is None else (*(getattr(usage, bucket) for bucket in BUCKETS), usage.fees, usage.source)
    return response.id, response.model, response.finish, response.service_tier, response.dialect, buckets


def check_plain(dialect: ChatDialect, body: bytes) -> bool:
    """Whether a usage was told without the provider's own object: then the buckets, which are the same, tell all of it."""
    try:
        usage = dialect.parse_response(body).usage
    except HeadgateError:
        return False
    plain = None if usage is None else dialect.plain_usage(usage)
    if usage is None or plain is usage:
        return False
    assert plain == msgspec.structs.replace(usage, native=None)
    return True


def check(dialect: ChatDialect, body: bytes) -> bool:
    """Whether the skim had something to say, which then is true."""
    told = dialect.skim(body)
    if told is None:
        return False
    assert account(told) == account(dialect.parse_response(body))
    return True


COUNTS = st.integers(-2, 10_000)
MAYBE = st.none() | COUNTS
TEXT = st.text(max_size=5)
CHAT = st.fixed_dictionaries(
    {
        "id": TEXT,
        "model": TEXT,
        "choices": st.lists(
            st.fixed_dictionaries(
                {
                    "message": st.fixed_dictionaries(
                        {"role": st.just("assistant"), "content": TEXT},
                        optional={
                            "tool_calls": st.just([])
                            | st.just([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
                        },
                    ),
                    "finish_reason": st.sampled_from(["stop", "length", "tool_calls", "content_filter", "other", None]),
                }
            ),
            max_size=2,
        ),
        "usage": st.none()
        | st.fixed_dictionaries(
            {"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS},
            optional={
                "prompt_tokens_details": st.none() | st.fixed_dictionaries({"cached_tokens": COUNTS}, optional={"audio_tokens": COUNTS}),
                "completion_tokens_details": st.none() | st.fixed_dictionaries({"reasoning_tokens": COUNTS}),
                "cost": st.floats(0, 1),
            },
        ),
    },
    optional={"service_tier": st.none() | TEXT, "error": st.none() | st.just({"message": "no"})},
)


@given(CHAT)
def test_chat(answer: dict[str, object]) -> None:
    body = encode(answer)
    check_plain(openai_chat.DIALECT, body)
    try:
        check(openai_chat.DIALECT, body)
    except HeadgateError as error:
        raise AssertionError("what cannot be read was skimmed") from error


MESSAGES = st.fixed_dictionaries(
    {
        "id": TEXT,
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": TEXT,
        "content": st.lists(
            st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})
            | st.just({"type": "tool_use", "id": "t", "name": "f", "input": {}})
            | st.just({"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}),
            max_size=2,
        ),
        "stop_reason": st.sampled_from(["end_turn", "max_tokens", "tool_use", "refusal", "other", None]),
        "stop_sequence": st.none(),
        "usage": st.fixed_dictionaries(
            {"input_tokens": COUNTS, "output_tokens": COUNTS},
            optional={
                "cache_creation_input_tokens": MAYBE,
                "cache_read_input_tokens": MAYBE,
                "cache_creation": st.none()
                | st.fixed_dictionaries({"ephemeral_5m_input_tokens": COUNTS, "ephemeral_1h_input_tokens": COUNTS}),
                "server_tool_use": st.none() | st.just({"web_search_requests": 2}),
                "service_tier": st.none() | st.just("standard"),
            },
        ),
    }
)


@given(MESSAGES)
def test_messages(answer: dict[str, object]) -> None:
    check_plain(anthropic_messages.DIALECT, encode(answer))
    check(anthropic_messages.DIALECT, encode(answer))


USUAL = {
    "openai_chat": b'{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"hi","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,'
    b'"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":1,'
    b'"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default","system_fingerprint":"f"}',
    "anthropic_messages": b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":5,'
    b'"cache_read_input_tokens":2,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":1},"output_tokens":3,'
    b'"service_tier":"standard"}}',
}


@pytest.mark.parametrize("name", sorted(USUAL))
def test_the_usual_answer_is_skimmed(name: str) -> None:
    assert check(DIALECTS[name], USUAL[name])
    assert check_plain(DIALECTS[name], USUAL[name])


@pytest.mark.parametrize("name", sorted(USUAL))
@given(data=st.data())
def test_a_damaged_answer_is_no_different(name: str, data: st.DataObject) -> None:
    body = bytearray(USUAL[name])
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        check(DIALECTS[name], bytes(body))
    except HeadgateError:
        with pytest.raises(UnicodeDecodeError):
            body.decode()
