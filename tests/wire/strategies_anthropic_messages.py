"""Requests and answers that the Messages wire can say without loss, for the laws."""

from __future__ import annotations

from hypothesis import strategies as st

from headgate.dialects.anthropic_messages.words import FINISH, NAME, finish_of
from headgate.domain.content import Block, Cache, Media, Opaque, Text, Thinking, ToolCall, ToolResult
from headgate.domain.request import HostedTool, Message, Reasoning, Request, ResponseFormat, Tool, ToolChoice
from headgate.domain.response import Choice, Response
from headgate.domain.usage import Usage
from headgate.wire.json import encode_text

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.text("abcXYZ019_-", min_size=1, max_size=12)
objects = st.dictionaries(words, st.one_of(st.integers(-1000, 1000), words, st.booleans(), st.none()), max_size=3)
caches = st.sampled_from([None, None, Cache(), Cache("1h")])


def texts() -> st.SearchStrategy[Block]:
    """A text, perhaps with a cache breakpoint or citations."""
    extra = st.sampled_from([None, None, {"citations": [{"type": "char_location"}]}])
    return st.builds(Text, words, caches, st.none(), extra)


def calls() -> st.SearchStrategy[Block]:
    """A tool call with compact arguments."""
    extra = st.sampled_from([None, {"caller": {"type": "direct"}}])
    return st.builds(ToolCall, names, names, objects.map(encode_text), caches, st.none(), extra)


def thoughts() -> st.SearchStrategy[Block]:
    """Signed or redacted thoughts."""
    return st.one_of(st.builds(Thinking, words, words), st.builds(lambda data: Thinking("", None, data), words))


def media() -> st.SearchStrategy[Block]:
    """Images and documents from each kind of source."""
    return st.one_of(
        st.builds(lambda url: Media("image", url=url), words),
        st.builds(lambda data: Media("image", "image/png", data=data), words),
        st.builds(lambda file, name: Media("document", file_id=file, name=name), words, words),
        st.builds(lambda body: Media("document", "text/plain", text=body), words),
    )


def opaque() -> st.SearchStrategy[Block]:
    """Blocks only this wire knows."""
    return st.builds(
        lambda name, asked: Opaque({"type": "server_tool_use", "id": name, "name": "web_search", "input": asked}, NAME), names, objects
    )


def contents(*kinds: st.SearchStrategy[Block]) -> st.SearchStrategy[tuple[Block, ...]]:
    """One to three blocks."""
    return st.lists(st.one_of(*kinds), min_size=1, max_size=3).map(tuple)


def results() -> st.SearchStrategy[Block]:
    """A tool result."""
    return st.builds(ToolResult, names, contents(texts(), media()), st.none(), st.sampled_from([None, True, False]), caches)


def messages() -> st.SearchStrategy[tuple[Message, ...]]:
    """A talk, perhaps with a system prompt."""
    turn = st.one_of(
        st.builds(Message, st.just("user"), contents(texts(), media(), results())),
        st.builds(Message, st.just("assistant"), contents(texts(), calls(), thoughts(), opaque())),
    )
    system = st.lists(st.builds(Message, st.just("system"), contents(texts())), max_size=1)
    return st.builds(lambda first, rest: tuple(first + rest), system, st.lists(turn, min_size=1, max_size=4))


def _choices() -> st.SearchStrategy[ToolChoice]:
    return st.one_of(
        st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")]),
        names.map(lambda name: ToolChoice("tool", (name,))),
    )


def requests() -> st.SearchStrategy[Request]:
    """Requests of this wire."""
    schema = objects.map(lambda properties: {"type": "object", "properties": properties})
    tool = st.one_of(
        st.builds(Tool, names, st.none() | words, schema, st.sampled_from([None, True, False]), caches),
        st.just(HostedTool("web_search_20250305", {"type": "web_search_20250305", "name": "web_search"}, NAME)),
    )
    reasoning = st.one_of(
        st.none(),
        st.builds(Reasoning, st.none(), st.integers(1024, 9000), st.just("enabled")),
        st.builds(Reasoning, st.sampled_from([None, "low", "max"]), st.none(), st.just("adaptive"), st.sampled_from([None, True, False])),
        st.just(Reasoning("high")),
        st.just(Reasoning(mode="disabled")),
    )
    return st.builds(
        Request,
        model=words,
        messages=messages(),
        tools=st.lists(tool, max_size=2).map(tuple),
        tool_choice=st.none() | _choices(),
        max_tokens=st.none() | st.integers(0, 9999),
        temperature=st.none() | st.sampled_from([0, 0.5, 1]),
        top_p=st.none() | st.just(0.9),
        top_k=st.none() | st.integers(0, 50),
        stop=st.lists(words, max_size=2).map(tuple),
        response_format=st.none() | schema.map(lambda value: ResponseFormat("json_schema", value)),
        reasoning=reasoning,
        user=st.none() | words,
        service_tier=st.sampled_from([None, "auto", "standard_only"]),
        stream=st.sampled_from([None, True, False]),
        dialect=st.just(NAME),
        extra=st.sampled_from([None, {"container": "c1"}, {"context_management": {"edits": []}}]),
    )


def usages() -> st.SearchStrategy[Usage]:
    """Counts in every bucket this wire reports."""
    number = st.integers(0, 5000)
    return st.builds(
        Usage,
        input_uncached=number,
        cache_read=number,
        cache_write_5m=number,
        cache_write_1h=number,
        output_text=number,
        output_reasoning=number,
    )


def responses() -> st.SearchStrategy[Response]:
    """Answers that a streamed and a whole message say alike."""
    content = contents(texts(), calls(), thoughts(), opaque())
    reasons = sorted(set(FINISH) - {"stop_sequence"})
    choice = st.builds(lambda blocks, word: Choice(0, blocks, finish_of(word, blocks), word), content, st.sampled_from(reasons))
    return st.builds(
        Response,
        id=names.map(lambda name: f"msg_{name}"),
        model=words,
        choices=st.tuples(choice),
        usage=usages(),
        service_tier=st.sampled_from([None, "standard"]),
        dialect=st.just(NAME),
    )
