"""The translation cases that concern the Gemini wire, as source or as target. Ids begin with the case's number."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable

import msgspec
import pytest

from headgate.dialects.base import StreamContext
from headgate.dialects.gemini_generate import DIALECT
from headgate.domain.capabilities import ANY_MODEL, Capabilities
from headgate.domain.content import Block, Cache, Media, Opaque, Refusal, Text, Thinking, ToolCall, ToolResult
from headgate.domain.events import (
    BlockStart,
    BlockStop,
    Delta,
    Failed,
    Finished,
    Ping,
    Start,
    StreamEvent,
    UsageSeen,
)
from headgate.domain.fold import fold
from headgate.domain.request import (
    HostedTool,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Tool,
    ToolChoice,
    system_message,
    user_message,
)
from headgate.domain.response import Choice, Finish, Response
from headgate.domain.usage import Usage
from headgate.errors import ErrorKind, ProviderError, Truncated, Unsupported, WireError
from headgate.wire.json import Json, JsonObject, decode, encode

PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
HI = user_message("hi")
HI_WIRE = {"role": "user", "parts": [{"text": "hi"}]}
BUDGET = Capabilities(reasoning="budget")
LEVEL = Capabilities(reasoning="level")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def ask(*messages: Message, dialect: str = "openai_chat", **fields: Json) -> Request:
    """A request of another dialect."""
    return Request(model="gemini-2.5-flash", messages=messages or (HI,), dialect=dialect, **fields)


def turn(*blocks: Block) -> Message:
    return Message("assistant", blocks)


def result(call_id: str, *blocks: Block, error: bool | None = None) -> Message:
    return Message("tool", (ToolResult(call_id, blocks, is_error=error),))


CALL = ToolCall("c1", "look", '{"q":1}')
CALL_WIRE = {"functionCall": {"name": "look", "id": "c1", "args": {"q": 1}}}
IMAGE = b64encode(b"\x89PNG\r\n\x1a\n...").decode()


def answered(wire: JsonObject) -> JsonObject:
    return {"functionResponse": {"name": "look", "id": "c1", **wire}}


Sent = tuple[str, Request, Capabilities, JsonObject, set[str]]
"""(id, request, capabilities, keys of the payload, fields of the notes)."""

SENT: list[Sent] = [
    (
        "case-1-leading-system",
        ask(system_message("a"), Message("developer", (Text("b"),)), HI),
        ANY_MODEL,
        {"systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]}, "contents": [HI_WIRE]},
        set(),
    ),
    (
        "case-1-foreign-block-in-system",
        ask(Message("system", (Text("a"), Opaque({"type": "tool_addition"}, "anthropic_messages"))), HI),
        ANY_MODEL,
        {"systemInstruction": {"parts": [{"text": "a"}]}, "contents": [HI_WIRE]},
        {"messages[0].content[1]"},
    ),
    (
        "case-1-mid-conversation-system",
        ask(HI, turn(Text("yes")), system_message("late"), HI),
        ANY_MODEL,
        {
            "systemInstruction": {"parts": [{"text": "late"}]},
            "contents": [HI_WIRE, {"role": "model", "parts": [{"text": "yes"}]}, HI_WIRE],
        },
        {"messages[2]"},
    ),
    (
        "case-3-same-role-merged-results-first",
        ask(HI, turn(Text("x")), turn(CALL), user_message("and"), result("c1", Text("r"))),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [{"text": "x"}, CALL_WIRE]},
                {"role": "user", "parts": [answered({"response": {"result": "r"}}), {"text": "and"}]},
            ]
        },
        set(),
    ),
    (
        "case-4-assistant-first",
        ask(turn(Text("welcome")), HI),
        ANY_MODEL,
        {"contents": [{"role": "model", "parts": [{"text": "welcome"}]}, HI_WIRE]},
        set(),
    ),
    (
        "case-5-empty-content",
        ask(HI, turn(Text(""), CALL), result("c1", Text("r")), user_message("")),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [CALL_WIRE]},
                {"role": "user", "parts": [answered({"response": {"result": "r"}})]},
            ]
        },
        set(),
    ),
    (
        "case-6-prefill-passed",
        ask(HI, turn(Text("Sure,"))),
        ANY_MODEL,
        {"contents": [HI_WIRE, {"role": "model", "parts": [{"text": "Sure,"}]}]},
        set(),
    ),
    ("case-7-name", ask(Message("user", (Text("hi"),), name="ann")), ANY_MODEL, {"contents": [HI_WIRE]}, {"messages[0].name"}),
    ("case-8-one-text-part", ask(Message("user", (Text("hi"),), form="list")), ANY_MODEL, {"contents": [HI_WIRE]}, set()),
    ("case-9-unicode", ask(user_message("a\0b😀")), ANY_MODEL, {"contents": [{"role": "user", "parts": [{"text": "a\0b😀"}]}]}, set()),
    (
        "case-10-results-in-call-order",
        ask(HI, turn(CALL, ToolCall("c2", "find", "{}")), result("c2", Text("two")), result("c1", Text("one"))),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [CALL_WIRE, {"functionCall": {"name": "find", "id": "c2", "args": {}}}]},
                {
                    "role": "user",
                    "parts": [
                        answered({"response": {"result": "one"}}),
                        {"functionResponse": {"name": "find", "id": "c2", "response": {"result": "two"}}},
                    ],
                },
            ]
        },
        set(),
    ),
    (
        "case-12-foreign-id",
        ask(HI, turn(ToolCall("toolu_01!x", "look")), result("toolu_01!x")),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [{"functionCall": {"name": "look", "id": "toolu_01!x", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "look", "id": "toolu_01!x", "response": {"result": ""}}}]},
            ]
        },
        set(),
    ),
    (
        "case-13-result-object",
        ask(HI, turn(CALL), result("c1", Text('{"temp": 7}'))),
        ANY_MODEL,
        {"contents": [HI_WIRE, {"role": "model", "parts": [CALL_WIRE]}, {"role": "user", "parts": [answered({"response": {"temp": 7}})]}]},
        set(),
    ),
    (
        "case-13-result-with-image",
        ask(HI, turn(CALL), result("c1", Text("seen"), Media("image", "image/png", data=IMAGE))),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [CALL_WIRE]},
                {
                    "role": "user",
                    "parts": [
                        answered({"response": {"result": "seen"}, "parts": [{"inlineData": {"mimeType": "image/png", "data": IMAGE}}]})
                    ],
                },
            ]
        },
        set(),
    ),
    (
        "case-14-error-result",
        ask(HI, turn(CALL), result("c1", Text("boom"), error=True)),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [CALL_WIRE]},
                {"role": "user", "parts": [answered({"response": {"error": "boom"}})]},
            ]
        },
        set(),
    ),
    (
        "case-15-empty-arguments",
        ask(HI, turn(ToolCall("c1", "look", "")), result("c1", Text("r"))),
        ANY_MODEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [{"functionCall": {"name": "look", "id": "c1", "args": {}}}]},
                {"role": "user", "parts": [answered({"response": {"result": "r"}})]},
            ]
        },
        set(),
    ),
    (
        "case-16-tool-without-parameters",
        ask(tools=(Tool("a"), Tool("b", parameters={}))),
        ANY_MODEL,
        {
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": name, "parametersJsonSchema": {"type": "object", "properties": {}}} for name in ("a", "b")
                    ]
                }
            ]
        },
        set(),
    ),
    (
        "case-16-tool-without-parameters-in-the-subset",
        ask(tools=(Tool("a", parameters={"type": "object", "properties": {}}),)),
        Capabilities(json_schema_field=False),
        {"tools": [{"functionDeclarations": [{"name": "a"}]}]},
        set(),
    ),
    (
        "case-17-empty-description",
        ask(tools=(Tool("a.b", "", SCHEMA),)),
        ANY_MODEL,
        {"tools": [{"functionDeclarations": [{"name": "a.b", "parametersJsonSchema": SCHEMA}]}]},
        set(),
    ),
    *(
        (
            f"case-18-tool-choice-{choice.mode}",
            ask(tools=(Tool("a"), Tool("b")), tool_choice=choice),
            ANY_MODEL,
            {"toolConfig": {"functionCallingConfig": wire}},
            set[str](),
        )
        for choice, wire in (
            (ToolChoice("auto"), {"mode": "AUTO"}),
            (ToolChoice("none"), {"mode": "NONE"}),
            (ToolChoice("required"), {"mode": "ANY"}),
            (ToolChoice("tool", ("a",)), {"mode": "ANY", "allowedFunctionNames": ["a"]}),
            (ToolChoice("allowed", ("a", "b")), {"mode": "VALIDATED", "allowedFunctionNames": ["a", "b"]}),
        )
    ),
    (
        "case-18-tool-choice-allowed-required",
        ask(tools=(Tool("a"),), tool_choice=ToolChoice("allowed", ("a", "b"), required=True)),
        ANY_MODEL,
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a", "b"]}}},
        set(),
    ),
    ("case-19-no-parallel-calls", ask(parallel_tools=False), ANY_MODEL, {"contents": [HI_WIRE]}, {"parallel_tool_calls"}),
    (
        "case-21-hosted-tool",
        ask(tools=(HostedTool("web_search_20250305", {"type": "web_search_20250305", "name": "web_search"}, "anthropic_messages"),)),
        ANY_MODEL,
        {"tools": [{"googleSearch": {}}]},
        set(),
    ),
    (
        "case-21-hosted-tool-with-options",
        ask(tools=(Tool("f"), HostedTool("code_interpreter", {"type": "code_interpreter", "container": {}}, "openai_responses"))),
        ANY_MODEL,
        {
            "tools": [
                {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}}}]},
                {"codeExecution": {}},
            ]
        },
        {"tools[1]"},
    ),
    (
        "case-22-strict-tool",
        ask(tools=(Tool("a", parameters=SCHEMA, strict=True),)),
        ANY_MODEL,
        {"tools": [{"functionDeclarations": [{"name": "a", "parametersJsonSchema": SCHEMA}]}]},
        {"tools[0].strict"},
    ),
    ("case-31-no-limit-is-invented", ask(), ANY_MODEL, {"contents": [HI_WIRE]}, set()),
    ("case-30-max-tokens", ask(max_tokens=9), ANY_MODEL, {"generationConfig": {"maxOutputTokens": 9}}, set()),
    (
        "case-33-zeros",
        ask(temperature=0.0, top_p=0.0, seed=0, n=0, max_tokens=0, presence_penalty=0.0),
        ANY_MODEL,
        {"generationConfig": {"temperature": 0, "topP": 0, "seed": 0, "candidateCount": 0, "maxOutputTokens": 0, "presencePenalty": 0}},
        set(),
    ),
    ("case-34-temperature-clamped", ask(temperature=3.0), ANY_MODEL, {"generationConfig": {"temperature": 2.0}}, {"temperature"}),
    (
        "case-34-sampling-refused",
        ask(temperature=1.0, top_p=0.5, top_k=3),
        Capabilities(sampling=False),
        {"contents": [HI_WIRE]},
        {"temperature", "top_p", "top_k"},
    ),
    (
        "case-35-six-stops",
        ask(stop=("a", "b", "c", "d", "e", "f")),
        ANY_MODEL,
        {"generationConfig": {"stopSequences": ["a", "b", "c", "d", "e"]}},
        {"stop[5:]"},
    ),
    ("case-36-n", ask(n=3), ANY_MODEL, {"generationConfig": {"candidateCount": 3}}, set()),
    (
        "case-37-penalties",
        ask(seed=5, frequency_penalty=0.5, presence_penalty=0.25, top_k=7, logit_bias={"1": 2}),
        ANY_MODEL,
        {"generationConfig": {"seed": 5, "frequencyPenalty": 0.5, "presencePenalty": 0.25, "topK": 7}},
        {"logit_bias"},
    ),
    (
        "case-38-logprobs",
        ask(logprobs=True, top_logprobs=3),
        ANY_MODEL,
        {"generationConfig": {"responseLogprobs": True, "logprobs": 3}},
        set(),
    ),
    ("case-38-logprobs-unable", ask(logprobs=True), Capabilities(logprobs=False), {"contents": [HI_WIRE]}, {"logprobs"}),
    (
        "case-39-user-metadata-tier",
        ask(user="u", metadata={"a": "b"}, service_tier="flex"),
        ANY_MODEL,
        {"contents": [HI_WIRE]},
        {"user", "metadata", "service_tier"},
    ),
    (
        "case-40-extras-of-another-dialect",
        ask(Message("user", (Text("hi", extra={"k": 1}),), extra={"m": 1}), extra={"store": True}),
        ANY_MODEL,
        {"contents": [HI_WIRE]},
        {"messages[0].content[0].k", "messages[0].m", "store"},
    ),
    (
        "case-41-inline-image",
        ask(Message("user", (Media("image", "image/jpeg", data="AAAA"),))),
        ANY_MODEL,
        {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}}]}]},
        set(),
    ),
    (
        "case-41-inline-image-without-type",
        ask(Message("user", (Media("image", data=IMAGE),))),
        ANY_MODEL,
        {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": IMAGE}}]}]},
        set(),
    ),
    (
        "case-42-image-url",
        ask(Message("user", (Media("image", url="https://e.org/a.png"),))),
        ANY_MODEL,
        {"contents": [{"role": "user", "parts": [{"fileData": {"fileUri": "https://e.org/a.png", "mimeType": "image/png"}}]}]},
        set(),
    ),
    (
        "case-43-detail",
        ask(Message("user", (Media("image", "image/png", data="AAAA", detail="high"),))),
        ANY_MODEL,
        {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]},
        {"messages[0].content[0].detail"},
    ),
    (
        "case-44-text-document",
        ask(Message("user", (Media("document", text="abc", cache=Cache()),))),
        ANY_MODEL,
        {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "text/plain", "data": "YWJj"}}]}]},
        {"messages[0].content[0].cache_control"},
    ),
    (
        "case-45-audio",
        ask(Message("user", (Media("audio", "audio/wav", data="AAAA"),))),
        Capabilities(audio=True),
        {"contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}]}]},
        set(),
    ),
    (
        "case-72-thoughts-of-another-provider",
        ask(HI, turn(Thinking("t", "sig"), Thinking(redacted="xx"), Text("a")), HI, dialect="anthropic_messages"),
        ANY_MODEL,
        {"contents": [HI_WIRE, {"role": "model", "parts": [{"text": "a"}]}, HI_WIRE]},
        {"messages[1].content[0]", "messages[1].content[1]"},
    ),
    (
        "case-74-signature-on-calls",
        ask(HI, turn(ToolCall("c1", "look", '{"q":1}', signature="S")), result("c1", Text("r"))),
        LEVEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [{**CALL_WIRE, "thoughtSignature": "S"}]},
                {"role": "user", "parts": [answered({"response": {"result": "r"}})]},
            ]
        },
        set(),
    ),
    (
        "case-74-signature-lost",
        ask(HI, turn(CALL), result("c1", Text("r"))),
        LEVEL,
        {
            "contents": [
                HI_WIRE,
                {"role": "model", "parts": [{**CALL_WIRE, "thoughtSignature": "skip_thought_signature_validator"}]},
                {"role": "user", "parts": [answered({"response": {"result": "r"}})]},
            ]
        },
        {"messages[1].tool_calls"},
    ),
    *(
        (f"case-76-{name}", ask(reasoning=reasoning), able, {"generationConfig": {"thinkingConfig": wire}}, notes)
        for name, reasoning, able, wire, notes in (
            ("effort-budget", Reasoning("medium"), BUDGET, {"thinkingBudget": 8192}, set[str]()),
            ("effort-level", Reasoning("low", visible=True), LEVEL, {"thinkingLevel": "low", "includeThoughts": True}, set[str]()),
            ("too-much", Reasoning("xhigh"), LEVEL, {"thinkingLevel": "high"}, {"reasoning.effort"}),
            ("too-much-budget", Reasoning("xhigh"), BUDGET, {"thinkingBudget": 24576}, {"reasoning.effort"}),
            ("none", Reasoning("none"), BUDGET, {"thinkingBudget": 0}, set[str]()),
            (
                "none-required",
                Reasoning("none"),
                Capabilities(reasoning="budget", reasoning_required=True),
                {"thinkingBudget": 1024},
                {"reasoning"},
            ),
            ("none-level", Reasoning("none"), LEVEL, {"thinkingLevel": "minimal"}, {"reasoning.effort"}),
            ("budget", Reasoning(budget=5000, mode="enabled"), BUDGET, {"thinkingBudget": 5000}, set[str]()),
            ("budget-level", Reasoning(budget=5000, mode="enabled"), LEVEL, {"thinkingLevel": "medium"}, {"reasoning.budget"}),
            ("adaptive", Reasoning(mode="adaptive"), BUDGET, {"thinkingBudget": -1}, set[str]()),
            ("disabled", Reasoning(mode="disabled"), BUDGET, {"thinkingBudget": 0}, set[str]()),
        )
    ),
    ("case-76-no-thinking", ask(reasoning=Reasoning("high")), ANY_MODEL, {"contents": [HI_WIRE]}, {"reasoning"}),
    (
        "case-78-json-schema",
        ask(response_format=ResponseFormat("json_schema", SCHEMA, "label", strict=True)),
        ANY_MODEL,
        {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
        set(),
    ),
    (
        "case-78-json-schema-in-the-subset",
        ask(response_format=ResponseFormat("json_schema", {**SCHEMA, "additionalProperties": False})),
        Capabilities(json_schema_field=False),
        {"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}},
        {"response_format.json_schema.schema.additionalProperties"},
    ),
    (
        "case-82-json-object",
        ask(response_format=ResponseFormat("json_object")),
        ANY_MODEL,
        {"generationConfig": {"responseMimeType": "application/json"}},
        set(),
    ),
    (
        "case-84-refusal-in-history",
        ask(HI, turn(Refusal("no")), HI),
        ANY_MODEL,
        {"contents": [HI_WIRE, {"role": "model", "parts": [{"text": "no"}]}, HI_WIRE]},
        {"messages[1].content[0]"},
    ),
    (
        "case-27-foreign-block",
        ask(Message("user", (Text("hi"), Opaque({"type": "search_result"}, "anthropic_messages")))),
        ANY_MODEL,
        {"contents": [HI_WIRE]},
        {"messages[0].content[1]"},
    ),
]


@pytest.mark.parametrize(("request_", "able", "payload", "notes"), [pytest.param(*row[1:], id=row[0]) for row in SENT])
def test_sent(request_: Request, able: Capabilities, payload: JsonObject, notes: set[str]) -> None:
    rendered = DIALECT.render_request(request_, able)
    plain = decode(encode(rendered.payload))
    for key, value in payload.items():
        assert plain[key] == value
    assert plain.keys() <= payload.keys() | {"contents", "tools"}
    assert {note.field for note in rendered.notes} == notes
    assert rendered.path == PATH


REFUSED: list[tuple[str, Request, Capabilities, str]] = [
    ("case-2-only-system", ask(system_message("a")), ANY_MODEL, "messages"),
    ("case-6-prefill-refused", ask(HI, turn(Text("x"))), Capabilities(prefill=False), "messages"),
    ("case-11-orphan-result", ask(HI, result("c9", Text("r"))), ANY_MODEL, "messages[1].content[0]"),
    ("case-11-missing-result", ask(HI, turn(CALL), HI, turn(Text("x")), HI), ANY_MODEL, "messages[3]"),
    ("case-11-missing-result-at-the-end", ask(HI, turn(CALL)), ANY_MODEL, "messages"),
    (
        "case-15-invalid-arguments",
        ask(HI, turn(ToolCall("c1", "look", '{"q":')), result("c1")),
        ANY_MODEL,
        "messages[1].content[0].arguments",
    ),
    (
        "case-15-arguments-no-object",
        ask(HI, turn(ToolCall("c1", "look", "[1]")), result("c1")),
        ANY_MODEL,
        "messages[1].content[0].arguments",
    ),
    ("case-17-long-name", ask(tools=(Tool("a" * 65),)), ANY_MODEL, "tools[0].name"),
    ("case-21-unknown-hosted-tool", ask(tools=(HostedTool("mcp", {}, "openai_responses"),)), ANY_MODEL, "tools[0]"),
    ("case-36-n-unable", ask(n=2), Capabilities(choices=False), "n"),
    ("case-44-foreign-file", ask(Message("user", (Media("document", file_id="file-abc"),))), ANY_MODEL, "messages[0].content[0]"),
    ("case-45-audio-unable", ask(Message("user", (Media("audio", "audio/wav", data="AA"),))), ANY_MODEL, "messages[0].content[0]"),
    ("case-41-unknown-bytes", ask(Message("user", (Media("image", data="AAAA"),))), ANY_MODEL, "messages[0].content[0]"),
    ("case-78-unable", ask(response_format=ResponseFormat("json_object")), Capabilities(structured_output="none"), "response_format"),
    ("case-1-picture-in-system", ask(Message("system", (Media("image", data=IMAGE),)), HI), ANY_MODEL, "messages[0]"),
    ("case-79-no-tools", ask(tools=(Tool("a"),)), Capabilities(tools=False), "tools"),
]


@pytest.mark.parametrize(("request_", "able", "param"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_refused(request_: Request, able: Capabilities, param: str) -> None:
    with pytest.raises(Unsupported) as caught:
        DIALECT.render_request(request_, able)
    assert caught.value.param == param


def own(wire: JsonObject, path: str = PATH) -> Request:
    """A request of this dialect, checked to come back equal."""
    request = DIALECT.parse_request(encode(wire), path)
    rendered = DIALECT.render_request(request, ANY_MODEL)
    assert decode(encode(rendered.payload)) == wire
    assert rendered.notes == ()
    assert rendered.path == path
    return request


USER = {"role": "user", "parts": [{"text": "q"}]}
OWN: list[tuple[str, JsonObject, Callable[[Request], bool]]] = [
    ("case-8-plain", {"contents": [USER]}, lambda r: r.messages == (user_message("q"),) and r.form == () and r.extra is None),
    ("case-3-neighbours-kept", {"contents": [USER, USER]}, lambda r: len(r.messages) == 2),
    ("case-4-no-role", {"contents": [{"parts": [{"text": "q"}]}]}, lambda r: r.messages[0].role == "user"),
    (
        "case-5-null-and-missing-parts",
        {"contents": [{"role": "model"}, {"role": "user", "parts": None}]},
        lambda r: r.messages[0].content == (),
    ),
    ("case-5-empty-text", {"contents": [{"role": "model", "parts": [{"text": ""}]}]}, lambda r: r.messages[0].content == (Text(""),)),
    (
        "case-1-system-spellings",
        {"system_instruction": {"role": "user", "parts": {"text": "s"}}, "contents": [USER]},
        lambda r: r.messages[0] == Message("system", (Text("s"),), form="role=user,object"),
    ),
    ("case-1-system-null", {"systemInstruction": None, "contents": [USER]}, lambda r: r.extra == {"systemInstruction": None}),
    (
        "case-10-results-without-ids",
        {
            "contents": [
                {"role": "model", "parts": [{"functionCall": {"name": "a", "args": {}}}, {"functionCall": {"name": "a"}}]},
                {
                    "role": "function",
                    "parts": [{"functionResponse": {"name": "a", "response": {"result": str(i)}}} for i in range(2)],
                },
            ]
        },
        lambda r: (
            [b.id for b in r.messages[0].content if isinstance(b, ToolCall)]
            == [b.call_id for b in r.messages[1].content if isinstance(b, ToolResult)]
            and len({b.id for b in r.messages[0].content if isinstance(b, ToolCall)}) == 2
            and r.messages[1].role == "tool"
        ),
    ),
    *(
        (
            f"case-13-answer-{name}",
            {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "a", "id": "1", "response": answer}}]}]},
            lambda r, said=said: r.messages[0].content[0].content == (Text(said),),
        )
        for name, answer, said in (
            ("output", {"output": "x"}, "x"),
            ("result", {"result": "x"}, "x"),
            ("result-json", {"result": '{"a":1}'}, '{"a":1}'),
            ("number", {"result": 5}, '{"result":5}'),
            ("empty", {}, "{}"),
            ("big", {"a": 1, "b": 123456789012345678901234567890}, '{"a":1,"b":123456789012345678901234567890}'),
        )
    ),
    (
        "case-14-error-answer",
        {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "a", "id": "1", "response": {"error": "x"}}}]}]},
        lambda r: r.messages[0].content[0].is_error is True,
    ),
    (
        "case-15-arguments-absent-and-null",
        {
            "contents": [
                {"role": "model", "parts": [{"functionCall": {"name": "a", "id": "1"}}, {"functionCall": {"name": "a", "args": None}}]}
            ]
        },
        lambda r: [b.arguments for b in r.messages[0].content] == ["", ""],
    ),
    (
        "case-21-tool-objects",
        {
            "contents": [USER],
            "tools": [
                {"functionDeclarations": [{"name": "a"}, {"name": "b", "description": None}]},
                {"functionDeclarations": [{"name": "c", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}}]},
                {"googleSearch": {}, "functionDeclarations": [{"name": "d", "parameters_json_schema": SCHEMA}]},
                {"google_search": {"x": 1}},
                {},
                {"function_declarations": []},
                {"functionDeclarations": None},
            ],
        },
        lambda r: (
            [type(t).__name__ for t in r.tools] == ["Tool"] * 4 + ["HostedTool"] * 5
            and r.tools[2].parameters == {"type": "object", "properties": {"x": {"type": "string"}}}
            and r.tools[3].parameters == SCHEMA
        ),
    ),
    *(
        (
            f"case-18-{wire.get('mode')}-{len(wire)}",
            {"contents": [USER], "toolConfig": {"functionCallingConfig": wire, "retrievalConfig": {}}},
            lambda r, mode=mode: (r.tool_choice and r.tool_choice.mode) == mode,
        )
        for wire, mode in (
            ({"mode": "AUTO"}, "auto"),
            ({"mode": "none"}, "none"),
            ({"mode": "ANY"}, "required"),
            ({"mode": "VALIDATED"}, "auto"),
            ({"mode": "ANY", "allowedFunctionNames": ["a"]}, "tool"),
            ({"mode": "ANY", "allowed_function_names": ["a", "b"], "other": 1}, "allowed"),
            ({}, None),
            ({"mode": "AUTO", "allowedFunctionNames": []}, "auto"),
        )
    ),
    (
        "case-37-config",
        {
            "contents": [USER],
            "generation_config": {"top_k": 50.0, "temperature": 0, "stopSequences": [], "seed": None, "responseModalities": ["TEXT"]},
        },
        lambda r: r.top_k == 50 and r.temperature == 0 and r.seed is None,
    ),
    ("case-37-empty-config", {"contents": [USER], "generationConfig": {}, "tools": [], "toolConfig": {}}, lambda r: r.tools == ()),
    (
        "case-38-logprobs",
        {"contents": [USER], "generationConfig": {"responseLogprobs": True, "logprobs": 2}},
        lambda r: r.logprobs is True and r.top_logprobs == 2,
    ),
    (
        "case-40-unknown-keys",
        {"contents": [{**USER, "new": 1}], "cachedContent": "c", "labels": {"a_b": "c"}},
        lambda r: r.extra is not None,
    ),
    (
        "case-41-both-spellings",
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"inline_data": {"mime_type": "image/png", "data": "AA", "display_name": "d"}},
                        {"inlineData": {"mimeType": "audio/wav", "data": "AA"}, "videoMetadata": {"fps": 1}},
                        {"inlineData": {"data": "AA", "other": 1}},
                    ],
                }
            ]
        },
        lambda r: [b.kind for b in r.messages[0].content] == ["image", "audio", "document"],
    ),
    (
        "case-44-files",
        {
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {
                            "fileData": {
                                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x",
                                "mimeType": "application/pdf",
                            }
                        },
                        {"file_data": {"file_uri": "https://youtu.be/x"}},
                    ],
                }
            ]
        },
        lambda r: r.messages[0].content[0].file_id is not None and r.messages[0].content[1].url == "https://youtu.be/x",
    ),
    (
        "case-74-signatures-everywhere",
        {
            "contents": [
                {
                    "role": "model",
                    "parts": [
                        {"text": "t", "thought": True, "thoughtSignature": "1"},
                        {"text": "x", "thought_signature": "2", "thought": False},
                        {"functionCall": {"name": "a", "id": "i", "args": {"a_b": 1}}, "thoughtSignature": "3"},
                        {"executableCode": {"code": "1"}, "thoughtSignature": "4"},
                        {"inlineData": {"mimeType": "image/png", "data": "A"}, "thoughtSignature": "5"},
                        {"text": None},
                        {},
                    ],
                }
            ]
        },
        lambda r: (
            [type(b).__name__ for b in r.messages[0].content] == ["Thinking", "Text", "ToolCall", "Opaque", "Media", "Opaque", "Opaque"]
        ),
    ),
    *(
        (f"case-76-{index}", {"contents": [USER], "generationConfig": {"thinkingConfig": wire}}, lambda r, want=want: r.reasoning == want)
        for index, (wire, want) in enumerate(
            (
                ({}, Reasoning()),
                ({"thinkingBudget": 0, "includeThoughts": False}, Reasoning(budget=0, visible=False)),
                ({"thinkingLevel": "low"}, Reasoning("low")),
                ({"thinkingLevel": "HIGH"}, Reasoning("high", extra={"thinkingLevel": "HIGH"})),
                ({"thinkingLevel": "OTHER", "x": 1}, Reasoning(extra={"thinkingLevel": "OTHER", "x": 1})),
            )
        )
    ),
    *(
        (
            f"case-78-{index}",
            {"contents": [USER], "generationConfig": wire},
            lambda r, kind=kind: getattr(r.response_format, "kind", None) == kind,
        )
        for index, (wire, kind) in enumerate(
            (
                ({"responseMimeType": "application/json"}, "json_object"),
                ({"responseMimeType": "text/plain"}, "text"),
                ({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}, "json_schema"),
                ({"response_mime_type": "application/json", "response_schema": {"type": "object"}}, "json_schema"),
                ({"responseSchema": {"type": "object"}, "responseJsonSchema": {"type": "object"}}, "json_schema"),
                ({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}}, None),
                ({"responseMimeType": None, "responseSchema": {"type": "Object", "items": True}}, "json_schema"),
            )
        )
    ),
]


@pytest.mark.parametrize(("wire", "holds"), [pytest.param(*row[1:], id=row[0]) for row in OWN])
def test_own_request_comes_back_equal(wire: JsonObject, holds: Callable[[Request], bool]) -> None:
    assert holds(own(wire))


def test_paths() -> None:
    wire: JsonObject = {"contents": [USER]}
    tuned = own(wire, "/v1beta/tunedModels/t-1:streamGenerateContent?alt=sse")
    assert (tuned.model, tuned.stream) == ("tunedModels/t-1", True)
    assert own(wire, "/v1/models/m:streamGenerateContent").form == ("version:v1", "stream:array")
    assert own({**wire, "model": "models/gemini-2.5-flash"}).extra is None
    assert own({**wire, "model": "models/other"}).extra == {"model": "models/other"}
    assert DIALECT.parse_request(encode(wire), PATH + "?key=k").stream is None
    with pytest.raises(WireError) as caught:
        DIALECT.parse_request(encode(wire), "/v1/chat/completions")
    assert caught.value.param == "model"


MALFORMED: list[tuple[Json, str]] = [
    ([], "body"),
    ({}, "contents"),
    ({"contents": "hi"}, "contents"),
    ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
    ({"contents": [{"role": "user", "parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
    ({"contents": [{"role": "user", "parts": ["x"]}]}, "contents[0].parts[0]"),
    ({"contents": [{"role": "user", "parts": [{"functionCall": {"args": {}}}]}]}, "contents[0].parts[0].functionCall.name"),
    ({"contents": [{"role": "user", "parts": [{"functionCall": {"name": "a", "args": []}}]}]}, "contents[0].parts[0].functionCall.args"),
    ({"contents": [USER], "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
    ({"contents": [USER], "generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
    ({"contents": [USER], "generationConfig": {"topK": 1.5}}, "generationConfig.topK"),
    ({"contents": [USER], "generationConfig": {"responseLogprobs": 1}}, "generationConfig.responseLogprobs"),
    ({"contents": [USER], "toolConfig": {"functionCallingConfig": {"mode": 3}}}, "toolConfig.functionCallingConfig.mode"),
]


@pytest.mark.parametrize(("wire", "param"), [pytest.param(*row, id=row[1]) for row in MALFORMED])
def test_malformed_requests_name_the_place(wire: Json, param: str) -> None:
    with pytest.raises(WireError) as caught:
        DIALECT.parse_request(encode(wire), PATH)
    assert caught.value.param == param
    assert caught.value.fault == "remote"


def answer(*parts: JsonObject, finish: str | None = "STOP", **more: Json) -> JsonObject:
    candidate: JsonObject = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r1", **more}


def sse(*chunks: Json) -> bytes:
    return b"".join(b"data: " + encode(chunk) + b"\r\n\r\n" for chunk in chunks)


def events_of(data: bytes) -> list[StreamEvent]:
    decoder = DIALECT.stream_decoder()
    return decoder.feed(data) + decoder.close()


FINISHES: list[tuple[str, list[JsonObject], str, Finish]] = [
    ("case-28-stop", [{"text": "a"}], "STOP", Finish.STOP),
    ("case-28-stop-with-calls", [{"functionCall": {"name": "a"}}], "STOP", Finish.TOOL_CALLS),
    ("case-28-truncated-with-calls", [{"functionCall": {"name": "a"}}], "MAX_TOKENS", Finish.LENGTH),
    *(
        (f"case-28-{word.lower()}", [], word, Finish.CONTENT_FILTER)
        for word in ("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_SAFETY", "LANGUAGE")
    ),
    *(
        (f"case-28-{word.lower()}", [], word, Finish.ERROR)
        for word in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "OTHER")
    ),
    ("case-28-unknown", [], "BRAND_NEW", Finish.STOP),
]


@pytest.mark.parametrize(("parts", "native", "finish"), [pytest.param(*row[1:], id=row[0]) for row in FINISHES])
def test_finish(parts: list[JsonObject], native: str, finish: Finish) -> None:
    wire = answer(*parts, finish=native)
    for response in (DIALECT.parse_response(encode(wire)), fold(events_of(sse(wire)))):
        assert (response.finish, response.choices[0].native_finish) == (finish, native)


def test_blocked_prompt_is_an_empty_filtered_answer() -> None:
    wire = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}
    response = DIALECT.parse_response(encode(wire))
    assert (response.finish, response.text, response.choices[0].native_finish) == (Finish.CONTENT_FILTER, "", "SAFETY")
    assert decode(DIALECT.render_response(response)) == wire
    assert fold(events_of(sse(wire))).choices == response.choices


def test_case_26_several_calls_in_one_chunk_without_ids() -> None:
    calls = [{"functionCall": {"name": "look", "args": {"n": n}}} for n in range(2)]
    streamed = fold(events_of(sse(answer(*calls)))).tool_calls
    assert streamed == DIALECT.parse_response(encode(answer(*calls))).tool_calls
    assert len({call.id for call in streamed}) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", call.id) for call in streamed)
    history = ask(HI, turn(*streamed), *(result(call.id, Text("r")) for call in reversed(streamed)))
    contents = decode(encode(DIALECT.render_request(history, ANY_MODEL).payload))["contents"]
    assert contents[1]["parts"] == calls
    assert contents[2]["parts"] == [{"functionResponse": {"name": "look", "response": {"result": "r"}}}] * 2


def test_case_24_id_and_name_come_once_and_first() -> None:
    wire = answer({"functionCall": {"name": "f", "id": "1", "args": {"a": 1}}})
    blocks = [event for event in events_of(sse(wire)) if isinstance(event, BlockStart | Delta | BlockStop)]
    assert blocks == [BlockStart(0, ToolCall("1", "f")), Delta(0, '{"a":1}'), BlockStop(0)]


def test_case_63_signs_of_life_say_nothing_here() -> None:
    assert encoded([Ping()], close=False)[0] == b""


def test_case_27_text_and_calls_keep_their_order() -> None:
    wire = answer({"text": "a"}, {"functionCall": {"name": "f", "id": "1"}}, {"text": "b"})
    kinds = [type(block).__name__ for block in fold(events_of(sse(wire))).choices[0].content]
    assert kinds == ["Text", "ToolCall", "Text"]


USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 30,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 7,
    "toolUsePromptTokenCount": 5,
    "totalTokenCount": 132,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 60},
        {"modality": "AUDIO", "tokenCount": 25},
        {"modality": "IMAGE", "tokenCount": 15},
    ],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": 10}],
    "serviceTier": "SERVICE_TIER_STANDARD",
}


def test_case_49_usage_buckets_are_disjoint() -> None:
    response = DIALECT.parse_response(encode(answer({"text": "a"}, usageMetadata=USAGE)))
    usage = response.usage
    assert usage is not None
    assert (usage.cache_read, usage.input_audio, usage.input_image, usage.input_uncached) == (30, 15, 15, 45)
    assert (usage.input_total, usage.output_total, usage.total) == (105, 27, 132)
    assert response.service_tier == "standard"


@pytest.mark.parametrize(
    "raw",
    [
        {"promptTokenCount": 1, "cachedContentTokenCount": 9, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 99}]},
        {
            "candidatesTokenCount": 1,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 5}],
        },
        {"promptTokenCount": -4, "candidatesTokenCount": "x", "promptTokensDetails": [None, {"modality": 1}]},
    ],
)
def test_case_49_odd_counts_are_never_negative(raw: JsonObject) -> None:
    usage = DIALECT.parse_response(encode(answer(usageMetadata=raw))).usage
    assert usage is not None
    assert usage.input_total == max(raw.get("promptTokenCount", 0), 0)
    assert min(usage.input_uncached, usage.cache_read, usage.input_audio, usage.output_text, usage.output_image) >= 0


def test_case_54_last_usage_wins() -> None:
    chunks = [answer({"text": "a"}, finish=None, usageMetadata={"promptTokenCount": 5, "totalTokenCount": 5})]
    chunks += [answer({"text": "b"}, usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7})]
    chunks += [answer(finish=None, usageMetadata={"trafficType": "ON_DEMAND"})]
    usage = fold(events_of(sse(*chunks))).usage
    assert usage is not None and usage.total == 7


def test_case_49_usage_of_another_provider() -> None:
    usage = Usage(input_uncached=10, cache_read=4, cache_write_5m=2, input_image=3, output_text=5, output_reasoning=6)
    wire = decode(DIALECT.render_response(Response(choices=(Choice(0, (Text("x"),), Finish.STOP),), usage=usage, dialect="openai_chat")))
    back = DIALECT.parse_response(encode(wire)).usage
    assert back is not None
    assert (back.input_total, back.output_total, back.cache_read, back.input_image) == (19, 11, 4, 3)


FRAMINGS: list[tuple[str, Callable[[list[JsonObject]], bytes]]] = [
    ("case-62-crlf", lambda chunks: sse(*chunks)),
    ("case-62-lf", lambda chunks: sse(*chunks).replace(b"\r\n", b"\n")),
    ("case-62-no-space-and-bom", lambda chunks: b"\xef\xbb\xbf" + sse(*chunks).replace(b"data: ", b"data:")),
    ("case-62-comments", lambda chunks: b": hello\r\n\r\n" + sse(*chunks)),
    ("case-62-no-blank-line-at-the-end", lambda chunks: sse(*chunks).rstrip()),
    ("case-62-json-array", lambda chunks: b"[" + b"\n,\r\n".join(map(encode, chunks)) + b"\n]\n"),
    ("case-62-pretty-json-array", lambda chunks: msgspec.json.format(encode(chunks), indent=2)),
]


@pytest.mark.parametrize("framed", [pytest.param(row[1], id=row[0]) for row in FRAMINGS])
def test_framings_say_the_same(framed: Callable[[list[JsonObject]], bytes]) -> None:
    chunks = [answer({"text": 'a"}\\'}, finish=None), answer({"text": "é]{😀"}, {"functionCall": {"name": "f", "args": {"x": '["{'}}})]
    expected = events_of(sse(*chunks))
    data = framed(chunks)
    assert events_of(data) == expected
    decoder = DIALECT.stream_decoder()
    single = [event for i in range(len(data)) for event in decoder.feed(data[i : i + 1])]
    assert single + decoder.close() == expected
    assert decoder.complete


ERROR = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    "data",
    [
        encode(ERROR),
        msgspec.json.format(encode(ERROR), indent=2),
        encode([ERROR]),
        sse(ERROR),
        sse(answer({"text": "a"}, finish=None), ERROR),
    ],
)
def test_case_64_errors_in_a_stream(data: bytes) -> None:
    events = events_of(data)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind, events[-1].error.status, events[-1].error.message) == (ErrorKind.OVERLOADED, 503, "overloaded")


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", sse(answer({"text": "a"}, finish=None)), b'{"candidates": [', b'[{"candidates":[{"finishReason":"STOP"}]}, {"a":'],
)
def test_case_65_a_cut_is_not_complete(data: bytes) -> None:
    decoder = DIALECT.stream_decoder()
    decoder.feed(data)
    with pytest.raises(Truncated):
        decoder.close()


def test_case_65_every_candidate_must_end() -> None:
    two = answer({"text": "a"})
    two["candidates"].append({"content": {"parts": [{"text": "b"}]}, "index": 1})
    decoder = DIALECT.stream_decoder()
    decoder.feed(sse(two))
    assert not decoder.complete
    with pytest.raises(Truncated):
        decoder.close()


def encoded(events: list[StreamEvent], *, close: bool = True) -> tuple[bytes, list[JsonObject]]:
    encoder = DIALECT.stream_encoder(StreamContext("m", "id-1", 1))
    wire = b"".join(map(encoder.render_event, events)) + (encoder.close() if close else b"")
    return wire, [decode(frame.removeprefix(b"data: ")) for frame in wire.split(b"\r\n\r\n") if frame]


OPENAI_EVENTS: list[StreamEvent] = [
    Start("chatcmpl-1", "gpt"),
    BlockStart(0, Thinking()),
    Delta(0, "hm"),
    BlockStart(1, Text("")),
    Delta(1, "Hel"),
    BlockStart(2, ToolCall("c1", "look")),
    Delta(2, '{"q"'),
    BlockStart(3, ToolCall("c2", "find", signature="S")),
    Delta(1, "lo"),
    Delta(2, ":1}"),
    Ping(),
    Finished(Finish.TOOL_CALLS, "tool_calls"),
    UsageSeen(Usage(input_uncached=3, output_text=2)),
]


def test_case_25_and_61_events_of_another_wire() -> None:
    wire, chunks = encoded(OPENAI_EVENTS)
    parts = [part for chunk in chunks for candidate in chunk["candidates"] for part in candidate["content"]["parts"]]
    assert parts == [
        {"text": "hm", "thought": True},
        {"text": "Hel"},
        {"text": "lo"},
        {"functionCall": {"name": "look", "id": "c1", "args": {"q": 1}}},
        {"functionCall": {"name": "find", "id": "c2", "args": {}}, "thoughtSignature": "S"},
    ]
    assert {(chunk["responseId"], chunk["modelVersion"]) for chunk in chunks} == {("chatcmpl-1", "gpt")}
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"]["totalTokenCount"] == 5
    back = fold(events_of(wire))
    assert back.finish is Finish.TOOL_CALLS
    assert [(c.id, c.name, decode(c.arguments or "{}")) for c in back.tool_calls] == [("c1", "look", {"q": 1}), ("c2", "find", {})]


@pytest.mark.parametrize(("finish", "word"), [(Finish.LENGTH, "MAX_TOKENS"), (Finish.TOOL_CALLS, "MALFORMED_FUNCTION_CALL")])
def test_case_29_a_cut_call_is_not_repaired(finish: Finish, word: str) -> None:
    _, chunks = encoded([Start(), BlockStart(0, ToolCall("c", "f")), Delta(0, '{"a":'), BlockStop(0), Finished(finish)])
    assert [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]] == []
    assert chunks[-1]["candidates"][0]["finishReason"] == word


def test_case_64_nothing_follows_a_failure() -> None:
    failure = Failed(ProviderError(ErrorKind.OVERLOADED, "busy", status=529, retry_after=2.5))
    wire, chunks = encoded([*OPENAI_EVENTS[:5], failure, Delta(1, "x"), Finished(Finish.STOP)])
    assert chunks[-1]["error"]["status"] == "UNAVAILABLE"
    assert b"finishReason" not in wire
    assert isinstance(events_of(wire)[-1], Failed)


def test_case_65_no_end_is_invented() -> None:
    wire, _ = encoded(OPENAI_EVENTS[:5])
    with pytest.raises(Truncated):
        events_of(wire)


def test_case_38_logprobs_both_ways() -> None:
    raw = {
        "chosenCandidates": [{"token": "a", "tokenId": 7, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "a", "tokenId": 7, "logProbability": -0.5}]}],
    }
    wire = answer({"text": "a"})
    wire["candidates"][0]["logprobsResult"] = raw
    response = DIALECT.parse_response(encode(wire))
    assert response.choices[0].logprobs["content"][0]["token"] == "a"
    assert decode(DIALECT.render_response(response)) == wire
    assert fold(events_of(sse(wire))).choices[0].logprobs == response.choices[0].logprobs


def test_case_77_thoughts_stay_out_of_the_text() -> None:
    wire = answer({"text": "secret", "thought": True}, {"text": "{}", "thoughtSignature": "s"})
    for response in (DIALECT.parse_response(encode(wire)), fold(events_of(sse(wire)))):
        assert response.text == "{}"
        assert response.choices[0].content == (Thinking("secret"), Text("{}", signature="s"))


def test_case_40_own_keys_of_an_answer_come_back() -> None:
    wire = answer({"text": "a", "new": 1}, {"toolCall": {"id": "1"}}, createTime="2026-04-07T16:49:58.333958Z", modelStatus={"x": 1})
    wire["candidates"][0]["groundingMetadata"] = {"webSearchQueries": []}
    response = DIALECT.parse_response(encode(wire))
    assert decode(DIALECT.render_response(response)) == wire
    assert response.created == 1775580598


def test_a_200_with_an_error_raises() -> None:
    with pytest.raises(ProviderError) as caught:
        DIALECT.parse_response(encode(ERROR))
    assert caught.value.kind is ErrorKind.OVERLOADED


CASES: frozenset[int] = frozenset(
    int(number) for row in (*SENT, *REFUSED, *OWN, *FINISHES, *FRAMINGS) for number in re.findall(r"case-(\d+)", row[0])
) | frozenset({24, 25, 26, 27, 29, 38, 40, 49, 54, 61, 63, 64, 65, 77})
"""The translation cases covered here, by the tables' ids and by the functions that carry a number."""
