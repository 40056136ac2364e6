"""The typed reader of usual requests against the one that reads any request key by key: same bodies, same values."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.anthropic_messages import DIALECT as ANTHROPIC
from headgate.dialects.gemini_generate import DIALECT as GEMINI
from headgate.dialects.openai_chat import DIALECT, request, usual
from headgate.dialects.openai_chat.request import parse_any
from headgate.dialects.openai_chat.usual import parse_usual
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.request import Request, Tool
from headgate.errors import HeadgateError, Unsupported
from headgate.wire.json import Raw, decode, encode

CORPUS = Path(os.environ.get("HEADGATE_CORPUS", Path(__file__).parents[3].parent / "shared" / "corpus"))

_spec = importlib.util.spec_from_file_location("strategies_oc", Path(__file__).parents[1] / "strategies_openai_chat.py")
assert _spec is not None and _spec.loader is not None
strategies = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(strategies)

SCHEMA = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
TYPED = {"type": "object", **SCHEMA}


def unordered(found: Request) -> Request:
    """Spelling marks in the order of the alphabet: their order says nothing."""
    return msgspec.structs.replace(found, form=tuple(sorted(found.form)))


def same_by_both(body: bytes) -> bool:
    """Whether the typed reader took the body; if so, the other must read the same."""
    quick = parse_usual(body)
    if quick is None:
        return False
    assert unordered(quick) == unordered(parse_any(body))
    return True


def with_tool(parameters: bytes) -> bytes:
    function = b'{"name":"f","parameters":' + parameters + b"}"
    return b'{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":' + function + b"}]}"


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "a"}], **fields}).encode()


def talk(*messages: Any) -> bytes:
    return json.dumps({"model": "m", "messages": list(messages)}).encode()


@given(strategies.requests())
def test_both_readers_agree_on_any_request(request_: Request) -> None:
    same_by_both(encode(DIALECT.render_request(request_, ANY_MODEL).payload))


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ANSWER = {"role": "tool", "tool_call_id": "c", "content": "x"}
USUAL = [
    talk({"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, {"role": "user", "content": ""}),
    talk({"role": "user", "content": []}),
    talk({"role": "user", "content": [{"type": "text", "text": "a"}]}),
    talk({"role": "user", "content": [{"text": "a", "type": "text"}, {"type": "text", "text": "b"}]}),
    talk({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}),
    talk({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "other"}}]}),
    talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]}),
    talk({"role": "user", "content": [{"type": "image_url", "image_url": "https://a/b.png"}]}),
    talk({"role": "user", "content": [{"type": "image_url", "image_url": {"odd": 1}}]}),
    talk({"role": "user", "content": "a", "name": "n"}, {"role": "system", "content": [{"type": "text", "text": "a"}], "name": ""}),
    talk({"role": "assistant", "content": None}, {"role": "assistant", "content": "a"}, {"role": "assistant"}),
    talk({"role": "assistant", "tool_calls": [CALL]}, ANSWER),
    talk({"role": "assistant", "content": None, "tool_calls": None}),
    talk(
        {
            "role": "assistant",
            "content": "a",
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
            "tool_calls": [CALL],
        }
    ),
    body(presence_penalty=1, frequency_penalty=-0.5, logit_bias={"1": 2}, logprobs=True, top_logprobs=2, top_k=3),
    body(metadata={"a": "b"}, service_tier="flex"),
    body(store=None, verbosity="low", prediction={"type": "content", "content": "a"}, prompt_cache_key="k"),
    talk({"role": "assistant", "content": [{"type": "text", "text": "a"}], "tool_calls": [CALL, CALL]}),
    talk({"role": "assistant", "content": "a", "tool_calls": [CALL]}, ANSWER),
    talk({"role": "assistant", "content": None, "tool_calls": [CALL]}, {**ANSWER, "content": [{"type": "text", "text": "x"}]}),
    body(temperature=1, top_p=0.5, max_tokens=7, stop="x", seed=3, n=1, user="u", stream=True, stream_options={"include_usage": False}),
    body(max_completion_tokens=7, stop=["x", "y"], parallel_tool_calls=False, reasoning_effort="low", response_format={"type": "text"}),
    body(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": TYPED, "strict": True}}),
    body(tools=[{"type": "function", "function": {"name": "f"}}], tool_choice="required"),
    body(
        tools=[{"type": "function", "function": {"name": "f", "description": "d", "parameters": TYPED, "strict": False}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
    ),
    with_tool(b"{}"),
    with_tool(b"5"),
    with_tool(b'{"a":1,"a":2}'),
    with_tool('{"title":"é"}'.encode()),
]


@pytest.mark.parametrize("text", USUAL)
def test_usual_requests_are_read_in_one_pass(text: bytes) -> None:
    assert same_by_both(text)
    found = DIALECT.parse_request(text, "/chat/completions")
    if text != with_tool(b'{"a":1,"a":2}'):
        assert decode(encode(DIALECT.render_request(found, ANY_MODEL).payload)) == decode(text)


UNUSUAL = [
    body(x_unknown=1),
    body(reasoning={"effort": "low"}),
    body(function_call="auto"),
    body(temperature=None),
    body(temperature="hot"),
    body(temperature=True),
    body(max_tokens=1.0),
    body(max_tokens=1, max_completion_tokens=2),
    body(stop=[]),
    body(tools=[]),
    body(tool_choice="any"),
    body(tool_choice={"type": "odd"}),
    body(response_format={"type": "odd"}),
    body(stream_options={}),
    body(stream_options={"include_usage": True, "x": 1}),
    body(tools=[{"type": "web_search"}]),
    body(tools=[{"function": {"name": "f"}}]),
    body(tools=[{"type": "function", "function": {"name": "f", "description": None}}]),
    body(tools=[{"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}]),
    talk({"role": "user", "content": "a", "name": None}),
    talk({"role": "user", "content": None}),
    talk({"role": "user"}),
    talk({"role": "assistant", "content": None, "tool_calls": []}),
    talk({"role": "assistant", "content": "a", "refusal": "no"}),
    talk({"role": "assistant", "content": "a", "audio": {"id": "x"}}),
    talk({"role": "assistant", "content": "a", "annotations": None}),
    body(logprobs=3),
    body(metadata=None),
    talk({"role": "assistant", "content": None, "tool_calls": [{**CALL, "index": 0}]}),
    talk({"role": "assistant", "content": None, "tool_calls": [{**CALL, "id": ""}]}),
    talk({"role": "user", "content": [{"type": "odd"}]}),
    talk({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A", "format": ""}}]}),
    talk({"role": "user", "content": [{"type": "text", "text": "a", "cache_control": None}]}),
    with_tool(b"null"),
    with_tool(b'{"a":\n1}'),
    with_tool(b'{"a":"\xff"}'),
    with_tool(b'{"a":"\\ud800"}'),
    with_tool(b'{"a":01}'),
    with_tool(b'{"a":' * 2000 + b"1" + b"}" * 2000),
    b"[]",
    b"{",
    b'"\xff"',
]


@pytest.mark.parametrize("text", UNUSUAL)
def test_anything_else_is_left_to_the_other_reader(text: bytes) -> None:
    assert parse_usual(text) is None
    try:
        slow = parse_any(text)
    except HeadgateError as error:
        with pytest.raises(type(error)) as found:
            DIALECT.parse_request(text, "")
        assert str(found.value) == str(error)
    else:
        assert DIALECT.parse_request(text, "") == slow
        assert decode(encode(DIALECT.render_request(slow, ANY_MODEL).payload)) == decode(text)


def test_what_is_kept_here_is_unknown_to_the_other_reader() -> None:
    assert not {*request._READERS, *request._SCALARS} & {*usual._KEPT}
    assert {*usual._Body.__struct_fields__} - {*usual._KEPT} <= {*request._READERS, *request._SCALARS}


def test_a_raw_schema_is_the_schema() -> None:
    tool = DIALECT.parse_request(with_tool(encode(TYPED)), "").tools[0]
    assert isinstance(tool, Tool) and type(tool.parameters) is Raw
    assert tool.schema == TYPED and tool == Tool("f", parameters=TYPED) and hash(tool) == hash(Tool("f"))
    assert tool != Tool("f", parameters=SCHEMA) and tool != Tool("g", parameters=TYPED) and tool != "f"


@pytest.mark.parametrize("schema", [TYPED, SCHEMA, {**SCHEMA, "type": "object"}, {"title": "type"}])
def test_a_raw_schema_reaches_other_wires_as_a_read_one_does(schema: Any) -> None:
    text = with_tool(encode(schema))
    for dialect, can in ((ANTHROPIC, ANY_MODEL), (GEMINI, ANY_MODEL), (GEMINI, Capabilities(json_schema_field=False))):
        raw = dialect.render_request(DIALECT.parse_request(text, ""), can)
        read = dialect.render_request(parse_any(text), can)
        assert decode(encode(raw.payload)) == decode(encode(read.payload)) and raw.notes == read.notes


def test_a_number_out_of_range_is_refused_where_the_schema_must_be_read() -> None:
    found = DIALECT.parse_request(with_tool(b'{"maximum":1e999}'), "")
    with pytest.raises(Unsupported, match="cannot be read"):
        GEMINI.render_request(found, Capabilities(json_schema_field=False))


@given(st.binary(max_size=40))
def test_noise_is_never_a_usual_request(noise: bytes) -> None:
    assert parse_usual(noise) is None


def recorded() -> Iterator[bytes]:
    for line in (CORPUS / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["surface"] == "chat.completions" and row["file"].startswith("core/"):
            sent = json.loads((CORPUS / row["file"]).read_text())["request"]
            if sent and sent.get("body") is not None:
                yield json.dumps(sent["body"]).encode()


@pytest.mark.corpus
@pytest.mark.skipif(not (CORPUS / "manifest.jsonl").is_file(), reason=f"no recorded traffic at {CORPUS}")
def test_both_readers_agree_on_recorded_requests() -> None:
    taken = [same_by_both(text) for text in recorded()]
    print(f"recorded requests: {sum(taken)} of {len(taken)} read in one pass")
    assert sum(taken) > len(taken) // 2
