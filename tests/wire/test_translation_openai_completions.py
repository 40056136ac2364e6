"""Translation cases the text completions wire shows, and its laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects import anthropic_messages, gemini_generate, openai_chat
from headgate.dialects.base import ChatDialect, StreamContext
from headgate.dialects.openai_completions import DIALECT
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Text
from headgate.domain.events import BlockStart, Delta, Failed, Finished, Start, StreamEvent, UsageSeen
from headgate.domain.fold import fold
from headgate.domain.request import Request, ResponseFormat, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported, WireError
from headgate.testing import essence, samples
from headgate.wire.json import Json, decode, encode

CASES = frozenset({33, 35, 36, 38, 40, 55, 64, 65, 93})

CHATS = {module.DIALECT.name: module.DIALECT for module in (openai_chat, anthropic_messages, gemini_generate)}
chats = pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
CONTEXT = StreamContext("a-model", "answer-1", samples.CREATED)
BODY = {"model": "m", "prompt": "Name a colour."}


def parse(**fields: Json) -> Request:
    return DIALECT.parse_request(encode({**BODY, **fields}), "/completions")


def written(request: Request) -> Json:
    return decode(encode(DIALECT.render_request(request, ANY_MODEL).payload))


@chats
def test_one_prompt_is_one_user_message(chat: ChatDialect) -> None:
    rendered = chat.render_request(parse(max_tokens=9, temperature=0, stop="END"), ANY_MODEL)
    back = chat.parse_request(encode(rendered.payload), rendered.path)
    assert essence.conversation(back) == (("user", "text", "Name a colour."),)
    assert (back.max_tokens, back.temperature, back.stop) == (9, 0, ("END",))


@chats
@pytest.mark.parametrize("more", [{"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": [[1], [2]]}, {"suffix": "z"}, {"echo": True}])
def test_what_no_conversation_can_say_is_refused(chat: ChatDialect, more: dict[str, Json]) -> None:
    with pytest.raises(Unsupported) as refused:
        chat.render_request(parse(**more), ANY_MODEL)
    assert refused.value.param in ("prompt", "prompt[1]", "suffix", "echo")
    assert written(parse(**more)) == {**BODY, **more}


@chats
def test_case_40_other_keys_are_reported_elsewhere(chat: ChatDialect) -> None:
    notes = chat.render_request(parse(best_of=3, max_tokens=9), ANY_MODEL).notes
    assert "best_of" in {note.field for note in notes}


@chats
def test_a_chat_of_one_message_is_a_prompt(chat: ChatDialect) -> None:
    request = Request(model="m", messages=(user_message("Name a colour."),), max_tokens=20, temperature=0.0)
    rendered = chat.render_request(request, ANY_MODEL)
    parsed = chat.parse_request(encode(rendered.payload), rendered.path)
    assert DIALECT.render_request(parsed, ANY_MODEL).payload == {**BODY, "model": parsed.model, "max_tokens": 20, "temperature": 0.0}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (samples.SYSTEM, "messages"),
        (samples.TALK, "messages"),
        (samples.TOOLS, "tools"),
        (samples.PICTURE, "messages[0].content[1]"),
        (samples.STRUCTURED, "response_format"),
    ],
)
def test_what_is_no_prompt_is_refused(request_: Request, param: str) -> None:
    with pytest.raises(Unsupported) as refused:
        DIALECT.render_request(request_, ANY_MODEL)
    assert refused.value.param == param


def test_a_plain_text_format_is_no_format() -> None:
    request = Request(model="m", messages=(user_message("x"),), response_format=ResponseFormat("text"))
    assert DIALECT.render_request(request, ANY_MODEL).payload == {"model": "m", "prompt": "x"}


def test_case_33_zero_is_a_value() -> None:
    body = {**BODY, "temperature": 0, "top_p": 0, "seed": 0, "max_tokens": 0, "n": 0, "logprobs": 0}
    assert written(DIALECT.parse_request(encode(body), "")) == body


def test_case_35_stop_words_keep_their_spelling() -> None:
    for stop in ("END", ["END"], ["a", "b"], []):
        assert written(parse(stop=stop))["stop"] == stop


def test_case_36_several_choices() -> None:
    answer = Response(id="a", model="m", created=1, choices=tuple(Choice(i, (Text(str(i)),), Finish.STOP) for i in range(3)))
    assert [choice["index"] for choice in decode(DIALECT.render_response(answer))["choices"]] == [0, 1, 2]
    with pytest.raises(Unsupported):
        DIALECT.render_request(parse(n=2), Capabilities(choices=False))


CHANCES = {
    "tokens": ["a", "bc"],
    "token_logprobs": [-0.1, -0.2],
    "top_logprobs": [{"a": -0.1}, {"bc": -0.2, "d": -3.0}],
    "text_offset": [5, 6],
}


def test_case_38_log_probabilities() -> None:
    body = {"id": "i", "object": "text_completion", "created": 1, "model": "m", "choices": []}
    body["choices"] = [{"text": "abc", "index": 0, "logprobs": CHANCES, "finish_reason": "stop"}]
    answer = DIALECT.parse_response(encode(body))
    assert decode(DIALECT.render_response(answer)) == body
    chat = decode(openai_chat.DIALECT.render_response(answer))["choices"][0]["logprobs"]["content"]
    assert [(item["token"], item["logprob"]) for item in chat] == [("a", -0.1), ("bc", -0.2)]
    assert chat[1]["top_logprobs"][1]["token"] == "d"
    sent = openai_chat.DIALECT.render_request(parse(logprobs=2), ANY_MODEL).payload
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 2)


def test_case_55_usage_comes_when_asked_for() -> None:
    events: list[StreamEvent] = [Start("i", "m", 1), Finished(Finish.STOP), UsageSeen(samples.USAGE)]
    asked, silent = stream(events), stream(events, usage=False)
    assert b'"usage":{' in asked and b'"usage"' not in silent
    assert asked.endswith(b"data: [DONE]\n\n") and silent.endswith(b"data: [DONE]\n\n")


def stream(events: list[StreamEvent], usage: bool = True) -> bytes:
    encoder = DIALECT.stream_encoder(StreamContext("m", "i", 1, usage))
    return b"".join([encoder.render_event(event) for event in events] + [encoder.close()])


def test_case_64_nothing_follows_an_error() -> None:
    error = ProviderError(ErrorKind.SERVER, "it broke")
    data = stream([Start("i", "m", 1), BlockStart(0, Text("")), Delta(0, "a"), Failed(error), Delta(0, "b"), Finished(Finish.STOP)])
    assert b"it broke" in data and b"[DONE]" not in data and b'"b"' not in data
    decoder = DIALECT.stream_decoder()
    assert isinstance((decoder.feed(data) + decoder.close())[-1], Failed)


def test_case_65_a_stream_that_just_ends_is_truncated() -> None:
    decoder = DIALECT.stream_decoder()
    decoder.feed(b'data: {"id":"i","choices":[{"index":0,"text":"a"}]}\n\n')
    with pytest.raises(Truncated):
        decoder.close()
    assert b"[DONE]" not in stream([Start("i", "m", 1), BlockStart(0, Text("a"))])


def test_case_93_errors_have_openais_envelope() -> None:
    rendered = DIALECT.render_error(ProviderError(ErrorKind.CONTEXT_LENGTH, "too long", param="prompt"))
    assert decode(rendered.body)["error"] == {
        "message": "too long",
        "type": "invalid_request_error",
        "param": "prompt",
        "code": "context_length_exceeded",
    }


@pytest.mark.parametrize("name", sorted(samples.ANSWERS))
def test_any_answer_can_be_written(name: str) -> None:
    answer = samples.ANSWERS[name]
    back = DIALECT.parse_response(DIALECT.render_response(answer))
    assert back.text == answer.text
    assert back.usage is not None and back.usage.total == samples.USAGE.total
    assert back.finish is (Finish.STOP if answer.finish is Finish.TOOL_CALLS else answer.finish)
    streamed = DIALECT.stream_decoder()
    events = streamed.feed(stream(samples.events_of(answer))) + streamed.close()
    assert essence.answer(fold(events)) == essence.answer(back)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KNOWN = st.fixed_dictionaries(
    {"model": TEXT, "prompt": TEXT | st.lists(TEXT, max_size=3) | st.lists(st.integers(0, 9), max_size=3) | st.none()},
    optional={
        "suffix": TEXT | st.none(),
        "echo": st.booleans(),
        "best_of": st.integers(0, 3),
        "logprobs": st.integers(0, 5) | st.booleans() | st.none(),
        "max_tokens": st.integers(0, 9) | st.none(),
        "stop": TEXT | st.lists(TEXT, max_size=2) | st.none(),
        "stream_options": st.fixed_dictionaries({}, optional={"include_usage": st.booleans(), "x": TEXT}) | st.none(),
        "user": TEXT,
        "logit_bias": st.just({"5": -1}),
        "x_other": TEXT | st.none(),
    },
)


@given(KNOWN)
def test_requests_go_back_equal(body: Json) -> None:
    request = DIALECT.parse_request(encode(body), "/completions")
    rendered = DIALECT.render_request(request, ANY_MODEL)
    assert (decode(encode(rendered.payload)), rendered.notes) == (body, ())


@given(st.dictionaries(st.sampled_from(["model", "prompt", "stop", "n", "logprobs", "stream_options"]), st.just({}) | st.just([{}]) | TEXT))
def test_malformed_requests_name_a_field(body: Json) -> None:
    try:
        DIALECT.parse_request(encode(body), "/completions")
    except WireError as error:
        assert error.param


@given(st.lists(st.text(max_size=8), max_size=6), st.data())
def test_any_split_gives_the_same_events(texts: list[str], data: st.DataObject) -> None:
    events: list[StreamEvent] = [
        Start("i", "m", 1),
        BlockStart(0, Text("")),
        *(Delta(0, text.encode("utf-8", "replace").decode()) for text in texts),
    ]
    wire = stream([*events, Finished(Finish.LENGTH), UsageSeen(samples.USAGE)])
    whole = DIALECT.stream_decoder()
    expected = whole.feed(wire) + whole.close()
    cut = data.draw(st.integers(0, len(wire)))
    split = DIALECT.stream_decoder()
    assert split.feed(wire[:cut]) + split.feed(wire[cut:]) + split.close() == expected
    assert fold(expected).text == "".join(text.encode("utf-8", "replace").decode() for text in texts)
