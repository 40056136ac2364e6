"""The numbered translation cases between every two wires, for answers: streams, usage, endings, tool loops, errors, embeddings.

An answer is what the provider of the source writes; what a client of the target understands is read without the dialects.
"""

from __future__ import annotations

import importlib.util
import json
import math
import struct
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from headgate.dialects import (
    embed_bedrock,
    embed_gemini,
    embed_ollama,
    embed_openai,
    embed_vertex,
)
from headgate.dialects.base import StreamContext
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
from headgate.domain.embedding import Embedding, EmbedRequest, EmbedResponse
from headgate.domain.events import SEMANTIC, BlockStart, BlockStop, Delta, Failed, Finished, Ping, Signature, Start, StreamEvent, UsageSeen
from headgate.domain.fold import Fold, fold
from headgate.domain.request import Reasoning
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported
from headgate.testing import samples
from headgate.wire.eventstream import FrameDecoder, encode_frame
from headgate.wire.json import encode


def _sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pairing, reading, echoing = _sibling("pairing_wires"), _sibling("reading_wires"), _sibling("echoing_wires")
CHAT, RESPONSES, CLAUDE, GEMINI, OLLAMA, CONVERSE, INVOKE = ALL = pairing.ALL
BY_TOOL = pairing.BY_TOOL
CLAUDES = pairing.CLAUDES
CONTEXT = pairing.CONTEXT
DIALECTS = pairing.DIALECTS
FORMED = pairing.FORMED
HI = pairing.HI
OPENAI = pairing.OPENAI
SPEAKER = pairing.SPEAKER
THINKER = pairing.THINKER
Crossing = pairing.Crossing
Wire = pairing.Wire
ask = pairing.ask
name_of = pairing.name_of
pairs_of = pairing.pairs_of
replace = pairing.replace
said_by = pairing.said_by


# 3 Tools: response and stream; 7 usage; 8 mechanics; 9 thoughts in answers

Told = reading.Told
SSE = (CHAT, RESPONSES, CLAUDE, GEMINI)
"""Wires whose streams are server-sent events."""
USAGE = Usage(input_uncached=10, cache_read=4, output_text=7, output_reasoning=3)
COUNTS = (14, 4, 10)
"""`USAGE` as (input, cached, output)."""
WORDS: dict[str, dict[Finish, Any]] = {
    CHAT: dict(zip(Finish, ("stop", "length", "tool_calls", "content_filter"), strict=False)),
    RESPONSES: dict(
        zip(Finish, ("completed", ("incomplete", "max_output_tokens"), "completed", ("incomplete", "content_filter")), strict=False)
    ),
    CLAUDE: dict(zip(Finish, ("end_turn", "max_tokens", "tool_use", "refusal"), strict=False)),
    INVOKE: dict(zip(Finish, ("end_turn", "max_tokens", "tool_use", "refusal"), strict=False)),
    GEMINI: dict(zip(Finish, ("STOP", "MAX_TOKENS", "STOP", "SAFETY"), strict=False)),
    OLLAMA: dict(zip(Finish, ("stop", "length", "stop", "content_filter"), strict=False)),
    CONVERSE: dict(zip(Finish, ("end_turn", "max_tokens", "tool_use", "content_filtered"), strict=False)),
}
"""How each wire says stop, length, tool calls and content filter."""


def encoded(name: str, events: Iterable[StreamEvent], *, whole: bool = True, context: StreamContext = CONTEXT) -> bytes:
    """Events as a stream; without its terminator when it is not whole."""
    encoder = DIALECTS[name].stream_encoder(context)
    data = b"".join([encoder.render_event(event) for event in events])
    return data + encoder.close() if whole else data


def decoded(name: str, data: bytes) -> list[StreamEvent]:
    decoder = DIALECTS[name].stream_decoder()
    return [*decoder.feed(data), *decoder.close()]


def over(source: str, target: str, data: bytes) -> bytes:
    """A stream of one wire as one of another."""
    return encoded(target, decoded(source, data))


def called(*calls: tuple[str, ...], choice: int = 0, first: int = 0) -> list[StreamEvent]:
    """Calls as (name, fragments of arguments …)."""
    events: list[StreamEvent] = []
    for number, (name, *fragments) in enumerate(calls, first):
        events += [BlockStart(number, ToolCall(f"call_{number}", name)), *(Delta(number, text) for text in fragments), BlockStop(number)]
    return events


def spoken(*words: str, number: int = 0) -> list[StreamEvent]:
    return [BlockStart(number, Text("")), *(Delta(number, word) for word in words), BlockStop(number)]


def thought(*words: str, number: int = 0, signature: str | None = "c2ln") -> list[StreamEvent]:
    signed = [] if signature is None else [Signature(number, signature)]
    return [BlockStart(number, Thinking()), *(Delta(number, word) for word in words), *signed, BlockStop(number)]


def stream(*events: StreamEvent, finish: Finish = Finish.STOP) -> list[StreamEvent]:
    return [Start("answer-1", samples.MODEL, samples.CREATED), *events, UsageSeen(USAGE), Finished(finish)]


class Played(msgspec.Struct, frozen=True):
    """A stream of events that every source writes on its wire, and what a client of the target must have understood."""

    case: int
    label: str
    events: list[StreamEvent]
    check: Callable[[str, str, bytes], None]
    sources: tuple[str, ...] = ALL
    targets: tuple[str, ...] = ALL


def hears(**wanted: Any) -> Callable[[str, str, bytes], None]:
    """The client of the target has heard this. `finish` is told in the target's word; `arguments` are compared as JSON."""

    def check(source: str, target: str, data: bytes) -> None:
        heard = reading.streamed(target, data)
        assert heard.ended and heard.error is None
        for name, value in wanted.items():
            if name == "finish":
                assert heard.finish == WORDS[target][value]
            elif name == "arguments":
                assert heard.arguments() == value
            else:
                assert getattr(heard, name) == value

    return check


def dense(source: str, target: str, data: bytes) -> None:
    heard = reading.streamed(target, data)
    assert [call[1] for call in heard.calls] == ["get_weather", "get_time"]
    if target == CHAT:
        found = [
            call["index"]
            for chunk in reading.events(CHAT, data)
            for choice in chunk.get("choices", ())
            for call in choice["delta"].get("tool_calls", ())
        ]
        assert sorted(set(found)) == [0, 1] and found == sorted(found)


def heads_once(source: str, target: str, data: bytes) -> None:
    """Names and ids stand once in what a client adds up."""
    heard = reading.streamed(target, data)
    assert heard.calls[0][:2] == ["call_0", "get_weather"] and heard.arguments()[0] == {"city": "Oslo"}
    if target == CHAT:
        assert data.count(b'"get_weather"') == 1 and data.count(b'"call_0"') == 1
        assert b'"name":""' not in data and b'"name":null' not in data and b'"id":null' not in data


def in_order(source: str, target: str, data: bytes) -> None:
    """Text, call, text: wires of blocks keep the order, the others all of the words."""
    heard = reading.streamed(target, data)
    assert heard.text == "Before. After." and len(heard.calls) == 1
    joined = json.dumps(echoing.joined(target, [event for event in reading.events(target, data) if event != {"done": True}]))
    if target not in (CHAT, OLLAMA) and source not in (CHAT, OLLAMA):
        assert joined.index("Before") < joined.index("get_time") < joined.index("After")


def cut_call(source: str, target: str, data: bytes) -> None:
    """Half a call is delivered as it is, or where arguments must be an object not at all, and the answer ends for its length."""
    heard = reading.streamed(target, data)
    assert heard.finish == WORDS[target][Finish.LENGTH]
    if target in (GEMINI, OLLAMA):
        assert not heard.calls
    else:
        assert heard.calls == [["call_0", "get_weather", '{"city":"Os']]


def one_head(source: str, target: str, data: bytes) -> None:
    chunks = [chunk for chunk in reading.events(CHAT, data) if chunk != {"done": True}]
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        (chunks[0]["id"], chunks[0]["created"], samples.MODEL, "chat.completion.chunk")
    }
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def usage_in_its_own_chunk(source: str, target: str, data: bytes) -> None:
    chunks = [chunk for chunk in reading.events(CHAT, data) if chunk != {"done": True}]
    assert [chunk["choices"] == [] for chunk in chunks].count(True) == 1 and chunks[-1]["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert reading.streamed(CHAT, data).counts == COUNTS


def corrected_in_delta(source: str, target: str, data: bytes) -> None:
    chunks = reading.events(target, data)
    assert [chunk["type"] for chunk in chunks if chunk["type"].startswith("message_")] == ["message_start", "message_delta", "message_stop"]
    assert reading.streamed(target, data).counts == COUNTS


def terminal_incomplete(source: str, target: str, data: bytes) -> None:
    chunks = reading.events(RESPONSES, data)
    assert chunks[-1]["type"] == "response.incomplete"
    assert chunks[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert chunks[-1]["response"]["usage"]["input_tokens"] == 14


LOOPING = [*thought("Let me ", "see."), *spoken("I look.", number=1)]
TWO = called(("get_weather", '{"city":', '"Oslo"}'), ("get_time", '{"zone":"UTC"}'), first=2)
ONE = called(("get_weather", '{"ci', 'ty":"Os', 'lo"}'))
INTERLEAVED = [*spoken("Before. "), *called(("get_time", '{"a":1}'), first=1), *spoken("After.", number=2)]
CUT_CALL = called(("get_weather", '{"city":', '"Os'))
FRAGMENTED = tuple(name for name in ALL if name not in (GEMINI, OLLAMA))
"""Wires on which the arguments of a call come in fragments."""

PLAYED = [
    Played(23, "", stream(*LOOPING, *TWO, finish=Finish.TOOL_CALLS), dense),
    Played(24, "", stream(*ONE, finish=Finish.TOOL_CALLS), heads_once),
    Played(25, "", stream(*ONE, finish=Finish.TOOL_CALLS), hears(arguments=[{"city": "Oslo"}])),
    Played(25, "none", stream(*called(("get_time",)), finish=Finish.TOOL_CALLS), hears(arguments=[{}])),
    Played(25, "empty-then-full", stream(*called(("f",), ("g", '{"a":1}')), finish=Finish.TOOL_CALLS), hears(arguments=[{}, {"a": 1}])),
    Played(27, "", stream(*INTERLEAVED, finish=Finish.TOOL_CALLS), in_order),
    Played(28, "calls", stream(*LOOPING, *TWO, finish=Finish.TOOL_CALLS), hears(finish=Finish.TOOL_CALLS)),
    Played(28, "cut", stream(*ONE, finish=Finish.LENGTH), hears(finish=Finish.LENGTH, arguments=[{"city": "Oslo"}])),
    Played(29, "", stream(*CUT_CALL, finish=Finish.LENGTH), cut_call, sources=FRAGMENTED),
    Played(55, "with", stream(*spoken("Blue.")), usage_in_its_own_chunk, targets=(CHAT,)),
    Played(61, "", stream(*spoken("Blue.")), one_head, targets=(CHAT,)),
    Played(70, "", stream(*LOOPING, *TWO, finish=Finish.TOOL_CALLS), hears(text="I look.", thinking="Let me see."), targets=(RESPONSES,)),
    Played(70, "length", stream(*spoken("Blu"), finish=Finish.LENGTH), terminal_incomplete, targets=(RESPONSES,)),
    Played(71, "", stream(*LOOPING, *TWO, finish=Finish.TOOL_CALLS), corrected_in_delta, targets=(CLAUDE, INVOKE)),
    Played(71, "mixed", stream(*INTERLEAVED, finish=Finish.TOOL_CALLS), corrected_in_delta, targets=(CLAUDE, INVOKE)),
    Played(77, "", stream(*LOOPING), hears(text="I look.", thinking="Let me see.")),
    Played(9, "stream", stream(*spoken("a 🙂", " 🙃\x00\u2028")), hears(text="a 🙂 🙃\x00\u2028")),
    Played(48, "stream", stream(*spoken("Blue.")), hears(counts=COUNTS)),
]


def played(rows: Iterable[Any]) -> list[Any]:
    """Rows as parameters: (row, source, target)."""
    return [
        pytest.param(row, source, target, id=name_of(row.case, row.label, source, target))
        for row in rows
        for source, target in pairs_of(row.sources, row.targets)
    ]


@pytest.mark.parametrize(("row", "source", "target"), played(PLAYED))
def test_streams(row: Played, source: str, target: str) -> None:
    row.check(source, target, over(source, target, encoded(source, row.events)))


# Natives: what a provider really writes, with what our own encoders never would

HEAD = {"id": "answer-1", "object": "chat.completion.chunk", "created": 1, "model": "a-model"}


def sse(*chunks: Wire, named: bool = False, done: bool = False) -> bytes:
    lines = [(f"event: {chunk['type']}\n" if named else "") + f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def chat_chunks(*deltas: Wire, word: str = "stop", usage: Wire | None = None, more: Wire | None = None) -> bytes:
    chunks = [{**HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    last = {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": word}], **(more or {})}
    return sse(*chunks, last, *([{**HEAD, "choices": [], "usage": usage}] if usage else []), done=True)


def google_chunk(*parts: Wire, **more: Any) -> Wire:
    usage = {"usageMetadata": more.pop("usage")} if "usage" in more else {}
    return {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}],
        "modelVersion": "a-model",
        "responseId": "r",
        **usage,
    }


def claude_events(*blocks: tuple[Wire, list[Wire]], word: str, usages: list[Wire]) -> bytes:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "a-model",
        "content": [],
        "stop_reason": None,
        "usage": usages[0],
    }
    events: list[Wire] = [{"type": "message_start", "message": message}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    events += [{"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None}, "usage": usage} for usage in usages[1:]]
    return sse(*events, {"type": "message_stop"}, named=True)


class Heard(msgspec.Struct, frozen=True):
    """A provider's own stream, and what a client of any target must have understood."""

    case: int
    label: str
    source: str
    data: bytes
    wanted: Wire
    targets: tuple[str, ...] = ALL

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)


def google_call(city: str) -> Wire:
    return {"functionCall": {"name": "get_weather", "args": {"city": city}}}


GOOGLE_USAGE = {
    "promptTokenCount": 10,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 2,
    "thoughtsTokenCount": 3,
    "totalTokenCount": 15,
}
TOOL_USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
CLAUDE_USAGES = [
    {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 1},
    {"output_tokens": 6},
    {"output_tokens": 10},
]
JSON_DELTAS = [{"type": "input_json_delta", "partial_json": text} for text in ("", '{"city":', '"Oslo"}')]
XAI_USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 2,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
OPENAI_USAGE = {
    "prompt_tokens": 14,
    "completion_tokens": 10,
    "total_tokens": 24,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
GROQ_USAGE = {"prompt_tokens": 14, "completion_tokens": 10, "total_tokens": 24}
SHARED_INDEX = [
    {"role": "assistant", "tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
    {"tool_calls": [{"index": 0, "id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"b":2}'}}]},
]
HEARD = [
    Heard(
        25,
        "empty-input-first",
        CLAUDE,
        claude_events((TOOL_USE, JSON_DELTAS), word="tool_use", usages=CLAUDE_USAGES),
        {"arguments": [{"city": "Oslo"}]},
    ),
    Heard(25, "no-input", CLAUDE, claude_events((TOOL_USE, []), word="tool_use", usages=CLAUDE_USAGES), {"arguments": [{}]}),
    Heard(
        26,
        "two-in-one",
        GEMINI,
        sse(google_chunk(google_call("Oslo"), google_call("Rome"), finishReason="STOP")),
        {"arguments": [{"city": "Oslo"}, {"city": "Rome"}], "finish": Finish.TOOL_CALLS},
    ),
    Heard(26, "shared-index", CHAT, chat_chunks(*SHARED_INDEX, word="tool_calls"), {"arguments": [{"a": 1}, {"b": 2}]}),
    Heard(28, "stop", GEMINI, sse(google_chunk(google_call("Oslo"), finishReason="STOP")), {"finish": Finish.TOOL_CALLS}),
    Heard(28, "stop", CHAT, chat_chunks(SHARED_INDEX[0], word="stop"), {"finish": Finish.TOOL_CALLS}),
    Heard(28, "cut", GEMINI, sse(google_chunk(google_call("Oslo"), finishReason="MAX_TOKENS")), {"finish": Finish.LENGTH}),
    Heard(28, "cut", CLAUDE, claude_events((TOOL_USE, JSON_DELTAS), word="max_tokens", usages=CLAUDE_USAGES), {"finish": Finish.LENGTH}),
    Heard(47, "", CHAT, chat_chunks({"content": "Blue."}, usage=OPENAI_USAGE), {"counts": COUNTS}),
    Heard(51, "", CHAT, chat_chunks({"content": "Blue."}, usage=XAI_USAGE), {"counts": (10, 4, 7)}),
    Heard(52, "groq", CHAT, chat_chunks({"content": "Blue."}, more={"x_groq": {"usage": GROQ_USAGE}}), {"counts": (14, 0, 10)}),
    Heard(53, "", CLAUDE, claude_events(({"type": "text", "text": ""}, []), word="end_turn", usages=CLAUDE_USAGES), {"counts": COUNTS}),
    Heard(
        54,
        "",
        GEMINI,
        sse(
            google_chunk({"text": "Bl"}, usage={"promptTokenCount": 10, "candidatesTokenCount": 1, "totalTokenCount": 11}),
            google_chunk({"text": "ue"}, usage=GOOGLE_USAGE, finishReason="STOP"),
        ),
        {"counts": (10, 4, 5), "text": "Blue"},
    ),
    Heard(
        116,
        "empty-parts",
        GEMINI,
        sse(
            google_chunk({"text": "hm", "thought": True}),
            google_chunk({"text": " hm", "thought": True}),
            google_chunk(),
            google_chunk({"text": "Blue."}),
            google_chunk({"text": ""}, finishReason="STOP"),
        ),
        {"text": "Blue.", "thinking": "hm hm", "finish": Finish.STOP},
    ),
    Heard(
        77,
        "reasoning",
        CHAT,
        chat_chunks({"role": "assistant", "reasoning": "hm"}, {"content": "Blue."}),
        {"text": "Blue.", "thinking": "hm"},
    ),
]


@pytest.mark.parametrize(("row", "source", "target"), played(HEARD))
def test_native_streams(row: Heard, source: str, target: str) -> None:
    hears(**row.wanted)(source, target, over(source, target, row.data))


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(26, "ids", *pair)) for pair in pairs_of((GEMINI,), ALL)])
def test_made_up_ids_are_unique_and_the_same_at_every_reading(source: str, target: str) -> None:
    data = sse(google_chunk(google_call("Oslo"), google_call("Rome")), google_chunk(google_call("Bern"), finishReason="STOP"))
    ids = [call[0] for call in reading.streamed(target, over(source, target, data)).calls]
    assert len(set(ids)) == 3 and all(ids)
    assert ids == [call[0] for call in reading.streamed(target, over(source, target, data)).calls]


# Whole answers: usage

FOUR_USAGES: list[tuple[int, str, str, Wire, tuple[int, int, int]]] = [
    (47, "", CHAT, OPENAI_USAGE, COUNTS),
    (
        47,
        "",
        RESPONSES,
        {
            "input_tokens": 14,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 24,
        },
        COUNTS,
    ),
    (
        48,
        "",
        CLAUDE,
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 6,
            "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 10,
        },
        (20, 4, 10),
    ),
    (49, "", GEMINI, {**GOOGLE_USAGE, "toolUsePromptTokenCount": 5, "totalTokenCount": 20}, (15, 4, 5)),
    (
        50,
        "",
        CONVERSE,
        {"inputTokens": 10, "outputTokens": 10, "totalTokens": 30, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 6},
        (20, 4, 10),
    ),
    (51, "", CHAT, XAI_USAGE, (10, 4, 7)),
]
"""Case, label, source, its own usage object, and the counts every target must tell."""
USAGE_KEY = {CHAT: "usage", RESPONSES: "usage", CLAUDE: "usage", CONVERSE: "usage", GEMINI: "usageMetadata"}


@pytest.mark.parametrize(
    ("source", "target", "usage", "counts"),
    [
        pytest.param(source, target, usage, counts, id=name_of(case, label, source, target))
        for case, label, source, usage, counts in FOUR_USAGES
        for _, target in pairs_of((source,), ALL)
    ],
)
def test_usage(source: str, target: str, usage: Wire, counts: tuple[int, int, int]) -> None:
    body: Wire = json.loads(DIALECTS[source].render_response(samples.ANSWERS["text"]))
    response = DIALECTS[source].parse_response(json.dumps({**body, USAGE_KEY[source]: usage}).encode())
    assert reading.told(target, DIALECTS[target].render_response(response)).counts == counts
    assert response.usage is not None and response.usage.native == usage


@pytest.mark.parametrize(
    "target", [pytest.param(name, id=name_of(52, "prompt-not-counted", OLLAMA, name)) for name in ALL if name != OLLAMA]
)
def test_a_prompt_that_was_not_counted_is_an_estimate(target: str) -> None:
    body: Wire = json.loads(DIALECTS[OLLAMA].render_response(samples.ANSWERS["text"]))
    del body["prompt_eval_count"]
    response = DIALECTS[OLLAMA].parse_response(json.dumps(body).encode())
    assert response.usage is not None and response.usage.source == "estimated"
    told = reading.told(target, DIALECTS[target].render_response(response))
    assert told.counts is not None and told.counts[0] >= 0 and told.counts[2] == 10


# 4 How an answer ended

_FILTERED = ("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY", "LANGUAGE")
_BROKEN = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE")
NATIVE: dict[str, list[tuple[str, Finish]]] = {
    CLAUDE: [
        ("end_turn", Finish.STOP),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("pause_turn", Finish.PAUSE),
        ("refusal", Finish.CONTENT_FILTER),
    ],
    GEMINI: [
        ("STOP", Finish.STOP),
        ("MAX_TOKENS", Finish.LENGTH),
        *((word, Finish.CONTENT_FILTER) for word in _FILTERED),
        *((word, Finish.ERROR) for word in _BROKEN),
    ],
    CONVERSE: [
        ("end_turn", Finish.STOP),
        ("stop_sequence", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("model_context_window_exceeded", Finish.LENGTH),
        ("guardrail_intervened", Finish.CONTENT_FILTER),
        ("content_filtered", Finish.CONTENT_FILTER),
    ],
    OLLAMA: [("stop", Finish.STOP), ("length", Finish.LENGTH), ("load", Finish.ERROR), ("unload", Finish.ERROR)],
    CHAT: [
        ("stop", Finish.STOP),
        ("length", Finish.LENGTH),
        ("content_filter", Finish.CONTENT_FILTER),
        ("eos", Finish.STOP),
        ("error", Finish.ERROR),
        ("network_error", Finish.ERROR),
        ("novelty", Finish.STOP),
    ],
}
NATIVE[INVOKE] = NATIVE[CLAUDE]
_USUAL = {CHAT: "stop", CLAUDE: "end_turn", INVOKE: "end_turn", GEMINI: "STOP", OLLAMA: "stop", CONVERSE: "end_turn"}


def word_of(source: str, target: str, word: str, finish: Finish) -> Any:
    """The target's word for an end; between Claude's wires the provider's own."""
    return (
        word
        if {source, target} <= {*CLAUDES} and word not in ("content_filtered", "guardrail_intervened", "refusal")
        else WORDS[target][finish]
    )


def spelt(source: str, data: bytes, word: str) -> bytes:
    """An answer with a provider's own word for its end in the place of the usual one."""
    old, new = json.dumps(_USUAL[source]).encode(), json.dumps(word).encode()
    return reframed(data, old, new) if data.startswith(b"\0") else data.replace(old, new)


def reframed(data: bytes, old: bytes, new: bytes) -> bytes:
    """AWS's frames with some words of their payloads replaced."""
    frames = []
    for frame in FrameDecoder().feed(data):
        payload = json.loads(frame.payload)
        inner = b64decode(payload["bytes"]).replace(old, new) if "bytes" in payload else b""
        body = json.dumps({"bytes": b64encode(inner).decode()}).encode() if inner else frame.payload.replace(old, new)
        frames.append(encode_frame({name: frame.text(name) or "" for name in (":event-type", ":content-type", ":message-type")}, body))
    return b"".join(frames)


ENDINGS = [
    pytest.param(source, target, word, finish, id=f"section-4-{word}-{source}-to-{target}")
    for source, target in pairs_of(NATIVE, ALL)
    for word, finish in NATIVE[source]
]


def ends_as(target: str, finish: Finish, word: Any, told: Any) -> None:
    """The target's word for this end. An error or a pause is neither a plain stop nor a wish for tools."""
    if finish in WORDS[target]:
        assert told.finish == word
    else:
        assert told.error is not None or told.finish not in (None, WORDS[target][Finish.STOP], WORDS[target][Finish.TOOL_CALLS])


@pytest.mark.parametrize(("source", "target", "word", "finish"), ENDINGS)
def test_endings(source: str, target: str, word: str, finish: Finish) -> None:
    """Whole, and event by event."""
    dialect, answer = DIALECTS[source], samples.ANSWERS["text"]
    response = dialect.parse_response(spelt(source, dialect.render_response(answer), word))
    events = decoded(source, spelt(source, encoded(source, samples.events_of(answer)), word))
    expected = word_of(source, target, word, finish) if finish in WORDS[target] else None
    for found in (response, fold(events)):
        assert found.finish is finish and found.choices[0].native_finish == word
    ends_as(target, finish, expected, reading.streamed(target, encoded(target, events)))
    try:
        told = reading.told(target, DIALECTS[target].render_response(response))
    except ProviderError:
        assert finish is Finish.ERROR
        return
    ends_as(target, finish, expected, told)


@pytest.mark.parametrize(
    "target", [pytest.param(name, id=f"section-4-blocked-prompt-{GEMINI}-to-{name}") for name in ALL if name != GEMINI]
)
def test_a_blocked_prompt_is_an_empty_filtered_answer(target: str) -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "a-model"}
    response = DIALECTS[GEMINI].parse_response(json.dumps(blocked).encode())
    told = reading.told(target, DIALECTS[target].render_response(response))
    assert told.finish == WORDS[target][Finish.CONTENT_FILTER] and not told.text
    heard = reading.streamed(target, over(GEMINI, target, sse(blocked)))
    assert heard.finish == WORDS[target][Finish.CONTENT_FILTER] and not heard.text


# 12, 72, 73, 74 A whole tool loop: the client puts back what it was given

ASKED = ask(HI, tools=(samples.WEATHER, samples.CLOCK), reasoning=Reasoning(effort="medium"), max_tokens=9000)
THINKING_MODEL = {GEMINI: replace(ANY_MODEL, reasoning="level"), OLLAMA: replace(ANY_MODEL, reasoning="effort")}


def looped(provider: str, surface: str, answer: Response, *, streamed: bool, keep: tuple[str, ...] | None = None) -> Crossing:
    """The second request of a tool loop on its way to the provider: answered there, told to a client of the surface, put back by it.

    `keep` names the keys of a chat message that the client puts back; None: all.
    """
    home, face = DIALECTS[provider], DIALECTS[surface]
    if streamed:
        data = encoded(surface, decoded(provider, encoded(provider, samples.events_of(answer))))
        told = echoing.joined(surface, [event for event in reading.events(surface, data) if event != {"done": True}])
    else:
        told = json.loads(face.render_response(home.parse_response(home.render_response(answer))))
    if keep is not None:
        message = told["choices"][0]["message"]
        told["choices"][0]["message"] = {key: value for key, value in message.items() if key in keep}
    first = face.render_request(ASKED, SPEAKER)
    payload = echoing.again(surface, json.loads(encode(first.payload)), told)
    request = face.parse_request(json.dumps(payload).encode(), first.path)
    return Crossing(surface, provider, request, THINKING_MODEL.get(provider, THINKER))


def answered(*blocks: Block) -> Response:
    return Response(id="answer-1", model="a-model", created=1, choices=(Choice(0, blocks, Finish.TOOL_CALLS),), usage=USAGE)


SIGNED = answered(
    Thinking("One.", "c2lnQQ=="),
    Thinking(redacted="cmVkYWN0ZWQ="),
    Thinking("Two.", "c2lnQg=="),
    Text("I look."),
    replace(samples.CALL, id="toolu_1"),
    replace(samples.SECOND_CALL, id="toolu_2"),
)
HIDDEN = answered(Thinking("", "c2lnQQ=="), replace(samples.CALL, id="toolu_1"))
SIGNED_CALLS = answered(Text("I look."), replace(samples.CALL, signature="c2lnQQ=="), samples.SECOND_CALL)
IDS = {
    CHAT: ("functions.get_weather:0", "functions.get_time:1"),
    RESPONSES: ("call_Ab12", "call_Cd34"),
    CLAUDE: ("toolu_01Ab", "toolu_02Cd"),
    INVOKE: ("toolu_bdrk_01Ab", "toolu_bdrk_02Cd"),
    GEMINI: ("a.b/1", "a.b/2"),
    OLLAMA: ("call_x.1", "call_x.2"),
    CONVERSE: ("tooluse_a-B_c", "tooluse_d-E_f"),
}
"""Ids of calls as providers make them, some of an alphabet that others do not take."""


def loops(case: int | str, label: str, providers: Iterable[str], surfaces: Iterable[str]) -> list[Any]:
    return [
        pytest.param(provider, surface, streamed, id=f"case-{case}-{label}-{'stream' if streamed else 'whole'}-{provider}-to-{surface}")
        for provider, surface in pairs_of(providers, surfaces)
        for streamed in (False, True)
    ]


def silenced(crossing: Crossing) -> bool:
    """Thinking was turned off for this request, and a note says so."""
    dropped = any(note.field == "reasoning" and note.action == "dropped" for note in crossing.rendered.notes)
    return dropped and '"enabled"' not in crossing.body.decode()


CARRYING = (*OPENAI, *CLAUDES)
"""Surfaces on which every thought comes back with its own signature."""


@pytest.mark.parametrize(("provider", "surface", "streamed"), loops(72, "own-signatures", CLAUDES, CARRYING))
def test_every_thought_returns_with_its_own_signature(provider: str, surface: str, streamed: bool) -> None:
    crossing = looped(provider, surface, SIGNED, streamed=streamed)
    ((role, content), (last, results)) = crossing.turns[1:]
    assert (role, last) == ("assistant", "user") and not silenced(crossing)
    assert content[:3] == [("thinking", "One.", "c2lnQQ=="), ("redacted", "cmVkYWN0ZWQ="), ("thinking", "Two.", "c2lnQg==")]
    assert [piece[0] for piece in content[3:]] == ["text", "call", "call"]
    assert [piece[:2] for piece in results] == [("result", "toolu_1"), ("result", "toolu_2")]


@pytest.mark.parametrize(("provider", "surface", "streamed"), loops(72, "hidden", CLAUDES, CARRYING))
def test_a_signed_thought_that_is_not_shown_returns_as_what_it_was(provider: str, surface: str, streamed: bool) -> None:
    crossing = looped(provider, surface, HIDDEN, streamed=streamed)
    assert crossing.turns[1][1][0] == ("thinking", "", "c2lnQQ==")


@pytest.mark.parametrize(("provider", "surface", "streamed"), loops(73, "no-place", CLAUDES, (OLLAMA, GEMINI)))
def test_thoughts_that_cannot_return_turn_thinking_off_in_the_open(provider: str, surface: str, streamed: bool) -> None:
    """A signed thought may return; an unsigned one never does, and thinking without its beginning is not asked for."""
    crossing = looped(provider, surface, SIGNED, streamed=streamed)
    returned = [piece for piece in crossing.turns[1][1] if piece[0] in ("thinking", "redacted")]
    assert all(piece[0] == "redacted" or piece[2] for piece in returned)
    if crossing.turns[1][1][0][0] not in ("thinking", "redacted"):
        assert silenced(crossing), crossing.notes
    assert len(crossing.pieces("call")) == len(crossing.pieces("result")) == 2


PLAIN_CLIENT = ("role", "content", "tool_calls")


@pytest.mark.parametrize(
    ("provider", "streamed"),
    [
        pytest.param(provider, streamed, id=f"case-73-dropped-{'stream' if streamed else 'whole'}-{provider}-to-{CHAT}")
        for provider in CLAUDES
        for streamed in (False, True)
    ],
)
def test_a_client_that_drops_thoughts_is_served_without_thinking(provider: str, streamed: bool) -> None:
    crossing = looped(provider, CHAT, SIGNED, streamed=streamed, keep=PLAIN_CLIENT)
    assert not crossing.pieces("thinking", "redacted")
    assert silenced(crossing), crossing.notes


@pytest.mark.parametrize(("provider", "surface", "streamed"), loops(74, "", (GEMINI,), ALL))
def test_the_signature_of_a_call_returns_to_it(provider: str, surface: str, streamed: bool) -> None:
    """Where the surface has no place for it, Google's stand-in goes instead and a note says so."""
    crossing = looped(provider, surface, SIGNED_CALLS, streamed=streamed)
    parts = [part for turn in crossing.wire["contents"] for part in turn["parts"] if "functionCall" in part]
    if surface in OPENAI:
        assert parts[0]["thoughtSignature"] == "c2lnQQ==" and "thoughtSignature" not in parts[1]
    else:
        assert parts[0]["thoughtSignature"] == "c2lnQQ==" or crossing.noted("tool_calls"), parts


@pytest.mark.parametrize(("provider", "surface", "streamed"), loops(12, "return", ALL, ALL))
def test_a_provider_sees_its_own_ids_again(provider: str, surface: str, streamed: bool) -> None:
    one, two = IDS[provider]
    answer = answered(Text("I look."), replace(samples.CALL, id=one), replace(samples.SECOND_CALL, id=two))
    crossing = looped(provider, surface, answer, streamed=streamed)
    assert [piece[1] for piece in crossing.pieces("call")] == [one, two]
    assert [piece[1] for piece in crossing.pieces("result")] == [one, two]


@pytest.mark.parametrize(("provider", "surface", "streamed"), loops(26, "return", (GEMINI, OLLAMA), ALL))
def test_ids_that_we_made_up_are_not_sent_to_who_gave_none(provider: str, surface: str, streamed: bool) -> None:
    answer = answered(Text("I look."), samples.CALL, samples.SECOND_CALL)
    bare = json.loads(DIALECTS[provider].render_response(answer))
    calls = (
        bare["message"]["tool_calls"]
        if provider == OLLAMA
        else [part["functionCall"] for part in bare["candidates"][0]["content"]["parts"][1:]]
    )
    for call in calls:
        del call["id"]
    response = DIALECTS[provider].parse_response(json.dumps(bare).encode())
    face = DIALECTS[surface]
    told = json.loads(face.render_response(response))
    first = face.render_request(ASKED, SPEAKER)
    request = face.parse_request(json.dumps(echoing.again(surface, json.loads(encode(first.payload)), told)).encode(), first.path)
    crossing = Crossing(surface, provider, request, THINKING_MODEL[provider])
    assert [piece[1] for piece in crossing.pieces("call")] == [None, None] == [piece[1] for piece in crossing.pieces("result")]


# 56, 62 to 65 What goes wrong on the way


def broken(source: str, *events: StreamEvent) -> bytes:
    """A stream as its provider leaves it: begun, never ended."""
    return encoded(source, [Start("answer-1", samples.MODEL, samples.CREATED), *events], whole=False)


BUSY = ProviderError(ErrorKind.OVERLOADED, "busy")
LIMITED = ProviderError(ErrorKind.RATE_LIMIT, "slow down")
PAIRS = list(pairs_of(ALL, ALL))


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(64, "", *pair)) for pair in PAIRS])
def test_an_error_after_200_ends_the_stream_and_nothing_looks_complete(source: str, target: str) -> None:
    for error in (BUSY, LIMITED):
        data = broken(source, *spoken("Bl"), Failed(error))
        decoder = DIALECTS[source].stream_decoder()
        events = decoder.feed(data)
        assert decoder.complete and isinstance(events[-1], Failed) and events[-1].error.transient
        written = encoded(target, [*events, *spoken("ue", number=1), Finished(Finish.STOP)])
        heard = reading.streamed(target, written)
        assert heard.text == "Bl" and heard.error is not None and heard.finish in (None, "failed")
        assert b"[DONE]" not in written
        assert target != CHAT or b"[DONE]" not in encoded(CHAT, [*stream(*spoken("Bl")), Failed(error)])
        again = [event for event in decoded(target, written) if isinstance(event, Failed)]
        assert again[0].error.transient


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(65, "", *pair)) for pair in PAIRS])
def test_a_stream_that_just_ends_is_no_answer_anywhere(source: str, target: str) -> None:
    decoder = DIALECTS[source].stream_decoder()
    events = decoder.feed(broken(source, *spoken("Bl")))
    with pytest.raises(Truncated):
        decoder.close()
    written = encoded(target, events, whole=False)
    heard = reading.streamed(target, written)
    assert heard.text == "Bl" and not heard.ended and heard.finish is None
    ended = encoded(target, [*events, Failed(ProviderError(ErrorKind.CONNECTION, "cut", code="upstream_incomplete"))])
    assert reading.streamed(target, ended).error is not None and b"[DONE]" not in ended


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(56, "", *pair)) for pair in PAIRS])
def test_nothing_is_invented_for_a_broken_answer(source: str, target: str) -> None:
    state = Fold()
    state.add_all(DIALECTS[source].stream_decoder().feed(broken(source, *spoken("Bl"))))
    response = state.response()
    assert response.finish is None and (response.usage is None or response.usage.output_total == 0)
    data = encoded(target, DIALECTS[source].stream_decoder().feed(broken(source, *spoken("Bl"))), whole=False)
    counts = reading.streamed(target, data).counts
    assert counts is None


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(69, "", *pair)) for pair in PAIRS])
def test_a_beginning_without_content_commits_to_nothing(source: str, target: str) -> None:
    """Until the first word another provider may still be asked: nothing that has a meaning was read, and nothing is shown."""
    events = DIALECTS[source].stream_decoder().feed(broken(source, Ping()))
    assert not any(isinstance(event, SEMANTIC) for event in events)
    heard = reading.streamed(target, encoded(target, events, whole=False) or encoded(target, [Start()], whole=False) or b"")
    assert (heard.text, heard.thinking, heard.calls, heard.finish) == ("", "", [], None)


FRAMINGS: dict[str, Callable[[bytes], bytes]] = {
    "crlf": lambda data: data.replace(b"\n", b"\r\n"),
    "no-blank": lambda data: data.replace(b"data: ", b"data:"),
    "comments": lambda data: b": hello\n\n" + data.replace(b"\n\n", b"\n\n: keep-alive\n\n"),
    "mark": lambda data: b"\xef\xbb\xbf" + data,
    "open-end": lambda data: data.rstrip(b"\n") + b"\n",
}


@pytest.mark.parametrize(
    ("source", "target", "framing"),
    [pytest.param(*pair, name, id=name_of(62, name, *pair)) for name in FRAMINGS for pair in pairs_of(SSE, ALL)],
)
def test_framing_changes_nothing(source: str, target: str, framing: str) -> None:
    data = encoded(source, stream(*spoken("a 🙂", "b")))
    assert over(source, target, FRAMINGS[framing](data)) == over(source, target, data)


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(62, "split", *pair)) for pair in PAIRS])
def test_a_split_anywhere_changes_nothing(source: str, target: str) -> None:
    data = encoded(source, stream(*spoken("a 🙂"), *called(("f", '{"a":"é"}'), first=1), finish=Finish.TOOL_CALLS))
    decoder = DIALECTS[source].stream_decoder()
    events = [event for place in range(len(data)) for event in decoder.feed(data[place : place + 1])]
    assert encoded(target, [*events, *decoder.close()]) == over(source, target, data)


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(63, "", *pair)) for pair in PAIRS])
def test_a_sign_of_life_is_no_content(source: str, target: str) -> None:
    start, *rest = stream(*spoken("Blue."))
    quiet, alive = [start, *rest], [start, Ping(), *rest[:2], Ping(), *rest[2:]]
    ping = DIALECTS[target].stream_encoder(CONTEXT).render_event(Ping())
    assert ping in (b"", b": ping\n\n", b'event: ping\ndata: {"type":"ping"}\n\n') or target == INVOKE
    heard = reading.streamed(target, encoded(target, decoded(source, encoded(source, alive))))
    assert heard == reading.streamed(target, over(source, target, encoded(source, quiet)))


@pytest.mark.parametrize("source", [pytest.param(name, id=name_of(55, "without", name, CHAT)) for name in ALL if name != CHAT])
def test_usage_that_nobody_asked_for_is_not_shown(source: str) -> None:
    events = decoded(source, encoded(source, stream(*spoken("Blue."))))
    data = encoded(CHAT, events, context=replace(CONTEXT, include_usage=False))
    assert b'"usage"' not in data and reading.streamed(CHAT, data).ended
    sent = DIALECTS[CHAT].render_request(said_by(source, ask(HI, stream=True)), ANY_MODEL).payload
    assert sent["stream_options"] == {"include_usage": True}, "asked upstream all the same"


# 84 Refusals

REFUSED = Response(id="a", model="a-model", created=1, choices=(Choice(0, (Refusal("I cannot."),), Finish.STOP),), usage=USAGE)


@pytest.mark.parametrize(
    ("source", "target"), [pytest.param(*pair, id=name_of(84, "", *pair)) for pair in pairs_of((*OPENAI, CLAUDE), ALL)]
)
def test_a_refusal_stays_words_of_its_own(source: str, target: str) -> None:
    face = DIALECTS[target]
    body = face.render_response(DIALECTS[source].parse_response(DIALECTS[source].render_response(REFUSED)))
    assert b"I cannot." in body
    wire = json.loads(body)
    if target == CHAT:
        message = wire["choices"][0]["message"]
        assert (message["content"], message["refusal"]) == (None, "I cannot.")
    elif target == RESPONSES:
        assert wire["output"][0]["content"] == [{"type": "refusal", "refusal": "I cannot."}]
    else:
        assert reading.told(target, body).finish in (WORDS[target][Finish.CONTENT_FILTER], WORDS[target][Finish.STOP])


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(78, "unwrapped", *pair)) for pair in pairs_of(CLAUDES, ALL)])
def test_an_answer_by_a_forced_tool_reads_like_any_other(source: str, target: str) -> None:
    """The schema went out as a tool of ours; the call of it comes back as text and a plain stop."""
    rendered = DIALECTS[source].render_request(said_by(CHAT, FORMED), BY_TOOL).payload
    name = rendered["toolConfig"]["tools"][0]["toolSpec"]["name"] if source == CONVERSE else rendered["tools"][0]["name"]
    answer = answered(ToolCall("toolu_1", name, '{"city":"Oslo","degrees":7}'))
    told = reading.told(target, DIALECTS[target].render_response(DIALECTS[source].parse_response(DIALECTS[source].render_response(answer))))
    heard = reading.streamed(target, over(source, target, encoded(source, samples.events_of(answer))))
    for found in (told, heard):
        assert json.loads(found.text) == {"city": "Oslo", "degrees": 7}
        assert not found.calls and found.finish == WORDS[target][Finish.STOP]


# 11 Errors


class Fault(msgspec.Struct, frozen=True):
    """What a provider answers, and what kind it is. `wait` is how long it says to wait, in seconds."""

    case: int
    label: str
    source: str
    status: int
    body: Any
    kind: ErrorKind
    headers: dict[str, str] = {}
    wait: float | None = None


def openai_error(code: str | None, kind: str = "invalid_request_error") -> Wire:
    return {"error": {"message": "no", "type": kind, "param": None, "code": code}}


def claude_error(kind: str) -> Wire:
    return {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_1"}


def google_error(code: int, word: str, *details: Wire) -> Wire:
    return {"error": {"code": code, "message": "no", "status": word, "details": list(details)}}


_INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
_RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}
_AWS = "x-amzn-errortype"
FAULTS = [
    *(
        Fault(case, label, source, status, openai_error(code, word), kind, headers, wait)
        for source in OPENAI
        for case, label, status, code, word, kind, headers, wait in (
            (85, "auth", 401, "invalid_api_key", "invalid_request_error", ErrorKind.AUTH, {}, None),
            (85, "model", 404, "model_not_found", "invalid_request_error", ErrorKind.NOT_FOUND, {}, None),
            (85, "server", 500, None, "server_error", ErrorKind.SERVER, {}, None),
            (85, "busy", 503, None, "server_error", ErrorKind.OVERLOADED, {}, None),
            (85, "unprocessable", 422, None, "invalid_request_error", ErrorKind.BAD_REQUEST, {}, None),
            (85, "timeout", 504, None, "server_error", ErrorKind.TIMEOUT, {}, None),
            (86, "quota", 429, "insufficient_quota", "insufficient_quota", ErrorKind.QUOTA, {}, None),
            (88, "", 400, "context_length_exceeded", "invalid_request_error", ErrorKind.CONTEXT_LENGTH, {}, None),
            (89, "seconds", 429, "rate_limit_exceeded", "requests", ErrorKind.RATE_LIMIT, {"retry-after": "7"}, 7.0),
            (
                89,
                "milliseconds",
                429,
                "rate_limit_exceeded",
                "requests",
                ErrorKind.RATE_LIMIT,
                {"retry-after-ms": "1500", "retry-after": "2"},
                1.5,
            ),
            (92, "", 400, "content_filter", "invalid_request_error", ErrorKind.CONTENT_FILTER, {}, None),
        )
    ),
    *(
        Fault(case, label, CLAUDE, status, claude_error(word), kind, headers, wait)
        for case, label, status, word, kind, headers, wait in (
            (85, "auth", 401, "authentication_error", ErrorKind.AUTH, {}, None),
            (85, "permission", 403, "permission_error", ErrorKind.PERMISSION, {}, None),
            (85, "credit", 402, "billing_error", ErrorKind.QUOTA, {}, None),
            (85, "too-large", 413, "request_too_large", ErrorKind.BAD_REQUEST, {}, None),
            (85, "busy", 529, "overloaded_error", ErrorKind.OVERLOADED, {}, None),
            (89, "seconds", 429, "rate_limit_error", ErrorKind.RATE_LIMIT, {"retry-after": "7"}, 7.0),
        )
    ),
    Fault(87, "key", GEMINI, 400, google_error(400, "INVALID_ARGUMENT", _INFO), ErrorKind.AUTH),
    Fault(85, "busy", GEMINI, 503, google_error(503, "UNAVAILABLE"), ErrorKind.OVERLOADED),
    Fault(85, "timeout", GEMINI, 504, google_error(504, "DEADLINE_EXCEEDED"), ErrorKind.TIMEOUT),
    Fault(89, "duration", GEMINI, 429, google_error(429, "RESOURCE_EXHAUSTED", _RETRY), ErrorKind.RATE_LIMIT, wait=12.5),
    Fault(87, "throttled", CONVERSE, 429, {"message": "no"}, ErrorKind.RATE_LIMIT, {_AWS: "ThrottlingException"}),
    Fault(85, "permission", CONVERSE, 403, {"message": "no"}, ErrorKind.PERMISSION, {_AWS: "AccessDeniedException:http://x"}),
    Fault(85, "timeout", CONVERSE, 408, {"message": "no"}, ErrorKind.TIMEOUT, {_AWS: "ModelTimeoutException"}),
    Fault(86, "quota", CONVERSE, 400, {"message": "no"}, ErrorKind.QUOTA, {_AWS: "ServiceQuotaExceededException"}),
    Fault(85, "model", OLLAMA, 404, {"error": "no"}, ErrorKind.NOT_FOUND),
    Fault(85, "server", OLLAMA, 500, {"error": "no"}, ErrorKind.SERVER),
]
STATUS = {
    ErrorKind.AUTH: (502,),
    ErrorKind.QUOTA: (503,),
    ErrorKind.PERMISSION: (403,),
    ErrorKind.NOT_FOUND: (404,),
    ErrorKind.RATE_LIMIT: (429,),
    ErrorKind.TIMEOUT: (504,),
    ErrorKind.SERVER: (503,),
    ErrorKind.OVERLOADED: (503, 529),
    ErrorKind.BAD_REQUEST: (400, 413),
    ErrorKind.CONTEXT_LENGTH: (400,),
    ErrorKind.CONTENT_FILTER: (400,),
}
"""What a client is told, by kind (case 85); 529 is Anthropic's own word for a busy server."""
ENVELOPES: dict[str, Callable[[Wire], Any]] = {
    CHAT: lambda wire: (wire["error"].keys() == {"message", "type", "param", "code"}) and wire["error"]["message"],
    GEMINI: lambda wire: ({"code", "status", "message", "details"} >= wire["error"].keys()) and wire["error"]["message"],
    CLAUDE: lambda wire: wire["type"] == "error" and wire["error"]["type"] and wire["error"]["message"],
    OLLAMA: lambda wire: wire["error"],
    CONVERSE: lambda wire: wire["message"],
}
ENVELOPES |= {RESPONSES: ENVELOPES[CHAT], INVOKE: ENVELOPES[CONVERSE]}


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        pytest.param(fault, target, id=name_of(fault.case, fault.label, fault.source, target))
        for fault in FAULTS
        for _, target in pairs_of((fault.source,), ALL)
    ],
)
def test_errors(fault: Fault, target: str) -> None:
    error = DIALECTS[fault.source].parse_error(fault.status, fault.headers, json.dumps(fault.body).encode())
    assert (error.kind, error.retry_after, error.message) == (fault.kind, fault.wait, "no")
    rendered = DIALECTS[target].render_error(error)
    headers = {name.lower(): value for name, value in rendered.headers}
    assert rendered.status in STATUS[fault.kind] and rendered.status != 401
    assert ENVELOPES[target](json.loads(rendered.body)) == "no"
    assert headers.get("retry-after") == (None if fault.wait is None else str(math.ceil(fault.wait)))
    word = "true" if error.transient else "false"
    assert headers.get("x-should-retry", word) == word and ("x-should-retry" in headers or target not in (*OPENAI, CLAUDE))
    again = DIALECTS[target].parse_error(rendered.status, headers, rendered.body)
    silent = target in CLAUDES and fault.kind in (ErrorKind.QUOTA, ErrorKind.AUTH)
    assert again.transient == error.transient or silent, "those envelopes have no word for a fault of ours that lasts"


@pytest.mark.parametrize(("source", "target"), [pytest.param(*pair, id=name_of(93, "", *pair)) for pair in PAIRS])
def test_an_error_takes_the_envelope_of_the_surface(source: str, target: str) -> None:
    """The message crosses whole, with the field it is about: in its place where the wire has one, else before the words."""
    given = ProviderError(ErrorKind.BAD_REQUEST, "no such tool", status=400, param="tools[0]")
    first = DIALECTS[source].render_error(given)
    error = DIALECTS[source].parse_error(first.status, dict(first.headers), first.body)
    rendered = DIALECTS[target].render_error(error)
    wire: Wire = json.loads(rendered.body)
    assert rendered.status == 400 and ENVELOPES[target](wire).endswith("no such tool")
    if error.param is not None and target in OPENAI:
        assert wire["error"]["param"] == "tools[0]"
    if source in OPENAI:
        assert error.param == "tools[0]"


# 13 Embeddings

EMBEDDINGS = {module.DIALECT.name: module.DIALECT for module in (embed_openai, embed_gemini, embed_ollama, embed_vertex, embed_bedrock)}
OPENAI_EMBEDDINGS = embed_openai.DIALECT.name
EMBEDDING_MODELS = {"bedrock_embeddings": "cohere.embed-v4:0", "vertex_embeddings": "text-embedding-005"}
COUNTED = {embed_bedrock.COUNT_HEADER: "9"}
VECTORS = ((0.25, -1.5), (0.5, 2.0))


def embeds(case: int, label: str, sources: Iterable[str]) -> list[Any]:
    return [
        pytest.param(source, target, id=name_of(case, label, source, target))
        for source in sources
        for target in EMBEDDINGS
        if source != target
    ]


def to_embed(name: str, **fields: Any) -> EmbedRequest:
    return EmbedRequest(model=EMBEDDING_MODELS.get(name, "a-model"), **{"inputs": ("one", "two"), **fields})


@pytest.mark.parametrize(("source", "target"), embeds(107, "base64", (OPENAI_EMBEDDINGS,)))
@pytest.mark.parametrize("spelling", ["base64", "float", None])
def test_floats_of_any_provider_reach_the_client_as_it_asked(source: str, target: str, spelling: Any) -> None:
    made = EmbedResponse(embeddings=tuple(Embedding(place, vector) for place, vector in enumerate(VECTORS)), model="m", usage=USAGE)
    provider = EMBEDDINGS[target]
    answer = provider.parse_response(provider.render_response(made, to_embed(target)), COUNTED)
    body: Wire = json.loads(EMBEDDINGS[source].render_response(answer, to_embed(source, encoding=spelling)))
    found = [item["embedding"] for item in body["data"]]
    vectors = [list(struct.unpack("<2f", b64decode(item))) if spelling == "base64" else item for item in found]
    assert vectors == [list(vector) for vector in VECTORS] and [item["index"] for item in body["data"]] == [0, 1]
    sent = provider.render_request(replace(to_embed(source, encoding=spelling), model=to_embed(target).model), ANY_MODEL)
    assert b'"encoding_format":null' not in encode(sent.payload)


@pytest.mark.parametrize(("source", "target"), embeds(107, "tokens", (OPENAI_EMBEDDINGS,)))
def test_tokens_are_refused_where_only_words_are_read(source: str, target: str) -> None:
    request = EMBEDDINGS[source].parse_request(b'{"model":"m","input":[[1,2]]}', "/embeddings")
    with pytest.raises(Unsupported) as caught:
        EMBEDDINGS[target].render_request(replace(request, model=to_embed(target).model), ANY_MODEL)
    assert caught.value.param is not None and caught.value.param.startswith("input")


@pytest.mark.parametrize(("source", "target"), embeds(108, "", EMBEDDINGS))
def test_dimensions_and_the_order_of_inputs_cross(source: str, target: str) -> None:
    rendered = EMBEDDINGS[source].render_request(to_embed(source, dimensions=64), ANY_MODEL)
    request = EMBEDDINGS[source].parse_request(encode(rendered.payload), rendered.path)
    body = encode(EMBEDDINGS[target].render_request(replace(request, model=to_embed(target).model), ANY_MODEL).payload)
    assert body.index(b'"one"') < body.index(b'"two"') and b":64" in body
