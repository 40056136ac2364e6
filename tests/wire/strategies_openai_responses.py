"""Bodies of the Responses wire as clients and servers write them, in any of their spellings, and answers of other wires."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from headgate.domain.content import Block, Refusal, Text, Thinking, ToolCall
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.text("abcdefgh_", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
novel = st.dictionaries(names.map("x_".__add__), values, max_size=2)
tokens = st.integers(0, 10**6)
statuses = st.sampled_from(["in_progress", "completed", "incomplete"])
arguments = st.dictionaries(names, values, max_size=2).map(json.dumps)


def shape(required: dict[str, Any], **optional: Any) -> st.SearchStrategy[Any]:
    """An object with required and optional keys, and perhaps further ones."""
    wanted = {key: value if isinstance(value, st.SearchStrategy) else st.just(value) for key, value in required.items()}
    return st.builds(lambda known, more: {**more, **known}, st.fixed_dictionaries(wanted, optional=optional), novel)


breakpoints = st.sampled_from([{"mode": "explicit"}, {"mode": "explicit", "ttl": "30m"}, {"mode": "other"}])
urls = st.sampled_from(["https://a/b.png", "data:image/png;base64,aGk=", "data:image/PNG;x=1;base64,aGk=", "data:text/plain,hi", "data:"])
input_parts = st.one_of(
    shape({"type": "input_text", "text": texts}, prompt_cache_breakpoint=breakpoints),
    shape({"type": "input_image", "image_url": urls}, detail=st.none() | names, file_id=st.none()),
    shape({"type": "input_image", "file_id": names}, detail=names),
    shape({"type": "input_file", "file_data": urls | st.just("JVBERi0=")}, filename=names),
    shape({"type": "input_file", "file_url": names}),
    shape({"type": "input_file", "file_id": names}, filename=names, detail=names),
    st.just({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}),
    shape({"type": "novelty"}),
)
annotations = st.lists(st.just({"type": "url_citation", "start_index": 0, "end_index": 1, "title": "t", "url": "u"}), max_size=2)
logprobs = st.lists(st.just({"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}), max_size=2)
output_parts = st.one_of(
    shape({"type": "output_text", "text": texts}, annotations=annotations, logprobs=logprobs),
    shape({"type": "refusal", "refusal": texts}),
)
spelling = {"id": st.none() | names, "status": st.none() | statuses}
phases = st.sampled_from(["commentary", "final_answer"])

messages = st.one_of(
    shape({"role": st.sampled_from(["user", "system", "developer"]), "content": texts | st.lists(input_parts, max_size=3)}),
    shape({"role": "user", "content": st.lists(input_parts, max_size=3), "type": "message"}, **spelling),
    shape({"role": "assistant", "content": texts | st.lists(output_parts, max_size=3)}, type=st.just("message"), phase=phases, **spelling),
)
summaries = st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": texts}), max_size=3)
thoughts = st.lists(st.fixed_dictionaries({"type": st.just("reasoning_text"), "text": texts}), max_size=2)
reasoning = shape(
    {"type": "reasoning"},
    summary=summaries | st.just([{"type": "novelty"}]),
    content=thoughts | st.none(),
    encrypted_content=st.none() | words,
    **spelling,
)
calls = shape({"type": "function_call", "call_id": names, "name": names, "arguments": arguments | st.just("")}, namespace=names, **spelling)
results = shape({"type": "function_call_output", "call_id": names, "output": texts | st.lists(input_parts, max_size=2)}, **spelling)
others = st.one_of(
    shape({"type": st.sampled_from(["web_search_call", "computer_call_output", "mcp_call", "compaction", "novelty"])}, id=names),
    st.builds(lambda name: {"type": "item_reference", "id": name}, names),
    st.builds(lambda name: {"id": name}, names),
    st.just({"type": "additional_tools", "role": "developer", "tools": []}),
)
items = messages | reasoning | calls | results | others

tools = st.one_of(
    shape(
        {"type": "function", "name": names}, description=st.none() | texts, parameters=st.none() | values, strict=st.none() | st.booleans()
    ),
    shape({"type": st.sampled_from(["web_search", "custom", "namespace", "mcp"])}),
)
choices_of_tool = st.one_of(
    st.sampled_from(["auto", "none", "required", "novelty"]),
    shape({"type": "function", "name": names}),
    st.builds(lambda name: {"type": "function", "name": name}, names),
    st.builds(
        lambda mode, some: {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": name} for name in some]},
        st.sampled_from(["auto", "required"]),
        st.lists(names, max_size=2),
    ),
    shape({"type": "web_search_preview"}),
)
formats = st.one_of(
    st.sampled_from([{"type": "text"}, {"type": "json_object"}]),
    shape({"type": "json_schema", "name": names, "schema": values}, strict=st.none() | st.booleans(), description=st.none() | texts),
    shape({"type": "novelty"}),
    st.none(),
)
numbers = st.none() | st.integers(-2, 2) | st.floats(-2, 2)
includes = st.lists(
    st.sampled_from(["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.action.sources"]), max_size=3
)
requests = shape(
    {"model": names, "input": texts | st.lists(items, max_size=5)},
    instructions=st.none() | texts,
    tools=st.lists(tools, max_size=2),
    tool_choice=choices_of_tool,
    text=st.fixed_dictionaries({}, optional={"format": formats, "verbosity": names}),
    reasoning=st.fixed_dictionaries({}, optional={"effort": st.none() | names, "summary": st.none() | names, "generate_summary": names}),
    include=st.none() | includes,
    temperature=numbers,
    top_p=numbers,
    max_output_tokens=st.none() | tokens,
    top_logprobs=st.integers(0, 9),
    parallel_tool_calls=st.booleans(),
    previous_response_id=st.none() | names,
    conversation=st.none() | names | st.builds(lambda name: {"id": name}, names),
    store=st.booleans(),
    stream=st.booleans(),
    stream_options=st.just({"include_obfuscation": False}),
    metadata=st.dictionaries(names, names, max_size=2),
    user=names,
    service_tier=names,
    truncation=names,
)

output_items = st.one_of(
    shape({"type": "message", "role": "assistant", "content": st.lists(output_parts, max_size=3), "id": names, "status": statuses}),
    shape({"type": "reasoning", "id": names, "summary": summaries}, content=thoughts, encrypted_content=st.none() | words, status=statuses),
    calls,
    shape({"type": "image_generation_call", "id": names, "result": st.none() | st.just("iVBORw0=")}, output_format=st.just("png")),
    shape({"type": st.sampled_from(["web_search_call", "custom_tool_call", "novelty"]), "id": names}),
)
usages = st.builds(
    lambda inside, cached, outside, thought: {
        "input_tokens": inside + cached,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": outside + thought,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": inside + cached + outside + thought,
    },
    tokens,
    tokens,
    tokens,
    tokens,
)
answers = shape(
    {
        "id": names,
        "object": "response",
        "created_at": st.integers(1, 2**40) | st.just(1.5),
        "model": names,
        "output": st.lists(output_items, max_size=4),
        "status": st.sampled_from(["completed", "incomplete", "in_progress", "queued", "novelty"]),
    },
    incomplete_details=st.none()
    | st.builds(lambda word: {"reason": word}, st.sampled_from(["max_output_tokens", "content_filter", "new"])),
    usage=st.none() | usages,
    service_tier=st.none() | names,
    error=st.none(),
    completed_at=tokens,
)


@st.composite
def foreign_answers(draw: st.DrawFn) -> Response:
    """An answer of another wire that this one can say in full."""
    thinking = draw(st.lists(st.builds(Thinking, words, st.none() | names) | names.map(lambda data: Thinking(redacted=data)), max_size=2))
    said: list[Block] = [*draw(st.lists(words.map(Text), max_size=2)), *draw(st.lists(words.map(Refusal), max_size=1))]
    ids = draw(st.lists(names, max_size=3, unique=True))
    asked = [ToolCall(call_id, draw(names), draw(arguments)) for call_id in ids]
    finish = draw(st.sampled_from([Finish.LENGTH, Finish.CONTENT_FILTER, Finish.TOOL_CALLS if asked else Finish.STOP]))
    usage = Usage(
        **{field: draw(tokens) for field in ("input_uncached", "cache_read", "cache_write_5m", "output_text", "output_reasoning")}
    )
    return Response(
        id=draw(names),
        model=draw(names),
        choices=(Choice(0, (*thinking, *said, *asked), finish),),
        usage=usage,
        created=draw(st.integers(1, 2**40)),
        service_tier=draw(st.sampled_from([None, "default", "flex"])),
        dialect="elsewhere",
    )
