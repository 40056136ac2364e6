"""Values that the chat completions wire can say in full, for the law that reading what was written gives the same value."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from headgate.dialects.openai_chat.words import NAME
from headgate.domain.content import Block, Cache, Media, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import Message, Reasoning, Request, ResponseFormat, Role, Tool, ToolChoice
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.text("abcdefgh_", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
caches = st.none() | st.builds(Cache, st.sampled_from([None, "5m", "1h"]))
extras = st.none() | st.dictionaries(names.map("x_".__add__), values, min_size=1, max_size=2)
tokens = st.integers(0, 10**6)

media = st.one_of(
    st.builds(lambda data, cache, detail: Media("image", "image/png", data, detail=detail, cache=cache), names, caches, st.none() | names),
    st.builds(lambda url, extra: Media("image", url="https://" + url, extra=extra), names, extras),
    st.builds(lambda data, mime: Media("audio", mime, data), names, st.sampled_from(["audio/wav", "audio/mpeg", "audio/flac"])),
    st.builds(lambda data, name: Media("document", "application/pdf", data, name=name), names, st.none() | names),
    st.builds(lambda file: Media("document", file_id=file), names),
)
text_blocks = st.builds(Text, texts, caches, st.none(), extras)


def _spelled(role: Role, blocks: tuple[Block, ...], name: str | None, extra: Any) -> Message:
    return Message(role, blocks, name, extra)


plain = st.builds(
    _spelled,
    st.sampled_from(["system", "developer", "user"]),
    st.lists(text_blocks | media, min_size=1, max_size=3).map(tuple),
    st.none() | names,
    extras,
)
thoughts = st.one_of(
    st.just(()),
    texts.map(lambda text: (Thinking(text),)),
    st.lists(st.builds(Thinking, texts, names) | names.map(lambda data: Thinking(redacted=data)), min_size=1, max_size=3).map(tuple),
)
arguments = st.dictionaries(names, values, max_size=2).map(json.dumps)


@st.composite
def assistants(draw: st.DrawFn) -> tuple[Message, ...]:
    """An assistant turn and the results of its calls."""
    head: tuple[Block, ...] = draw(thoughts)
    said: tuple[Block, ...] = draw(st.lists(text_blocks, max_size=2).map(tuple))
    refused: tuple[Block, ...] = draw(st.just(()) | texts.map(lambda text: (Refusal(text),)))
    ids = draw(st.lists(names, max_size=3, unique=True))
    calls = tuple(ToolCall(call_id, draw(names), draw(arguments), signature=draw(st.none() | names)) for call_id in ids)
    turn = Message("assistant", (*head, *said, *refused, *calls), draw(st.none() | names), draw(extras))
    contents = [draw(st.lists(text_blocks, min_size=1, max_size=2).map(tuple)) for _ in ids]
    return (turn, *(Message("tool", (ToolResult(call_id, content),)) for call_id, content in zip(ids, contents, strict=True)))


tools = st.builds(
    Tool, names, st.none() | texts, st.none() | st.dictionaries(names, values, max_size=2), st.none() | st.booleans(), caches, extras
)
choices_of_tool = st.one_of(
    st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")]),
    names.map(lambda name: ToolChoice("tool", (name,))),
    st.builds(lambda found, required: ToolChoice("allowed", tuple(found), required), st.lists(names, max_size=2), st.booleans()),
)
formats = st.one_of(
    st.sampled_from([ResponseFormat("text"), ResponseFormat("json_object")]),
    st.builds(
        ResponseFormat,
        st.just("json_schema"),
        st.dictionaries(names, values, max_size=2),
        names,
        st.none() | texts,
        st.none() | st.booleans(),
        extras,
    ),
)
numbers = st.none() | st.integers(-2, 2) | st.floats(-2, 2)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """A request as this wire's own parser would give it."""
    turns = draw(st.lists(plain.map(lambda message: (message,)) | assistants(), min_size=1, max_size=4))
    limit = draw(st.none() | tokens)
    offered = draw(st.lists(tools, max_size=2))
    fields: dict[str, Any] = {field: draw(numbers) for field in ("temperature", "top_p", "presence_penalty", "frequency_penalty")}
    fields |= {field: draw(st.none() | st.integers(0, 9)) for field in ("top_k", "seed", "n", "top_logprobs")}
    fields |= {field: draw(st.none() | st.booleans()) for field in ("logprobs", "parallel_tools", "stream", "stream_usage")}
    return Request(
        model=draw(names),
        messages=tuple(message for turn in turns for message in turn),
        tools=tuple(offered),
        tool_choice=draw(st.none() | choices_of_tool),
        max_tokens=limit,
        stop=tuple(draw(st.lists(texts, max_size=3))),
        response_format=draw(st.none() | formats),
        reasoning=draw(st.none() | names.map(lambda word: Reasoning(effort=word))),
        user=draw(st.none() | names),
        metadata=draw(st.none() | st.dictionaries(names, texts, max_size=2)),
        logit_bias=draw(st.none() | st.dictionaries(names, st.integers(-100, 100), max_size=2)),
        service_tier=draw(st.none() | names),
        dialect=NAME,
        extra=draw(extras),
        form=() if limit is None else (draw(st.sampled_from(["max_tokens", "max_completion_tokens"])),),
        **fields,
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usage whose buckets this wire can name."""
    fields = ("input_uncached", "cache_read", "cache_write_5m", "input_audio", "input_image")
    fields += ("output_text", "output_reasoning", "output_audio", "output_image")
    return Usage(**{field: draw(tokens) for field in fields})


@st.composite
def responses(draw: st.DrawFn) -> Response:
    """An answer of another wire that this one can say in full."""
    count = draw(st.integers(1, 2))
    picked: list[Choice] = []
    for index in range(count):
        said: tuple[Block, ...] = draw(st.just(()) | texts.map(lambda text: (Text(text),)))
        refused: tuple[Block, ...] = draw(st.just(()) | texts.map(lambda text: (Refusal(text),)))
        ids = draw(st.lists(names, max_size=3, unique=True))
        calls = tuple(ToolCall(call_id, draw(names), draw(arguments), signature=draw(st.none() | names)) for call_id in ids)
        finish = draw(st.sampled_from([Finish.LENGTH, Finish.CONTENT_FILTER, Finish.TOOL_CALLS if calls else Finish.STOP]))
        stop = draw(st.none() | texts)
        picked.append(Choice(index, (*draw(thoughts), *said, *refused, *calls), finish, draw(names), stop))
    return Response(
        id=draw(names),
        model=draw(names),
        choices=tuple(picked),
        usage=draw(usages()),
        created=draw(st.integers(1, 2**40)),
        service_tier=draw(st.sampled_from([None, "default", "flex"])),
        dialect="elsewhere",
    )
