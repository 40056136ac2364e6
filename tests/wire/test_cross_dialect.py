"""Between wires: what one dialect says, another can say as well, or a note tells what was lost.

Every ordered pair of the chat dialects, for requests, whole answers and streams: hand-made, generated, and recorded.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.dialects import anthropic_messages, bedrock_converse, gemini_generate, ollama_chat, openai_chat, openai_responses
from headgate.dialects.base import ChatDialect, RenderedRequest, StreamContext
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Cache, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import Failed, Finished, StreamEvent
from headgate.domain.fold import Fold, fold
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice, user_message
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, HeadgateError, ProviderError, Truncated, Unsupported
from headgate.testing import essence, samples
from headgate.wire.json import Json, decode, encode, encode_text

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[2].parent / "shared" / "corpus"))

DIALECTS = {
    module.DIALECT.name: module.DIALECT
    for module in (openai_chat, anthropic_messages, gemini_generate, ollama_chat, openai_responses, bedrock_converse)
}
PAIRS = [pytest.param(DIALECTS[one], DIALECTS[other], id=f"{one}-to-{other}") for one, other in permutations(DIALECTS, 2)]
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)
CONTEXT = StreamContext("a-model", "answer-1", samples.CREATED)


def through(dialect: ChatDialect, request: Request) -> tuple[Request, RenderedRequest]:
    """A request rendered and parsed again by one dialect."""
    rendered = dialect.render_request(request, ANY_MODEL)
    return dialect.parse_request(encode(rendered.payload), rendered.path), rendered


def noted(rendered: RenderedRequest) -> set[str]:
    """The fields of the request that notes name."""
    return {note.field.partition(".")[0].partition("[")[0] for note in rendered.notes}


# Requests

CALLED = msgspec.structs.replace(
    samples.TOOLS,
    messages=(
        user_message("Weather in Oslo and Rome?"),
        Message("assistant", (ToolCall("c1", "get_weather", '{"city":"Oslo"}'), ToolCall("c2", "get_weather", '{"city":"Rome"}'))),
        Message("tool", (ToolResult("c1", (Text("rain"),), "get_weather"),)),
        Message("tool", (ToolResult("c2", (Text("sun"),), "get_weather"),)),
    ),
)
REQUESTS = {
    **samples.REQUESTS,
    "results_last": CALLED,
    "required": msgspec.structs.replace(samples.TOOLS, tool_choice=ToolChoice("required")),
    "forbidden": msgspec.structs.replace(samples.TOOLS, tool_choice=ToolChoice("none")),
    "free": msgspec.structs.replace(samples.TOOLS, tool_choice=ToolChoice("auto")),
    "zeros": msgspec.structs.replace(samples.PLAIN, temperature=0.0, top_p=0.0),
    "no_arguments": msgspec.structs.replace(
        samples.TOOLS,
        messages=(
            user_message("The time?"),
            Message("assistant", (ToolCall("c1", "get_time", "{}"),)),
            Message("tool", (ToolResult("c1", (Text("12:00"),), "get_time"),)),
        ),
    ),
}


AUTO = ToolChoice("auto")
"""What a wire without the field does."""


@pytest.mark.parametrize("name", sorted(REQUESTS))
@pairs
def test_a_request_keeps_its_meaning(source: ChatDialect, target: ChatDialect, name: str) -> None:
    first, _ = through(source, REQUESTS[name])
    back, rendered = through(target, first)
    lost = noted(rendered)
    assert essence.conversation(back) == essence.conversation(first) == essence.conversation(REQUESTS[name])
    assert essence.functions(back) == essence.functions(first) or "tools" in lost
    given = {field: value for field, value in essence.settings(first).items() if field not in lost}
    assert {field: essence.settings(back).get(field) for field in given} == given
    assert (back.tool_choice or AUTO) == (first.tool_choice or AUTO) or "tool_choice" in lost
    assert (back.response_format is None) == (first.response_format is None) or "response_format" in lost
    if back.response_format is not None and first.response_format is not None:
        assert back.response_format.schema == first.response_format.schema


@pytest.mark.parametrize("name", sorted(REQUESTS))
@pairs
def test_there_and_back_again_changes_nothing_that_was_not_noted(source: ChatDialect, target: ChatDialect, name: str) -> None:
    first, original = through(source, REQUESTS[name])
    there, rendered = through(target, first)
    back, again = through(source, there)
    assert essence.conversation(back) == essence.conversation(first)
    assert essence.functions(back) == essence.functions(first) or "tools" in noted(original) | noted(rendered)
    if not original.notes and not rendered.notes and not again.notes:
        assert essence.settings(back) == essence.settings(first)


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
names = st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True)
arguments = st.dictionaries(words, st.one_of(st.integers(-1000, 1000), words, st.booleans(), st.none()), max_size=3).map(encode_text)
TOOLS = st.lists(st.builds(Tool, names, words, st.just(samples.SCHEMA)), unique_by=lambda tool: tool.name, max_size=3).map(tuple)


@st.composite
def talks(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns that take turns; each tool call is answered at once, in order."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message("system", (Text(draw(words)),)))
    for turn in range(draw(st.integers(1, 4))):
        pictures = st.sampled_from(
            [Media("image", mime="image/png", data=samples.PIXEL), Media("image", mime="image/gif", data="R0lGODdh")]
        )
        messages.append(Message("user", tuple(draw(st.lists(st.one_of(words.map(Text), pictures), min_size=1, max_size=3)))))
        calls = tuple(ToolCall(f"call_{turn}_{n}", name, draw(arguments)) for n, name in enumerate(draw(st.lists(names, max_size=2))))
        messages.append(Message("assistant", (Text(draw(words)), *calls)))
        messages += [Message("tool", (ToolResult(call.id, (Text(draw(words)),), call.name),)) for call in calls]
    return (*messages, user_message(draw(words)))


requests = st.builds(
    Request,
    model=st.just("a-model"),
    messages=talks(),
    tools=TOOLS,
    max_tokens=st.integers(1, 5000),
    temperature=st.none() | st.sampled_from([0.0, 0.25, 1.0]),
    top_p=st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    stop=st.lists(words, unique=True, max_size=4).map(tuple),
)


@pairs
@settings(max_examples=60, deadline=None)
@given(request=requests)
def test_generated_requests_keep_their_meaning(source: ChatDialect, target: ChatDialect, request: Request) -> None:
    first, original = through(source, request)
    back, rendered = through(target, first)
    lost = noted(original) | noted(rendered)
    assert essence.conversation(back) == essence.conversation(request)
    assert essence.functions(back) == essence.functions(request)
    kept = {field: value for field, value in essence.settings(request).items() if field not in lost}
    assert {field: essence.settings(back).get(field) for field in kept} == kept


# Losses

WITH_TOOLS: dict[str, Json] = {"tools": (samples.WEATHER,)}
FIELDS: dict[str, tuple[Json, dict[str, Json]]] = {
    "max_tokens": (77, {}),
    "temperature": (0.3, {}),
    "top_p": (0.8, {}),
    "top_k": (5, {}),
    "seed": (3, {}),
    "stop": (("END",), {}),
    "presence_penalty": (0.5, {}),
    "frequency_penalty": (0.5, {}),
    "logit_bias": ({"5": 1}, {}),
    "logprobs": (True, {}),
    "top_logprobs": (2, {"logprobs": True}),
    "n": (2, {}),
    "response_format": (ResponseFormat("json_schema", samples.SCHEMA, "weather"), {}),
    "reasoning": (Reasoning(effort="high"), {"max_tokens": 9000}),
    "user": ("user-1", {}),
    "metadata": ({"team": "blue"}, {}),
    "service_tier": ("priority", {}),
    "stream": (True, {}),
    "tools": ((samples.WEATHER,), {}),
    "tool_choice": (ToolChoice("required"), WITH_TOOLS),
    "parallel_tools": (False, WITH_TOOLS),
    "extra": ({"x_novelty": 1}, {}),
}
"""A value for each field of a request but model and messages, with what it needs beside it. `stream_usage` is how one wire asks for what
the others always send, `form` is spelling, `bound` names what is refused elsewhere."""

FOREIGN = [
    pytest.param(dialect, origin, id=f"{dialect.name}-from-{origin or 'nowhere'}")
    for dialect in DIALECTS.values()
    for origin in (*DIALECTS, "", "another_wire")
    if origin != dialect.name
]
"""What a request of a dialect's own wire can hold, it can write back: recorded traffic shows that."""


def test_every_field_of_a_request_is_looked_at() -> None:
    others = {"model", "messages", "stream_usage", "dialect", "form", "bound"}
    assert set(FIELDS) | others == set(Request.__struct_fields__)


THINKER = msgspec.structs.replace(ANY_MODEL, reasoning="budget")


def outcome(dialect: ChatDialect, request: Request) -> tuple[str, Json, int] | None:
    """Path, payload and number of notes; None when the request was refused."""
    try:
        rendered = dialect.render_request(request, THINKER)
    except Unsupported as error:
        assert error.param, "a refusal names the field"
        return None
    assert all(note.field and note.reason for note in rendered.notes)
    return rendered.path, decode(encode(rendered.payload)), len(rendered.notes)


def assert_seen(dialect: ChatDialect, with_it: Request, without: Request) -> None:
    """The difference between two requests shows: in what is sent, in the notes, or as a refusal."""
    one, other = outcome(dialect, with_it), outcome(dialect, without)
    assert other is not None
    assert one is None or one[:2] != other[:2] or one[2] != other[2], "lost without a word"


@pytest.mark.parametrize(("dialect", "origin"), FOREIGN)
@pytest.mark.parametrize("field", sorted(FIELDS))
def test_no_field_is_lost_without_a_note(dialect: ChatDialect, origin: str, field: str) -> None:
    value, beside = FIELDS[field]
    bare = msgspec.structs.replace(Request(model="a-model", messages=(user_message("Hello."),), dialect=origin), **beside)
    assert_seen(dialect, msgspec.structs.replace(bare, **{field: value}), bare)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_what_only_another_wire_can_serve_is_refused(dialect: ChatDialect) -> None:
    request = Request(model="a-model", messages=(user_message("Hello."),), dialect="another_wire", bound=("previous_answer",))
    with pytest.raises(Unsupported) as caught:
        dialect.render_request(request, ANY_MODEL)
    assert caught.value.param == "previous_answer"


PICTURE = Media("image", mime="image/png", data=samples.PIXEL)
RESULT = ToolResult("c1", (Text("rain"),), "get_weather")
CALL = ToolCall("c1", "get_weather", "{}")


def asked(*blocks: Block) -> tuple[Message, ...]:
    return (Message("user", blocks),)


def looped(call: Block, result: Block) -> tuple[Message, ...]:
    return (user_message("Hello."), Message("assistant", (call,)), Message("tool", (result,)))


_replace = msgspec.structs.replace
NESTED: dict[str, tuple[dict[str, Json], dict[str, Json]]] = {
    "messages[].name": ({"messages": (Message("user", (Text("a"),), name="Ann"),)}, {"messages": asked(Text("a"))}),
    "messages[].extra": ({"messages": (Message("user", (Text("a"),), extra={"x_novelty": 1}),)}, {"messages": asked(Text("a"))}),
    "text.cache": ({"messages": asked(Text("a", Cache("1h")))}, {"messages": asked(Text("a"))}),
    "text.extra": ({"messages": asked(Text("a", extra={"x_novelty": 1}))}, {"messages": asked(Text("a"))}),
    "media.detail": ({"messages": asked(_replace(PICTURE, detail="low"))}, {"messages": asked(PICTURE)}),
    "media.cache": ({"messages": asked(_replace(PICTURE, cache=Cache()))}, {"messages": asked(PICTURE)}),
    "media.extra": ({"messages": asked(_replace(PICTURE, extra={"x_novelty": 1}))}, {"messages": asked(PICTURE)}),
    "call.cache": ({"messages": looped(_replace(CALL, cache=Cache()), RESULT)}, {"messages": looped(CALL, RESULT)}),
    "call.extra": ({"messages": looped(_replace(CALL, extra={"x_novelty": 1}), RESULT)}, {"messages": looped(CALL, RESULT)}),
    "result.is_error": ({"messages": looped(CALL, _replace(RESULT, is_error=True))}, {"messages": looped(CALL, RESULT)}),
    "result.cache": ({"messages": looped(CALL, _replace(RESULT, cache=Cache()))}, {"messages": looped(CALL, RESULT)}),
    "result.extra": ({"messages": looped(CALL, _replace(RESULT, extra={"x_novelty": 1}))}, {"messages": looped(CALL, RESULT)}),
    "thinking": (
        {"messages": (user_message("a"), Message("assistant", (Thinking("hm", "c2ln"), Text("b"))), user_message("c"))},
        {"messages": (user_message("a"), Message("assistant", (Text("b"),)), user_message("c"))},
    ),
    "redacted thinking": (
        {"messages": (user_message("a"), Message("assistant", (Thinking(redacted="c2VjcmV0"), Text("b"))), user_message("c"))},
        {"messages": (user_message("a"), Message("assistant", (Text("b"),)), user_message("c"))},
    ),
    "refusal": (
        {"messages": (user_message("a"), Message("assistant", (Text("b"), Refusal("no"))), user_message("c"))},
        {"messages": (user_message("a"), Message("assistant", (Text("b"),)), user_message("c"))},
    ),
    "tool.description": ({"tools": (samples.WEATHER,)}, {"tools": (_replace(samples.WEATHER, description=None),)}),
    "tool.strict": ({"tools": (_replace(samples.WEATHER, strict=True),)}, {"tools": (samples.WEATHER,)}),
    "tool.cache": ({"tools": (_replace(samples.WEATHER, cache=Cache()),)}, {"tools": (samples.WEATHER,)}),
    "tool.extra": ({"tools": (_replace(samples.WEATHER, extra={"x_novelty": 1}),)}, {"tools": (samples.WEATHER,)}),
    "tool_choice.names": (
        {"tools": (samples.WEATHER, samples.CLOCK), "tool_choice": ToolChoice("allowed", ("get_time",), required=True)},
        {"tools": (samples.WEATHER, samples.CLOCK), "tool_choice": ToolChoice("required")},
    ),
    "tool_choice.extra": (
        {**WITH_TOOLS, "tool_choice": ToolChoice("auto", extra={"x_novelty": 1})},
        {**WITH_TOOLS, "tool_choice": ToolChoice("auto")},
    ),
    "response_format.description": (
        {"response_format": ResponseFormat("json_schema", samples.SCHEMA, "weather", "What it is.")},
        {"response_format": ResponseFormat("json_schema", samples.SCHEMA, "weather")},
    ),
    "response_format.extra": (
        {"response_format": ResponseFormat("json_schema", samples.SCHEMA, "weather", extra={"x_novelty": 1})},
        {"response_format": ResponseFormat("json_schema", samples.SCHEMA, "weather")},
    ),
    "response_format.json_object": ({"response_format": ResponseFormat("json_object")}, {}),
    "reasoning.budget": ({"max_tokens": 9000, "reasoning": Reasoning(budget=2048)}, {"max_tokens": 9000}),
    "reasoning.extra": (
        {"max_tokens": 9000, "reasoning": Reasoning(effort="low", extra={"x_novelty": 1})},
        {"max_tokens": 9000, "reasoning": Reasoning(effort="low")},
    ),
    "reasoning.visible": (
        {"max_tokens": 9000, "reasoning": Reasoning(effort="low", visible=True)},
        {"max_tokens": 9000, "reasoning": Reasoning(effort="low", visible=False)},
    ),
}
"""What lies deeper in a request: with it, and without it."""


@pytest.mark.parametrize(("dialect", "origin"), FOREIGN)
@pytest.mark.parametrize("what", sorted(NESTED))
def test_nothing_deeper_is_lost_without_a_note(dialect: ChatDialect, origin: str, what: str) -> None:
    with_it, without = (
        msgspec.structs.replace(Request(model="a-model", messages=(user_message("Hello."),), dialect=origin), **changes)
        for changes in NESTED[what]
    )
    assert_seen(dialect, with_it, without)


# Answers and streams


def encoded(dialect: ChatDialect, events: list[StreamEvent]) -> bytes:
    encoder = dialect.stream_encoder(CONTEXT)
    return b"".join(encoder.render_event(event) for event in events) + encoder.close()


def decoded(dialect: ChatDialect, data: bytes) -> list[StreamEvent]:
    decoder = dialect.stream_decoder()
    return [*decoder.feed(data), *decoder.close()]


@pytest.mark.parametrize("name", sorted(samples.ANSWERS))
@pairs
def test_an_answer_keeps_its_meaning(source: ChatDialect, target: ChatDialect, name: str) -> None:
    first = source.parse_response(source.render_response(samples.ANSWERS[name]))
    back = target.parse_response(target.render_response(first))
    assert essence.answer(back) == essence.answer(first) == essence.answer(samples.ANSWERS[name])


@pytest.mark.parametrize("name", sorted(samples.ANSWERS))
@pairs
def test_a_stream_keeps_its_meaning(source: ChatDialect, target: ChatDialect, name: str) -> None:
    answer = samples.ANSWERS[name]
    events = decoded(source, encoded(source, samples.events_of(answer)))
    back = fold(decoded(target, encoded(target, events)))
    assert essence.answer(back) == essence.answer(answer)


@pairs
def test_an_error_in_a_stream_stays_one(source: ChatDialect, target: ChatDialect) -> None:
    error = ProviderError(ErrorKind.OVERLOADED, "busy")
    started = [event for event in samples.EVENTS if not isinstance(event, Finished)]
    first = source.stream_decoder()
    events = first.feed(encoded(source, [*started, Failed(error)]))
    state = Fold()
    second = target.stream_decoder()
    state.add_all(second.feed(encoded(target, events)))
    assert state.error is not None
    assert state.error.error.transient
    assert state.response().finish in (None, Finish.ERROR)


@pairs
def test_a_cut_stream_is_not_completed_on_the_way(source: ChatDialect, target: ChatDialect) -> None:
    started = [event for event in samples.EVENTS if not isinstance(event, Finished)]
    written = source.stream_encoder(CONTEXT)
    first = source.stream_decoder()
    events = first.feed(b"".join(written.render_event(event) for event in started))
    with pytest.raises(Truncated):
        first.close()
    encoder = target.stream_encoder(CONTEXT)
    second = target.stream_decoder()
    second.feed(b"".join(encoder.render_event(event) for event in events))
    with pytest.raises(Truncated):
        second.close()


counts = st.integers(0, 5000)


@st.composite
def answers(draw: st.DrawFn) -> Response:
    """Thinking, text and calls, in that order, as every wire can say them."""
    content: list[Block] = []
    if draw(st.booleans()):
        content.append(Thinking(draw(words), "c2ln"))
    if draw(st.booleans()):
        content.append(Text(draw(words)))
    called = draw(st.lists(st.tuples(names, arguments), max_size=3))
    content += [ToolCall(f"call_{n}", name, given) for n, (name, given) in enumerate(called)]
    finish = Finish.TOOL_CALLS if called else draw(st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.CONTENT_FILTER]))
    usage = Usage(input_uncached=draw(counts), cache_read=draw(counts), output_text=draw(counts), output_reasoning=draw(counts))
    return Response(id="answer-1", model="a-model", choices=(Choice(0, tuple(content), finish),), usage=usage)


@pairs
@settings(max_examples=60, deadline=None)
@given(answer=answers())
def test_generated_answers_keep_their_meaning(source: ChatDialect, target: ChatDialect, answer: Response) -> None:
    first = source.parse_response(source.render_response(answer))
    assert essence.answer(target.parse_response(target.render_response(first))) == essence.answer(answer)
    events = decoded(source, encoded(source, samples.events_of(answer)))
    assert essence.answer(fold(decoded(target, encoded(target, events)))) == essence.answer(answer)


# Recorded traffic

SURFACES = {
    "chat.completions": "openai_chat",
    "messages": "anthropic_messages",
    "converse": "bedrock_converse",
    "converse-stream": "bedrock_converse",
    "streamGenerateContent": "gemini_generate",
    "generateContent": "gemini_generate",
    "api.chat": "ollama_chat",
    "responses": "openai_responses",
}
PROVIDERS = {"openai", "groq", "together", "xai", "ollama", "anthropic", "gemini", "bedrock"}


@cache
def recorded() -> tuple[tuple[str, str, Json], ...]:
    """(id, dialect, response) of every success on a surface of the dialects."""
    rows = [json.loads(line) for line in (CORPUS / "manifest.jsonl").read_text().splitlines()]
    chosen = [row for row in rows if row["tier"] == "core" and row["provider"] in PROVIDERS and row["surface"] in SURFACES]
    read = ((row["id"], SURFACES[row["surface"]], json.loads((CORPUS / row["file"]).read_text())["response"]) for row in chosen)
    return tuple((name, dialect, response) for name, dialect, response in read if response["status"] < 400)


ONE_CHOICE = ("anthropic_messages", "ollama_chat", "openai_responses", "bedrock_converse")
RECORDED = {"ollama_chat": 1}
"""The least number of recorded streams or answers, where it is not more than twenty."""
NO_TOKENS = {"input": 0, "cached": 0, "output": 0}


def meaning(response: Response, refused: bool) -> Json:
    """`essence.answer` with what one wire alone distinguishes evened out: absent usage, thoughts, and how a refusal ends."""
    whole = essence.answer(response)
    for choice in whole["choices"]:
        choice |= {"thinking": None, "finish": None if refused else choice["finish"]}
    return {"choices": whole["choices"], "usage": whole["usage"] or NO_TOKENS}


def refuses(response: Response) -> bool:
    """Whether the model declined in a block of its own kind, which ends in a plain stop on one wire and as filtered on another."""
    return any(isinstance(block, Refusal) for choice in response.choices for block in choice.content)


def unsayable(response: Response, target: ChatDialect) -> str | None:
    """Why an answer has no equal on the target's wire; None when it has one."""
    if len(response.choices) > 1 and target.name in ONE_CHOICE:
        return "several choices"
    if any(choice.finish is None for choice in response.choices):
        return "no finish reason"
    return "paused" if response.finish is Finish.PAUSE else None


def readable(data: bytes, dialect: ChatDialect) -> list[StreamEvent] | None:
    """The events of a recorded stream; None for one that is cut or reports an error."""
    try:
        events = decoded(dialect, data)
    except HeadgateError:
        return None
    return None if any(isinstance(event, Failed) for event in events) else events


def bytes_of(response: Json) -> bytes | None:
    """The bytes of a recorded stream; None when it was none."""
    if "sse_raw" in response:
        return str(response["sse_raw"]).encode()
    if "raw_b64" in response:
        return b64decode(response["raw_b64"])
    return b"".join(encode(line) + b"\n" for line in response["ndjson"]) if "ndjson" in response else None


def streams(source: ChatDialect) -> Iterator[tuple[str, list[StreamEvent]]]:
    for name, dialect, response in recorded():
        data = bytes_of(response) if dialect == source.name else None
        events = None if data is None else readable(data, source)
        if events is not None:
            yield name, events


corpus = pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}")


def compare(source: ChatDialect, target: ChatDialect, kind: str, found: Iterator[tuple[str, Response, Callable[[], Response]]]) -> str:
    """Hold each translated answer beside the original; returns the counts. Fails with the first few that differ."""
    seen = Counter[str]()
    wrong: dict[str, tuple[Json, Json]] = {}
    for name, original, translate in found:
        reason = unsayable(original, target)
        seen[reason or kind] += 1
        if reason is None:
            pair = meaning(translate(), refuses(original)), meaning(original, refuses(original))
            if pair[0] != pair[1]:
                wrong[name] = pair
    assert not wrong, f"{len(wrong)} of {seen[kind]}: {dict(list(wrong.items())[:3])}"
    assert seen[kind] >= RECORDED.get(source.name, 21)
    return f"{source.name} to {target.name}: {', '.join(f'{count} {what}' for what, count in seen.items())}"


def translated_streams(source: ChatDialect, target: ChatDialect) -> Iterator[tuple[str, Response, Callable[[], Response]]]:
    for name, events in streams(source):
        yield name, fold(events), lambda events=events: fold(decoded(target, encoded(target, events)))


def translated_answers(source: ChatDialect, target: ChatDialect) -> Iterator[tuple[str, Response, Callable[[], Response]]]:
    for name, dialect, response in recorded():
        if dialect == source.name and isinstance(response.get("body"), dict):
            try:
                first = source.parse_response(encode(response["body"]))
            except HeadgateError:
                continue
            yield name, first, lambda first=first: target.parse_response(target.render_response(first))


@pytest.mark.corpus
@corpus
@pairs
def test_recorded_streams_keep_their_meaning(source: ChatDialect, target: ChatDialect, capsys: pytest.CaptureFixture[str]) -> None:
    line = compare(source, target, "streams", translated_streams(source, target))
    with capsys.disabled():
        print(f"\n{line}", end=" ")


@pytest.mark.corpus
@corpus
@pairs
def test_recorded_answers_keep_their_meaning(source: ChatDialect, target: ChatDialect, capsys: pytest.CaptureFixture[str]) -> None:
    line = compare(source, target, "answers", translated_answers(source, target))
    with capsys.disabled():
        print(f"\n{line}", end=" ")
